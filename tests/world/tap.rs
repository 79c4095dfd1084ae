//! What passes over one connection, read by somebody between the two sides that knows both wires. It
//! holds the server to what can be told from one connection: windows, numbers of apps, last words.

use std::collections::VecDeque;

use lomiri_push::base::{AppId, MessageId, Payload, Urgency};
use lomiri_push::protocol::wire1::{
    APPS_MAX, DEVICE_BODY_BYTES_MAX, DeviceFrame, Reason, Receipt, SERVER_BODY_BYTES_MAX, ServerFrame,
    WINDOW_BYTES_MAX,
};
use lomiri_push::protocol::{Wire, wire0, wire1};
use lomiri_push::session::EndReason;

/// Something that the server was told, or told.
#[derive(Debug)]
pub enum Passed {
    /// The device has introduced itself.
    Connect { least: Urgency, stored: Vec<MessageId> },
    /// The device wants no less than this.
    Least(Urgency),
    /// The device wants all that waits.
    Flush,
    /// The device has acked these.
    Acked(Vec<MessageId>),
    /// The device says what became of a message.
    Receipt(Receipt),
    /// The server delivers a message; wire 0 says no urgency.
    Message { id: MessageId, app: AppId, urgency: Option<Urgency>, payload: Payload },
    /// The server delivers broadcasts.
    Broadcast,
    /// The server has closed the connection.
    Closed(EndReason),
}

/// One connection's.
pub struct Tap {
    pub connection: u64,
    pub device: String,
    wire: Option<Wire>,
    up: Vec<u8>,
    down: Vec<u8>,
    window: usize,
    /// Deliveries without an ack: of a message, or of broadcasts.
    in_flight: VecDeque<(Option<MessageId>, usize)>,
    apps: [Option<AppId>; APPS_MAX],
    /// Bytes of APP that belong to the next MESSAGE.
    app_bytes: usize,
    last_words: Option<Reason>,
}

impl Tap {
    pub fn new(connection: u64, device: &str) -> Tap {
        Tap {
            connection,
            device: device.into(),
            wire: None,
            up: Vec::new(),
            down: Vec::new(),
            window: 0,
            in_flight: VecDeque::new(),
            apps: Default::default(),
            app_bytes: 0,
            last_words: None,
        }
    }

    /// The server gets these bytes.
    pub fn heard(&mut self, bytes: &[u8]) -> Vec<Passed> {
        self.up.extend_from_slice(bytes);
        let mut passed = Vec::new();
        loop {
            let used = match self.wire {
                None => self.hear_version(),
                Some(Wire::Zero) => self.hear_wire0(&mut passed),
                Some(Wire::One) => self.hear_wire1(&mut passed),
            };
            let Some(used) = used else { return passed };
            self.up.drain(..used);
        }
    }

    fn hear_version(&mut self) -> Option<usize> {
        self.wire = Some(if *self.up.first()? == wire1::VERSION { Wire::One } else { Wire::Zero });
        Some(1)
    }

    fn hear_wire0(&mut self, passed: &mut Vec<Passed>) -> Option<usize> {
        let (body, used) = wire0::split_frame(&self.up)?;
        match wire0::DeviceMessage::decode(body).expect("devices speak wire 0") {
            wire0::DeviceMessage::Connect(_) => {
                passed.push(Passed::Connect { least: Urgency::VeryLow, stored: Vec::new() });
            }
            wire0::DeviceMessage::Ack => passed.push(self.ack(self.in_flight.len())),
            wire0::DeviceMessage::Pong => {}
        }
        Some(used)
    }

    fn hear_wire1(&mut self, passed: &mut Vec<Passed>) -> Option<usize> {
        let (raw, used) = wire1::split_frame(&self.up, DEVICE_BODY_BYTES_MAX).expect("devices keep to it")?;
        match DeviceFrame::decode(raw).expect("devices speak wire 1")? {
            DeviceFrame::Connect(connect) => {
                self.window = connect.window;
                passed.push(Passed::Connect { least: connect.least, stored: connect.stored });
            }
            DeviceFrame::Ack(count) => passed.push(self.ack(count as usize)),
            DeviceFrame::Urgency(least) => passed.push(Passed::Least(least)),
            DeviceFrame::Flush => passed.push(Passed::Flush),
            DeviceFrame::Receipt(receipt) => passed.push(Passed::Receipt(receipt)),
            DeviceFrame::Ping | DeviceFrame::Keepalive(_) | DeviceFrame::Bye(_) | DeviceFrame::Enrol(_) => {}
        }
        Some(used)
    }

    fn ack(&mut self, count: usize) -> Passed {
        Passed::Acked(self.in_flight.drain(..count).filter_map(|(id, _)| id).collect())
    }

    /// The server sends these bytes.
    pub fn told(&mut self, bytes: &[u8]) -> Vec<Passed> {
        self.down.extend_from_slice(bytes);
        let mut passed = Vec::new();
        loop {
            let used = match self.wire {
                Some(Wire::One) => self.tell_wire1(&mut passed),
                _ => self.tell_wire0(&mut passed),
            };
            let Some(used) = used else { return passed };
            self.down.drain(..used);
        }
    }

    fn tell_wire0(&mut self, passed: &mut Vec<Passed>) -> Option<usize> {
        let (body, used) = wire0::split_frame(&self.down)?;
        let message = wire0::ServerMessage::decode(body).expect("the server speaks wire 0");
        assert!(self.in_flight.is_empty(), "{}: {message:?} before the ack", self.device);
        match message {
            wire0::ServerMessage::Notifications(notifications) => {
                for notification in notifications {
                    let wire0::Notification { id, app, payload } = notification;
                    self.in_flight.push_back((Some(id), 0));
                    passed.push(Passed::Message { id, app, urgency: None, payload });
                }
            }
            wire0::ServerMessage::Broadcast(_) => {
                self.in_flight.push_back((None, 0));
                passed.push(Passed::Broadcast);
            }
            _ => {}
        }
        Some(used)
    }

    fn tell_wire1(&mut self, passed: &mut Vec<Passed>) -> Option<usize> {
        let (raw, used) = wire1::split_frame(&self.down, SERVER_BODY_BYTES_MAX).expect("a server's frame")?;
        let frame = ServerFrame::decode(raw).expect("the server speaks wire 1").expect("a known frame");
        assert_eq!(self.last_words, None, "{}: {frame:?} after GOAWAY", self.device);
        match frame {
            ServerFrame::App(number, app) => {
                self.apps[number.index()] = Some(app);
                self.app_bytes = used;
            }
            ServerFrame::Message(message) => {
                let wire1::Message { app, urgency, id, payload, .. } = message;
                let app = self.apps[app.index()].clone().expect("APP names the number first");
                let bytes = std::mem::take(&mut self.app_bytes) + used;
                self.deliver(Some(id), bytes);
                passed.push(Passed::Message { id, app, urgency: Some(urgency), payload });
            }
            ServerFrame::Broadcast(_) => {
                let others = self.in_flight.iter().filter(|(id, _)| id.is_none()).count();
                assert_eq!(others, 0, "{}: two broadcasts in flight", self.device);
                self.deliver(None, used);
                passed.push(Passed::Broadcast);
            }
            ServerFrame::Goaway(goaway) => self.last_words = Some(goaway.reason),
            ServerFrame::Connack(_) | ServerFrame::Enrolled(_) | ServerFrame::Pong => {}
        }
        Some(used)
    }

    fn deliver(&mut self, id: Option<MessageId>, bytes: usize) {
        let in_flight: usize = self.in_flight.iter().map(|(_, bytes)| bytes).sum();
        assert!(self.in_flight.len() < self.window, "{}: more than its window", self.device);
        assert!(in_flight < WINDOW_BYTES_MAX, "{}: {in_flight} bytes in flight, and more", self.device);
        self.in_flight.push_back((id, bytes));
    }

    /// The server closes the connection, for `reason`: on wire 1 it has said so.
    pub fn closed(&mut self, reason: EndReason) -> Passed {
        let due = match reason {
            EndReason::Terminated => Some(Reason::TakenOver),
            EndReason::Timeout => Some(Reason::Timeout),
            EndReason::Shutdown => Some(Reason::Restart),
            _ => None,
        };
        if self.wire == Some(Wire::One) {
            assert_eq!(self.last_words, due, "{}: {reason}", self.device);
        }
        Passed::Closed(reason)
    }
}
