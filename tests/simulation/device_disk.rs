//! The folder of a simulated device's push service, and what a crash between two writes leaves of it.

use std::collections::BTreeMap;

use lomiri_push::service::mailbox::Write;

use super::dice::Dice;

/// Files by name, all durable.
#[derive(Default)]
pub struct DeviceDisk {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whether new files find no room.
    pub is_full: bool,
}

impl DeviceDisk {
    /// Does the writes in their order, up to the first that finds no room. Says whether all are done.
    pub fn write(&mut self, writes: Vec<Write>) -> bool {
        writes.into_iter().all(|write| self.write_one(write))
    }

    fn write_one(&mut self, write: Write) -> bool {
        match write {
            Write::Put(..) if self.is_full => return false,
            Write::Put(name, contents) => drop(self.files.insert(name, contents)),
            Write::Remove(name) => drop(self.files.remove(&name)),
        }
        true
    }

    /// The power goes while these are written: some are done, and the next lies there in part, under the
    /// name that it had before it was to be renamed.
    pub fn lose_power(&mut self, mut writes: Vec<Write>, dice: &mut Dice) {
        let rest = writes.split_off(dice.below(writes.len() + 1));
        self.write(writes);
        if let Some(Write::Put(name, contents)) = rest.into_iter().next() {
            let torn = contents[..dice.below(contents.len())].to_vec();
            self.files.insert(format!("{name}.new"), torn);
        }
    }
}
