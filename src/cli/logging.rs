//! The log: env_logger to stderr, in its default format. What no log may say is kept out of it here,
//! whatever `RUST_LOG` asks for.

use env_logger::{Builder, Env, Logger};
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Logs what `RUST_LOG` says, else from info up.
pub fn start() {
    start_from(LevelFilter::Info);
}

/// Logs what `RUST_LOG` says, else from `level` up.
pub fn start_from(level: LevelFilter) {
    let logger = Builder::from_env(Env::default().default_filter_or(level.as_str())).build();
    log::set_max_level(logger.filter());
    log::set_boxed_logger(Box::new(Discreet(logger))).expect("a command starts its log once");
}

/// A logger that leaves out what could hold payloads or tokens.
struct Discreet(Logger);

impl Log for Discreet {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_discreet(metadata) && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if is_discreet(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Below info, sled shows the keys and values that it is given.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    metadata.level() <= Level::Info || !metadata.target().starts_with("sled")
}
