//! What is written of each kind of row is read back, and nothing else is.

use super::*;
use crate::base::{AppId, MessageId, Seq, Urgency, UserId, Wall};
use crate::queue::answer::Status;
use crate::queue::command::Repeat;
use crate::queue::fates::{Fate, Tracked};

fn message() -> MessageRow<'static> {
    MessageRow {
        id: MessageId::new(Seq(7), [9; 8]),
        copy: 0,
        device: "carol".parse().expect("valid"),
        app: "chatter".parse().expect("valid"),
        expires: Wall(1_000),
        urgency: Urgency::High,
        tag: Some("mail"),
        payload: b"{\"n\":1}",
    }
}

#[test]
fn every_kind_of_row_reads_as_it_was_written() {
    let message = message();
    let (key, value) = (Key::Message(Place::single(Seq(7))).encode(), message.encode());
    assert_eq!(Row::decode(&key, &value), Ok(Row::Message(message)));

    let head = Head {
        batch: 1,
        next_seq: Seq(2),
        wall: Wall(3),
        top: Level(4),
        census: Census { rows: 5, digest: u64::MAX },
    };
    assert_eq!(Row::decode(&Key::Head.encode(), &head.encode()), Ok(Row::Head(head)));

    let token = Token([3; 16]);
    let owner = RegistrationRow { device: "d".parse().expect("valid"), app: "a".parse().expect("valid") };
    let value = owner.encode(Key::Registration(token));
    let key = Key::Registration(token).encode();
    assert_eq!(Row::decode(&key, &value), Ok(Row::Registration(token, owner)));

    let key = Key::Broadcast(ChannelId::SYSTEM, Level(3));
    let broadcast = BroadcastRow { expires: Wall(9), payload: b"[]" };
    let value = broadcast.encode(key);
    let read = Row::decode(&key.encode(), &value);
    assert_eq!(read, Ok(Row::Broadcast(ChannelId::SYSTEM, Level(3), broadcast)));
}

#[test]
fn every_row_about_people_reads_as_it_was_written() {
    let (user, app): (UserId, AppId) = ("Carol".parse().expect("valid"), "chatter".parse().expect("valid"));
    let bound = BoundAppRow { app: app.clone(), key: Digest([1; 32]) };
    let (key, value) = (Key::bound_app(&app).encode(), bound.encode());
    assert_eq!(Row::decode(&key, &value), Ok(Row::BoundApp(bound)));

    let key = Key::Code(Digest([2; 32]));
    let code = CodeRow { user: user.clone(), expires: Wall(9) };
    let value = code.encode(key);
    assert_eq!(Row::decode(&key.encode(), &value), Ok(Row::Code(Digest([2; 32]), code)));

    let device = DeviceRow {
        device: "d1".parse().expect("valid"),
        user: user.clone(),
        credential: Digest([3; 32]),
        enrolled: Wall(4),
        revoked: None,
    };
    let revoked =
        DeviceRow { revoked: Some(Wall(0)), device: "d2".parse().expect("valid"), ..device.clone() };
    for device in [device, revoked] {
        let (key, value) = (Key::device(&device.device).encode(), device.encode());
        assert_eq!(Row::decode(&key, &value), Ok(Row::Device(device)));
    }

    let erased = ErasedUserRow { user: user.clone() };
    let (key, value) = (Key::erased_user(&user).encode(), erased.encode());
    assert_eq!(Row::decode(&key, &value), Ok(Row::ErasedUser(erased)));

    let key = Key::UserToken(Token([5; 16]));
    let owner = UserTokenRow { user, app };
    let value = owner.encode(key);
    assert_eq!(Row::decode(&key.encode(), &value), Ok(Row::UserToken(Token([5; 16]), owner)));
}

fn tracked(user: Option<&str>, repeat: Option<Repeat>) -> TrackedRow {
    let fate = |device: &str, status, delivered| Fate {
        device: device.parse().expect("valid"),
        status,
        since: Wall(8),
        delivered,
    };
    Tracked {
        id: MessageId::new(Seq(7), [9; 8]),
        app: "chatter".parse().expect("valid"),
        user: user.map(|user| user.parse().expect("valid")),
        token: Token([5; 16]),
        sent: Wall(6),
        repeat,
        fates: vec![fate("d1", Status::Shown, Some(Wall(7))), fate("d2", Status::TooManyPending, None)],
    }
}

#[test]
fn a_tracked_message_reads_as_it_was_written() {
    let repeat = Some(Repeat { key: Digest([1; 32]), request: Digest([2; 32]) });
    for row in [tracked(None, repeat), tracked(Some("carol"), repeat), tracked(Some("carol"), None)] {
        let (key, value) = (Key::Tracked(Seq(7)).encode(), row.encode());
        assert_eq!(Row::decode(&key, &value), Ok(Row::Tracked(row)));
    }
}

#[test]
fn a_tracked_message_of_the_second_version_is_nobodys() {
    let row = tracked(None, None);
    let mut value = row.encode();
    value.remove(SEAL_BYTES + 1 + row.app.as_str().len());
    let (key, value) = of_version(2, Key::Tracked(Seq(7)), value);
    assert_eq!(Row::decode(&key, &value), Ok(Row::Tracked(row)));
}

#[test]
fn a_row_under_the_key_of_another_is_none() {
    let row = BoundAppRow { app: "chatter".parse().expect("valid"), key: Digest([1; 32]) };
    let mut value = row.encode();
    let elsewhere = Key::bound_app(&"mail".parse().expect("valid")).encode();
    let checksum = checksum(&elsewhere, &value[4..]).to_be_bytes();
    value[..4].copy_from_slice(&checksum);
    assert_eq!(Row::decode(&elsewhere, &value), Err(RowError::Body));
}

#[test]
fn a_changed_byte_a_cut_and_another_rows_key_are_noticed() {
    let (key, value) = (Key::Message(Place::single(Seq(7))).encode(), message().encode());
    for at in 0..value.len() {
        let mut changed = value.clone();
        changed[at] ^= 0x10;
        assert_eq!(Row::decode(&key, &changed), Err(RowError::Checksum), "byte {at}");
        assert_eq!(Row::decode(&key, &value[..at]), Err(RowError::Checksum), "cut at {at}");
    }
    assert_eq!(Row::decode(&Key::Message(Place::single(Seq(8))).encode(), &value), Err(RowError::Checksum));
}

#[test]
fn a_later_version_is_refused_by_its_number() {
    let (key, value) = of_version(4, MESSAGE, message().encode());
    assert_eq!(Row::decode(&key, &value), Err(RowError::Version(4)));
}

#[test]
fn a_message_of_the_first_version_is_of_normal_urgency() {
    let mut value = message().encode();
    value.remove(SEAL_BYTES + 8);
    let (key, value) = of_version(1, MESSAGE, value);
    let expected = MessageRow { urgency: Urgency::Normal, ..message() };
    assert_eq!(Row::decode(&key, &value), Ok(Row::Message(expected)));
}

const MESSAGE: Key = Key::Message(Place { seq: Seq(7), copy: 0 });

/// The key and the value of a row as if another version had written it.
fn of_version(version: u8, key: Key, mut value: Vec<u8>) -> (KeyBytes, Vec<u8>) {
    let key = key.encode();
    value[4] = version;
    let checksum = checksum(&key, &value[4..]).to_be_bytes();
    value[..4].copy_from_slice(&checksum);
    (key, value)
}
