//! The inputs that fuzzing starts from: every vector of `protocol-spec`, as each target takes it.

use std::path::Path;

#[path = "../../tests/vectors/vector.rs"]
mod vector;

use vector::{Vector, vectors_in};

/// The seeds of the target `name`, in no order. `root` is the repository.
///
/// # Panics
/// If there is no such target.
pub fn of(name: &str, root: &Path) -> Vec<Vec<u8>> {
    match name {
        "wire0_frames" => frames(root, "wire0"),
        "wire1_frames" => frames(root, "wire1"),
        other => panic!("no target {other}"),
    }
}

/// Each vector by itself, arriving in one piece or, if it is long, in a few.
fn frames(root: &Path, wire: &str) -> Vec<Vec<u8>> {
    let seed = |vector: Vector| [&[0xff][..], &vector.frame()].concat();
    all_vectors(root, wire).into_iter().map(seed).collect()
}

fn all_vectors(root: &Path, wire: &str) -> Vec<Vector> {
    ["valid", "invalid"].into_iter().flat_map(|kind| vectors_in(root, wire, kind)).collect()
}
