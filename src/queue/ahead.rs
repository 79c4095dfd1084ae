//! Where a turn's commands will look in memory, looked at before the first of them is decided. It decides nothing, and
//! what it finds is not used.
//!
//! With a million devices, what a command asks for lies in some six places that are in no cache of the processor, each
//! found by the one before. Decided one after the other, every command waits for all of its own. Here all commands
//! take the first step together, then all of them the second, so that the processor fetches many of them at once.
//! What proves a device, and whose it is, is not looked at.

use crate::base::DeviceId;

use super::command::{Address, Command, Notify, Submission};
use super::names::DeviceKey;
use super::registrations::Owner;
use super::state::Queue;

/// With fewer devices all that a turn looks at, some 200 bytes each, lies in a processor's cache: 4 MB.
const DEVICES_MIN: usize = 20_000;
/// Fewer wait for a few microseconds in all, in a turn that waits for the disk a hundred.
const DECISIONS_MIN: usize = 8;

impl Queue {
    /// Brings into the processor's caches what these commands will look at. Without it they are decided just the same, but
    /// more slowly where there are many devices.
    pub fn look_ahead(&self, commands: &[Command]) {
        let decisions: usize = commands.iter().map(Command::decisions).sum();
        if self.devices.len() >= DEVICES_MIN && decisions >= DECISIONS_MIN {
            let devices = self.devices_ahead(commands);
            self.devices.visit(&devices);
            self.pending.visit(&devices);
        }
    }

    /// Whom the commands that come in numbers are about, as far as that is known without waiting for memory twice.
    fn devices_ahead(&self, commands: &[Command]) -> Vec<DeviceKey> {
        let mut devices = self.devices.guess(commands.iter().filter_map(named));
        let sent = commands.iter().filter_map(sent).flatten().map(|submission| &submission.notify);
        let notifies = commands.iter().filter_map(notify).chain(sent);
        devices.extend(notifies.filter_map(|notify| self.device_by_token(notify)));
        devices
    }

    fn device_by_token(&self, notify: &Notify) -> Option<DeviceKey> {
        let Address::Token(token) = notify.to else { return None };
        match self.registrations.owner(token)? {
            Owner::Device(device, _) => Some(device),
            // Its devices would have to be looked for first.
            Owner::User(..) => None,
        }
    }
}

fn named(command: &Command) -> Option<&DeviceId> {
    match command {
        Command::Notify(Notify { to: Address::Device(device), .. })
        | Command::Acked { device, .. }
        | Command::Stored { device, .. } => Some(device),
        _ => None,
    }
}

fn notify(command: &Command) -> Option<&Notify> {
    if let Command::Notify(notify) = command { Some(notify) } else { None }
}

fn sent(command: &Command) -> Option<&Vec<Submission>> {
    if let Command::Send(submissions) = command { Some(submissions) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Now, Payload, Seq, Token, Wall};
    use crate::queue::{Answer, Decision, Limits, Registered};

    fn device(id: &str) -> DeviceId {
        id.parse().expect("valid")
    }

    fn notify_to(to: Address) -> Notify {
        Notify {
            to,
            app: "chatter".parse().expect("valid"),
            expires: Wall(9),
            payload: Payload::from_json(b"1").expect("JSON"),
            urgency: Default::default(),
            clear_pending: false,
            replace_tag: None,
            app_key: None,
        }
    }

    fn decide(queue: &mut Queue, command: Command) -> Decision {
        let mut drawn = 0;
        queue.decide(command, &mut |bytes: &mut [u8]| {
            drawn += 1;
            bytes.fill(drawn);
        })
    }

    fn token(queue: &mut Queue, of: &str) -> Token {
        let app = "chatter".parse().expect("valid");
        match decide(queue, Command::Register { device: device(of), app, credential: None }) {
            Decision::Answer(Answer::Registered(Registered { token, .. })) => token,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_finds_whom_commands_name_or_have_a_token_of() {
        let mut queue = Queue::new(Limits::default());
        queue.begin(Now { wall: Wall(1), ..Now::default() }, u64::MAX);
        let token = token(&mut queue, "carol");
        decide(&mut queue, Command::Notify(notify_to(Address::Device(device("dave")))));
        let by_token = || notify_to(Address::Token(token));
        let carol = queue.devices.find(&device("carol")).expect("registered");
        let dave = queue.devices.find(&device("dave")).expect("something is pending");
        let ahead_of = |command| queue.devices_ahead(&[command]);
        let ack = |of| Command::Acked { device: device(of), seqs: vec![Seq(1)] };
        assert_eq!(ahead_of(Command::Notify(notify_to(Address::Device(device("dave"))))), [dave]);
        assert_eq!(ahead_of(ack("dave")), [dave]);
        assert_eq!(ahead_of(Command::Stored { device: device("carol"), ids: Vec::new() }), [carol]);
        assert_eq!(ahead_of(Command::Notify(by_token())), [carol]);
        let submission = || Submission { notify: by_token(), repeat: None };
        assert_eq!(ahead_of(Command::Send(vec![submission(), submission()])), [carol, carol]);
        assert_eq!(ahead_of(Command::Notify(notify_to(Address::Token(Token([7; 16]))))), []);
        assert_eq!(ahead_of(Command::Probe), []);
    }

    /// Of a name that nobody has, the guess may be a key that is another's, or has no line.
    #[test]
    fn it_visits_what_is_there() {
        let mut queue = Queue::new(Limits::default());
        queue.begin(Now { wall: Wall(1), ..Now::default() }, u64::MAX);
        decide(&mut queue, Command::Notify(notify_to(Address::Device(device("dave")))));
        token(&mut queue, "carol");
        let keys = ["dave", "carol"].map(|id| queue.devices.find(&device(id)).expect("known"));
        decide(&mut queue, Command::Acked { device: device("dave"), seqs: vec![Seq(1)] });
        assert!(queue.devices.find(&device("dave")).is_none());
        queue.devices.visit(&keys);
        queue.pending.visit(&keys);
    }
}
