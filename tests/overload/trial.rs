//! One server, its devices, and what is done to it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lomiri_push::device::state::State;
use serde_json::json;

use super::capacity::{self, Capacity};
use super::flood::{self, Flood};
use super::latency::{Latencies, Sample, recovery};
use super::memory;
use super::outside::enrolment::{ask, enrol};
use super::outside::server::{Listening, Server};
use super::receiver::Device;
use super::report::Row;
use super::{Settings, steady};

/// Devices that are flooded, and as many messages in flight when the sustainable rate is looked for.
const FLOODED: usize = 32;
const FLOODED_APP: &str = "loud";
/// Devices whose senders keep within their limits, each with a message a second: the rate of a token.
const CALM: usize = 16;
const CALM_APP: &str = "calm";
const CALM_INTERVAL: Duration = Duration::from_secs(1);
/// What takes no longer is as good as at once: on a busy machine some message always takes so long.
const UNNOTICED: Duration = Duration::from_millis(20);

pub struct Trial<'a> {
    program: &'a Path,
    folder: &'a Path,
    server: Server,
    listening: Listening,
    flooded: Vec<Device>,
    calm: Vec<Device>,
    states: Vec<State>,
}

impl<'a> Trial<'a> {
    /// A new server, with new devices.
    pub fn new(program: &'a Path, folder: &'a Path, configuration: &str) -> Result<Trial<'a>, String> {
        let (server, listening) = start(program, folder, configuration)?;
        let enrol = |number: usize| {
            let state: PathBuf = folder.join(format!("device {number}"));
            enrol(program, &listening, folder, &format!("user {number}"), &state)
        };
        let states = (0..FLOODED + CALM).map(enrol).collect::<Result<Vec<_>, _>>()?;
        Trial::with(program, folder, server, listening, states)
    }

    /// The same devices at a server with another configuration.
    pub fn again(self, configuration: &str) -> Result<Trial<'a>, String> {
        let (program, folder, states) = (self.program, self.folder, self.states.clone());
        self.end()?;
        let (server, listening) = start(program, folder, configuration)?;
        Trial::with(program, folder, server, listening, states)
    }

    fn with(
        program: &'a Path,
        folder: &'a Path,
        server: Server,
        listening: Listening,
        states: Vec<State>,
    ) -> Result<Trial<'a>, String> {
        let connect = |state: &State, app| {
            let body = json!({ "deviceid": state.device.as_str(), "appid": app });
            let answer = ask(listening.http, "/register", &state.credential.reveal(), &body)?;
            let token = answer["token"].as_str().unwrap_or_default().to_owned();
            Device::connect(&listening.devices, state, app, token)
        };
        let (flooded, calm) = states.split_at(FLOODED);
        let flooded = flooded.iter().map(|state| connect(state, FLOODED_APP)).collect::<Result<_, _>>()?;
        let calm = calm.iter().map(|state| connect(state, CALM_APP)).collect::<Result<_, _>>()?;
        Ok(Trial { program, folder, server, listening, flooded, calm, states })
    }

    /// How many messages a second it bears, from POST to ack.
    pub fn capacity(&mut self, duration: Duration) -> Result<Capacity, String> {
        capacity::measure(self.listening.http, &mut self.flooded, duration)
    }

    /// Floods it between two calm times.
    pub fn flood(&mut self, settings: Settings, per_second: f64) -> Result<Row, String> {
        let (http, id) = (self.listening.http, self.server.child.id());
        let Trial { flooded, calm, .. } = self;
        let (start, is_over) = (Instant::now(), AtomicBool::new(false));
        let (flood, before, during, ends, outcomes) = thread::scope(|scope| {
            let is_over = &is_over;
            let send = |device| scope.spawn(move || steady::run(http, device, CALM_INTERVAL, start, is_over));
            let senders: Vec<_> = calm.iter_mut().map(send).collect();
            thread::sleep(settings.calm);
            let before = memory::of(id);
            let begin = start.elapsed();
            let flood = flood::run(http, flooded, per_second, settings.flood);
            let end = start.elapsed();
            let during = memory::of(id);
            thread::sleep(settings.calm);
            is_over.store(true, Ordering::SeqCst);
            let join = |sender: thread::ScopedJoinHandle<'_, _>| sender.join().expect("senders don't panic");
            let outcomes: Vec<Result<Vec<Sample>, String>> = senders.into_iter().map(join).collect();
            (flood, before, during, (begin, end), outcomes)
        });
        let samples = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        Ok(row(flood, ends, &samples, before?.resident_kib, during?.peak_kib, memory::of(id)?.resident_kib))
    }

    /// Stops the server in order.
    pub fn end(mut self) -> Result<(), String> {
        self.server.terminate()?;
        self.flooded.into_iter().chain(self.calm).for_each(Device::end);
        let log = self.server.end();
        match log.iter().find(|line| line.contains("panicked") || line.contains(" ERROR ")) {
            Some(line) => Err(line.clone()),
            None => Ok(()),
        }
    }
}

fn start(program: &Path, folder: &Path, configuration: &str) -> Result<(Server, Listening), String> {
    let mut server = Server::start(program, folder, configuration);
    let listening = server.listening(folder)?;
    Ok((server, listening))
}

fn row(
    flood: Flood,
    (begin, end): (Duration, Duration),
    samples: &[Sample],
    quiet_kib: u64,
    peak_kib: u64,
    after_kib: u64,
) -> Row {
    let within = |from: Duration, to: Duration| {
        Latencies::of(samples.iter().copied().filter(|sample| from <= sample.at && sample.at < to))
    };
    let quiet = within(Duration::ZERO, begin);
    let usual = Duration::from_secs_f64(quiet.max_ms.max(2.0 * quiet.p99_ms) / 1e3).max(UNNOTICED);
    Row {
        seconds: (end - begin).as_secs_f64(),
        flood,
        quiet,
        flooded: within(begin, end),
        recovery: recovery(samples, end, usual),
        calm_messages: samples.len(),
        quiet_kib,
        peak_kib,
        after_kib,
    }
}
