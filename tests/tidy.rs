//! Keeps the tree tidy: which layer may import which, where clocks and sockets may be, how a file opens
//! and how long it may get. It reads the sources as text and knows nothing of what they do.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers in order: each may import those before it.
const LAYERS: [&str; 15] = [
    "base", "protocol", "session", "tls", "files", "http", "queue", "store", "broker", "api", "reactor",
    "service", "device", "swarm", "cli",
];
/// The device's side is built without the server's layers.
const BELOW_DEVICE: [&str; 7] = ["base", "protocol", "session", "tls", "files", "http", "service"];
/// These decide and never touch the world: time, bytes and randomness come in as arguments.
const PURE: [&str; 8] = ["base", "protocol", "session", "tls", "queue", "broker", "api", "service"];
/// What touches the world; the first three read its clocks.
const WORLD: [&str; 9] = [
    "Instant::now",
    "SystemTime::now",
    "clock_gettime",
    "std::net",
    "std::thread",
    "std::fs",
    "std::io::std",
    "getrandom",
    "mio::",
];
/// Where the clocks are read: the server's, the device's, that of whoever waits for an answer, and a swarm's.
const CLOCKS: [&str; 5] =
    ["src/reactor/clock.rs", "src/device/clock.rs", "src/http/channel.rs", "src/swarm/clock.rs", "src/cli/"];
/// Beyond this a file holds two nouns.
const FILE_LINES_MAX: usize = 700;

/// Where sources lie.
const FOLDERS: [&str; 7] =
    ["src", "tests", "benches", "examples", "fuzz/checks", "fuzz/examples", "fuzz/fuzz_targets"];

struct Source {
    /// Relative to the repository, with `/`.
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut found);
    }
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).expect("a source file is readable UTF-8"),
        path: path.strip_prefix(root).expect("inside the repository").to_string_lossy().replace('\\', "/"),
    };
    found.into_iter().map(read).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The layer that a file under `src` belongs to.
fn layer_of(path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix("src/")?;
    LAYERS.into_iter().find(|layer| rest.strip_prefix(layer).is_some_and(|rest| rest.starts_with('/')))
}

fn may_import(layer: &str, other: &str) -> bool {
    let place = |name: &str| LAYERS.iter().position(|layer| *layer == name).expect("a layer");
    match layer {
        "device" => other == "device" || BELOW_DEVICE.contains(&other),
        "swarm" => ["swarm", "base", "protocol", "session", "tls", "http"].contains(&other),
        "service" => ["service", "base", "protocol", "session"].contains(&other),
        _ => place(other) <= place(layer),
    }
}

/// The first names behind each `crate::`, those of a `crate::{…}` list included.
fn imports(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (position, prefix) in text.match_indices("crate::") {
        let path = &text[position + prefix.len()..];
        match path.strip_prefix('{') {
            Some(list) => names.extend(items(list).into_iter().map(first_name)),
            None => names.push(first_name(path)),
        }
    }
    names
}

fn first_name(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The outermost items of a list whose opening brace has been read.
fn items(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (position, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                items.push(&list[start..position]);
                start = position + 1;
            }
            _ => continue,
        }
        if character == '}' && start == position + 1 {
            break;
        }
    }
    items
}

fn forbidden_imports(source: &Source) -> Vec<String> {
    let Some(layer) = layer_of(&source.path) else { return Vec::new() };
    imports(&source.text)
        .into_iter()
        .filter(|name| LAYERS.contains(&name.as_str()) && !may_import(layer, name))
        .map(|name| format!("{}: `{layer}` imports `{name}`", source.path))
        .collect()
}

/// What stands before a file's own tests, which may use sockets and clocks.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().expect("a split has a first part")
}

fn worldly_words(source: &Source) -> Vec<String> {
    let is_pure = layer_of(&source.path).is_some_and(|layer| PURE.contains(&layer));
    let has_a_clock = CLOCKS.iter().any(|place| source.path.starts_with(place));
    let banned = match is_pure {
        true => &WORLD[..],
        false if source.path.starts_with("src/") && !has_a_clock => &WORLD[..3],
        false => &[],
    };
    let text = without_tests(&source.text);
    let found = banned.iter().filter(|word| text.contains(*word));
    found.map(|word| format!("{}: `{word}`", source.path)).collect()
}

fn assert_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn a_layer_imports_only_what_stands_above_it() {
    assert_none(sources().iter().flat_map(forbidden_imports).collect());
}

#[test]
fn every_folder_of_the_library_is_a_layer() {
    let library = sources().into_iter().filter(|source| source.path.starts_with("src/"));
    let strays: Vec<String> =
        library.filter(|source| layer_of(&source.path).is_none()).map(|source| source.path).collect();
    assert_eq!(strays.len(), 2, "only lib.rs and main.rs stand outside the layers: {strays:?}");
}

#[test]
fn pure_layers_stay_away_from_clocks_sockets_files_and_threads() {
    assert_none(sources().iter().flat_map(worldly_words).collect());
}

#[test]
fn every_file_opens_by_saying_what_it_does() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//!"));
    assert_none(silent.map(|source| source.path).collect());
}

#[test]
fn no_file_holds_two_nouns() {
    let long = sources().into_iter().filter(|source| source.text.lines().count() > FILE_LINES_MAX);
    assert_none(long.map(|source| source.path).collect());
}

#[test]
fn the_rules_see_what_breaks_them() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let bad = source(
        "src/queue/mod.rs",
        "use crate::{base::{Now, Wall}, store::Store};\nfn f(x: crate::api::Reply) {}",
    );
    assert_eq!(forbidden_imports(&bad).len(), 2);
    let device = source("src/device/mod.rs", "use crate::queue::Queue;");
    assert_eq!(forbidden_imports(&device).len(), 1);
    let good = source("src/store/disk.rs", "use crate::queue::Queue;\nuse crate::base::Now;");
    assert_none(forbidden_imports(&good));
    let clock = source("src/broker/mod.rs", "let now = Instant::now();");
    assert_eq!(worldly_words(&clock).len(), 1);
    let shell = source("src/reactor/shard.rs", "SystemTime::now();\n#[cfg(test)]\nInstant::now()");
    assert_eq!(worldly_words(&shell).len(), 1);
}
