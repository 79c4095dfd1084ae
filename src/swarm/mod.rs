//! The load generator: very many simulated devices in one loop on one core, and app servers that post to them. What it
//! measures, and what of it was wanted, is in [`Plan`] and [`Report`]; arguments and progress bars are `cli`'s.

mod callers;
mod clock;
mod enrolling;
mod fleet;
mod gauge;
mod latency;
mod limits;
mod pipe;
mod plan;
mod posts;
mod report;
mod run;
#[cfg(test)]
mod tests;

pub use callers::Api;
pub use enrolling::Member;
pub use fleet::{Identity, Server};
pub use gauge::{Gauge, Reading};
pub use latency::Latency;
pub use limits::{DEVICES_PER_SOURCE, Room, sources_for};
pub use plan::{Phase, Plan, Rate};
pub use report::{Bytes, Crowd, Held, Posted, Problem, Report, Returned, Told};
pub use run::{Halt, Progress, Run};
