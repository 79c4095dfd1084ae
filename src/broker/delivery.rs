//! What one registered device has had and what it is owed. It decides what is next, and knows
//! neither frames nor the session that carries them.
//!
//! ```text
//!  queue:    … 3 4 5 6 7 8        everything up to `sent_to` has been sent in this session;
//!                  │     │        what lies between there and `newest` is on disk, to be asked for
//!            sent_to     newest   in pages; when both are one, a new message goes out from memory
//! ```

use std::sync::Arc;

use crate::base::{DeviceId, Level, Seq};
use crate::queue::Page;

/// The progress of one device in one session.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) device: DeviceId,
    /// What it runs, `<channel>/<model>`: the key that a system broadcast has if it is for this device.
    pub(super) image: Arc<str>,
    /// The device's level of the system channel.
    pub(super) level: Level,
    sent_to: Seq,
    newest: Seq,
    page_is_asked: bool,
    in_flight: InFlight,
}

/// What the exchange that runs now carries.
#[derive(Debug, Default, PartialEq)]
pub(super) enum InFlight {
    /// Nothing of ours: no exchange, or a ping.
    #[default]
    Nothing,
    /// Broadcasts that bring the device to this level.
    Broadcasts(Level),
    /// These messages.
    Messages(Vec<Seq>),
}

impl Delivery {
    /// A device that has just connected. Whether anything is pending for it only the queue knows.
    pub(super) fn new(device: DeviceId, image: Arc<str>, level: Level) -> Delivery {
        Delivery {
            device,
            image,
            level,
            sent_to: Seq(0),
            newest: Seq(u64::MAX),
            page_is_asked: false,
            in_flight: InFlight::Nothing,
        }
    }

    /// Whether all that was pending has been sent, so that the next message need not be asked for.
    pub(super) fn is_current(&self) -> bool {
        !self.page_is_asked && self.newest <= self.sent_to
    }

    /// The last message that has been sent, or that needs not be.
    pub(super) fn sent_to(&self) -> Seq {
        self.sent_to
    }

    /// Whether an answer of the queue is awaited. Nothing is begun meanwhile, so that the page finds
    /// the session free.
    pub(super) fn awaits_page(&self) -> bool {
        self.page_is_asked
    }

    /// A message was queued that is not sent from memory.
    pub(super) fn queued(&mut self, seq: Seq) {
        self.newest = self.newest.max(seq);
    }

    /// Where the page to ask for begins. What is queued from here on may or may not be in it.
    pub(super) fn ask(&mut self) -> Seq {
        self.page_is_asked = true;
        self.newest = self.sent_to;
        self.sent_to
    }

    /// The page has come; it has not been sent yet.
    pub(super) fn page_came(&mut self, page: &Page) {
        self.page_is_asked = false;
        self.newest = self.newest.max(page.newest);
    }

    /// These messages are in flight now.
    pub(super) fn sent(&mut self, seqs: Vec<Seq>) {
        self.sent_to = seqs.last().copied().unwrap_or(self.sent_to).max(self.sent_to);
        self.in_flight = InFlight::Messages(seqs);
    }

    /// Nothing up to `seq` is left to send.
    pub(super) fn passed(&mut self, seq: Seq) {
        self.sent_to = self.sent_to.max(seq);
    }

    /// Broadcasts that bring the device to `level` are in flight now.
    pub(super) fn sent_broadcasts(&mut self, level: Level) {
        self.in_flight = InFlight::Broadcasts(level);
    }

    /// The device has acked: what was in flight is its own now.
    pub(super) fn acked(&mut self) -> InFlight {
        let acked = std::mem::take(&mut self.in_flight);
        if let InFlight::Broadcasts(level) = acked {
            self.level = level;
        }
        acked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SessionId;

    fn carol() -> Delivery {
        Delivery::new("carol".parse().expect("valid"), "?/?".into(), Level(0))
    }

    fn page(newest: u64) -> Page {
        let device = "carol".parse().expect("valid");
        Page { device, session: SessionId(1), messages: Vec::new(), more: false, newest: Seq(newest) }
    }

    #[test]
    fn a_device_that_connects_is_current_only_when_the_queue_has_said_so() {
        let mut delivery = carol();
        assert!(!delivery.is_current());
        assert_eq!(delivery.ask(), Seq(0));
        assert!(!delivery.is_current());
        delivery.page_came(&page(0));
        assert!(delivery.is_current());
    }

    #[test]
    fn a_message_queued_while_a_page_is_on_its_way_is_asked_for_again() {
        let mut delivery = carol();
        delivery.ask();
        delivery.queued(Seq(6));
        delivery.page_came(&page(5));
        delivery.sent(vec![Seq(5)]);
        assert!(!delivery.is_current());
        assert_eq!(delivery.ask(), Seq(5));
        delivery.page_came(&page(5));
        assert!(delivery.is_current(), "a message that was cleared meanwhile is not asked for for ever");
    }
}
