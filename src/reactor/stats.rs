//! The server's counters. Each has one writer, which sets it at the end of its turn; `/stats` adds up.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::broker;
use crate::protocol::wire1::Outcome;
use crate::queue;

/// All counters, shared by the threads.
pub(super) struct Stats {
    shards: Box<[ShardStats]>,
    pub(super) api: ApiStats,
    pub(super) queue: QueueStats,
}

/// One shard's.
#[derive(Default)]
pub(super) struct ShardStats {
    connections: Counter,
    accepted: Counter,
    sessions: Counter,
    registered: Counter,
    delivered: Counter,
    broadcasts_delivered: Counter,
    /// By the code of their outcome.
    receipts: [Counter; Outcome::ALL.len()],
}

/// The API loop's.
#[derive(Default)]
pub(super) struct ApiStats {
    pub(super) connections: Counter,
    pub(super) requests: Counter,
    pub(super) busy: Counter,
}

/// The storage thread's.
#[derive(Default)]
pub(super) struct QueueStats {
    pending: Counter,
    pending_bytes: Counter,
    devices: Counter,
    registrations: Counter,
    enrolled: Counter,
    tracked: Counter,
}

/// A number that one thread writes and any may read.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Stats {
    pub(super) fn new(shards: usize) -> Stats {
        Stats {
            shards: std::iter::repeat_with(ShardStats::default).take(shards).collect(),
            api: ApiStats::default(),
            queue: QueueStats::default(),
        }
    }

    pub(super) fn shard(&self, index: usize) -> &ShardStats {
        &self.shards[index]
    }

    /// Every counter by its name in `/stats`.
    pub(super) fn read(&self) -> Vec<(&'static str, u64)> {
        let sum = |counter: fn(&ShardStats) -> &Counter| {
            self.shards.iter().map(|shard| counter(shard).read()).sum::<u64>()
        };
        vec![
            ("connections", sum(|shard| &shard.connections)),
            ("accepted", sum(|shard| &shard.accepted)),
            ("sessions", sum(|shard| &shard.sessions)),
            ("registered", sum(|shard| &shard.registered)),
            ("delivered", sum(|shard| &shard.delivered)),
            ("broadcasts_delivered", sum(|shard| &shard.broadcasts_delivered)),
            ("receipts_shown", sum(|shard| shard.receipts(Outcome::Shown))),
            ("receipts_opened", sum(|shard| shard.receipts(Outcome::Opened))),
            ("receipts_expired", sum(|shard| shard.receipts(Outcome::Expired))),
            ("receipts_refused", sum(|shard| shard.receipts(Outcome::Refused))),
            ("api_connections", self.api.connections.read()),
            ("api_requests", self.api.requests.read()),
            ("api_busy", self.api.busy.read()),
            ("pending", self.queue.pending.read()),
            ("pending_bytes", self.queue.pending_bytes.read()),
            ("devices", self.queue.devices.read()),
            ("registrations", self.queue.registrations.read()),
            ("enrolled", self.queue.enrolled.read()),
            ("tracked", self.queue.tracked.read()),
        ]
    }
}

impl ShardStats {
    fn receipts(&self, outcome: Outcome) -> &Counter {
        &self.receipts[usize::from(outcome.code())]
    }

    pub(super) fn connection_accepted(&self) {
        self.accepted.add_one();
    }

    pub(super) fn set(&self, connections: usize, broker: &broker::Counts) {
        self.connections.set(connections as u64);
        self.sessions.set(broker.sessions);
        self.registered.set(broker.registered);
        self.delivered.set(broker.delivered);
        self.broadcasts_delivered.set(broker.broadcasts_delivered);
        for (counter, receipts) in self.receipts.iter().zip(broker.receipts) {
            counter.set(receipts);
        }
    }
}

impl QueueStats {
    pub(super) fn set(&self, queue: &queue::Counts) {
        self.pending.set(queue.messages as u64);
        self.pending_bytes.set(queue.bytes);
        self.devices.set(queue.devices as u64);
        self.registrations.set(queue.registrations as u64);
        self.enrolled.set(queue.enrolled as u64);
        self.tracked.set(queue.tracked as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_of_all_shards_are_told_by_their_outcome() {
        let stats = Stats::new(2);
        stats.shard(0).set(0, &broker::Counts { receipts: [1, 2, 3, 4], ..Default::default() });
        stats.shard(1).set(0, &broker::Counts { receipts: [10, 0, 0, 40], ..Default::default() });
        let read = stats.read();
        for (outcome, count) in Outcome::ALL.into_iter().zip([11, 2, 3, 44]) {
            let name = format!("receipts_{}", outcome.name());
            assert!(read.iter().any(|&counter| counter == (&name, count)), "{name} in {read:?}");
        }
    }
}
