//! The queue's rows as a store may hold them: arbitrary rows are an error that calls them damaged, or a
//! queue that works. It takes commands, lets expire what it holds, and comes back from the rows that it
//! then writes; and it never panics.
//!
//! An input is one byte, even if the rows are to be sealed, and rows: each the length of the key (1), the
//! key, the length of the value (2), the value. A row is sealed by giving it the checksum of what it
//! holds, as are the messages' rows in one of the journal, and the head by giving it the census of the others
//! as well, as far as it has room for them: otherwise hardly any input would come beyond the checks of both.
//! `src/queue/rows/mod.rs` draws the formats. A sealed head or journal counts no further than a queue could
//! in some decades, and so can count on.

use std::collections::BTreeMap;
use std::time::Duration;

use lomiri_push::base::{CodeSecret, Credential, Digest, Now, Payload, Seq, SessionId, Token, Urgency, Wall};
use lomiri_push::queue::{Address, Command, Key, Limits, Notify, Repeat, Submission, read_message};
use lomiri_push::store::{DurableQueue, Memory, StoreError};

use super::script::Script;

const NOW: Wall = Wall(1_800_000_000_000);
const CHECKSUM_BYTES: usize = 4;
/// Where the four numbers of a head lie: behind the checksum and the version.
const NUMBERS_AT: usize = CHECKSUM_BYTES + 1;
/// Where its census lies.
const CENSUS_AT: usize = NUMBERS_AT + 4 * 8;
/// Where the messages of a row of the journal lie: behind its number.
const ENTRIES_AT: usize = NUMBERS_AT + 8;

/// Keys and values.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Panics unless all of this holds for `input`.
pub fn check(input: &[u8]) {
    let rows = rows(input);
    rows.iter().for_each(|(key, value)| check_message(key, value));
    let mut store = Memory::new();
    *store.rows_mut() = rows;
    match DurableQueue::open(store, Limits::default(), at(NOW)) {
        Ok(queue) => check_works(queue, hash(input)),
        Err(StoreError::Damaged { .. }) => {}
        Err(error) => panic!("memory fails: {error}"),
    }
}

/// An input with these rows, to be sealed.
pub fn input_of(rows: &Rows) -> Vec<u8> {
    let mut input = vec![0];
    for (key, value) in rows {
        let length = u16::try_from(value.len()).expect("a short row");
        input.push(u8::try_from(key.len()).expect("a short key"));
        input.extend([&key[..], &length.to_be_bytes(), value].concat());
    }
    input
}

fn rows(input: &[u8]) -> Rows {
    let mut script = Script::new(input);
    let is_sealed = script.byte().is_multiple_of(2);
    let mut rows = Rows::new();
    while !script.is_over() {
        let key_bytes = script.byte();
        let key = script.bytes(key_bytes.into());
        let value_bytes = script.number();
        rows.insert(key.to_vec(), script.bytes(value_bytes.into()).to_vec());
    }
    if is_sealed {
        seal(&mut rows);
    }
    rows
}

fn seal(rows: &mut Rows) {
    for (_, row) in rows.iter_mut().filter(|(key, _)| key.first() == Some(&b'j')) {
        row.get_mut(NUMBERS_AT).into_iter().for_each(|highest| *highest &= 0x1f);
        entries(row).into_iter().for_each(|(key, value)| seal_row(&key, value));
    }
    let census = census(rows);
    if let Some(body) = rows.get_mut(&b"h"[..]).and_then(|head| head.get_mut(NUMBERS_AT..CENSUS_AT + 16)) {
        body[CENSUS_AT - NUMBERS_AT..].copy_from_slice(&census);
        body.iter_mut().step_by(8).take(4).for_each(|highest| *highest &= 0x1f);
    }
    rows.iter_mut().for_each(|(key, value)| seal_row(key, value));
}

fn seal_row(key: &[u8], value: &mut [u8]) {
    if let Some((checksum, sealed)) = value.split_first_chunk_mut::<CHECKSUM_BYTES>() {
        *checksum = crc32fast::hash(&[key, sealed].concat()).to_be_bytes();
    }
}

/// The messages in a row of the journal: the key that a row of its own has, and the value.
fn entries(row: &mut [u8]) -> Vec<(Vec<u8>, &mut [u8])> {
    let mut entries = Vec::new();
    let mut rest = row.get_mut(ENTRIES_AT..).unwrap_or_default();
    while let Some((seq, after)) = rest.split_first_chunk_mut::<8>()
        && let Some(([copy @ .., high, low], after)) = after.split_first_chunk_mut::<4>()
        && let Some((value, after)) = after.split_at_mut_checked(u16::from_be_bytes([*high, *low]).into())
    {
        let copy: &[u8] = if copy == &[0, 0] { &[] } else { copy };
        entries.push(([b"m", &seq[..], copy].concat(), value));
        rest = after;
    }
    entries
}

/// How many rows there are beside the head, and the sum of their keys' hashes; for rows of the journal, those
/// of the messages in them.
fn census(rows: &Rows) -> [u8; 16] {
    let (journal, others): (Vec<_>, Vec<_>) =
        rows.clone().into_iter().partition(|(key, _)| key.first() == Some(&b'j'));
    let mut keys: Vec<Vec<u8>> =
        others.into_iter().map(|(key, _)| key).filter(|key| key[..] != b"h"[..]).collect();
    let mut journal: Vec<_> = journal.into_iter().map(|(_, row)| row).collect();
    journal.sort_by_key(|row| row.get(NUMBERS_AT..ENTRIES_AT).map(<[u8]>::to_vec));
    for (key, value) in journal.iter_mut().flat_map(|row| entries(row)) {
        if value.is_empty() {
            keys.retain(|held| *held != key);
        } else {
            keys.push(key);
        }
    }
    let digest = keys.iter().fold(0u64, |sum, key| sum.wrapping_add(hash(key)));
    let both = u128::from(keys.len() as u64) << 64 | u128::from(digest);
    both.to_be_bytes()
}

fn hash(key: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325, step);
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What reads as a message is the message that its key names.
fn check_message(key: &[u8], value: &[u8]) {
    let Ok(Key::Message(place)) = Key::decode(key) else { return };
    assert_eq!(Key::Message(place).encode().as_slice(), key);
    if let Ok(message) = read_message(place, value) {
        assert_eq!(message.id.seq(), place.seq);
    }
}

fn at(wall: Wall) -> Now {
    Now { wall, ..Now::default() }
}

/// The random bytes depend on all of the input, so that no row of it holds them already.
fn check_works(mut queue: DurableQueue<Memory>, mut random: u64) {
    let mut fill = |bytes: &mut [u8]| {
        random = hash(&random.to_be_bytes());
        bytes.iter_mut().zip(random.to_be_bytes().iter().cycle()).for_each(|(byte, random)| *byte = *random);
    };
    let outcomes = queue.handle(commands(), at(NOW), &mut fill);
    assert_eq!(outcomes.answers.len(), commands().len(), "an answer for each command");
    let mut queue = check_comes_back(queue, NOW);
    let mut now = at(NOW);
    for wall in [NOW, Wall(u64::MAX)] {
        now.wall = now.wall.max(wall);
        queue.handle(Vec::new(), now, &mut fill);
        while let Some(time) = queue.due_in(now) {
            now = now + time;
            queue.handle(Vec::new(), now, &mut fill);
        }
        assert!(queue.failure().is_none(), "{:?}", queue.failure());
    }
    assert_eq!(queue.counts().messages, 0, "nothing lasts for ever");
    check_comes_back(queue, now.wall);
}

fn check_comes_back(mut queue: DurableQueue<Memory>, now: Wall) -> DurableQueue<Memory> {
    assert!(queue.failure().is_none(), "{:?}", queue.failure());
    let counts = queue.counts();
    let store = queue.close().expect("memory does not fail");
    queue = DurableQueue::open(store, Limits::default(), at(now)).expect("rows of its own");
    assert_eq!(queue.counts(), counts, "what is there comes back");
    queue
}

/// What a queue draws for these commands where each draw is filled with its number, from 1 on: the code,
/// the device that it makes, the token of its user, the key of the app.
const CODE: CodeSecret = CodeSecret([4; 16]);
const ENROLLED: &str = "BQUFBQUFBQUFBQUFBQUFBQ";
const USER_TOKEN: Token = Token([8; 16]);
const APP_KEY: [u8; 32] = [3; 32];

/// Something for a queue to do.
pub fn commands() -> Vec<Command> {
    let device = || "carol".parse().expect("an id");
    let app = || "chatter".parse().expect("an id");
    let enrolled = || ENROLLED.parse().expect("an id");
    let user = || "carol".parse().expect("a user");
    let payload = || Payload::from_json(b"{}").expect("JSON");
    let expires = Wall(u64::MAX);
    vec![
        Command::Notify(Notify {
            to: Address::Device(device()),
            app: app(),
            expires,
            payload: payload(),
            urgency: Urgency::Normal,
            clear_pending: false,
            app_key: None,
            replace_tag: Some("mail".into()),
        }),
        Command::Broadcast { channel: "system".into(), expires, payload: payload() },
        Command::Register { device: device(), app: app(), credential: None },
        Command::Fetch {
            device: device(),
            session: SessionId(1),
            after: Seq(0),
            least: Urgency::VeryLow,
            messages_max: 64,
        },
        Command::Unregister { device: device(), app: app(), credential: None },
        Command::BindApp { app: app() },
        Command::MakeCode { user: user(), valid_for: Duration::from_secs(60) },
        Command::Enrol { session: SessionId(1), code: CODE },
        Command::Register { device: enrolled(), app: app(), credential: None },
        Command::Send(vec![Submission {
            notify: Notify {
                to: Address::Token(USER_TOKEN),
                app: app(),
                expires,
                payload: payload(),
                urgency: Urgency::High,
                clear_pending: false,
                app_key: Some(Credential::new(APP_KEY)),
                replace_tag: None,
            },
            repeat: Some(Repeat { key: Digest([1; 32]), request: Digest([2; 32]) }),
        }]),
        Command::Revoke { device: enrolled() },
        Command::EraseUser { user: user() },
    ]
}
