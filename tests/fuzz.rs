//! Replays what fuzzing has found worth keeping, and what it starts from: `fuzz/corpus` and every
//! vector of `protocol-spec`, through the checks of `fuzz/checks`.

#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::fs;
use std::panic;
use std::path::Path;

use checks::{TARGETS, Target, seeds};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The committed inputs of a target, each with its file's name.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("fuzz/corpus").join(target.name);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = |entry: fs::DirEntry| {
        let path = entry.path();
        (path.display().to_string(), fs::read(path).expect("a corpus is made of files"))
    };
    files.map(|entry| read(entry.expect("readable"))).collect()
}

fn replay(target: &Target, input: &[u8], name: &str) {
    let outcome = panic::catch_unwind(|| (target.check)(input));
    assert!(outcome.is_ok(), "{}: {name}", target.name);
}

#[test]
fn every_seed_passes_its_check() {
    for target in TARGETS {
        let seeds = seeds::of(target.name, root());
        assert!(!seeds.is_empty(), "{}", target.name);
        seeds.iter().for_each(|seed| replay(&target, seed, &seed.escape_ascii().to_string()));
    }
}

#[test]
fn every_file_of_the_corpora_passes_its_check() {
    for target in TARGETS {
        let corpus = corpus(&target);
        assert!(!corpus.is_empty(), "{}", target.name);
        corpus.iter().for_each(|(path, input)| replay(&target, input, path));
    }
}
