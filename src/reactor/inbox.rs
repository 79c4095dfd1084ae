//! How a loop is told things by other threads: a bounded queue, and a bell that wakes the loop if it sleeps.
//! Knows nothing of what is told.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::{Events, Poll, Waker};

/// What other threads have for one loop, which looks here in each turn.
pub(super) struct Inbox<T> {
    receiver: Receiver<T>,
    bell: Arc<Bell>,
}

/// The other end of an [`Inbox`].
pub(super) struct InboxSender<T> {
    sender: Sender<T>,
    bell: Arc<Bell>,
}

/// Wakes a loop by a system call only if it sleeps. A loop that is awake has one more turn instead.
///
/// ```text
///             get_up
///    ┌──────────────────────┐
///    ▼                      │
///  AWAKE ── lie_down ──> ASLEEP
///    │ ▲                    │
/// ring │ get_up             │ ring: wakes
///    ▼ │                    ▼
///    RUNG <─────────────────┘
/// ```
struct Bell {
    state: AtomicU8,
    waker: Arc<Waker>,
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const RUNG: u8 = 2;

impl Bell {
    /// Makes the loop look into its inbox, however soon it goes to sleep.
    fn ring(&self) {
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            self.waker.wake().expect("an eventfd takes a wake-up at any time");
        }
    }

    /// Whether the loop may sleep: from here on the next ring wakes it.
    fn lie_down(&self) -> bool {
        self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The loop is about to look into its inbox: what was left before a ring is seen behind this.
    fn get_up(&self) {
        self.state.swap(AWAKE, Ordering::AcqRel);
    }
}

/// An inbox with room for `capacity` items, for the loop that `waker` wakes.
pub(super) fn inbox<T>(capacity: usize, waker: Arc<Waker>) -> (InboxSender<T>, Inbox<T>) {
    let (sender, receiver) = bounded(capacity);
    let bell = Arc::new(Bell { state: AtomicU8::new(AWAKE), waker });
    (InboxSender { sender, bell: bell.clone() }, Inbox { receiver, bell })
}

impl<T> Inbox<T> {
    /// Waits for the loop's events as [`Poll::poll`] does; not at all if the bell has rung since the last call.
    /// A loop that has work left (`timeout` is zero) lets others have the core first: the storage
    /// thread, the API's loop and the kernel's own network thread, which what has just been sent goes through.
    /// Without that they wait for the scheduler to take the core away, for milliseconds each.
    pub(super) fn wait(
        &self,
        poll: &mut Poll,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let has_work = timeout == Some(Duration::ZERO);
        if has_work {
            thread::yield_now();
        }
        let sleeps = !has_work && self.bell.lie_down();
        let polled = poll.poll(events, if sleeps { timeout } else { Some(Duration::ZERO) });
        self.bell.get_up();
        polled
    }

    /// The next item, if there is one.
    pub(super) fn take(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// How many items there are to take.
    pub(super) fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether there is nothing to take.
    pub(super) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}

impl<T> InboxSender<T> {
    /// For loops: leaves the item and rings. Returns the item if there is no room, or
    /// nobody there any more.
    pub(super) fn try_send(&self, item: T) -> Result<(), T> {
        self.sender.try_send(item).map_err(TrySendError::into_inner)?;
        self.wake();
        Ok(())
    }

    /// For the storage thread: leaves the item, waiting while there is no room. The bell
    /// rings only if the loop must make room: call [`InboxSender::wake`] after the last of several. What is for a
    /// loop that has stopped is dropped.
    pub(super) fn send(&self, item: T) {
        if let Err(TrySendError::Full(item)) = self.sender.try_send(item) {
            self.wake();
            let _ = self.sender.send(item);
        }
    }

    /// Makes the loop look into its inbox.
    pub(super) fn wake(&self) {
        self.bell.ring();
    }
}

impl<T> Clone for InboxSender<T> {
    fn clone(&self) -> InboxSender<T> {
        InboxSender { sender: self.sender.clone(), bell: self.bell.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(600));

    fn a_loop() -> (Poll, Events, InboxSender<u32>, Inbox<u32>) {
        let poll = Poll::new().expect("a selector");
        let waker = Waker::new(poll.registry(), super::super::WAKER).expect("an eventfd");
        let (sender, inbox) = inbox(4, Arc::new(waker));
        (poll, Events::with_capacity(4), sender, inbox)
    }

    #[test]
    fn a_loop_that_is_awake_has_one_more_turn_without_a_system_call() {
        let (mut poll, mut events, sender, inbox) = a_loop();
        for item in 0..3 {
            sender.try_send(item).expect("there is room");
        }
        inbox.wait(&mut poll, &mut events, LONG).expect("polled");
        assert!(events.is_empty(), "nobody was woken");
        assert_eq!(std::iter::from_fn(|| inbox.take()).collect::<Vec<_>>(), [0, 1, 2]);
        inbox.wait(&mut poll, &mut events, Some(Duration::from_nanos(1))).expect("polled");
        assert!(events.is_empty());
    }

    #[test]
    fn one_of_several_wakes_a_loop_that_sleeps() {
        let (mut poll, mut events, sender, inbox) = a_loop();
        assert!(inbox.bell.lie_down());
        for item in 0..3 {
            sender.try_send(item).expect("there is room");
        }
        poll.poll(&mut events, LONG).expect("polled");
        assert_eq!(events.iter().count(), 1);
        inbox.bell.get_up();
        // Awake, and rung again: the eventfd has nothing to tell.
        sender.try_send(3).expect("there is room");
        poll.poll(&mut events, Some(Duration::ZERO)).expect("polled");
        assert!(events.is_empty());
    }

    /// Two loops that wait for one another's words fall asleep at all moments.
    #[test]
    fn no_word_is_slept_over() {
        const WORDS: u32 = 20_000;
        let (mut poll, mut events, answer, inbox) = a_loop();
        let (mut echo_poll, mut echo_events, question, echo_inbox) = a_loop();
        let echo = std::thread::spawn(move || {
            for _ in 0..WORDS {
                let word = await_word(&mut echo_poll, &mut echo_events, &echo_inbox);
                answer.try_send(word).expect("there is room");
            }
        });
        for word in 0..WORDS {
            question.try_send(word).expect("there is room");
            assert_eq!(await_word(&mut poll, &mut events, &inbox), word);
        }
        echo.join().expect("it has answered all");
    }

    fn await_word(poll: &mut Poll, events: &mut Events, inbox: &Inbox<u32>) -> u32 {
        loop {
            inbox.wait(poll, events, LONG).expect("polled");
            if let Some(word) = inbox.take() {
                return word;
            }
        }
    }
}
