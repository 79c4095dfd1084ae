//! The server's side of wire 1: full duplex, paced by the device (spec: The server's session).
//!
//! ```text
//!  AwaitConnect ──CONNECT──▶ AwaitAccept ──accept (CONNACK)──▶ Open
//!            │               Event::Connect
//!            └──ENROL──▶ AwaitEnrolment ──enrol (ENROLLED)──▶ Enrolled ── BYE ──▶ ended
//!                        Event::Enrol
//!
//!  Open:  deliver: [APP] MESSAGE, BROADCAST ──▶ in flight ── ACK ──▶ Event::Acked
//!         PING ──▶ PONG      URGENCY, FLUSH, RECEIPT ──▶ events      KEEPALIVE ──▶ a new deadline
//!
//!  any ── silence for too long, an ack overdue, or a frame that was not due ──▶ GOAWAY, ended
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::{Event, Introduction, Message, Options, Rim, Stop};
use crate::base::{AppId, Monotonic, Now, RareBytes};
use crate::protocol::wire1::{
    self, APPS_MAX, AppNumber, Connack, Connect, DEVICE_BODY_BYTES_MAX, DeviceFrame, EXPIRY_SECONDS_MAX,
    Enrolled, Goaway, ProtocolError, Reason, ServerFrame, WINDOW_BYTES_MAX, split_frame,
};
use crate::session::EndReason;

/// How long a device that breaks the rules is asked to stay away, and over how much more its like are
/// spread: what is broken today is broken in a second too.
const OFFENDER_STAYS_AWAY: Duration = Duration::from_secs(60);
/// How long a device whose session was taken over stays away, so that two with one id do not chase one another.
const TAKEN_OVER_STAYS_AWAY: Duration = Duration::from_secs(60);
/// How soon devices may come back to a server that starts again.
const RESTART_TAKES: Duration = Duration::from_secs(1);
/// Over how long those are spread that come back for no fault of theirs.
const SPREAD_MIN: Duration = Duration::from_secs(10);

/// A conversation that has begun with the version byte.
#[derive(Debug)]
pub(super) struct Conversation {
    state: State,
    /// The front of a frame whose rest has not come.
    partial: RareBytes,
}

#[derive(Debug)]
enum State {
    AwaitConnect {
        deadline: Monotonic,
    },
    /// The owner has until the deadline to let the device in.
    AwaitAccept {
        deadline: Monotonic,
        keepalive: Duration,
        window: usize,
    },
    /// The owner has until the deadline to enrol the device.
    AwaitEnrolment {
        deadline: Monotonic,
    },
    /// It has what it came for, and takes its leave.
    Enrolled {
        deadline: Monotonic,
    },
    Open(Box<Open>),
}

/// What is kept of a device that was let in.
#[derive(Debug)]
struct Open {
    /// When CONNACK was sent, from where expiries count. The wall clock may be set in between.
    connacked: Monotonic,
    /// How long it may be silent.
    silence_max: Duration,
    /// When it has been silent for too long.
    heard_by: Monotonic,
    window: usize,
    /// None if nothing is, as for each device that waits.
    in_flight: Option<Box<InFlight>>,
    /// None until it is told of one.
    apps: Option<Box<Apps>>,
}

/// What is not acked.
#[derive(Debug)]
struct InFlight {
    /// The bytes of each delivery, oldest first.
    deliveries: VecDeque<u32>,
    bytes: usize,
    /// When the next ack is overdue.
    acked_by: Monotonic,
}

/// The apps that the device knows by number. The number that was given longest ago is given next.
#[derive(Debug, Default)]
struct Apps {
    known: Vec<AppId>,
    next: usize,
}

impl Conversation {
    pub fn new(deadline: Monotonic) -> Conversation {
        Conversation { state: State::AwaitConnect { deadline }, partial: RareBytes::default() }
    }

    /// Handles all frames that are complete, and keeps the front of the next one.
    pub fn handle_bytes(&mut self, bytes: &[u8], rim: &mut Rim, now: Monotonic) -> Result<(), EndReason> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let State::Open(open) = &mut self.state {
            open.heard_by = now + open.silence_max;
        }
        let mut gathered = self.partial.take();
        let mut left = if gathered.is_empty() {
            bytes
        } else {
            gathered.extend_from_slice(bytes);
            &gathered
        };
        let mut is_pinged = false;
        while let Some((raw, used)) = split_frame(left, DEVICE_BODY_BYTES_MAX)? {
            match DeviceFrame::decode(raw)? {
                Some(DeviceFrame::Ping) if matches!(self.state, State::Open(_)) => is_pinged = true,
                Some(frame) => self.handle_frame(frame, rim, now)?,
                None => {}
            }
            left = &left[used..];
        }
        self.partial.set(left.to_vec());
        // One PONG answers all PINGs that came together, so that a flood of them grows nothing.
        if is_pinged {
            send(&ServerFrame::Pong, rim);
        }
        Ok(())
    }

    fn handle_frame(&mut self, frame: DeviceFrame, rim: &mut Rim, now: Monotonic) -> Result<(), EndReason> {
        match (&mut self.state, frame) {
            (State::AwaitConnect { .. }, DeviceFrame::Connect(connect)) => {
                let Connect { keepalive, window, .. } = *connect;
                let deadline = now + rim.options.exchange_timeout;
                self.state = State::AwaitAccept { deadline, keepalive, window };
                rim.tell(Event::Connect(Box::new((*connect).into())));
                Ok(())
            }
            (State::AwaitConnect { .. }, DeviceFrame::Enrol(code)) => {
                self.state = State::AwaitEnrolment { deadline: now + rim.options.exchange_timeout };
                rim.tell(Event::Enrol(code));
                Ok(())
            }
            (State::Open(open), frame) => open.handle_frame(frame, rim, now),
            (
                State::AwaitAccept { .. } | State::AwaitEnrolment { .. } | State::Enrolled { .. },
                DeviceFrame::Bye(reason),
            ) => Err(EndReason::Left(reason)),
            (_, frame) => Err(ProtocolError::Unexpected(frame.name()).into()),
        }
    }

    /// # Panics
    /// If no device waits for it.
    pub fn accept(&mut self, rim: &mut Rim, now: Now) {
        let State::AwaitAccept { keepalive, window, .. } = self.state else {
            panic!("accept follows Event::Connect")
        };
        let keepalive_max = rim.options.keepalive_max;
        send(&ServerFrame::Connack(Connack { time: now.wall, keepalive_max, window }), rim);
        let silence_max = silence_max(keepalive, &rim.options);
        self.state = State::Open(Box::new(Open {
            connacked: now.monotonic,
            silence_max,
            heard_by: now.monotonic + silence_max,
            window,
            in_flight: None,
            apps: None,
        }));
    }

    /// # Panics
    /// If nobody waits for it.
    pub fn enrol(&mut self, enrolled: Enrolled, rim: &mut Rim, now: Monotonic) {
        assert!(matches!(self.state, State::AwaitEnrolment { .. }), "enrol follows Event::Enrol");
        send(&ServerFrame::Enrolled(enrolled), rim);
        self.state = State::Enrolled { deadline: now + rim.options.exchange_timeout };
    }

    pub fn room(&self) -> usize {
        match &self.state {
            State::Open(open) => open.room(),
            _ => 0,
        }
    }

    pub fn has_room_for_page(&self) -> bool {
        match &self.state {
            State::Open(open) => open.has_room_for_page(),
            _ => false,
        }
    }

    pub fn window(&self) -> usize {
        match &self.state {
            State::Open(open) => open.window,
            _ => 0,
        }
    }

    pub fn deliver<'a>(
        &mut self,
        messages: impl IntoIterator<Item = Message<'a>>,
        rim: &mut Rim,
        now: Now,
    ) -> usize {
        let State::Open(open) = &mut self.state else { return 0 };
        let mut out = Vec::new();
        let mut taken = 0;
        for message in messages {
            if !open.deliver(message, &mut out, rim, now) {
                break;
            }
            taken += 1;
        }
        if taken > 0 {
            rim.send(out.into());
        }
        taken
    }

    pub fn deliver_broadcast(&mut self, frame: Bytes, rim: &mut Rim, now: Monotonic) {
        let State::Open(open) = &mut self.state else { panic!("a delivery needs room") };
        open.sent(frame.len(), rim, now);
        rim.send(frame);
    }

    pub fn next_deadline(&self) -> Monotonic {
        match &self.state {
            State::AwaitConnect { deadline }
            | State::AwaitAccept { deadline, .. }
            | State::AwaitEnrolment { deadline }
            | State::Enrolled { deadline } => *deadline,
            State::Open(open) => {
                let acked_by = open.in_flight.as_ref().map(|in_flight| in_flight.acked_by);
                acked_by.map_or(open.heard_by, |by| by.min(open.heard_by))
            }
        }
    }

    /// Why the session ends when the deadline has passed: the device may be late, or the owner.
    pub fn lateness(&self) -> EndReason {
        match self.state {
            State::AwaitAccept { .. } | State::AwaitEnrolment { .. } => {
                EndReason::Refused(Reason::Overloaded)
            }
            _ => EndReason::Timeout,
        }
    }

    #[cfg(test)]
    pub fn buffered_bytes(&self) -> usize {
        self.partial.len()
    }
}

impl Open {
    fn handle_frame(&mut self, frame: DeviceFrame, rim: &mut Rim, now: Monotonic) -> Result<(), EndReason> {
        match frame {
            DeviceFrame::Ping => {}
            DeviceFrame::Ack(count) => self.acked(count, rim, now)?,
            DeviceFrame::Flush => rim.tell(Event::Flush),
            DeviceFrame::Urgency(least) => rim.tell(Event::Least(least)),
            DeviceFrame::Receipt(receipt) => rim.tell(Event::Receipt(receipt)),
            DeviceFrame::Keepalive(keepalive) => {
                self.silence_max = silence_max(keepalive, &rim.options);
                self.heard_by = now + self.silence_max;
            }
            DeviceFrame::Bye(reason) => return Err(EndReason::Left(reason)),
            DeviceFrame::Connect(_) | DeviceFrame::Enrol(_) => {
                return Err(ProtocolError::Unexpected(frame.name()).into());
            }
        }
        Ok(())
    }

    fn acked(&mut self, count: u64, rim: &mut Rim, now: Monotonic) -> Result<(), EndReason> {
        let (deliveries, _) = self.load();
        let count = usize::try_from(count).ok().filter(|count| *count <= deliveries);
        let count = count.ok_or(ProtocolError::BadAck)?;
        if count == deliveries {
            self.in_flight = None;
        } else if let Some(in_flight) = &mut self.in_flight {
            in_flight.ack(count);
            in_flight.acked_by = now + rim.options.exchange_timeout;
        }
        rim.tell(Event::Acked(count));
        Ok(())
    }

    /// How many deliveries and bytes are in flight.
    fn load(&self) -> (usize, usize) {
        self.in_flight.as_ref().map_or((0, 0), |in_flight| (in_flight.deliveries.len(), in_flight.bytes))
    }

    fn room(&self) -> usize {
        match self.load() {
            (_, WINDOW_BYTES_MAX..) => 0,
            (deliveries, _) => self.window - deliveries,
        }
    }

    fn has_room_for_page(&self) -> bool {
        let (_, bytes) = self.load();
        self.room() >= self.window.div_ceil(2) && bytes <= WINDOW_BYTES_MAX / 2
    }

    /// Adds the message, behind its app if the device does not know that, unless the window is full.
    fn deliver(&mut self, message: Message<'_>, out: &mut Vec<u8>, rim: &Rim, now: Now) -> bool {
        if self.room() == 0 {
            return false;
        }
        let before = out.len();
        let app = self.apps.get_or_insert_default().number(message.app, out);
        let expires = now.monotonic.since(self.connacked) + (message.expires - now.wall);
        ServerFrame::Message(wire1::Message {
            app,
            urgency: message.urgency,
            expires: expires.min(Duration::from_secs(EXPIRY_SECONDS_MAX)),
            id: message.id,
            payload: message.payload.clone(),
        })
        .encode(out);
        self.sent(out.len() - before, rim, now.monotonic);
        true
    }

    fn sent(&mut self, bytes: usize, rim: &Rim, now: Monotonic) {
        let acked_by = now + rim.options.exchange_timeout;
        let none = || Box::new(InFlight { deliveries: VecDeque::new(), bytes: 0, acked_by });
        self.in_flight.get_or_insert_with(none).push(bytes);
    }
}

impl InFlight {
    fn push(&mut self, bytes: usize) {
        self.deliveries.push_back(u32::try_from(bytes).expect("a frame is at most 64 KiB"));
        self.bytes += bytes;
    }

    /// Drops the so many oldest.
    fn ack(&mut self, count: usize) {
        self.bytes -= self.deliveries.drain(..count).map(|bytes| bytes as usize).sum::<usize>();
    }
}

impl Apps {
    /// The number of this app, told to the device first if it does not know it.
    fn number(&mut self, app: &AppId, out: &mut Vec<u8>) -> AppNumber {
        if let Some(known) = self.known.iter().position(|known| known == app) {
            return app_number(known);
        }
        let number = app_number(self.next);
        match self.known.get_mut(self.next) {
            Some(earlier) => *earlier = app.clone(),
            None => self.known.push(app.clone()),
        }
        self.next = (self.next + 1) % APPS_MAX;
        ServerFrame::App(number, app.clone()).encode(out);
        number
    }
}

fn app_number(index: usize) -> AppNumber {
    AppNumber::new(index).expect("the table has as many places as there are numbers")
}

/// What a device may take for a sign of life if it announces `keepalive`.
fn silence_max(keepalive: Duration, options: &Options) -> Duration {
    keepalive.min(options.keepalive_max) + options.exchange_timeout
}

/// The GOAWAY that belongs to the end, where there is somebody to hear it.
pub(super) fn say_goodbye(reason: &EndReason, rim: &mut Rim) {
    let (reason, after, spread) = match reason {
        EndReason::Terminated => (Reason::TakenOver, TAKEN_OVER_STAYS_AWAY, Duration::ZERO),
        EndReason::Timeout => (Reason::Timeout, Duration::ZERO, SPREAD_MIN),
        EndReason::Frame(error) => (error.reason(), OFFENDER_STAYS_AWAY, OFFENDER_STAYS_AWAY),
        EndReason::Refused(reason) => (*reason, OFFENDER_STAYS_AWAY, OFFENDER_STAYS_AWAY),
        _ => return,
    };
    send(&ServerFrame::Goaway(Goaway { reason, after, spread }), rim);
}

/// The GOAWAY of a server that stops, for so many devices that `spread` suits them.
pub(super) fn say_stop(stop: Stop, spread: Duration, rim: &mut Rim) {
    let reason = match stop {
        Stop::Restart => Reason::Restart,
        Stop::Drain => Reason::Drain,
    };
    send(&ServerFrame::Goaway(Goaway { reason, after: RESTART_TAKES, spread: spread.max(SPREAD_MIN) }), rim);
}

fn send(frame: &ServerFrame, rim: &mut Rim) {
    let mut out = Vec::new();
    frame.encode(&mut out);
    rim.send(out.into());
}

impl From<Connect> for Introduction {
    fn from(connect: Connect) -> Introduction {
        let Connect { device_id, credential, image, levels, least, stored, .. } = connect;
        let unknown = Introduction::new(device_id);
        let image = if image.is_empty() { unknown.image } else { image };
        Introduction { device: unknown.device, credential, image, levels, least, stored }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each device has one.
    #[test]
    fn what_is_kept_of_a_device_is_small() {
        assert!(size_of::<Open>() <= 72, "{}", size_of::<Open>());
    }
}
