//! `device status`: asks the push service of this session how it does, and says it in plain words.

use jiff::fmt::friendly::{Designator, SpanPrinter};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::cli::place::Place;
use crate::cli::{Failure, say};
use crate::device::bus::Caller;
use crate::device::daemon::{Connection as Link, Report};

/// Tells how the push service does
///
/// To whom it is connected and since when, how long it stays silent, how many messages came today and for
/// which apps, and what went wrong last. Ends with status 1 if no push service is running.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print what the service says as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Asks and prints.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let text = Caller::connect(&arguments.place.into())?.status()?;
    if arguments.json {
        return say(&text);
    }
    let report: Report = serde_json::from_str(&text)
        .map_err(|error| Failure::Run(format!("the push service is of another version: {error}")))?;
    say(&in_words(&report, Timestamp::now()))
}

fn in_words(report: &Report, now: Timestamp) -> String {
    let mut lines = vec![connection(&report.connection, now)];
    lines.extend(
        report.keepalive_s.map(|seconds| keepalive(seconds, report.is_keepalive_settled, &report.network)),
    );
    lines.push(match report.messages_today {
        0 => "No messages today.".into(),
        1 => "1 message today.".into(),
        count => format!("{count} messages today."),
    });
    for (app, of_app) in &report.apps {
        lines.push(format!("  {app}: {} today, {} waiting in the mailbox", of_app.today, of_app.waiting));
    }
    lines.push(match &report.last_problem {
        Some(problem) => format!("Last problem, {}: {}", clock_time(problem.at_ms), problem.text),
        None => "No problems since the service started.".into(),
    });
    lines.push(format!("Helpers: {}.", report.helpers));
    lines.push(format!("This device is {}.", report.device));
    lines.join("\n")
}

fn connection(connection: &Link, now: Timestamp) -> String {
    match connection {
        Link::Starting => "Not connected yet.".into(),
        Link::Connected { server, wire, since_ms } => {
            let for_so_long = roughly(now.duration_since(timestamp(*since_ms)));
            format!("Connected to {server} on wire {wire} since {} ({for_so_long}).", clock_time(*since_ms))
        }
        Link::Waiting { until_ms } => {
            format!("Not connected: trying again in {}.", roughly(timestamp(*until_ms).duration_since(now)))
        }
        Link::Offline => "There is no network.".into(),
    }
}

fn keepalive(seconds: u64, is_settled: bool, network: &str) -> String {
    let silence = roughly(SignedDuration::from_secs(seconds.try_into().unwrap_or(i64::MAX)));
    let how = if is_settled { "learnt" } else { "still learning" };
    let place = if network.is_empty() { String::new() } else { format!(" on {network}") };
    format!("It says something every {silence}{place} ({how}).")
}

/// To the second.
fn roughly(duration: SignedDuration) -> String {
    let seconds = SignedDuration::from_secs(duration.as_secs().max(0));
    SpanPrinter::new().designator(Designator::Compact).duration_to_string(&seconds)
}

fn clock_time(ms: u64) -> String {
    timestamp(ms).to_zoned_datetime(TimeZone::system()).strftime("%F %T").to_string()
}

fn timestamp(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::daemon::{App, Problem};

    #[test]
    fn a_report_is_told_in_plain_words() {
        let connection = Link::Connected { server: "push.example.org:9090".into(), wire: 1, since_ms: 1_000 };
        let report = Report {
            device: "q".into(),
            connection,
            network: "home".into(),
            keepalive_s: Some(1_680),
            is_keepalive_settled: true,
            messages_today: 3,
            last_problem: Some(Problem { at_ms: 1_000, text: "timeout".into() }),
            helpers: "confined by bubblewrap".into(),
            apps: [("chatter.alice_chatter".to_owned(), App { today: 3, waiting: 1 })].into(),
        };
        let text = in_words(&report, timestamp(3_601_000));
        for part in [
            "Connected to push.example.org:9090 on wire 1 since 1970-01-01",
            "(1h).",
            "every 28m on home (learnt).",
            "3 messages today.",
            "chatter.alice_chatter: 3 today, 1 waiting in the mailbox",
            ": timeout",
            "Helpers: confined by bubblewrap.",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_device_that_is_not_connected_says_when_it_tries_again() {
        let waiting = Link::Waiting { until_ms: 93_500 };
        assert_eq!(connection(&waiting, timestamp(1_000)), "Not connected: trying again in 1m 32s.");
        assert_eq!(connection(&Link::Offline, timestamp(0)), "There is no network.");
    }
}
