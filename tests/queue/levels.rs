//! Broadcasts: levels only rise, whatever expires and whoever restarts.

use std::sync::Arc;
use std::time::Duration;

use lomiri_push::base::{Level, Wall};
use lomiri_push::queue::{Channel, Command, Event, Limits, Refusal};

use super::world::{World, broadcast, payload, text};

fn live(channel: &Channel) -> Vec<(i64, String)> {
    channel.live.iter().map(|broadcast| (broadcast.level.0, text(&broadcast.payload))).collect()
}

fn channels(events: Vec<Event>) -> Vec<Arc<Channel>> {
    let channel = |event| match event {
        Event::Channel(channel) => channel,
        Event::Queued { .. } | Event::Revoked { .. } => panic!("nothing was queued"),
    };
    events.into_iter().map(channel).collect()
}

#[test]
fn each_broadcast_raises_the_level_and_a_batch_tells_the_last_state() {
    let mut world = World::new(Limits::default());
    assert_eq!(*world.queue.channel(), Channel::default());
    let told = channels(world.promise([broadcast("1", Wall(u64::MAX)), broadcast("2", Wall(u64::MAX))]));
    let [channel] = &told[..] else { panic!("{told:?}") };
    assert_eq!(channel.top, Level(2));
    assert_eq!(live(channel), [(1, "1".into()), (2, "2".into())]);
}

#[test]
fn expired_broadcasts_go_and_the_level_stays_also_over_restarts() {
    let mut world = World::new(Limits::default());
    let soon = world.now.wall + Duration::from_millis(1);
    world.promise([broadcast("1", soon), broadcast("2", Wall(u64::MAX)), broadcast("3", soon)]);
    world.wait(Duration::from_millis(1));
    world.handle(Vec::new());
    assert_eq!(live(&world.queue.channel()), [(2, "2".into())]);
    for _ in 0..2 {
        world.restart();
        assert_eq!(world.queue.channel().top, Level(3));
        assert_eq!(live(&world.queue.channel()), [(2, "2".into())]);
        world.wait(Duration::from_secs(2));
        world.handle(Vec::new());
    }
    world.promise([broadcast("4", Wall(u64::MAX))]);
    assert_eq!(world.queue.channel().top, Level(4));
}

#[test]
fn an_unknown_channel_and_a_past_expiry_are_refused() {
    let mut world = World::new(Limits::default());
    let elsewhere = Command::Broadcast { channel: "weather".into(), expires: Wall(0), payload: payload("1") };
    assert_eq!(world.refusal(elsewhere), Refusal::UnknownChannel);
    let now = world.now.wall;
    assert_eq!(world.refusal(broadcast("1", now)), Refusal::PastExpiration);
    assert_eq!(world.queue.channel().top, Level(0));
}
