//! Seeds of the two API targets: requests of each kind, in order and out of order.

use super::super::script::Step;
use super::script;

/// Each with the place of its path in the list of paths that can be posted to.
const BODIES: [(u8, &str); 13] = [
    (
        0,
        r#"{"token":"AAECAwQFBgcICQoLDA0ODw","appid":"chatter","expire_on":"2036-01-02T00:00:00Z","data":{"m":"hi"}}"#,
    ),
    (
        0,
        r#"{"userid":"u","deviceid":"carol","appid":"chatter","expire_on":"2036-01-02T03:04:05.678+01:30","data":[1, 2.50e+2, null]}"#,
    ),
    (
        0,
        r#"{"userid":"u","deviceid":"carol","appid":"a","expire_on":"9999-12-31T23:59:59-12:00","data":"\"\\\u00e9","replace_tag":"mail"}"#,
    ),
    (
        0,
        r#"{"userid":"u","deviceid":"carol","appid":"\u0001","expire_on":"2036-01-02t00:00:00z","data":null,"clear_pending":true,"urgency":"high"}"#,
    ),
    (
        0,
        r#"{"Token":"x","USERID":"u","deviceid":"carol","appid":"a","expire_on":"2020-01-02T00:00:00Z","data":{},"data":[[[]]]}"#,
    ),
    (0, r#"{"token":7}"#),
    (1, r#"{"channel":"system","expire_on":"2036-01-02T00:00:00Z","data":{"img1/m1":[20,""]}}"#),
    (1, r#"{"channel":"other","expire_on":"tomorrow","data":{"img1/m1":[20,""]}}"#),
    (2, r#"{"deviceid":"carol","appid":"chatter"}"#),
    (2, r#"{"deviceid":"c d","appid":"chatter"}"#),
    (3, r#"{"deviceid":"carol","appid":"chatter"}"#),
    (3, "null"),
    (3, "{"),
];

const GETS: [&str; 6] = [
    "GET /delivery-hosts?h=0f HTTP/1.1\r\nHost: push\r\n\r\n",
    "GET /stats HTTP/1.1\r\nAuthorization: Basic b3BzOnNlY3JldA==\r\n\r\n",
    "HEAD http://push:8080/healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
    "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST /notify HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\n",
];

/// A path's place, and a body.
pub fn bodies() -> Vec<Vec<u8>> {
    BODIES.iter().map(|(place, body)| [&[*place], body.as_bytes()].concat()).collect()
}

/// Each request by itself, granted; and some that are pipelined.
pub fn conversations() -> Vec<Vec<u8>> {
    let gets = GETS.iter().map(|get| get.as_bytes().to_vec());
    let requests: Vec<Vec<u8>> = gets.chain(BODIES.iter().map(|(place, body)| post(*place, body))).collect();
    let single = requests.iter().map(|request| conversation(request));
    let pipelined = requests.windows(3).map(|some| conversation(&some.concat()));
    single.chain(pipelined).collect()
}

/// The peer sends `requests`, the server grants three of them, time passes, and the peer ends.
fn conversation(requests: &[u8]) -> Vec<u8> {
    let (grant, end) = (Step::Act(1), Step::Act(0));
    script(&[Step::Bytes(requests), grant, grant, grant, Step::Jump, end])
}

fn post(place: u8, body: &str) -> Vec<u8> {
    let path = ["/notify", "/broadcast", "/register", "/unregister"][usize::from(place)];
    let expectation = if body.len() > 100 { "Expect: 100-continue\r\n" } else { "" };
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nContent-Type: application/json; charset=utf-8\r\n{expectation}\
         Content-Length: {length}\r\n\r\n{body}"
    );
    request.into_bytes()
}
