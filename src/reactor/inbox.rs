//! How a loop is told things by other threads: a bounded queue and a waker. Knows nothing of what
//! is told.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::Waker;

/// What other threads have for one loop, which looks here whenever it has been woken.
pub(super) struct Inbox<T> {
    receiver: Receiver<T>,
}

/// The other end of an [`Inbox`].
pub(super) struct InboxSender<T> {
    sender: Sender<T>,
    waker: Arc<Waker>,
}

/// An inbox with room for `capacity` items, for the loop that `waker` wakes.
pub(super) fn inbox<T>(capacity: usize, waker: Arc<Waker>) -> (InboxSender<T>, Inbox<T>) {
    let (sender, receiver) = bounded(capacity);
    (InboxSender { sender, waker }, Inbox { receiver })
}

impl<T> Inbox<T> {
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
    /// For loops: leaves the item and wakes the other loop. Returns the item if there is no room, or
    /// nobody there any more.
    pub(super) fn try_send(&self, item: T) -> Result<(), T> {
        self.sender.try_send(item).map_err(TrySendError::into_inner)?;
        self.wake();
        Ok(())
    }

    /// For the storage thread: leaves the item, waiting while there is no room. The loop is woken
    /// only if it must make room: call [`InboxSender::wake`] after the last of several. What is for a
    /// loop that has stopped is dropped.
    pub(super) fn send(&self, item: T) {
        if let Err(TrySendError::Full(item)) = self.sender.try_send(item) {
            self.wake();
            let _ = self.sender.send(item);
        }
    }

    /// Makes the loop look into its inbox.
    pub(super) fn wake(&self) {
        self.waker.wake().expect("an eventfd takes a wake-up at any time");
    }
}

impl<T> Clone for InboxSender<T> {
    fn clone(&self) -> InboxSender<T> {
        InboxSender { sender: self.sender.clone(), waker: self.waker.clone() }
    }
}
