//! Seeds of the target of stored rows: what queues have written.

use lomiri_push::base::{Now, Wall};
use lomiri_push::queue::Limits;
use lomiri_push::store::{DurableQueue, Memory};

use super::super::stored_rows::{Rows, commands, input_of};

/// A store after each of the commands, and each row of the last one with its head.
pub fn stores() -> Vec<Vec<u8>> {
    let mut queue = DurableQueue::open(Memory::new(), Limits::default(), Now::default()).expect("empty");
    let mut stores = Vec::new();
    let mut draws = 0;
    for command in commands() {
        queue.handle(vec![command], Now { wall: Wall(1_000), ..Now::default() }, &mut |bytes| {
            draws += 1;
            bytes.fill(draws);
        });
        stores.push(queue.store_mut().rows_mut().clone());
    }
    let singles = stores.iter().flat_map(singles).collect::<Vec<_>>();
    stores.iter().chain(&singles).map(input_of).collect()
}

fn singles(store: &Rows) -> Vec<Rows> {
    let is_head_or = |row: &Vec<u8>, key: &Vec<u8>| key == row || key[..] == b"h"[..];
    let single = |row| store.clone().into_iter().filter(|(key, _)| is_head_or(row, key)).collect();
    store.keys().map(single).collect()
}
