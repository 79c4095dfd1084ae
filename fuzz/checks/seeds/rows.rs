//! Seeds of the target of stored rows: what queues have written.

use lomiri_push::base::{Now, Payload, Urgency, Wall};
use lomiri_push::queue::{Address, Command, Limits, Notify};
use lomiri_push::store::{DurableQueue, Memory};

use super::super::stored_rows::{Rows, commands, input_of};

/// A store after each of the commands and of a message that the journal does not take, and each row of these
/// with its head.
pub fn stores() -> Vec<Vec<u8>> {
    let mut queue = DurableQueue::open(Memory::new(), Limits::default(), Now::default()).expect("empty");
    let mut stores = Vec::new();
    let mut draws = 0;
    for command in commands().into_iter().chain([large_message()]) {
        queue.handle(vec![command], Now { wall: Wall(1_000), ..Now::default() }, &mut |bytes| {
            draws += 1;
            bytes.fill(draws);
        });
        stores.push(queue.store_mut().rows_mut().clone());
    }
    let singles = stores.iter().flat_map(singles).collect::<Vec<_>>();
    stores.iter().chain(&singles).map(input_of).collect()
}

fn large_message() -> Command {
    let payload = format!("\"{}\"", "x".repeat(1_100));
    Command::Notify(Notify {
        to: Address::Device("carol".parse().expect("an id")),
        app: "chatter".parse().expect("an id"),
        expires: Wall(u64::MAX),
        payload: Payload::from_json(payload.as_bytes()).expect("JSON"),
        urgency: Urgency::Normal,
        clear_pending: false,
        app_key: None,
        replace_tag: None,
    })
}

fn singles(store: &Rows) -> Vec<Rows> {
    let is_head_or = |row: &Vec<u8>, key: &Vec<u8>| key == row || key[..] == b"h"[..];
    let single = |row| store.clone().into_iter().filter(|(key, _)| is_head_or(row, key)).collect();
    store.keys().map(single).collect()
}
