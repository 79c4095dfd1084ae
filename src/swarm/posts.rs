//! What app servers and the operator ask of the API, and how a message is known again when it arrives.

use serde::Deserialize;
use serde_json::json;

use super::fleet::Identity;
use crate::base::Payload;
use crate::http::Request;

/// The app that all devices register.
const APP: &str = "swarm";
/// Digits of a message's number.
const NUMBER_DIGITS: usize = 16;

/// What this run writes into its messages.
pub(super) struct Writer {
    /// What tells this run's messages from others'.
    run: String,
    payload_bytes: usize,
    expires: String,
}

/// The answer to a registration.
#[derive(Deserialize)]
pub(super) struct Registered {
    pub(super) token: String,
}

/// The answer to a wish for a code.
#[derive(Deserialize)]
pub(super) struct Coded {
    pub(super) code: String,
}

impl Writer {
    pub(super) fn new(run: String, payload_bytes: usize, expires: String) -> Writer {
        Writer { run, payload_bytes, expires }
    }

    /// The body of a post of message `number` to the device with this token.
    pub(super) fn notify(&self, token: &str, number: u64) -> String {
        let data = self.data(number);
        let Writer { expires, .. } = self;
        format!(r#"{{"token":"{token}","appid":"{APP}","expire_on":"{expires}","data":{data}}}"#)
    }

    /// The body of a broadcast to devices that run `image`.
    pub(super) fn broadcast(&self, image: &str, number: u64) -> String {
        let mut data = json!({ image: self.text(number) }).to_string();
        if let Some(missing) = self.payload_bytes.checked_sub(data.len()) {
            let text = self.text(number);
            data = json!({ image: format!("{text}{}", "x".repeat(missing)) }).to_string();
        }
        format!(r#"{{"channel":"system","expire_on":"{}","data":{data}}}"#, self.expires)
    }

    /// A JSON string of the payload's length, or a little more if that is too short to know it again.
    fn data(&self, number: u64) -> String {
        let text = self.text(number);
        let fill = self.payload_bytes.saturating_sub(text.len() + 2);
        format!("\"{text}{}\"", "x".repeat(fill))
    }

    fn text(&self, number: u64) -> String {
        format!("{}-{number:0NUMBER_DIGITS$x}-", self.run)
    }

    /// The number of a message or broadcast of this run.
    pub(super) fn number_in(&self, payload: &Payload) -> Option<u64> {
        let text = str::from_utf8(payload.as_bytes()).ok()?;
        // A broadcast names the run in its image, too.
        let (_, behind) = text.rsplit_once(&self.run)?;
        let digits = behind.strip_prefix('-')?.get(..NUMBER_DIGITS)?;
        u64::from_str_radix(digits, 16).ok()
    }
}

/// The body of a registration.
pub(super) fn registration(identity: &Identity) -> String {
    json!({ "deviceid": identity.device(), "appid": APP }).to_string()
}

/// The body of a wish for a code, of a user that no other device has.
pub(super) fn wish(user: &str) -> String {
    json!({ "user": user, "valid_seconds": 3_600 }).to_string()
}

/// A POST.
pub(super) fn post<'a>(path: &'a str, bearer: Option<&'a str>, body: String) -> Request<'a> {
    Request { method: "POST", path, bearer, body: Some(body) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn writer(payload_bytes: usize) -> Writer {
        Writer::new("0badcafe".into(), payload_bytes, "2100-01-01T00:00:00Z".into())
    }

    fn data(body: &str) -> Payload {
        let body: Value = serde_json::from_str(body).expect("JSON");
        Payload::from_json(body["data"].to_string().as_bytes()).expect("JSON")
    }

    #[test]
    fn a_message_has_its_length_and_is_known_again_by_its_own_run() {
        for number in [0, 7, u64::MAX] {
            let payload = data(&writer(100).notify("t", number));
            assert_eq!((payload.len(), writer(9).number_in(&payload)), (100, Some(number)));
            let other = Writer { run: "1badcafe".into(), ..writer(100) };
            assert_eq!(other.number_in(&payload), None);
        }
        for text in ["\"0badcafe-1\"", "{}", "\"\"", "7"] {
            let payload = Payload::from_json(text.as_bytes()).expect("JSON");
            assert_eq!(writer(100).number_in(&payload), None, "{text}");
        }
    }

    #[test]
    fn a_broadcast_has_the_key_by_which_devices_are_found_and_is_told_from_another() {
        let payload = data(&writer(100).broadcast("swarm/0badcafe", 3));
        assert_eq!((payload.len(), writer(9).number_in(&payload)), (100, Some(3)));
        let object: Value = serde_json::from_slice(payload.as_bytes()).expect("JSON");
        assert!(object["swarm/0badcafe"].is_string());
    }
}
