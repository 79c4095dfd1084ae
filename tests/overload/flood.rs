//! App servers that post far more than they may: each asks for many at once, as fast as its share of the
//! rate wants it or the server takes it.

use std::io;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::thread;
use std::time::{Duration, Instant};

use super::caller::{Answer, Caller, request};
use super::receiver::Device;

/// Requests that one connection sends before it reads the answers.
const BATCH: u32 = 16;
/// Connections for each device that is flooded.
const CONNECTIONS_PER_DEVICE: usize = 4;

/// What a flood was answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flood {
    pub accepted: u64,
    /// 429.
    pub rate_limited: u64,
    /// 413: as many as allowed are pending.
    pub full: u64,
    /// 503.
    pub unavailable: u64,
    pub other: u64,
    /// 429 and 503 that don't say when to come again.
    pub without_retry_after: u64,
    /// Connections that the server closed.
    pub closed: u64,
}

impl Flood {
    pub fn answered(&self) -> u64 {
        self.accepted + self.rate_limited + self.full + self.unavailable + self.other
    }

    fn count(&mut self, answer: Answer) {
        *match answer.status {
            200 => &mut self.accepted,
            429 => &mut self.rate_limited,
            413 => &mut self.full,
            503 => &mut self.unavailable,
            _ => &mut self.other,
        } += 1;
        let is_bare = matches!(answer.status, 429 | 503) && !answer.has_retry_after;
        self.without_retry_after += u64::from(is_bare);
    }
}

impl AddAssign for Flood {
    fn add_assign(&mut self, more: Flood) {
        self.accepted += more.accepted;
        self.rate_limited += more.rate_limited;
        self.full += more.full;
        self.unavailable += more.unavailable;
        self.other += more.other;
        self.without_retry_after += more.without_retry_after;
        self.closed += more.closed;
    }
}

/// Offers so many messages a second, to all these devices alike, for so long.
pub fn run(http: SocketAddr, devices: &[Device], per_second: f64, duration: Duration) -> Flood {
    let connections = devices.len() * CONNECTIONS_PER_DEVICE;
    let pause = Duration::from_secs_f64(f64::from(BATCH) * connections as f64 / per_second);
    let until = Instant::now() + duration;
    thread::scope(|scope| {
        let floods = (0..connections).map(|index| {
            let Device { token, app, .. } = &devices[index % devices.len()];
            scope.spawn(move || flood(http, token, app, pause, until))
        });
        let floods: Vec<_> = floods.collect();
        let mut total = Flood::default();
        floods.into_iter().for_each(|flood| total += flood.join().expect("floods don't panic"));
        total
    })
}

/// Comes again when the server has closed the connection.
fn flood(http: SocketAddr, token: &str, app: &str, pause: Duration, until: Instant) -> Flood {
    let mut batch = Vec::new();
    (0..BATCH).for_each(|_| request(&mut batch, token, app, 0));
    let mut flood = Flood::default();
    let mut due = Instant::now();
    while Instant::now() < until {
        if hold(http, &batch, pause, until, &mut due, &mut flood).is_err() {
            flood.closed += 1;
            due += pause;
        }
    }
    flood
}

fn hold(
    http: SocketAddr,
    batch: &[u8],
    pause: Duration,
    until: Instant,
    due: &mut Instant,
    flood: &mut Flood,
) -> io::Result<()> {
    let mut caller = Caller::connect(http)?;
    while Instant::now() < until {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        *due += pause;
        caller.send(batch)?;
        for _ in 0..BATCH {
            flood.count(caller.answer()?);
        }
    }
    Ok(())
}
