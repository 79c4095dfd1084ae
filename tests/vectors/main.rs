//! Runs the golden vectors of `protocol-spec/vectors/`; their form is told in `protocol-spec/README.md`.
//! What a frame means in their words is each wire's business.

mod wire0;
mod wire1;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One vector: its file's name, and its lines by their names.
struct Vector {
    name: String,
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

    fn line(&self, name: &str) -> &str {
        self.lines.get(name).unwrap_or_else(|| panic!("{}: no {name}", self.name))
    }

    fn decoded(&self) -> serde_json::Value {
        serde_json::from_str(self.line("decoded")).expect("JSON")
    }
}

/// The vectors of `wire0` or `wire1` that are `valid` or `invalid`.
fn vectors(wire: &str, kind: &str) -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol-spec/vectors").join(wire).join(kind);
    let files = fs::read_dir(folder).expect("the vectors are part of the source");
    let vectors: Vec<Vector> = files.map(|file| Vector::read(&file.expect("readable").path())).collect();
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
