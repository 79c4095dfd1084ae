//! The server's threads: each reports its end, and the first end is the end of all. A server that has
//! lost a part must not go on as if nothing had happened.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::connection::LINGER;
use super::links::Control;
use super::server::Failure;

/// How long the other threads may take to end once the first has: what a loop gives its connections,
/// and time for a slow disk.
const STOP_TIMEOUT: Duration = LINGER.saturating_add(Duration::from_secs(10));

/// All threads of a server. Dropping it stops them.
#[derive(Debug)]
pub(super) struct Threads {
    control: Control,
    handles: Vec<JoinHandle<()>>,
    ends: Receiver<Result<(), Failure>>,
    end: Sender<Result<(), Failure>>,
}

impl Threads {
    /// No thread yet; `control` stops those to come.
    pub(super) fn new(control: Control) -> Threads {
        let (end, ends) = unbounded();
        Threads { control, handles: Vec::new(), ends, end }
    }

    pub(super) fn control(&self) -> Control {
        self.control.clone()
    }

    /// Starts a thread. What it captured is dropped before its end is reported, also when it panics.
    pub(super) fn spawn<E: Into<Failure>>(
        &mut self,
        name: &str,
        body: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> io::Result<()> {
        let end = self.end.clone();
        let thread = name.to_owned();
        let run = move || {
            let result = match catch_unwind(AssertUnwindSafe(body)) {
                Ok(result) => result.map_err(Into::into),
                Err(panic) => Err(Failure::Panicked { thread, message: message_of(&*panic) }),
            };
            // Nobody waits any more if another thread has failed to stop.
            let _ = end.send(result);
        };
        self.handles.push(thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// Waits until all have ended, which the first end brings about, and returns the first failure.
    pub(super) fn wait(mut self) -> Result<(), Failure> {
        let mut failure = self.ends.recv().expect("an end is held here").err();
        self.control.terminate();
        for _ in 1..self.handles.len() {
            match self.ends.recv_timeout(STOP_TIMEOUT) {
                Ok(result) => failure = failure.or(result.err()),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(failure.unwrap_or(Failure::Stuck));
                }
            }
        }
        for handle in self.handles.drain(..) {
            handle.join().expect("its panic was caught");
        }
        failure.map_or(Ok(()), Err)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.control.terminate();
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_threads(first: impl FnOnce() -> Result<(), Failure> + Send + 'static) -> Result<(), Failure> {
        let control = Control::new(Vec::new());
        let mut threads = Threads::new(control.clone());
        threads.spawn("first", first).expect("a thread");
        let second = move || {
            while !control.is_stopping() {
                thread::yield_now();
            }
            Ok::<(), Failure>(())
        };
        threads.spawn("second", second).expect("a thread");
        threads.wait()
    }

    #[test]
    fn the_end_of_one_thread_is_the_end_of_all() {
        assert!(two_threads(|| Ok(())).is_ok());
        let failure = two_threads(|| Err(Failure::Stuck)).expect_err("it failed");
        assert!(matches!(failure, Failure::Stuck));
    }

    #[test]
    fn a_panic_ends_the_server_with_what_it_said() {
        let failure = two_threads(|| panic!("a rule is broken")).expect_err("it panicked");
        assert_eq!(failure.to_string(), "thread first panicked: a rule is broken");
    }
}
