//! A sender within its limits, who posts all the time and looks how long each message takes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::caller::{Caller, request};
use super::latency::Sample;
use super::receiver::Device;

/// Posts until `is_over`, one message each `interval`, and waits for each until the device has acked it.
/// Latency counts from when the message was due. An error if one is refused or does not come.
pub fn run(
    http: SocketAddr,
    device: &mut Device,
    interval: Duration,
    start: Instant,
    is_over: &AtomicBool,
) -> Result<Vec<Sample>, String> {
    let mut caller = Caller::connect(http).map_err(|error| format!("not connected: {error}"))?;
    let (mut samples, mut bytes, mut due) = (Vec::new(), Vec::new(), Instant::now());
    while !is_over.load(Ordering::SeqCst) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let number = samples.len() as u64 + 1;
        bytes.clear();
        request(&mut bytes, &device.token, device.app, number);
        let answer = caller.send(&bytes).and_then(|()| caller.answer());
        let answer = answer.map_err(|error| format!("no answer: {error}"))?;
        if answer.status != 200 {
            return Err(format!("message {number} was answered with {}", answer.status));
        }
        let arrival = device.next()?;
        if arrival.number != number {
            return Err(format!("message {} came, where {number} was due", arrival.number));
        }
        samples.push(Sample { at: due - start, latency: arrival.at - due });
        due = (due + interval).max(Instant::now());
    }
    Ok(samples)
}
