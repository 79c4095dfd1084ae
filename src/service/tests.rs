//! The life of a message over a folder in memory, cut off after each of its writes and commands.

use super::*;
use crate::base::{ChannelId, Level, Seq, Urgency};
use notification::Card;

const CHATTER: &str = "chatter.alice_chatter";

fn app() -> AppId {
    CHATTER.parse().expect("valid")
}

fn settings() -> AppId {
    "_lomiri-system-settings".parse().expect("valid")
}

fn json(text: &str) -> Payload {
    Payload::from_json(text.as_bytes()).expect("JSON")
}

fn message(number: u64, app: &str) -> Message {
    Message {
        id: MessageId::new(Seq(number), [7; 8]),
        app: app.parse().expect("valid"),
        urgency: Urgency::Normal,
        expires_in: None,
        payload: json(&format!(r#"{{"raw":{number}}}"#)),
    }
}

fn output(message: Option<&str>, card: Option<Card>) -> Output {
    let notification =
        card.map(|card| Notification { tag: "bob".into(), card: Some(card), ..Notification::default() });
    Output { message: message.map(json), notification }
}

fn card(persist: bool) -> Card {
    let actions = vec!["chat:1".into()];
    Card { summary: "Bob".into(), actions, popup: true, persist, ..Card::default() }
}

/// A device: the service, its folder, and a rim that does what it is told.
struct Device {
    service: Service,
    folder: BTreeMap<String, Vec<u8>>,
    done: Vec<Command>,
}

impl Device {
    fn new() -> Device {
        Device::start(BTreeMap::new())
    }

    fn start(folder: BTreeMap<String, Vec<u8>>) -> Device {
        let name_of = |path: &String| path.strip_prefix("mailbox/").map(ToOwned::to_owned);
        let files: Vec<_> =
            folder.iter().filter_map(|(path, bytes)| Some((name_of(path)?, bytes.clone()))).collect();
        let shade = folder.get(SHADE_FILE).cloned().unwrap_or_default();
        let service = Service::restore(files, &shade, mailbox::BYTES_PER_APP_MAX, settings());
        Device { service, folder, done: Vec::new() }
    }

    /// Does what is to be done, and at most so many writes. The commands since.
    fn work(&mut self, writes_max: usize) -> Vec<Command> {
        for _ in 0..writes_max {
            match self.service.poll_write() {
                Some(Write::Put(path, contents)) => drop(self.folder.insert(path, contents)),
                Some(Write::Remove(path)) => drop(self.folder.remove(&path)),
                None => {
                    self.service.written();
                    break;
                }
            }
        }
        let commands: Vec<Command> = std::iter::from_fn(|| self.service.poll_command()).collect();
        self.done.extend(commands.clone());
        commands
    }

    fn come(&mut self, number: u64) -> Vec<Command> {
        self.service.came(vec![News::Message { message: message(number, CHATTER), is_installed: true }]);
        self.work(100)
    }

    fn pop(&mut self) -> Vec<String> {
        self.service.pop_all(1, &app());
        let texts = self.work(usize::MAX).into_iter().find_map(|command| match command {
            Command::Reply { call: 1, reply: Reply::Texts(texts) } => Some(texts),
            _ => None,
        });
        texts.expect("an answer")
    }

    fn restart(self) -> Device {
        Device::start(self.folder)
    }
}

fn help(number: u64, raw: u64) -> Command {
    Command::Help { number, app: app(), payload: message(raw, CHATTER).payload }
}

fn receipt(number: u64, outcome: Outcome) -> Command {
    Command::Tell(Receipt { message: message(number, CHATTER).id, outcome })
}

fn bubble(number: u32) -> BubbleId {
    BubbleId { server: "bus :1.5".into(), number }
}

fn announce() -> Command {
    Command::Announce { app: app() }
}

#[test]
fn a_message_is_stored_helped_shown_announced_and_popped() {
    let mut device = Device::new();
    assert_eq!(device.come(1), [Command::Stored, help(1, 1)]);
    device.service.handle_helped(1, Some(output(Some("[1]"), Some(card(true)))));
    let presented = device.work(100);
    let [Command::Present { number, notification, .. }] = &presented[..] else { panic!("{presented:?}") };
    assert_eq!(notification.tag, "bob");
    device
        .service
        .handle_presented(*number, Presented { bubble: Some(bubble(9)), is_shown: true, is_listed: true });
    assert_eq!(device.work(100), [receipt(1, Outcome::Shown), announce()]);
    assert_eq!(device.pop(), ["[1]"]);
    assert_eq!(device.done.last(), Some(&receipt(1, Outcome::Opened)));
    assert!(device.pop().is_empty() && device.service.is_idle());
    assert_eq!(device.come(1), [Command::Stored], "it has come before");
}

#[test]
fn nothing_is_done_before_it_is_on_disk() {
    let mut device = Device::new();
    device.service.came(vec![News::Message { message: message(1, CHATTER), is_installed: true }]);
    assert!(device.work(0).is_empty());
    assert!(device.work(1).is_empty(), "given out is not durable");
    assert_eq!(device.work(100)[0], Command::Stored);
    device.service.handle_helped(1, Some(output(Some("1"), None)));
    assert!(device.work(0).is_empty());
    assert_eq!(device.work(100), [announce()]);
    device.service.pop_all(1, &app());
    assert!(device.work(0).is_empty());
}

#[test]
fn what_was_popped_is_gone_though_a_crash_keeps_the_reply_from_its_app() {
    let mut device = Device::new();
    device.come(1);
    device.service.handle_helped(1, None);
    device.service.post(4, app(), output(Some("[4]"), None));
    device.work(100);
    device.service.pop_all(1, &app());
    while let Some(write) = device.service.poll_write() {
        match write {
            Write::Put(path, contents) => drop(device.folder.insert(path, contents)),
            Write::Remove(path) => drop(device.folder.remove(&path)),
        }
    }
    assert!(device.restart().pop().is_empty());
}

#[test]
fn a_helper_that_fails_leaves_the_payload_to_the_app_and_shows_nothing() {
    let mut device = Device::new();
    device.come(1);
    device.service.handle_helped(1, None);
    assert_eq!(device.work(100), [announce()]);
    assert_eq!(device.pop(), [r#"{"raw":1}"#]);
}

#[test]
fn a_helper_that_wants_nothing_in_the_mailbox_leaves_nothing_there() {
    let mut device = Device::new();
    device.come(1);
    device.service.handle_helped(1, Some(output(None, None)));
    assert_eq!(device.work(100), [announce()]);
    let mut device = device.restart();
    assert!(device.work(100).is_empty());
    assert_eq!(device.come(1), [Command::Stored], "it has come before");
}

#[test]
fn a_crash_anywhere_loses_nothing_and_shows_nothing_twice() {
    for cut in 0..20 {
        let mut device = Device::new();
        let mut presentations = 0;
        device.service.came(vec![News::Message { message: message(1, CHATTER), is_installed: true }]);
        live(&mut device, cut, &mut presentations);
        let was_acked = device.done.contains(&Command::Stored);
        let mut device = device.restart();
        if !was_acked {
            device.service.came(vec![News::Message { message: message(1, CHATTER), is_installed: true }]);
        }
        live(&mut device, usize::MAX, &mut presentations);
        assert!(device.done.contains(&announce()), "cut after {cut}");
        assert!(presentations <= 1, "cut after {cut}: shown {presentations} times");
        assert_eq!(device.pop(), ["[1]"], "cut after {cut}");
    }
}

/// So many steps, a step being a write or a command.
fn live(device: &mut Device, steps: usize, presentations: &mut usize) {
    for _ in 0..steps {
        match device.service.poll_write() {
            Some(Write::Put(path, contents)) => drop(device.folder.insert(path, contents)),
            Some(Write::Remove(path)) => drop(device.folder.remove(&path)),
            None => {
                device.service.written();
                let Some(command) = device.service.poll_command() else { return };
                device.done.push(command.clone());
                follow(&mut device.service, &command, presentations);
            }
        }
    }
}

fn follow(service: &mut Service, command: &Command, presentations: &mut usize) {
    match command {
        Command::Help { number, .. } => {
            service.handle_helped(*number, Some(output(Some("[1]"), Some(card(true)))));
        }
        Command::Present { number, .. } => {
            *presentations += 1;
            let presented = Presented { bubble: Some(bubble(1)), is_shown: true, is_listed: true };
            service.handle_presented(*number, presented);
        }
        _ => {}
    }
}

#[test]
fn an_app_that_is_gone_gets_nothing_and_its_token_dies() {
    let mut device = Device::new();
    device.service.came(vec![News::Message { message: message(1, CHATTER), is_installed: false }]);
    assert_eq!(
        device.work(100),
        [receipt(1, Outcome::Refused), Command::Forget { app: app() }, Command::Stored]
    );
    assert_eq!(device.folder.len(), 0);
}

#[test]
fn what_stays_is_listed_after_a_restart_and_goes_when_its_app_or_its_user_says_so() {
    let device = shown([(true, bubble(11)), (true, bubble(12))]);
    assert!(device.done.contains(&Command::Withdraw { bubble: bubble(11) }), "the tag is the same");
    let mut device = device.restart();
    device.service.list_persistent(1, &app());
    let list = |tags: &[&str]| {
        let texts = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Command::Reply { call: 1, reply: Reply::Texts(texts) }
    };
    assert_eq!(device.work(100), [list(&["bob"])]);
    device.service.clear_persistent(1, &app(), &["bob".into()]);
    let count = Command::Reply { call: 1, reply: Reply::Count(1) };
    assert_eq!(device.work(100), [Command::Withdraw { bubble: bubble(12) }, count]);
    device.service.list_persistent(1, &app());
    assert_eq!(device.work(100), [list(&[])]);
}

#[test]
fn a_bubble_that_is_opened_is_told_to_the_server_once() {
    let mut device = Device::new();
    device.come(1);
    device.service.handle_helped(1, Some(output(None, Some(card(false)))));
    device.work(100);
    device
        .service
        .handle_presented(1, Presented { bubble: Some(bubble(5)), is_shown: true, is_listed: true });
    device.work(100);
    for told in [1, 0] {
        device.service.handle_activated(&bubble(5));
        assert_eq!(device.work(100).len(), told);
    }
}

/// Shows notifications with one tag, one after the other: whether each stays, and its bubble.
fn shown(notifications: [(bool, BubbleId); 2]) -> Device {
    let mut device = Device::new();
    for (number, (persist, bubble)) in (1..).zip(notifications) {
        device.come(number);
        device.service.handle_helped(number, Some(output(None, Some(card(persist)))));
        device.work(100);
        let presented = Presented { bubble: Some(bubble), is_shown: true, is_listed: true };
        device.service.handle_presented(number, presented);
        device.work(100);
    }
    device
}

#[test]
fn a_dismissed_bubble_leaves_nothing_of_what_it_replaced() {
    for persist in [[true, false], [false, true]] {
        let mut device = shown(persist.map(|persist| (persist, bubble(5))));
        assert!(device.done.iter().all(|command| !matches!(command, Command::Withdraw { .. })));
        assert_eq!(device.service.shade().notes().count(), usize::from(persist[1]));
        device.service.handle_dismissed(&bubble(5));
        device.work(100);
        assert!(device.service.bubbles.is_empty(), "{persist:?}");
        assert_eq!(device.restart().service.shade().notes().count(), 0, "{persist:?}");
    }
}

#[test]
fn a_tag_is_of_the_latest_notification_alone_whether_it_stays_or_not() {
    for persist in [[true, false], [false, true]] {
        let device = shown([(persist[0], bubble(5)), (persist[1], bubble(6))]);
        assert!(device.done.contains(&Command::Withdraw { bubble: bubble(5) }), "{persist:?}");
        let staying = device.service.shade().notes();
        let left: Vec<_> = device.service.bubbles.iter().chain(staying).map(|note| &note.bubble).collect();
        assert_eq!(left, [&Some(bubble(6))], "{persist:?}");
    }
}

#[test]
fn a_note_that_stays_is_opened_after_a_restart_as_before() {
    let mut device = Device::new();
    device.come(1);
    device.service.handle_helped(1, Some(output(None, Some(card(true)))));
    device.work(100);
    let presented = Presented { bubble: Some(bubble(5)), is_shown: true, is_listed: true };
    device.service.handle_presented(1, presented);
    device.work(100);
    let mut device = device.restart();
    let note = device.service.shade().notes().next().expect("it stays");
    assert_eq!((&note.bubble, note.url.as_deref()), (&Some(bubble(5)), Some("chat:1")));
    device.service.handle_activated(&bubble(5));
    assert_eq!(device.work(100), [receipt(1, Outcome::Opened)]);
}

#[test]
fn a_posted_notification_is_answered_once_it_was_presented() {
    let mut device = Device::new();
    device.service.post(4, app(), output(Some("[4]"), Some(card(false))));
    assert!(matches!(device.work(100)[..], [Command::Present { number: 1, .. }]));
    device.service.handle_presented(1, Presented::default());
    assert_eq!(device.work(100), [announce(), Command::Reply { call: 4, reply: Reply::Done }]);
    assert_eq!(device.restart().pop(), ["[4]"]);
}

#[test]
fn all_that_a_mailbox_holds_of_a_flood_has_its_helper() {
    let mut device = Device::new();
    let news = |number| News::Message { message: message(number, CHATTER), is_installed: true };
    let kept = mailbox::ENTRIES_PER_APP_MAX;
    device.service.came((0..kept as u64 + 100).map(news).collect());
    let mut helped = 0;
    loop {
        let commands = device.work(usize::MAX);
        let help = |command: &Command| match command {
            Command::Help { number, .. } => Some(*number),
            _ => None,
        };
        let Some(number) = commands.iter().find_map(help) else { break };
        device.service.handle_helped(number, Some(output(Some("[1]"), None)));
        helped += 1;
    }
    assert_eq!(helped, kept);
    assert_eq!((device.service.poll_dropped(), device.service.poll_dropped()), (Some((app(), 100)), None));
    assert_eq!(device.pop(), vec!["[1]"; kept], "none comes as it was");
}

fn broadcast(level: i64, is_wanted: bool) -> Vec<News> {
    let news = Broadcast {
        channel: ChannelId::SYSTEM,
        level: Level(level),
        payloads: vec![json("[1]"), json("[2]")],
    };
    vec![News::Broadcast { news, is_wanted }]
}

#[test]
fn the_last_of_a_broadcast_goes_to_the_settings_and_levels_are_followed_back_too() {
    let mut device = Device::new();
    let level = |device: &Device| device.service.mailbox().levels()[&ChannelId::SYSTEM];
    device.service.came(broadcast(3, true));
    let expected = Command::Help { number: 1, app: settings(), payload: json("[2]") };
    assert_eq!(device.work(100), [Command::Stored, expected]);
    for (told, is_wanted) in [(3, true), (4, false), (2, true)] {
        device.service.came(broadcast(told, is_wanted));
        assert_eq!(device.work(100), [Command::Stored]);
        assert_eq!(level(&device), Level(told));
    }
}

#[test]
fn what_came_today_is_counted_by_app() {
    let mut device = Device::new();
    device.service.handle_day(1);
    device.come(1);
    device.come(1);
    device.come(2);
    assert_eq!(device.service.tally().messages()[&app()], 2);
    device.service.handle_day(2);
    assert!(device.service.tally().messages().is_empty());
}
