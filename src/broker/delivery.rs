//! What one registered device has had and what it is owed. It decides what is next, and knows
//! neither frames nor the session that carries them.
//!
//! ```text
//!  queue:    … 3 4 5 6 7 8 9     everything up to `sent_to` has been sent in this session; what lies
//!                  │   │   │     between there and `held_to` is less urgent than the device wants and
//!            sent_to   │ newest  waits for a release; what is newer is on disk, to be asked for in
//!                   held_to      pages. When all three are one, a new message goes out from memory.
//! ```
//!
//! A release sets `held_to` back to `sent_to`, and from then on everything goes until the device has
//! had all: each delivery that is made anyway releases, and so does a device that asks.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::{DeviceId, Level, Seq, Urgency};
use crate::queue::{Page, PendingMessage};

/// What broadcasts count as.
const BROADCAST_URGENCY: Urgency = Urgency::Normal;

/// The progress of one device in one session.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) device: DeviceId,
    /// What it runs, `<channel>/<model>`: the key that a system broadcast has if it is for this device.
    pub(super) image: Arc<str>,
    /// The device's level of the system channel.
    pub(super) level: Level,
    /// The least urgency that it wants.
    least: Urgency,
    /// Whether all goes, however little it hurries, until the device has had all.
    is_released: bool,
    /// The same for broadcasts.
    are_broadcasts_released: bool,
    sent_to: Seq,
    held_to: Seq,
    newest: Seq,
    /// The least urgency that a page was asked for, until it comes.
    asked: Option<Urgency>,
    /// Oldest first.
    in_flight: VecDeque<Sent>,
}

/// A delivery that is not acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// A broadcast that brings the device to this level.
    Broadcast(Level),
    /// A message.
    Message(Seq),
}

/// A page, looked at.
#[derive(Debug, PartialEq)]
pub(super) struct Arrived {
    /// What is to be sent.
    pub(super) messages: Vec<Arc<PendingMessage>>,
    /// Up to where nothing is left once all of that is sent; none if something is held back.
    pub(super) passes: Option<Seq>,
}

/// What an ack was for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Acked {
    pub(super) messages: Vec<Seq>,
    pub(super) broadcasts: u64,
}

impl Delivery {
    /// A device that has just connected. Whether anything is pending for it only the queue knows.
    pub(super) fn new(device: DeviceId, image: Arc<str>, level: Level, least: Urgency) -> Delivery {
        Delivery {
            device,
            image,
            level,
            least,
            is_released: false,
            are_broadcasts_released: false,
            sent_to: Seq(0),
            held_to: Seq(0),
            newest: Seq(u64::MAX),
            asked: None,
            in_flight: VecDeque::new(),
        }
    }

    /// Whether all that was pending has been sent or is held back, so that nothing need be asked for.
    pub(super) fn is_current(&self) -> bool {
        self.asked.is_none() && self.newest <= self.held_to
    }

    /// Whether a message that was just queued may go out from memory: nothing older waits.
    pub(super) fn may_send(&self, message: &PendingMessage) -> bool {
        let seq = message.id.seq();
        self.is_current() && self.held_to <= self.sent_to && self.sent_to < seq && self.is_wanted(message)
    }

    fn is_wanted(&self, message: &PendingMessage) -> bool {
        message.urgency >= self.least()
    }

    /// The least urgency to ask for.
    pub(super) fn least(&self) -> Urgency {
        if self.is_released { Urgency::VeryLow } else { self.least }
    }

    /// Whether an answer of the queue is awaited.
    pub(super) fn awaits_page(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether a broadcast may go: it is as urgent as wanted or released, and none is in flight, for the
    /// next part of the channel depends on the level that it brings.
    pub(super) fn may_send_broadcast(&self) -> bool {
        let is_wanted = self.least() <= BROADCAST_URGENCY || self.are_broadcasts_released;
        is_wanted && !self.in_flight.iter().any(|sent| matches!(sent, Sent::Broadcast(_)))
    }

    /// The device lacks no broadcast, and counts as being at `level`.
    pub(super) fn is_up_to_date(&mut self, level: Level) {
        self.level = level;
        self.are_broadcasts_released = false;
    }

    /// A message was queued that is not sent from memory.
    pub(super) fn queued(&mut self, message: &PendingMessage) {
        let seq = message.id.seq();
        let is_next = self.is_current();
        self.newest = self.newest.max(seq);
        if is_next && !self.is_wanted(message) {
            self.held_to = self.newest;
        } else if is_next {
            self.held_to = self.sent_to;
        }
    }

    /// From now on the device wants what is at least this urgent.
    pub(super) fn want(&mut self, least: Urgency) {
        if least < self.least {
            self.held_to = self.sent_to;
        }
        self.least = least;
    }

    /// All that is held back goes.
    pub(super) fn release(&mut self) {
        self.held_to = self.sent_to;
        self.is_released = self.awaits_page() || self.newest > self.sent_to;
        self.are_broadcasts_released = true;
    }

    /// Where the page to ask for begins. What is queued from here on may or may not be in it.
    pub(super) fn ask(&mut self) -> Seq {
        self.asked = Some(self.least());
        self.newest = self.sent_to;
        self.sent_to
    }

    /// The page has come: what is to be made of it. It may have been asked for before the device
    /// wanted more; then what it lacks is asked for again.
    pub(super) fn page_came(&mut self, page: &Page) -> Arrived {
        let asked = self.asked.take();
        self.newest = self.newest.max(page.newest);
        let messages = &page.messages;
        let last = messages.last().filter(|_| page.more).map_or(page.newest, |last| last.id.seq());
        let is_all_sent = messages.is_empty() && last <= self.sent_to;
        if is_all_sent || page.more || messages.iter().any(|message| self.is_wanted(message)) {
            return Arrived { messages: messages.clone(), passes: Some(last) };
        }
        if !messages.is_empty() || asked <= Some(self.least()) {
            self.held_to = page.newest;
        }
        Arrived { messages: Vec::new(), passes: None }
    }

    /// This message is in flight now, and all before it are or need not be.
    pub(super) fn sent(&mut self, seq: Seq) {
        self.in_flight.push_back(Sent::Message(seq));
        self.passed(seq);
        self.release();
    }

    /// Nothing up to `seq` is left to send.
    pub(super) fn passed(&mut self, seq: Seq) {
        self.sent_to = self.sent_to.max(seq);
        self.held_to = self.held_to.max(self.sent_to);
        if self.newest <= self.sent_to {
            self.is_released = false;
        }
    }

    /// A broadcast that brings the device to `level` is in flight now.
    pub(super) fn sent_broadcast(&mut self, level: Level) {
        self.in_flight.push_back(Sent::Broadcast(level));
        self.release();
    }

    /// The device has stored the so many oldest deliveries.
    pub(super) fn acked(&mut self, count: usize) -> Acked {
        let mut acked = Acked::default();
        for sent in self.in_flight.drain(..count) {
            match sent {
                Sent::Broadcast(level) => {
                    self.level = level;
                    acked.broadcasts += 1;
                }
                Sent::Message(seq) => acked.messages.push(seq),
            }
        }
        if self.in_flight.is_empty() {
            self.in_flight = VecDeque::new();
        }
        acked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{MessageId, Payload, SessionId, Wall};

    fn device() -> DeviceId {
        "carol".parse().expect("valid")
    }

    fn carol(least: Urgency) -> Delivery {
        Delivery::new(device(), "?/?".into(), Level(0), least)
    }

    /// Carol, of whom the queue has said that nothing is pending.
    fn current(least: Urgency) -> Delivery {
        let mut delivery = carol(least);
        delivery.ask();
        delivery.take(&page(&[], 0));
        assert!(delivery.is_current());
        delivery
    }

    fn message(seq: u64, urgency: Urgency) -> Arc<PendingMessage> {
        Arc::new(PendingMessage {
            id: MessageId::new(Seq(seq), [0; 8]),
            app: "chatter".parse().expect("valid"),
            expires: Wall(1_000),
            urgency,
            payload: Payload::from_json(b"1").expect("JSON"),
        })
    }

    fn page(messages: &[(u64, Urgency)], newest: u64) -> Page {
        let messages = messages.iter().map(|&(seq, urgency)| message(seq, urgency)).collect();
        Page { device: device(), session: SessionId(1), messages, more: false, newest: Seq(newest) }
    }

    impl Delivery {
        /// Sends all of a page that is to be sent; says which.
        fn take(&mut self, page: &Page) -> Vec<u64> {
            let arrived = self.page_came(page);
            arrived.messages.iter().for_each(|message| self.sent(message.id.seq()));
            arrived.passes.into_iter().for_each(|seq| self.passed(seq));
            arrived.messages.iter().map(|message| message.id.seq().0).collect()
        }
    }

    #[test]
    fn a_device_that_connects_is_current_only_when_the_queue_has_said_so() {
        let mut delivery = carol(Urgency::VeryLow);
        assert!(!delivery.is_current());
        assert_eq!(delivery.ask(), Seq(0));
        assert!(!delivery.is_current());
        delivery.take(&page(&[], 0));
        assert!(delivery.is_current());
    }

    #[test]
    fn a_message_queued_while_a_page_is_on_its_way_is_asked_for_again() {
        let mut delivery = carol(Urgency::VeryLow);
        delivery.ask();
        delivery.queued(&message(6, Urgency::Normal));
        assert_eq!(delivery.take(&page(&[(5, Urgency::Normal)], 5)), [5]);
        assert!(!delivery.is_current());
        assert_eq!(delivery.ask(), Seq(5));
        delivery.take(&page(&[], 5));
        assert!(delivery.is_current(), "a message that was cleared meanwhile is not asked for for ever");
    }

    #[test]
    fn what_is_less_urgent_waits_until_something_urgent_takes_it_along() {
        let mut delivery = current(Urgency::High);
        let low = message(1, Urgency::Low);
        assert!(!delivery.may_send(&low));
        delivery.queued(&low);
        assert!(delivery.is_current(), "it is not even asked for");
        let high = message(2, Urgency::High);
        assert!(!delivery.may_send(&high), "it must not overtake");
        delivery.queued(&high);
        assert!(!delivery.is_current());
        assert_eq!((delivery.least(), delivery.ask()), (Urgency::High, Seq(0)));
        assert_eq!(delivery.take(&page(&[(1, Urgency::Low), (2, Urgency::High)], 2)), [1, 2]);
        let low = message(3, Urgency::Low);
        assert!(!delivery.may_send(&low), "once all has gone, the rest waits again");
        assert!(delivery.may_send(&message(4, Urgency::High)));
    }

    #[test]
    fn a_broadcast_waits_for_a_release_if_only_what_is_more_urgent_is_wanted() {
        let mut delivery = current(Urgency::High);
        assert!(!delivery.may_send_broadcast());
        delivery.release();
        assert!(delivery.may_send_broadcast());
        delivery.is_up_to_date(Level(3));
        assert!(!delivery.may_send_broadcast(), "once all has gone, the next one waits again");
        delivery.sent(Seq(1));
        assert!(delivery.may_send_broadcast(), "it goes along with a message");
        delivery.is_up_to_date(Level(3));
        delivery.want(Urgency::Normal);
        assert!(delivery.may_send_broadcast());
    }

    #[test]
    fn a_broadcast_and_a_device_that_asks_take_along_what_waits() {
        for release in [Delivery::release, |delivery: &mut Delivery| delivery.sent_broadcast(Level(1))] {
            let mut delivery = current(Urgency::High);
            delivery.queued(&message(1, Urgency::Low));
            release(&mut delivery);
            assert!(!delivery.is_current());
            assert_eq!((delivery.least(), delivery.ask()), (Urgency::VeryLow, Seq(0)));
            assert_eq!(delivery.take(&page(&[(1, Urgency::Low)], 1)), [1]);
            assert_eq!(delivery.least(), Urgency::High);
        }
    }

    #[test]
    fn what_a_device_wants_more_of_while_a_page_is_on_its_way_is_asked_for_again() {
        for want in [Delivery::release, |delivery: &mut Delivery| delivery.want(Urgency::Low)] {
            let mut delivery = carol(Urgency::High);
            delivery.ask();
            want(&mut delivery);
            assert!(delivery.take(&page(&[], 1)).is_empty(), "nothing was as urgent as asked");
            assert!(!delivery.is_current());
            assert!(delivery.least() <= Urgency::Low);
            assert_eq!(delivery.ask(), Seq(0));
            assert_eq!(delivery.take(&page(&[(1, Urgency::Low)], 1)), [1]);
        }
    }

    #[test]
    fn what_follows_a_delivery_goes_along_over_many_pages_though_none_of_it_is_urgent() {
        let mut delivery = carol(Urgency::High);
        delivery.ask();
        let first = Page { more: true, ..page(&[(1, Urgency::High)], 3) };
        assert_eq!(delivery.take(&first), [1]);
        assert_eq!(
            (delivery.is_current(), delivery.least(), delivery.ask()),
            (false, Urgency::VeryLow, Seq(1))
        );
        assert_eq!(delivery.take(&page(&[(2, Urgency::Low), (3, Urgency::Low)], 3)), [2, 3]);
        assert_eq!((delivery.is_current(), delivery.least()), (true, Urgency::High));
    }

    #[test]
    fn a_page_without_anything_urgent_is_held_and_not_asked_for_again() {
        let mut delivery = carol(Urgency::High);
        delivery.ask();
        assert!(delivery.take(&page(&[], 7)).is_empty());
        assert!(delivery.is_current());
        delivery.want(Urgency::Low);
        assert_eq!((delivery.is_current(), delivery.ask()), (false, Seq(0)));
    }

    #[test]
    fn acks_are_for_the_oldest_deliveries_in_order() {
        let mut delivery = current(Urgency::VeryLow);
        delivery.sent(Seq(1));
        delivery.sent_broadcast(Level(4));
        delivery.sent(Seq(2));
        assert!(!delivery.may_send_broadcast());
        let acked = delivery.acked(2);
        assert_eq!(acked, Acked { messages: vec![Seq(1)], broadcasts: 1 });
        assert_eq!((delivery.level, delivery.may_send_broadcast()), (Level(4), true));
        assert_eq!(delivery.acked(1).messages, [Seq(2)]);
    }
}
