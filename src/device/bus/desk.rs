//! Where the messages of one connection are dealt with, in order, each without waiting: a call is answered on the
//! spot, refused, handed on, or parked until the bus has said who called.

use std::fs;
use std::sync::Arc;

use zbus::message::{Message, Type};
use zbus::zvariant::OwnedValue;

use super::ask::{self, Plain, Wanted};
use super::call::{Ask, Call, Responder};
use super::callers::{Callers, Parked, Standing};
use super::crowd::Who;
use super::error::{CallError, NoSuchApp};
use super::names::{BUS, BUS_PATH};
use super::outbox::{Outbox, Reply};
use super::{Duty, News};

/// Deals with what comes on one connection.
pub(super) struct Desk {
    duty: Arc<Duty>,
    outbox: Outbox,
    /// `None`: everybody may ask everything.
    callers: Option<Callers<Message>>,
    /// Who has connected, where that is one alone and no bus.
    peer: Option<u64>,
}

impl Desk {
    /// `checks`: whether who calls is looked at. `peer`: who alone can call, where there is no bus.
    pub(super) fn new(duty: Arc<Duty>, outbox: Outbox, checks: bool, peer: Option<u64>) -> Desk {
        Desk { duty, outbox, callers: checks.then(Callers::new), peer }
    }

    /// Deals with one message, once the answers to those before have nearly gone.
    pub(super) fn handle(&mut self, message: Message) {
        self.outbox.wait_for_room();
        match message.message_type() {
            Type::MethodCall => self.handle_call(message),
            Type::MethodReturn | Type::Error => self.handle_reply(&message),
            Type::Signal => (),
        }
    }

    /// The connection has ended.
    pub(super) fn close(&self) {
        self.outbox.close();
    }

    fn handle_call(&mut self, call: Message) {
        match ask::read(&call) {
            Ok(Wanted::Plain(plain)) => self.outbox.reply(&call, &answer(plain)),
            Ok(Wanted::Service { package, ask }) => self.admit(call, package.as_deref(), ask),
            Err(error) => self.refuse(&call, error),
        }
    }

    /// Hands a call on if its caller may make it.
    fn admit(&mut self, call: Message, package: Option<&str>, ask: Ask) {
        let Some(callers) = &mut self.callers else { return self.hand_on(call, ask) };
        let header = call.header();
        let caller = header.sender().map(|sender| sender.to_string());
        drop(header);
        // Peers without a bus have no names, and nobody to say who they are.
        let Some(caller) = caller else { return self.refuse(&call, CallError::AccessDenied) };
        match callers.standing(&caller) {
            Some(standing) if standing.may_ask(package) => self.hand_on(call, ask),
            Some(_) => self.refuse(&call, CallError::AccessDenied),
            None => match callers.park(&caller, call) {
                Parked::Waits => (),
                Parked::LookUp(call) => self.look_up(&caller, call),
                Parked::Full(call) => self.refuse(&call, CallError::Busy),
            },
        }
    }

    /// Asks the bus who `caller` is.
    fn look_up(&mut self, caller: &str, call: Message) {
        let question =
            credentials_question(caller).ok().filter(|question| self.outbox.send(question.clone()));
        match (question, &mut self.callers) {
            (Some(question), Some(callers)) => {
                callers.asked(question.primary_header().serial_num().get(), caller, call);
            }
            _ => self.refuse(&call, CallError::Busy),
        }
    }

    /// The bus may have said who called.
    fn handle_reply(&mut self, reply: &Message) {
        let header = reply.header();
        // Others could guess the number.
        let is_of_bus = header.sender().is_some_and(|sender| sender.as_str() == BUS);
        let (Some(callers), Some(number), true) = (&mut self.callers, header.reply_serial(), is_of_bus)
        else {
            return;
        };
        let standing = Standing::of(label_in(reply).as_deref());
        for call in callers.told(number.get(), standing) {
            self.handle_call(call);
        }
    }

    fn hand_on(&self, call: Message, ask: Ask) {
        if let Some(app) = ask.app().filter(|app| !(self.duty.is_installed)(app)) {
            log::debug!("a call about {app}, which is not installed");
            let path = call.header().path().map(ToString::to_string).unwrap_or_default();
            return self.refuse(&call, CallError::NoSuchObject { path, reason: NoSuchApp::NotInstalled });
        }
        let Some(wait) = self.duty.crowd.enter(self.who(&call)) else {
            return self.refuse(&call, CallError::Busy);
        };
        let outbox = self.outbox.clone();
        let responder = Responder::new(move |outcome| {
            // Who has his answer may call again at once.
            drop(wait);
            outbox.reply(&call, &outcome.into());
        });
        (self.duty.told)(News::Call(Call { ask, responder }));
    }

    fn who(&self, call: &Message) -> Who {
        let on_bus = || call.header().sender().map(ToString::to_string).unwrap_or_default();
        self.peer.map_or_else(|| Who::OnBus(on_bus()), Who::Peer)
    }

    fn refuse(&self, call: &Message, error: CallError) {
        log::debug!("{call}: {error}");
        self.outbox.reply(call, &error.into());
    }
}

fn answer(plain: Plain) -> Reply {
    match plain {
        Plain::Pong => Reply::Nothing,
        Plain::MachineId => machine_id(),
        Plain::Introspection(xml) => Reply::Text(xml),
        Plain::NoProperties => Reply::NoProperties,
    }
}

/// Where the machine's id is kept, by systemd and by D-Bus.
const MACHINE_ID: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

fn machine_id() -> Reply {
    let id = MACHINE_ID.iter().find_map(|path| fs::read_to_string(path).ok());
    match id {
        Some(id) => Reply::Text(id.trim().into()),
        None => CallError::Failed("this machine has no id".into()).into(),
    }
}

/// What asks the bus about a connection of its.
pub(super) fn credentials_question(caller: &str) -> zbus::Result<Message> {
    Message::method_call(BUS_PATH, "GetConnectionCredentials")?
        .destination(BUS)?
        .interface(BUS)?
        .build(&caller)
}

/// The security label in the bus's answer.
pub(super) fn label_in(reply: &Message) -> Option<String> {
    let body = reply.body();
    let mut credentials: std::collections::HashMap<String, OwnedValue> = body.deserialize().ok()?;
    let label = Vec::<u8>::try_from(credentials.remove("LinuxSecurityLabel")?).ok()?;
    String::from_utf8(label).ok()
}

#[cfg(test)]
mod tests;
