//! How the threads of a server are joined by their queues before they start.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mio::{Poll, Waker};

use super::acceptor::{Acceptor, Room, Slots};
use super::api_loop::{self, ApiLoop, ToApi};
use super::clock::Clock;
use super::descriptors::API_CONNECTIONS_MAX;
use super::inbox::{Inbox, InboxSender, inbox};
use super::links::{Control, Links};
use super::peers::Peers;
use super::server::Options;
use super::shard::{self, Shard, ToShard};
use super::stats::Stats;
use super::storage::{self, Storage};
use super::threads::Threads;
use super::{LISTENER, WAKER};
use crate::base::ShardId;
use crate::broker::{self, Broker};
use crate::store::{DurableQueue, Store};

/// What a server listens with.
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) devices: TcpListener,
    /// Most connections of devices.
    pub(super) connections_max: usize,
}

/// A loop's selector, and what interrupts it.
struct Seat {
    poll: Poll,
    waker: Arc<Waker>,
}

impl Seat {
    fn new() -> io::Result<Seat> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Seat { poll, waker })
    }
}

/// Makes the threads and starts them: storage first, the shards last, so that each finds the others.
pub(super) fn start<S: Store + Send + 'static>(
    options: Options,
    queue: DurableQueue<S>,
    listeners: Listeners,
) -> io::Result<Threads> {
    let seats: Vec<Seat> = (0..options.shards).map(|_| Seat::new()).collect::<Result<_, _>>()?;
    let api_seat = Seat::new()?;
    let wakers = seats.iter().chain([&api_seat]).map(|seat| seat.waker.clone()).collect();
    let (storage, commands) = storage::channel();
    let links = Links {
        clock: Clock::new(),
        control: Control::new(wakers),
        stats: Arc::new(Stats::new(options.shards)),
        peers: Peers::new(options.peers.clone()),
        storage,
    };
    let (senders, inboxes): (Vec<_>, Vec<_>) =
        seats.iter().map(|seat| inbox(shard::INBOX_ITEMS_MAX, seat.waker.clone())).unzip();
    let (api_sender, api_inbox) = inbox(api_loop::INBOX_ITEMS_MAX, api_seat.waker);

    let shards = shards(&options, &queue, &listeners, &links, seats, inboxes, &senders)?;
    let api = api_loop(&options, listeners.http, links.clone(), api_seat.poll, api_inbox)?;
    let Links { clock, control, stats, .. } = links;
    let storage = Storage { queue, commands, shards: senders, api: api_sender, stats, clock };

    let mut threads = Threads::new(control);
    threads.spawn("storage", move || storage.run())?;
    threads.spawn("api", move || api.run())?;
    for (index, shard) in shards.into_iter().enumerate() {
        threads.spawn(&format!("shard {index}"), move || shard.run())?;
    }
    Ok(threads)
}

fn shards<S: Store>(
    options: &Options,
    queue: &DurableQueue<S>,
    listeners: &Listeners,
    links: &Links,
    seats: Vec<Seat>,
    inboxes: Vec<Inbox<ToShard>>,
    senders: &[InboxSender<ToShard>],
) -> io::Result<Vec<Shard>> {
    let room = Room {
        connections: Slots::new(listeners.connections_max),
        handshakes: Slots::new(options.peers.handshakes_max),
    };
    let session = Arc::new(options.session);
    let session_ids = Arc::new(AtomicU64::new(0));
    let make = |(index, (seat, inbox)): (usize, (Seat, _))| {
        let id = ShardId(index);
        let listener = listeners.devices.try_clone()?;
        let acceptor = Acceptor::new(listener, room.clone(), seat.poll.registry(), LISTENER)?;
        let broker = broker::Options {
            shard: id,
            shards: senders.len(),
            is_auth_required: options.is_auth_required,
            api_url: options.api_url.as_str().into(),
            session: session.clone(),
        };
        Ok(Shard::new(shard::Parts {
            id,
            poll: seat.poll,
            acceptor,
            tls: options.tls.clone(),
            broker: Broker::new(broker, queue.channel()),
            inbox,
            shards: senders.to_vec(),
            session_ids: session_ids.clone(),
            links: links.clone(),
        }))
    };
    seats.into_iter().zip(inboxes).enumerate().map(make).collect()
}

fn api_loop(
    options: &Options,
    listener: TcpListener,
    links: Links,
    poll: Poll,
    inbox: Inbox<ToApi>,
) -> io::Result<ApiLoop> {
    // Its connections are few enough that each may be in its handshake.
    let [connections, handshakes] = [Slots::new(API_CONNECTIONS_MAX), Slots::new(API_CONNECTIONS_MAX)];
    let room = Room { connections, handshakes };
    let acceptor = Acceptor::new(listener, room, poll.registry(), LISTENER)?;
    Ok(ApiLoop::new(api_loop::Parts {
        poll,
        acceptor,
        tls: options.http_tls.clone(),
        options: Arc::new(options.api.clone()),
        write_timeout: options.http_write_timeout,
        inbox,
        links,
    }))
}
