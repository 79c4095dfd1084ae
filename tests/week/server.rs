//! A server on wire 1 as its one phone meets it: it keeps messages until they are acked. A script, in frames
//! of the real wire; what servers really do is tested elsewhere.

use std::collections::VecDeque;
use std::time::Duration;

use lomiri_push::base::{AppId, MessageId, Payload, Urgency, Wall};
use lomiri_push::protocol::wire1::{
    AppNumber, Connack, DEVICE_BODY_BYTES_MAX, DeviceFrame, EXPIRY_SECONDS_MAX, Goaway, Message, Reason,
    ServerFrame, VERSION, split_frame,
};

const KEEPALIVE_MAX: Duration = Duration::from_secs(7_200);
/// What servers say of when to come back to one that starts again: in a second, and some ten later.
const RESTART_TAKES: Duration = Duration::from_secs(1);
const SPREAD: Duration = Duration::from_secs(10);
/// JSON of as many bytes as the message that was measured.
const PAYLOAD_BYTES: usize = 100;

pub struct Server {
    /// Not acked yet, oldest first.
    pending: VecDeque<MessageId>,
    conversation: Option<Conversation>,
}

/// What it knows of the phone's connection.
struct Conversation {
    /// How many of the oldest that are pending are sent.
    in_flight: usize,
    window: usize,
    is_app_named: bool,
}

impl Server {
    pub fn new() -> Server {
        Server { pending: VecDeque::new(), conversation: None }
    }

    /// An app server posts: what the phone's connection brings then.
    pub fn post(&mut self, message: MessageId) -> Vec<u8> {
        self.pending.push_back(message);
        self.deliver()
    }

    /// It is stopped in order: what the phone's connection brings then.
    pub fn stop(&mut self) -> Vec<u8> {
        let goaway = Goaway { reason: Reason::Restart, after: RESTART_TAKES, spread: SPREAD };
        let was_connected = self.conversation.take().is_some();
        encode(was_connected.then_some(ServerFrame::Goaway(goaway)))
    }

    /// What the phone says, all connections together, in whole frames: the answers, a record each.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut rest = bytes.strip_prefix(&[VERSION]).unwrap_or(bytes);
        let mut records = Vec::new();
        while let Some((raw, length)) = split_frame(rest, DEVICE_BODY_BYTES_MAX).expect("well-formed") {
            let frame = DeviceFrame::decode(raw).expect("well-formed").expect("known");
            records.push(self.handle(frame));
            rest = &rest[length..];
        }
        records.push(self.deliver());
        records.retain(|record| !record.is_empty());
        records
    }

    fn handle(&mut self, frame: DeviceFrame) -> Vec<u8> {
        let answer = match frame {
            DeviceFrame::Connect(connect) => {
                self.pending.retain(|message| !connect.stored.contains(message));
                let window = connect.window;
                self.conversation = Some(Conversation { in_flight: 0, window, is_app_named: false });
                Some(ServerFrame::Connack(Connack { time: Wall(0), keepalive_max: KEEPALIVE_MAX, window }))
            }
            DeviceFrame::Ping => Some(ServerFrame::Pong),
            DeviceFrame::Ack(count) => {
                self.acked(count as usize);
                None
            }
            DeviceFrame::Bye(_) => {
                self.conversation = None;
                None
            }
            _ => None,
        };
        encode(answer)
    }

    fn acked(&mut self, count: usize) {
        let conversation = self.conversation.as_mut().expect("who acks is connected");
        conversation.in_flight -= count;
        self.pending.drain(..count);
    }

    /// Sends what the window has room for.
    fn deliver(&mut self) -> Vec<u8> {
        let Some(conversation) = &mut self.conversation else { return Vec::new() };
        let end = self.pending.len().min(conversation.window);
        let due = self.pending.range(conversation.in_flight..end.max(conversation.in_flight));
        let app = AppNumber::new(0).expect("there is a first");
        let mut frames = Vec::new();
        for id in due {
            if !std::mem::replace(&mut conversation.is_app_named, true) {
                frames.push(ServerFrame::App(app, chatter()));
            }
            frames.push(ServerFrame::Message(message(app, *id)));
        }
        conversation.in_flight = conversation.in_flight.max(end);
        encode(frames)
    }
}

fn encode(frames: impl IntoIterator<Item = ServerFrame>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frames.into_iter().for_each(|frame| frame.encode(&mut bytes));
    bytes
}

fn chatter() -> AppId {
    "com.example.chatter_chatter".parse().expect("an app id")
}

fn message(app: AppNumber, id: MessageId) -> Message {
    let json = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES - 2));
    Message {
        app,
        urgency: Urgency::Normal,
        expires: Duration::from_secs(EXPIRY_SECONDS_MAX),
        id,
        payload: Payload::from_json(json.as_bytes()).expect("JSON"),
    }
}
