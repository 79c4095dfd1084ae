//! The mailbox over a folder in memory that may lose power between any two writes.

use super::*;
use crate::base::Seq;

type Folder = BTreeMap<String, Vec<u8>>;

fn id(number: u64) -> MessageId {
    MessageId::new(Seq(number), [9; 8])
}

fn app(name: &str) -> AppId {
    name.parse().expect("valid")
}

fn message(number: u64, name: &str) -> Entry {
    let payload = Payload::from_json(number.to_string().as_bytes()).expect("JSON");
    Entry { origin: Origin::Message(id(number)), app: app(name), payload, stage: Stage::Ready }
}

fn news(level: i64) -> Entry {
    Entry { origin: Origin::Broadcast(ChannelId::SYSTEM, Level(level)), ..message(0, "settings") }
}

/// Does at most so many of the writes.
fn write(mailbox: &mut Mailbox, folder: &mut Folder, writes_max: usize) {
    for _ in 0..writes_max {
        match mailbox.poll_write() {
            Some(Write::Put(name, contents)) => drop(folder.insert(name, contents)),
            Some(Write::Remove(name)) => drop(folder.remove(&name)),
            None => return mailbox.written(),
        }
    }
}

fn restored(folder: &Folder) -> Mailbox {
    Mailbox::restore(folder.clone(), BYTES_PER_APP_MAX)
}

fn payloads(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8_lossy(entry.payload.as_bytes()).into()).collect()
}

#[test]
fn what_came_may_be_acked_only_once_it_is_on_disk() {
    let mut mailbox = Mailbox::new(BYTES_PER_APP_MAX);
    assert_eq!(mailbox.take(message(1, "chatter")), Taken::New(1));
    assert!(!mailbox.is_settled());
    assert!(matches!(mailbox.poll_write(), Some(Write::Put(..))));
    assert!(mailbox.poll_write().is_none());
    assert!(!mailbox.is_settled(), "given out is not done");
    mailbox.written();
    assert!(mailbox.is_settled());
}

#[test]
fn no_message_is_taken_twice_before_and_after_it_was_popped_and_over_restarts() {
    let (mut mailbox, mut folder) = (Mailbox::new(BYTES_PER_APP_MAX), Folder::new());
    mailbox.take(message(1, "chatter"));
    mailbox.take(message(2, "mail"));
    write(&mut mailbox, &mut folder, usize::MAX);
    let mut mailbox = restored(&folder);
    assert_eq!(mailbox.take(message(1, "chatter")), Taken::Double);
    assert_eq!(payloads(&mailbox.pop_all(&app("chatter"))), ["1"]);
    assert_eq!(mailbox.take(message(1, "chatter")), Taken::Double);
    write(&mut mailbox, &mut folder, usize::MAX);
    let mut mailbox = restored(&folder);
    assert_eq!(mailbox.take(message(1, "chatter")), Taken::Double);
    assert!(mailbox.pop_all(&app("chatter")).is_empty());
    assert_eq!(payloads(&mailbox.pop_all(&app("mail"))), ["2"]);
}

#[test]
fn a_crash_between_any_two_writes_of_a_pop_leaves_all_of_it_or_nothing() {
    let (mut mailbox, mut before) = (Mailbox::new(BYTES_PER_APP_MAX), Folder::new());
    for number in 1..=3 {
        mailbox.take(message(number, "chatter"));
    }
    write(&mut mailbox, &mut before, usize::MAX);
    for writes in 0..=4 {
        let (mut folder, mut mailbox) = (before.clone(), restored(&before));
        mailbox.pop_all(&app("chatter"));
        write(&mut mailbox, &mut folder, writes);
        let mut mailbox = restored(&folder);
        let left = if writes == 0 { 3 } else { 0 };
        assert_eq!(mailbox.entries().count(), left, "after {writes} writes");
        assert_eq!(mailbox.take(message(2, "chatter")), Taken::Double);
        write(&mut mailbox, &mut folder, usize::MAX);
        assert_eq!(folder.len(), if writes == 0 { 3 } else { 1 }, "leftovers go");
    }
}

#[test]
fn the_oldest_of_an_app_go_first_and_its_newest_stays_whatever_its_size() {
    let (mut mailbox, mut folder) = (Mailbox::new(4), Folder::new());
    for number in [11, 12, 13] {
        mailbox.take(message(number, "chatter"));
    }
    mailbox.take(message(1, "mail"));
    let waiting: Vec<Entry> = mailbox.entries().map(|(_, entry)| entry.clone()).collect();
    assert_eq!(payloads(&waiting), ["12", "13", "1"]);
    assert_eq!((mailbox.poll_dropped(), mailbox.poll_dropped()), (Some((app("chatter"), 1)), None));
    assert_eq!(mailbox.take(message(11, "chatter")), Taken::Double);
    mailbox.take(message(123_456, "chatter"));
    write(&mut mailbox, &mut folder, usize::MAX);
    let mut mailbox = Mailbox::restore(folder, 4);
    assert_eq!(payloads(&mailbox.pop_all(&app("chatter"))), ["123456"]);
    assert_eq!(payloads(&mailbox.pop_all(&app("mail"))), ["1"]);
}

#[test]
fn however_small_they_are_so_many_entries_of_an_app_wait_and_no_more() {
    let (mut mailbox, mut folder) = (Mailbox::new(BYTES_PER_APP_MAX), Folder::new());
    mailbox.take(message(0, "mail"));
    let numbers = 1..=ENTRIES_PER_APP_MAX as u64 + 3;
    for number in numbers.clone() {
        mailbox.take(Entry { stage: Stage::Raw, ..message(number, "chatter") });
    }
    write(&mut mailbox, &mut folder, usize::MAX);
    let mut mailbox = restored(&folder);
    let waiting: Vec<(u64, Stage)> = mailbox.entries().map(|(number, entry)| (number, entry.stage)).collect();
    assert_eq!(
        (waiting.len(), waiting[1]),
        (1 + ENTRIES_PER_APP_MAX, (5, Stage::Raw)),
        "the oldest have gone"
    );
    for number in numbers {
        mailbox.settle(number + 1, Some(message(number, "chatter").payload));
    }
    assert_eq!(mailbox.pop_all(&app("chatter")).len(), ENTRIES_PER_APP_MAX);
    assert_eq!(mailbox.shares.len(), 1, "what is left is of another");
}

#[test]
fn all_apps_of_a_package_keep_as_much_as_some_of_them_and_other_packages_theirs() {
    let (mut mailbox, mut folder) = (Mailbox::new(2), Folder::new());
    let others = ["_chat", "ab.cd_chat", "abc_chat"];
    for (number, other) in (1..).zip(others) {
        mailbox.take(message(number, other));
    }
    let apps = 3 * APPS_PER_PACKAGE as u64;
    for number in 11..11 + apps {
        mailbox.take(message(number, &format!("ab_app{number}")));
    }
    write(&mut mailbox, &mut folder, usize::MAX);
    let waiting: Vec<Entry> = mailbox.entries().map(|(_, entry)| entry.clone()).collect();
    let of_package: Vec<&str> = waiting.iter().map(|entry| entry.app.as_str()).skip(3).collect();
    assert_eq!(of_package, ["ab_app19", "ab_app20", "ab_app21", "ab_app22"], "the newest of all");
    assert_eq!(mailbox.poll_dropped(), Some((app("ab_app11"), 1)));
    assert_eq!(payloads(&mailbox.pop_all(&app("ab_app22"))), ["22"]);
    mailbox.take(message(23, "ab_app19"));
    assert_eq!(payloads(&mailbox.pop_all(&app("ab_app20"))), ["20"], "what was popped has made room");
    for (number, other) in (1..).zip(others) {
        assert_eq!(payloads(&mailbox.pop_all(&app(other))), [number.to_string()], "{other}");
    }
    let left = ["ab_app19", "ab_app21"].map(|left| mailbox.pop_all(&app(left)).len());
    assert_eq!(left, [1, 1]);
    assert!(mailbox.packages.is_empty() && mailbox.shares.is_empty());
}

#[test]
fn however_many_apps_of_a_package_there_are_so_many_entries_wait_and_no_more() {
    let mut mailbox = Mailbox::new(BYTES_PER_APP_MAX);
    let entries_max = (APPS_PER_PACKAGE * ENTRIES_PER_APP_MAX) as u64;
    for number in 0..entries_max + 10 {
        mailbox.take(message(number, &format!("ab_app{number}")));
    }
    assert_eq!(mailbox.entries().count() as u64, entries_max);
}

#[test]
fn a_file_whose_number_leaves_few_for_others_is_none_of_ours() {
    for too_high in [NUMBER_MAX + 1, u64::MAX - 1, u64::MAX] {
        let (mut mailbox, mut folder) = (Mailbox::new(BYTES_PER_APP_MAX), Folder::new());
        mailbox.take(message(1, "chatter"));
        write(&mut mailbox, &mut folder, usize::MAX);
        let contents = folder.values().next().expect("a file").clone();
        folder.insert(file_name(too_high), contents);
        let mut mailbox = restored(&folder);
        assert_eq!(mailbox.poll_write(), Some(Write::Remove(file_name(too_high))));
        assert_eq!(mailbox.take(message(2, "chatter")), Taken::New(2));
    }
}

#[test]
fn after_the_highest_number_that_is_read_others_follow() {
    let (mut mailbox, mut folder) = (Mailbox::new(BYTES_PER_APP_MAX), Folder::new());
    mailbox.take(message(1, "chatter"));
    write(&mut mailbox, &mut folder, usize::MAX);
    let contents = folder.pop_first().expect("a file").1;
    folder.insert(file_name(NUMBER_MAX), contents);
    let mut mailbox = restored(&folder);
    for number in 2..4 {
        assert_eq!(mailbox.take(message(number, "chatter")), Taken::New(NUMBER_MAX + number - 1));
    }
    assert_eq!(payloads(&mailbox.pop_all(&app("chatter"))), ["1", "2", "3"]);
}

#[test]
fn what_a_helper_makes_of_a_message_counts_instead_of_it() {
    let mut mailbox = Mailbox::new(4);
    let Taken::New(number) = mailbox.take(raw(1)) else { panic!("new") };
    mailbox.settle(number, Some(message(111, "chatter").payload));
    mailbox.take(message(2, "chatter"));
    assert_eq!(mailbox.entries().count(), 2);
    mailbox.take(message(3, "chatter"));
    assert_eq!(payloads(&mailbox.pop_all(&app("chatter"))), ["2", "3"]);
}

#[test]
fn a_smaller_bound_holds_from_the_restart_on() {
    let (mut mailbox, mut folder) = (Mailbox::new(4), Folder::new());
    mailbox.take(message(11, "chatter"));
    mailbox.take(message(12, "chatter"));
    write(&mut mailbox, &mut folder, usize::MAX);
    let mut mailbox = Mailbox::restore(folder.clone(), 2);
    write(&mut mailbox, &mut folder, usize::MAX);
    assert_eq!(payloads(&restored(&folder).pop_all(&app("chatter"))), ["12"]);
}

#[test]
fn levels_rise_and_never_fall_and_stay_when_the_news_is_popped() {
    let (mut mailbox, mut folder) = (Mailbox::new(BYTES_PER_APP_MAX), Folder::new());
    assert_eq!(mailbox.take(news(3)), Taken::New(1));
    assert_eq!(mailbox.take(news(2)), Taken::Double);
    write(&mut mailbox, &mut folder, usize::MAX);
    assert_eq!(restored(&folder).levels()[&ChannelId::SYSTEM], Level(3));
    mailbox.pop_all(&app("settings"));
    write(&mut mailbox, &mut folder, usize::MAX);
    assert_eq!(restored(&folder).levels()[&ChannelId::SYSTEM], Level(3));
}

#[test]
fn what_nobody_can_read_does_no_harm_and_goes() {
    let (mut mailbox, mut folder) = (Mailbox::new(BYTES_PER_APP_MAX), Folder::new());
    mailbox.take(message(1, "chatter"));
    write(&mut mailbox, &mut folder, usize::MAX);
    let torn = folder.values().next().map(|contents| contents[..contents.len() / 2].to_vec());
    folder.insert(file_name(2), torn.expect("there is one"));
    folder.insert("0000000000000003.json.new".into(), Vec::new());
    folder.insert(SEEN_FILE.into(), b"{".to_vec());
    let mut mailbox = restored(&folder);
    write(&mut mailbox, &mut folder, usize::MAX);
    assert_eq!(folder.len(), 2);
    assert_eq!(payloads(&mailbox.pop_all(&app("chatter"))), ["1"]);
}

#[test]
fn so_many_ids_are_remembered_and_no_more() {
    let mut mailbox = Mailbox::new(0);
    for number in 0..2 * GONE_MAX as u64 {
        mailbox.take(message(number, "chatter"));
    }
    assert_eq!(mailbox.gone.len(), GONE_MAX);
    assert_eq!(mailbox.take(message(GONE_MAX as u64, "chatter")), Taken::Double);
    assert!(matches!(mailbox.take(message(0, "chatter")), Taken::New(_)));
}

fn raw(number: u64) -> Entry {
    Entry { stage: Stage::Raw, ..message(number, "chatter") }
}

#[test]
fn an_app_gets_what_its_helper_made_and_nothing_before() {
    let (mut mailbox, mut folder) = (Mailbox::new(BYTES_PER_APP_MAX), Folder::new());
    let (Taken::New(first), Taken::New(second)) = (mailbox.take(raw(1)), mailbox.take(raw(2))) else {
        panic!("both are new")
    };
    assert!(mailbox.pop_all(&app("chatter")).is_empty());
    write(&mut mailbox, &mut folder, usize::MAX);
    let mut mailbox = restored(&folder);
    mailbox.settle(first, Some(Payload::from_json(b"[1]").expect("JSON")));
    mailbox.settle(second, None);
    write(&mut mailbox, &mut folder, usize::MAX);
    let mut mailbox = restored(&folder);
    assert!(mailbox.knows(&raw(2).origin), "nothing was left of it, and still it has come");
    assert_eq!(payloads(&mailbox.pop_all(&app("chatter"))), ["[1]"]);
}

#[test]
fn a_helper_that_was_too_slow_brings_nothing_back() {
    let mut mailbox = Mailbox::new(1);
    let Taken::New(dropped) = mailbox.take(raw(1)) else { panic!("new") };
    mailbox.take(raw(2));
    mailbox.settle(dropped, Some(Payload::from_json(b"1").expect("JSON")));
    assert_eq!(mailbox.entries().count(), 1);
}
