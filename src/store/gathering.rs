//! How much of what waits for the storage thread goes into one batch. It knows nothing of threads, and not
//! who asks.

use crate::queue::Command;

/// Decisions in a batch beyond which it takes no further command: enough that the write costs each little,
/// few enough that the first one's answer does not wait for long.
const BATCH_DECISIONS_MAX: usize = 256;

/// Takes from what waits as much as one batch takes, and no more; the first in any case. Each comes with
/// whoever is to have its answer.
pub fn gather<Asker>(waiting: impl IntoIterator<Item = (Asker, Command)>) -> (Vec<Asker>, Vec<Command>) {
    let (mut askers, mut commands) = (Vec::new(), Vec::new());
    let mut decisions = 0;
    for (asker, command) in waiting {
        decisions += command.decisions();
        askers.push(asker);
        commands.push(command);
        if decisions >= BATCH_DECISIONS_MAX {
            break;
        }
    }
    (askers, commands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{DeviceId, Payload, Wall};
    use crate::queue::{Address, Notify, Submission};

    fn submission() -> Submission {
        let device: DeviceId = "carol".parse().expect("valid");
        let notify = Notify {
            to: Address::Device(device),
            app: "chatter".parse().expect("valid"),
            expires: Wall(1),
            payload: Payload::from_json(b"1").expect("JSON"),
            urgency: Default::default(),
            clear_pending: false,
            replace_tag: None,
            app_key: None,
        };
        Submission { notify, repeat: None }
    }

    fn send() -> Command {
        Command::Send(std::iter::repeat_with(submission).take(500).collect())
    }

    /// How many commands go into the first batch, and how many are left.
    fn taken(waiting: impl IntoIterator<Item = Command>) -> (usize, usize) {
        let mut waiting = waiting.into_iter().map(|command| ((), command));
        let (askers, commands) = gather(&mut waiting);
        assert_eq!(askers.len(), commands.len());
        (commands.len(), waiting.count())
    }

    #[test]
    fn a_batch_takes_few_commands_that_are_many_messages() {
        let probes = |count| std::iter::repeat_with(|| Command::Probe).take(count);
        assert_eq!(taken(probes(BATCH_DECISIONS_MAX + 1)), (BATCH_DECISIONS_MAX, 1));
        assert_eq!(taken(probes(3)), (3, 0));
        assert_eq!(taken(std::iter::once(send()).chain(probes(2))), (1, 2));
        assert_eq!(taken(probes(1).chain([send(), send()])), (2, 1));
    }
}
