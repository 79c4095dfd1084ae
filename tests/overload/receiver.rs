//! A device that acks at once, and tells what came and when.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lomiri_push::device::state::State;
use lomiri_push::device::{Connection, Server};
use lomiri_push::protocol::wire1::Connect;
use lomiri_push::session::device::{Event, Message, Options};
use serde_json::Value;

use super::outside::PATIENCE;

/// The silence that it announces: longer than anything here takes.
const KEEPALIVE: Duration = Duration::from_secs(1_700);

/// A message has come and was acked.
pub struct Arrival {
    /// What the sender calls it.
    pub number: u64,
    pub at: Instant,
}

/// A connected device with one app.
pub struct Device {
    pub token: String,
    pub app: &'static str,
    pub arrivals: Receiver<Arrival>,
    thread: JoinHandle<()>,
}

impl Device {
    /// Connects; returns when the server has let it in.
    pub fn connect(
        server: &Server,
        state: &State,
        app: &'static str,
        token: String,
    ) -> Result<Device, String> {
        let connect = Connect {
            credential: state.credential.as_bytes().to_vec(),
            ..Connect::new(state.device.clone(), KEEPALIVE)
        };
        let mut connection =
            Connection::open(server, Options::new(connect.into())).map_err(|error| error.to_string())?;
        match connection.next_event(None) {
            Some(Event::Connected { .. }) => {}
            other => return Err(format!("{other:?} in place of a connection")),
        }
        let (sender, arrivals) = mpsc::channel();
        let receive = move || {
            while let Some(event) = connection.next_event(None) {
                if let Event::Message(message) = event {
                    connection.ack();
                    // Nobody may want to know.
                    let _ = sender.send(Arrival { number: number(&message), at: Instant::now() });
                }
            }
        };
        Ok(Device { token, app, arrivals, thread: thread::spawn(receive) })
    }

    /// Waits for the next message.
    pub fn next(&self) -> Result<Arrival, String> {
        self.arrivals.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("nothing came for {PATIENCE:?}"),
            RecvTimeoutError::Disconnected => "the session ended".into(),
        })
    }

    /// Waits until the server has gone.
    pub fn end(self) {
        self.thread.join().expect("devices don't panic");
    }
}

fn number(message: &Message) -> u64 {
    let payload: Value = serde_json::from_slice(message.payload.as_bytes()).unwrap_or_default();
    payload["number"].as_u64().unwrap_or_default()
}
