//! What a week costs: wake-ups, connections, bytes on the air, and how late messages come.
//!
//! Bytes are those of README's "What goes over the air", which `examples/wire_cost` measures, for a server with
//! a chain of two certificates; records are of the frames that sessions really say, and TLS adds to each what
//! that measurement shows. What TCP and IP add is counted by segments, over IPv4, with the headers
//! that `wire_cost` reckons with.

use std::time::Duration;

/// What TLS adds to each record: its header, its type and its tag. A keepalive has two, of a byte each.
const RECORD_BYTES: usize = (measured::WIRE1_KEEPALIVE - 2) / 2;
/// IPv4, and TCP with the timestamps that Linux puts into each segment.
const SEGMENT_BYTES: usize = 20 + 32;
/// Opening: three. ClientHello, the server's flight, Finished with CONNECT, CONNACK with a ticket, and
/// the acknowledgements of two of them that nothing goes along with.
const RESUMED_SEGMENTS: usize = 3 + 4 + 2;
/// A chain of certificates fills two segments more.
const FULL_SEGMENTS: usize = RESUMED_SEGMENTS + 2;
/// What TCP sends in 20 or 30 seconds that nobody answers: at first, and after 1, 3, 7 and 15.
const TRIES: usize = 5;

/// What connects and acts cost in bytes of TLS records, both ways, as measured.
pub mod measured {
    pub const WIRE1_CONNECT_FULL: usize = 3_113;
    pub const WIRE1_CONNECT_RESUMED: usize = 994;
    pub const WIRE1_KEEPALIVE: usize = 46;
    pub const WIRE0_CONNECT_FULL: usize = 3_236;
    pub const WIRE0_KEEPALIVE: usize = 72;
    pub const WIRE0_MESSAGE: usize = 270;
}

/// Why a sleeping phone wakes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Something is due.
    Timer,
    /// Something has come, or the connection has ended.
    Radio,
    /// The network is another one, or none.
    Network,
}

/// How a connection came about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    Full,
    Resumed,
}

/// What a week comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Times at which a sleeping phone had to run, of which:
    pub wake_ups: usize,
    pub by_timer: usize,
    pub by_radio: usize,
    pub by_network: usize,
    pub connects_full: usize,
    pub connects_resumed: usize,
    /// Nobody was reached.
    pub connects_failed: usize,
    /// Connections that ended though the network was there and the server ran.
    pub lost: usize,
    pub keepalives: usize,
    pub messages: usize,
    /// Both ways, with TLS, TCP and IP.
    pub bytes: usize,
    /// From post to phone, in seconds, but for the way through the network.
    pub delay_s_p50: usize,
    pub delay_s_max: usize,
    delays: Vec<Duration>,
}

impl Figures {
    pub fn woken(&mut self, why: Wake) {
        self.wake_ups += 1;
        match why {
            Wake::Timer => self.by_timer += 1,
            Wake::Radio => self.by_radio += 1,
            Wake::Network => self.by_network += 1,
        }
    }

    /// A connection came about whose records have so many bytes.
    pub fn connected(&mut self, handshake: Handshake, bytes: usize) {
        let segments = match handshake {
            Handshake::Full => FULL_SEGMENTS,
            Handshake::Resumed => RESUMED_SEGMENTS,
        };
        match handshake {
            Handshake::Full => self.connects_full += 1,
            Handshake::Resumed => self.connects_resumed += 1,
        }
        self.bytes += bytes + segments * SEGMENT_BYTES;
    }

    /// Nobody was there to answer, or nothing passes.
    pub fn unreachable(&mut self) {
        self.connects_failed += 1;
        self.bytes += TRIES * SEGMENT_BYTES;
    }

    /// Records passed, each of so many bytes before TLS, on one way and then the other.
    pub fn exchanged(&mut self, records: &[usize]) {
        let bytes: usize = records.iter().map(|bytes| bytes + RECORD_BYTES).sum();
        self.passed(bytes, records.len());
    }

    /// So many records passed, which have so many bytes in all; the last is acknowledged by itself.
    pub fn passed(&mut self, bytes: usize, records: usize) {
        if records > 0 {
            self.bytes += bytes + (records + 1) * SEGMENT_BYTES;
        }
    }

    /// So many bytes went out before TLS, again and again, and nobody answers.
    pub fn unanswered(&mut self, bytes: usize) {
        self.bytes += TRIES * (bytes + RECORD_BYTES + SEGMENT_BYTES);
    }

    pub fn came(&mut self, delay: Duration) {
        self.messages += 1;
        self.delays.push(delay);
    }

    /// The week is over.
    pub fn sum_up(mut self) -> Figures {
        self.delays.sort();
        let seconds = |delay: Option<&Duration>| delay.map_or(0, |delay| delay.as_secs() as usize);
        self.delay_s_p50 = seconds(self.delays.get(self.delays.len() / 2));
        self.delay_s_max = seconds(self.delays.last());
        self
    }
}
