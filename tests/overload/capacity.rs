//! The sustainable rate: each sender posts, waits until the device has acked, and posts again.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::caller::{Caller, request};
use super::latency::{Latencies, Sample};
use super::receiver::Device;

/// What was sustained.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Messages, from POST to ack.
    pub per_second: f64,
    pub latencies: Latencies,
}

/// One sender for each device, for so long.
pub fn measure(http: SocketAddr, devices: &mut [Device], duration: Duration) -> Result<Capacity, String> {
    let start = Instant::now();
    let until = start + duration;
    let outcomes: Vec<Result<Vec<Sample>, String>> = thread::scope(|scope| {
        let send = |device| scope.spawn(move || send(http, device, start, until));
        let senders: Vec<_> = devices.iter_mut().map(send).collect();
        senders.into_iter().map(|sender| sender.join().expect("senders don't panic")).collect()
    });
    let samples = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    let per_second = samples.len() as f64 / start.elapsed().as_secs_f64();
    Ok(Capacity { per_second, latencies: Latencies::of(samples) })
}

fn send(
    http: SocketAddr,
    device: &mut Device,
    start: Instant,
    until: Instant,
) -> Result<Vec<Sample>, String> {
    let mut caller = Caller::connect(http).map_err(|error| error.to_string())?;
    let (mut samples, mut bytes) = (Vec::new(), Vec::new());
    while Instant::now() < until {
        let at = Instant::now();
        bytes.clear();
        request(&mut bytes, &device.token, device.app, 0);
        let answer = caller.send(&bytes).and_then(|()| caller.answer()).map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("answered with {} where nothing limits", answer.status));
        }
        let arrival = device.next()?;
        samples.push(Sample { at: at - start, latency: arrival.at - at });
    }
    Ok(samples)
}
