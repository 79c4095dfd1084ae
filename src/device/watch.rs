//! Waits for a socket, for a point in time and for other threads, all at once, without waking in between.
//! It knows nothing of what is said on the socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::{Errno, read, write};

use super::clock::Timer;
use super::power::Alarm;
use crate::base::Monotonic;

/// What one thread waits by.
#[derive(Debug)]
pub struct Watch {
    bell: Waker,
    timer: Timer,
    alarm: Alarm,
}

/// Ends a wait, from another thread: the one that stands, or the next one if none does.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// A [`Waker`] called.
    Called,
    /// What was waited for has come.
    Ready,
    /// The time has come.
    Late,
}

/// What a wait is for, beside a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Until<'a> {
    /// What is to be readable, or writable.
    pub ready: Option<(BorrowedFd<'a>, Side)>,
    /// When to wait no longer.
    pub late: Option<Monotonic>,
    /// When a sleeping machine is to be woken.
    pub wake: Option<Monotonic>,
}

/// What a socket is to be ready for.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    /// It has bytes, or its end.
    Read,
    /// It takes bytes, or never will.
    Write,
}

impl Watch {
    /// Fails if the process may have no more descriptors.
    pub fn new(alarm: Alarm) -> io::Result<Watch> {
        Ok(Watch { bell: Waker::new()?, timer: Timer::new()?, alarm })
    }

    /// What ends the waits.
    pub fn waker(&self) -> Waker {
        self.bell.clone()
    }

    /// Whoever called until now is heard: no wait ends for it any more.
    pub fn hush(&self) {
        self.bell.hush();
    }

    /// Waits until anything of that comes. Of several things at once a call comes first, for a socket may
    /// always have something, and time last, for what has come is not late.
    pub fn wait(&self, until: Until<'_>) -> io::Result<Woken> {
        self.timer.set(until.late)?;
        self.alarm.set(until.wake);
        let (ready, side) = match until.ready {
            Some((descriptor, Side::Read)) => (descriptor, PollFlags::IN),
            Some((descriptor, Side::Write)) => (descriptor, PollFlags::OUT),
            None => (self.bell.0.as_fd(), PollFlags::IN),
        };
        let alarm = self.alarm.descriptor().unwrap_or(self.timer.as_fd());
        let mut polled = [
            PollFd::from_borrowed_fd(self.bell.0.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(ready, side),
            PollFd::from_borrowed_fd(self.timer.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(alarm, PollFlags::IN),
        ];
        while let Err(error) = poll(&mut polled, None) {
            if error != Errno::INTR {
                return Err(error.into());
            }
        }
        let is_ready = polled.each_ref().map(|polled| !polled.revents().is_empty());
        match is_ready {
            [true, ..] => self.bell.hush(),
            [_, true, ..] => return Ok(Woken::Ready),
            _ => return Ok(Woken::Late),
        }
        Ok(Woken::Called)
    }

    /// Has `work` done on a thread of its own, because it blocks and cannot be called back. Waits for
    /// it no longer than until `late`, nor when called away: then what it comes to is dropped.
    pub fn elsewhere<T: Send + 'static>(
        &self,
        late: Monotonic,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Result<T, Woken>> {
        let (done, came) = sync_channel(1);
        let finished = Waker::new()?;
        let tell = finished.clone();
        thread::Builder::new().spawn(move || {
            // Nobody takes what came too late.
            let _ = done.send(work());
            tell.wake();
        })?;
        let ready = Some((finished.0.as_fd(), Side::Read));
        Ok(match self.wait(Until { ready, late: Some(late), wake: Some(late) })? {
            Woken::Ready => came.try_recv().map_err(|_| Woken::Late),
            woken => Err(woken),
        })
    }
}

impl Waker {
    fn new() -> io::Result<Waker> {
        Ok(Waker(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Ends the wait.
    pub fn wake(&self) {
        // It fails only if there have been 2^64 calls unheard, and then it is heard anyway.
        let _ = write(&self.0, &1u64.to_ne_bytes());
    }

    /// The call is heard.
    fn hush(&self) {
        // It fails only if there was none.
        let _ = read(&self.0, &mut [0; 8]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::device::clock::now;

    fn watch() -> Watch {
        Watch::new(Alarm::default()).expect("descriptors are left")
    }

    #[test]
    fn a_wait_ends_when_its_time_has_come_and_not_before() {
        let late = now() + Duration::from_millis(3);
        let woken = watch().wait(Until { late: Some(late), ..Until::default() });
        assert_eq!(woken.expect("valid"), Woken::Late);
        assert!(now() >= late);
        for past in [Monotonic::default(), late] {
            let woken = watch().wait(Until { late: Some(past), ..Until::default() });
            assert_eq!(woken.expect("valid"), Woken::Late);
        }
    }

    #[test]
    fn a_call_ends_one_wait_whether_it_stands_or_comes_only_then() {
        let watch = watch();
        let waker = watch.waker();
        waker.wake();
        waker.wake();
        assert_eq!(watch.wait(Until::default()).expect("valid"), Woken::Called);
        let late = Until { late: Some(now()), ..Until::default() };
        assert_eq!(watch.wait(late).expect("valid"), Woken::Late, "the calls are heard");
        let calling = thread::spawn(move || waker.wake());
        assert_eq!(watch.wait(Until::default()).expect("valid"), Woken::Called);
        calling.join().expect("no panic");
    }

    #[test]
    fn a_socket_is_heard_before_the_clock_and_a_call_before_both() {
        let watch = watch();
        let (mut near, far) = UnixStream::pair().expect("descriptors are left");
        near.write_all(b"x").expect("connected");
        let ready = Some((far.as_fd(), Side::Read));
        let until = Until { ready, late: Some(now()), wake: None };
        assert_eq!(watch.wait(until).expect("valid"), Woken::Ready);
        watch.waker().wake();
        assert_eq!(watch.wait(until).expect("valid"), Woken::Called);
    }

    #[test]
    fn what_is_done_elsewhere_comes_back_or_is_left_there() {
        let watch = watch();
        let far = now() + Duration::from_secs(3_600);
        assert_eq!(watch.elsewhere(far, || 7).expect("a thread"), Ok(7));
        let (release, held) = sync_channel::<()>(0);
        watch.waker().wake();
        let left = watch.elsewhere(far, move || held.recv().is_ok());
        assert_eq!(left.expect("a thread"), Err(Woken::Called));
        drop(release);
    }
}
