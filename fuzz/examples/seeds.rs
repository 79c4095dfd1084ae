//! Writes the seeds of every fuzz target to `fuzz/found`, where fuzzing gathers what it finds, under
//! names made of their contents.

use std::fs;
use std::io;
use std::path::Path;

use checks::{TARGETS, seeds};

fn main() -> io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = fuzz.parent().expect("fuzz/ is a folder of the repository");
    for target in TARGETS {
        let found = fuzz.join("found").join(target.name);
        fs::create_dir_all(&found)?;
        for seed in seeds::of(target.name, root) {
            fs::write(found.join(format!("seed-{:08x}", crc32fast::hash(&seed))), seed)?;
        }
    }
    Ok(())
}
