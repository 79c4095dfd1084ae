//! Runs the golden vectors of `protocol-spec/vectors/`. What a frame means in their words is each wire's
//! business.

mod vector;
mod wire0;
mod wire1;

use std::path::Path;

use vector::{Vector, vectors_in};

impl Vector {
    fn decoded(&self) -> serde_json::Value {
        serde_json::from_str(self.line("decoded")).expect("JSON")
    }
}

fn vectors(wire: &str, kind: &str) -> Vec<Vector> {
    vectors_in(Path::new(env!("CARGO_MANIFEST_DIR")), wire, kind)
}
