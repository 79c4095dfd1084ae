//! Very many devices in one loop: their connections, sessions and deadlines. It does what it is told with each, and
//! tells what happens; what is to be done when, and what it means, it does not know.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event as Readiness;
use mio::{Events, Poll, Token};

use super::callers::Callers;
use super::clock::now;
use super::pipe::{Broken, Pipe, Received, Scratch};
use crate::base::{CodeSecret, Credential, DeviceId, Monotonic, Payload};
use crate::http::Request;
use crate::protocol::wire1::Enrolled;
use crate::protocol::{wire0, wire1};
use crate::session::EndReason;
use crate::session::device::{Connect, Event, Options, Session};
use crate::tls::{ClientConfig, ServerName, SharedTickets, Tls};

/// Events taken from the selector at once.
const EVENTS_PER_TURN: usize = 256;
/// Bytes that a slow device reads, and how often.
const SLOW_BYTES: usize = 64;
const SLOW_READS_APART: Duration = Duration::from_secs(1);
/// Reads of one socket in one turn; more wait for the next.
const READS_PER_TURN: usize = 4;
/// As long as a device's silence may be, so that the server's bound counts.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(65_535);
/// Deliveries that a device takes without an ack.
const WINDOW: usize = 16;

/// Where devices connect and how they speak.
#[derive(Clone)]
pub struct Server {
    /// Where it listens for devices.
    pub address: SocketAddr,
    /// The name in its certificate.
    pub name: ServerName<'static>,
    /// How devices speak TLS.
    pub tls: Arc<ClientConfig>,
    /// By which those who come back resume.
    pub tickets: Option<Arc<SharedTickets>>,
    /// From where devices connect, in turn; from wherever the system likes if there is none.
    pub sources: Vec<IpAddr>,
    /// What they speak, 0 or 1.
    pub wire: u8,
    /// How long a device waits to be let in, and for an answer.
    pub patience: Duration,
    /// What devices run, `<channel>/<model>`, by which broadcasts find them.
    pub image: (String, String),
}

/// Who a device is.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A device, and what proves it.
    Device(DeviceId, Option<Credential>),
    /// Nobody yet: it has a code.
    Code(CodeSecret),
}

/// How a device behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pace {
    /// It reads and acks at once.
    #[default]
    Brisk,
    /// It reads a few bytes each second.
    Slow,
    /// It does nothing any more.
    Dead,
}

/// Something that has happened to a device, by its number.
#[derive(Debug)]
pub(super) enum Happened {
    Connected {
        device: usize,
        is_resumed: bool,
    },
    Enrolled(usize, Enrolled),
    /// Came at this time.
    Message(Payload, Monotonic),
    Broadcast(usize, Vec<Payload>, Monotonic),
    /// A keepalive was answered.
    Confirmed,
    Ended(usize, String),
}

/// All devices.
pub(super) struct Fleet {
    poll: Poll,
    events: Events,
    server: Server,
    members: Vec<Member>,
    deadlines: BTreeSet<(Monotonic, u32)>,
    scratch: Scratch,
    /// What has happened, oldest first.
    pub(super) happened: VecDeque<Happened>,
    /// Frames that devices have sent in answer to the server or to say that they live.
    pub(super) said: u64,
    pub(super) callers: Callers,
}

struct Member {
    identity: Identity,
    pace: Pace,
    line: Option<Box<Line>>,
}

/// A device that is connected, or about to be.
struct Line {
    pipe: Pipe,
    session: Session,
    deadline: Option<Monotonic>,
    has_more: bool,
    is_ending: bool,
}

impl Fleet {
    /// Nobody is connected yet.
    pub(super) fn new(server: Server, callers: Callers) -> io::Result<Fleet> {
        Ok(Fleet {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_TURN),
            server,
            members: Vec::new(),
            deadlines: BTreeSet::new(),
            scratch: Scratch::new(),
            happened: VecDeque::new(),
            said: 0,
            callers,
        })
    }

    /// One more device; its number.
    pub(super) fn add(&mut self, identity: Identity) -> usize {
        self.members.push(Member { identity, pace: Pace::Brisk, line: None });
        self.members.len() - 1
    }

    /// Nobody is there any more.
    pub(super) fn clear(&mut self) {
        (0..self.members.len()).for_each(|device| self.hang_up(device));
        self.members.clear();
    }

    pub(super) fn identity(&self, device: usize) -> &Identity {
        &self.members[device].identity
    }

    pub(super) fn set_pace(&mut self, device: usize, pace: Pace) {
        self.members[device].pace = pace;
    }

    /// What devices speak.
    pub(super) fn wire(&self) -> u8 {
        self.server.wire
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Asks the API, under a number of the asker's. A caller must be idle.
    pub(super) fn ask(&mut self, number: u64, request: &Request<'_>) {
        self.callers.ask(number, request, self.poll.registry());
    }

    /// Lets all callers connect, so that no request has to wait for that.
    pub(super) fn connect_callers(&mut self) {
        self.callers.connect(self.poll.registry());
    }

    /// What has gone over devices' sockets, up and down.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.scratch.bytes_up, self.scratch.bytes_down)
    }

    /// From now on devices resume, if they may.
    pub(super) fn resume(&self) {
        if let Some(tickets) = &self.server.tickets {
            tickets.give();
        }
    }

    /// Begins to connect a device that is not.
    pub(super) fn connect(&mut self, device: usize) {
        if let Err(problem) = self.try_connect(device) {
            self.happened.push_back(Happened::Ended(device, problem));
        }
    }

    fn try_connect(&mut self, device: usize) -> Result<(), String> {
        let Server { address, name, tls, sources, patience, .. } = &self.server;
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let options = Options {
            exchange_timeout: *patience,
            ..Options::new(self.members[device].identity.connect(&self.server))
        };
        let session = Session::new(options, now()).map_err(|error| told(&error))?;
        let tls = Tls::connect(tls, name.clone()).map_err(|error| told(&error))?;
        let from = (!sources.is_empty()).then(|| sources[device % sources.len()]);
        let mut pipe = Pipe::dial(*address, from, Some(tls)).map_err(|error| told(&error))?;
        pipe.register(self.poll.registry(), Token(device)).map_err(|error| told(&error))?;
        let mut line = Box::new(Line { pipe, session, deadline: None, has_more: false, is_ending: false });
        line.pipe.begin(&mut self.scratch).map_err(|error| told(&error))?;
        self.members[device].line = Some(line);
        self.settle(device);
        Ok(())
    }

    /// A device's connection is cut, without a word.
    pub(super) fn hang_up(&mut self, device: usize) {
        if let Some(line) = self.take(device) {
            line.pipe.cut();
        }
    }

    /// A device takes its leave in order.
    pub(super) fn leave(&mut self, device: usize) {
        if let Some(mut line) = self.take(device) {
            line.session.leave();
            // Whoever has gone need not be told.
            let _ = line.transmit(&mut self.scratch);
            line.pipe.close(&mut self.scratch);
        }
    }

    /// From now on a device on wire 1 is silent for so long.
    pub(super) fn keep_alive(&mut self, device: usize, silence: Duration) {
        if let Some(line) = self.members[device].line.as_deref_mut() {
            line.session.keep_alive(silence);
            self.settle(device);
        }
    }

    fn take(&mut self, device: usize) -> Option<Box<Line>> {
        let line = self.members[device].line.take()?;
        if let Some(at) = line.deadline {
            self.deadlines.remove(&(at, device as u32));
        }
        Some(line)
    }

    /// Waits until something happens, until `until` at the latest, and deals with it.
    pub(super) fn turn(&mut self, until: Monotonic) -> io::Result<()> {
        let first = self.deadlines.first().map_or(until, |(at, _)| until.min(*at));
        let wait = if self.callers.has_work() { Duration::ZERO } else { first.since(now()) };
        match self.poll.poll(&mut self.events, Some(wait)) {
            // A signal: whoever looks at it is asked next.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        let mut events = mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let Token(number) = event.token();
            if number < self.members.len() {
                self.handle_event(number, event);
            } else {
                self.callers.handle_event(number, event.is_read_closed() || event.is_error());
            }
        }
        mem::swap(&mut self.events, &mut events);
        self.callers.work(self.poll.registry());
        self.serve_deadlines();
        Ok(())
    }

    fn serve_deadlines(&mut self) {
        let now = now();
        while let Some((at, number)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, number));
            let device = number as usize;
            let Member { pace, line, .. } = &mut self.members[device];
            let Some(line) = line.as_deref_mut() else { continue };
            line.deadline = None;
            if *pace != Pace::Dead {
                line.session.handle_timeout(now);
            }
            if line.has_more || *pace == Pace::Slow {
                self.read(device);
            }
            self.settle(device);
        }
    }

    fn handle_event(&mut self, device: usize, event: &Readiness) {
        let Some(line) = self.members[device].line.as_deref_mut() else { return };
        // The end may stand behind what the socket still holds, and no other event tells of it.
        line.is_ending |= event.is_read_closed() || event.is_error();
        let is_readable = event.is_readable() || line.is_ending;
        match line.pipe.flush(&mut self.scratch) {
            Err(broken) => return self.end(device, &broken),
            Ok(()) if is_readable => self.read(device),
            Ok(()) => {}
        }
        self.settle(device);
    }

    fn read(&mut self, device: usize) {
        let Member { pace, line, .. } = &mut self.members[device];
        let Some(line) = line.as_deref_mut() else { return };
        let (reads, bytes_max) = match pace {
            Pace::Brisk => (READS_PER_TURN, usize::MAX),
            Pace::Slow => (1, SLOW_BYTES),
            Pace::Dead => return,
        };
        for _ in 0..reads {
            let more = line.pipe.receive(bytes_max, &mut self.scratch);
            if !self.scratch.plaintext.is_empty() {
                line.session.handle_bytes(&self.scratch.plaintext, now());
            }
            match more {
                Ok(Received::More) => line.has_more = true,
                Ok(Received::Some) if line.is_ending => line.has_more = true,
                Ok(Received::Some | Received::Nothing) => {
                    line.has_more = false;
                    return;
                }
                Err(broken) => return self.end(device, &broken),
            }
        }
    }

    fn end(&mut self, device: usize, broken: &Broken) {
        if let Some(line) = self.members[device].line.as_deref_mut() {
            line.session.end(match broken {
                Broken::Closed => EndReason::Eof,
                broken => EndReason::Transport(broken.to_string().into()),
            });
        }
        self.settle(device);
    }

    /// Takes a session to where it waits again: what it tells is noted, what came is acked, what it says is sent.
    fn settle(&mut self, device: usize) {
        let Some(line) = self.members[device].line.as_deref_mut() else { return };
        let mut is_over = false;
        while let Some(event) = line.session.poll_event() {
            match event {
                Event::Connected { .. } => {
                    let is_resumed = line.pipe.is_resumed();
                    self.happened.push_back(Happened::Connected { device, is_resumed });
                }
                Event::Enrolled(enrolled) => self.happened.push_back(Happened::Enrolled(device, enrolled)),
                Event::Message(message) => self.happened.push_back(Happened::Message(message.payload, now())),
                Event::Broadcast(broadcast) => {
                    self.happened.push_back(Happened::Broadcast(device, broadcast.payloads, now()));
                }
                Event::Confirmed => self.happened.push_back(Happened::Confirmed),
                Event::Ended(reason) => {
                    is_over = true;
                    self.happened.push_back(Happened::Ended(device, reason.to_string()));
                }
                _ => {}
            }
            line.session.ack();
        }
        if is_over {
            return self.hang_up(device);
        }
        match line.transmit(&mut self.scratch) {
            Ok(frames) => self.said += frames,
            Err(broken) => return self.end(device, &broken),
        }
        self.set_deadline(device);
    }

    fn set_deadline(&mut self, device: usize) {
        let Member { pace, line, .. } = &mut self.members[device];
        let Some(line) = line.as_deref_mut() else { return };
        let mut deadline = line.session.next_deadline();
        match pace {
            Pace::Brisk if line.has_more => deadline = Some(now()),
            Pace::Slow => deadline = deadline.into_iter().chain([now() + SLOW_READS_APART]).min(),
            Pace::Dead => deadline = None,
            Pace::Brisk => {}
        }
        if deadline != line.deadline {
            let number = device as u32;
            if let Some(at) = line.deadline {
                self.deadlines.remove(&(at, number));
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, number));
            }
            line.deadline = deadline;
        }
    }
}

impl Line {
    /// Sends what the session wants to say, once TLS can carry it; in how many parts.
    fn transmit(&mut self, scratch: &mut Scratch) -> Result<u64, Broken> {
        if !self.pipe.is_open() {
            return Ok(0);
        }
        let (mut plaintext, mut frames) = (Vec::new(), 0);
        while let Some(part) = self.session.poll_transmit(now()) {
            plaintext.extend_from_slice(&part);
            frames += 1;
        }
        if frames > 0 {
            self.pipe.send(&plaintext, scratch)?;
        }
        Ok(frames)
    }
}

impl Identity {
    /// The device's id; nobody's is empty.
    pub(super) fn device(&self) -> &str {
        match self {
            Identity::Device(device, _) => device.as_str(),
            Identity::Code(_) => "",
        }
    }

    /// What gives a device the right to ask the API.
    pub(super) fn bearer(&self) -> Option<String> {
        match self {
            Identity::Device(_, credential) => credential.as_ref().map(Credential::reveal),
            Identity::Code(_) => None,
        }
    }

    fn connect(&self, server: &Server) -> Connect {
        let (channel, model) = &server.image;
        match (self, server.wire) {
            (Identity::Code(secret), _) => Connect::Enrol(*secret),
            (Identity::Device(device, credential), 0) => Connect::Wire0(wire0::Connect {
                authorization: credential
                    .as_ref()
                    .map_or_else(String::new, |credential| format!("Bearer {}", credential.reveal())),
                client_ver: env!("CARGO_PKG_VERSION").into(),
                model: model.clone(),
                image_channel: channel.clone(),
                ..wire0::Connect::new(device.clone())
            }),
            (Identity::Device(device, credential), _) => Connect::Wire1(wire1::Connect {
                window: WINDOW,
                image: format!("{channel}/{model}"),
                credential: credential
                    .as_ref()
                    .map_or_else(Vec::new, |credential| credential.as_bytes().to_vec()),
                ..wire1::Connect::new(device.clone(), SILENCE_MAX)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be very many.
    #[test]
    fn a_device_is_small() {
        assert!(size_of::<Member>() <= 80, "{}", size_of::<Member>());
        assert!(size_of::<Line>() <= 256, "{}", size_of::<Line>());
    }
}
