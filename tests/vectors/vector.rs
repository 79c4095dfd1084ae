//! Reads the golden vectors of `protocol-spec/vectors/`; their form is told in `protocol-spec/README.md`.
//! What a frame means in their words is not known here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One vector: its file's name, and its lines by their names.
pub struct Vector {
    pub name: String,
    lines: BTreeMap<String, String>,
}

impl Vector {
    fn read(path: &Path) -> Vector {
        let text = fs::read_to_string(path).expect("vectors are UTF-8");
        let line = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{}: {line}", path.display()));
            (name.into(), value.strip_prefix(' ').unwrap_or_default().into())
        };
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(line).collect();
        Vector { name: path.display().to_string(), lines }
    }

    pub fn line(&self, name: &str) -> &str {
        self.lines.get(name).unwrap_or_else(|| panic!("{}: no {name}", self.name))
    }

    /// The bytes of the frame: on wire 1 as they are, on wire 0 as a length and a body.
    pub fn frame(&self) -> Vec<u8> {
        match self.lines.get("frame") {
            Some(bytes) => bytes_of(bytes),
            None => [&self.length().to_be_bytes()[..], &self.body()].concat(),
        }
    }

    fn length(&self) -> u16 {
        self.line("length").parse().expect("a length")
    }

    fn body(&self) -> Vec<u8> {
        match self.lines.get("body") {
            Some(text) => text.clone().into_bytes(),
            None => bytes_of(self.line("body-hex")),
        }
    }
}

/// The vectors of `wire0` or `wire1` that are `valid` or `invalid`, below the repository's `root`.
pub fn vectors_in(root: &Path, wire: &str, kind: &str) -> Vec<Vector> {
    let files = fs::read_dir(root.join("protocol-spec/vectors").join(wire).join(kind));
    let paths = files.expect("the vectors are part of the source").map(|file| file.expect("readable").path());
    let vectors: Vec<Vector> = paths.map(|path| Vector::read(&path)).collect();
    assert!(!vectors.is_empty());
    vectors
}

/// What a run of bytes in hexadecimal stands for; `7f*3` is three of them.
fn bytes_of(text: &str) -> Vec<u8> {
    let run = |run: &str| {
        let (digits, count) = run.split_once('*').unwrap_or((run, "1"));
        let byte = u8::from_str_radix(digits, 16).expect("two hexadecimal digits");
        vec![byte; count.parse().expect("a count")]
    };
    text.split(' ').flat_map(run).collect()
}
