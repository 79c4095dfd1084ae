//! How far a swarm is, on stderr: as a bar where that is a terminal, else as a line for each phase that begins.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::swarm::Progress;

/// One bar for one phase after the other.
pub struct Bar {
    what: &'static str,
    bar: ProgressBar,
}

impl Bar {
    pub fn new() -> Bar {
        Bar { what: "", bar: ProgressBar::hidden() }
    }

    /// Shows this.
    pub fn show(&mut self, Progress { what, done, of }: Progress) {
        if self.what != what && !stderr().is_terminal() {
            // Whoever reads it may have gone; the report still tells.
            let _ = writeln!(stderr(), "swarm: {what}");
            self.what = what;
        } else if self.what != what {
            let style = ProgressStyle::with_template("{msg:<10} {wide_bar} {pos}/{len} {elapsed}");
            self.bar.finish_and_clear();
            self.bar = ProgressBar::new(of).with_style(style.expect("a valid template")).with_message(what);
            self.bar.enable_steady_tick(Duration::from_millis(500));
            self.what = what;
        }
        self.bar.set_position(done.min(of));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
