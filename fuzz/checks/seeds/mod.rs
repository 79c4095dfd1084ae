//! The inputs that fuzzing starts from: every vector of `protocol-spec`, as each target takes it, and
//! requests, rows and records where it has none.

mod api;
mod helpers;
mod records;
mod rows;
mod sessions;

use std::path::Path;

use super::script::Step;

#[path = "../../../tests/vectors/vector.rs"]
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
        "server_session" => sessions::of_server(root),
        "device_session" => sessions::of_device(root),
        "http" => api::conversations(),
        "api_bodies" => api::bodies(),
        "helper_output" => helpers::outputs(),
        "stored_rows" => rows::stores(),
        "tls_records" => records::conversations(),
        other => panic!("no target {other}"),
    }
}

/// Each vector by itself, arriving in one piece or, if it is long, in a few.
fn frames(root: &Path, wire: &str) -> Vec<Vec<u8>> {
    let seed = |vector: Vector| [&[0xff][..], &vector.frame()].concat();
    all_vectors(root, wire).into_iter().map(seed).collect()
}

fn frames_of(root: &Path, wire: &str, sender: &str) -> Vec<Vec<u8>> {
    let sent = all_vectors(root, wire).into_iter().filter(|vector| vector.line("sender") == sender);
    sent.map(|vector| vector.frame()).collect()
}

fn all_vectors(root: &Path, wire: &str) -> Vec<Vector> {
    ["valid", "invalid"].into_iter().flat_map(|kind| vectors_in(root, wire, kind)).collect()
}

fn script(steps: &[Step]) -> Vec<u8> {
    steps.iter().flat_map(|step| step.encode()).collect()
}
