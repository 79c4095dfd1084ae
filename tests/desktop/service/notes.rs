//! A notification server that notes what is shown.

use crate::fake::{Answer, Call, Fake};

const NAME: &str = "org.freedesktop.Notifications";

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

/// The summary and the body of a bubble.
pub fn shown(notify: &Call) -> (String, String) {
    type Body = (
        String,
        u32,
        String,
        String,
        String,
        Vec<String>,
        std::collections::HashMap<String, zbus::zvariant::OwnedValue>,
        i32,
    );
    let (_, _, _, summary, body, ..) = notify.body::<Body>();
    (summary, body)
}
