//! A notification server that notes what is shown.

use crate::fake::{Answer, Call, Fake};
use crate::stage::Notify;

pub const NAME: &str = "org.freedesktop.Notifications";

/// Numbers bubbles, and can do what most servers can.
pub fn server(address: &str) -> Fake {
    let mut last = 0;
    Fake::start(address, &[NAME], move |call| match call.member.as_str() {
        "GetCapabilities" => Answer::Texts(&["body", "actions"]),
        "Notify" => {
            last += 1;
            Answer::Number(last)
        }
        _ => Answer::Done,
    })
}

/// One that keeps what stays, and lets a bubble keep its number when another one takes its place.
pub fn keeping_server(address: &str) -> Fake {
    let mut last = 0;
    Fake::start(address, &[NAME], move |call| match call.member.as_str() {
        "GetCapabilities" => Answer::Texts(&["body", "actions", "persistence"]),
        "Notify" => Answer::Number(match replaced(call) {
            0 => {
                last += 1;
                last
            }
            replaced => replaced,
        }),
        _ => Answer::Done,
    })
}

/// The bubble whose place another one takes.
pub fn replaced(notify: &Call) -> u32 {
    Notify::of(notify).replaces
}

/// The summary and the body of a bubble.
pub fn shown(notify: &Call) -> (String, String) {
    let Notify { summary, body, .. } = Notify::of(notify);
    (summary, body)
}
