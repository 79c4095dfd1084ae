//! What of a notification the user is to notice: their settings for the app, what is in the foreground, and
//! what the notification itself asks for. How it is shown, played or felt, it does not know.

use std::collections::BTreeMap;

use super::app::AppName;
use super::notification::{Card, Emblem, Notification, Sound, Vibration};
use crate::base::AppId;

/// Longest summary that is shown, in characters: one line, on a wide screen.
pub const SUMMARY_CHARS_MAX: usize = 200;
/// Longest body that is shown, in characters: more than a screen of a phone, less than what makes a
/// notification server slow.
pub const BODY_CHARS_MAX: usize = 2_000;
/// Longest vibration, in milliseconds: what takes a user long to notice is noise.
pub const VIBRATION_MS_MAX: u32 = 10_000;
/// Most steps of a vibration's pattern: some 50 ms each of the longest vibration.
pub const VIBRATION_STEPS_MAX: usize = 200;

/// What a user lets an app do to get noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Anything at all. Without it the rest does not matter; messages reach the mailbox as ever.
    pub notify: bool,
    /// Bubbles that pop up.
    pub bubbles: bool,
    /// Entries that stay in the notification centre.
    pub entries: bool,
    /// Sounds.
    pub sounds: bool,
    /// Vibrations.
    pub vibrations: bool,
}

impl Default for Permissions {
    /// Everything, as with an app that the user has never thought about.
    fn default() -> Permissions {
        Permissions { notify: true, bubbles: true, entries: true, sounds: true, vibrations: true }
    }
}

impl Permissions {
    /// What both let an app do.
    pub fn and(self, other: Permissions) -> Permissions {
        Permissions {
            notify: self.notify && other.notify,
            bubbles: self.bubbles && other.bubbles,
            entries: self.entries && other.entries,
            sounds: self.sounds && other.sounds,
            vibrations: self.vibrations && other.vibrations,
        }
    }
}

/// What a user lets each app do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// For apps that are not named.
    pub others: Permissions,
    /// For apps by id. One for `package_app` holds for each version of that app, too.
    pub apps: BTreeMap<AppId, Permissions>,
}

impl Settings {
    /// What `app` may do.
    pub fn of(&self, app: &AppId) -> Permissions {
        let named = self.apps.get(app).or_else(|| self.apps.get(&without_version(app)?));
        named.copied().unwrap_or(self.others)
    }
}

fn without_version(app: &AppId) -> Option<AppId> {
    match AppName::parse(app)? {
        AppName::Click { package, app, version: Some(_) } => format!("{package}_{app}").parse().ok(),
        _ => None,
    }
}

/// Where the user is looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// At the app itself, on an unlocked screen: it shows its news better than a bubble could.
    OnApp,
    /// Somewhere else, or nobody can tell.
    Elsewhere,
}

/// What a desktop that can be asked says of where the user is looking. What it does not say is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Whether the app is in the foreground.
    pub is_in_front: Option<bool>,
    /// Whether the greeter hides it.
    pub is_greeter_up: Option<bool>,
    /// Whether the screen is locked.
    pub is_locked: Option<bool>,
}

impl Focus {
    /// Where the user is looking, by what is known for certain.
    pub fn of(sight: Sight) -> Focus {
        let is_hidden = sight.is_greeter_up == Some(true) || sight.is_locked == Some(true);
        let is_open = sight.is_greeter_up == Some(false) || sight.is_locked == Some(false);
        match sight.is_in_front {
            Some(true) if is_open && !is_hidden => Focus::OnApp,
            _ => Focus::Elsewhere,
        }
    }
}

/// What the user is to notice, all limits kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Showing {
    /// What is to be seen.
    pub bubble: Option<Bubble>,
    /// What is to be heard.
    pub sound: Option<Sound>,
    /// What is to be felt.
    pub vibration: Option<Vibration>,
    /// What the app's icon is to count.
    pub emblem: Option<Emblem>,
}

/// What is to be seen of a notification, and where. Its texts have no control characters but, in the body,
/// line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bubble {
    /// One line; never empty.
    pub summary: String,
    /// More lines.
    pub body: String,
    /// The name or the path of an icon. May be empty.
    pub icon: String,
    /// What is opened when it is clicked.
    pub url: Option<String>,
    /// Whether it pops up.
    pub pops_up: bool,
    /// Whether it stays in the notification centre until the user or the app has done with it.
    pub stays: bool,
}

impl Showing {
    /// What is to be noticed of `notification`, from an app that may do so much, with the user looking there.
    pub fn of(notification: &Notification, permissions: Permissions, focus: Focus) -> Showing {
        if !permissions.notify || focus == Focus::OnApp {
            return Showing::default();
        }
        Showing {
            bubble: notification.card.as_ref().and_then(|card| Bubble::of(card, permissions)),
            sound: notification.sound.clone().filter(|_| permissions.sounds),
            vibration: notification.vibration.clone().filter(|_| permissions.vibrations).and_then(bounded),
            emblem: notification.emblem,
        }
    }

    /// Whether the notification is one that stays, and that its app may list.
    pub fn is_listed(&self) -> bool {
        self.bubble.as_ref().is_some_and(|bubble| bubble.stays)
    }
}

impl Bubble {
    fn of(card: &Card, permissions: Permissions) -> Option<Bubble> {
        let summary = line(&card.summary, SUMMARY_CHARS_MAX);
        let pops_up = card.popup && permissions.bubbles;
        let stays = card.persist && permissions.entries;
        let is_seen = !summary.is_empty() && (pops_up || stays);
        is_seen.then(|| Bubble {
            summary,
            body: lines(&card.body, BODY_CHARS_MAX),
            icon: line(&card.icon, card.icon.len()),
            url: url_of(card).map(Into::into),
            pops_up,
            stays,
        })
    }
}

/// What a click on `card` opens: its first action, if that is a URL.
pub fn url_of(card: &Card) -> Option<&str> {
    card.actions.first().map(String::as_str).filter(|url| is_url(url))
}

/// Whether `text` names what to open it with (RFC 3986, section 3.1), and nothing that could break out of a
/// URL: no white space and no control characters.
pub fn is_url(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
        && !text.contains(|one: char| one.is_whitespace() || one.is_control())
}

/// `text` on one line, no longer than that.
fn line(text: &str, chars_max: usize) -> String {
    let spaced = |one: char| if one.is_control() { ' ' } else { one };
    cut(text.chars().map(spaced).collect::<String>().trim(), chars_max)
}

/// `text` with its line ends and no other control character, no longer than that.
fn lines(text: &str, chars_max: usize) -> String {
    let is_kept = |one: &char| *one == '\n' || !one.is_control();
    cut(text.chars().filter(is_kept).collect::<String>().trim(), chars_max)
}

/// What is left out is said by an ellipsis.
fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.into(),
        Some(_) => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A vibration that ends in time; `None` if it is none.
fn bounded(vibration: Vibration) -> Option<Vibration> {
    let Vibration::Pattern { durations_ms, repeat } = vibration else { return Some(vibration) };
    let shortened = |left_ms: &mut u32, duration_ms: u32| {
        let taken_ms = duration_ms.min(*left_ms);
        *left_ms -= taken_ms;
        (taken_ms == duration_ms || taken_ms > 0).then_some(taken_ms)
    };
    let durations_ms: Vec<u32> =
        durations_ms.into_iter().take(VIBRATION_STEPS_MAX).scan(VIBRATION_MS_MAX, shortened).collect();
    let once_ms = durations_ms.iter().sum::<u32>();
    let repeat = repeat.min(VIBRATION_MS_MAX.checked_div(once_ms)?).max(1);
    Some(Vibration::Pattern { durations_ms, repeat })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str) -> AppId {
        id.parse().expect("an id")
    }

    fn card() -> Card {
        Card {
            summary: "Alice".into(),
            body: "Tea?".into(),
            actions: vec!["chatter:alice".into()],
            popup: true,
            persist: true,
            ..Card::default()
        }
    }

    fn notification(card: Card) -> Notification {
        Notification {
            card: Some(card),
            sound: Some(Sound::Default),
            vibration: Some(Vibration::Default),
            emblem: Some(Emblem { count: 3, visible: true }),
            ..Notification::default()
        }
    }

    fn shown(permissions: Permissions) -> Showing {
        Showing::of(&notification(card()), permissions, Focus::Elsewhere)
    }

    fn bubble(card: Card) -> Option<Bubble> {
        Showing::of(&notification(card), Permissions::default(), Focus::Elsewhere).bubble
    }

    fn pattern(durations_ms: Vec<u32>, repeat: u32) -> Option<Vibration> {
        bounded(Vibration::Pattern { durations_ms, repeat })
    }

    #[test]
    fn what_is_asked_for_is_shown_where_nothing_is_switched_off() {
        let seen = shown(Permissions::default());
        let bubble = seen.bubble.expect("a bubble");
        assert_eq!((bubble.summary.as_str(), bubble.body.as_str()), ("Alice", "Tea?"));
        assert_eq!(
            (bubble.url.as_deref(), bubble.pops_up, bubble.stays),
            (Some("chatter:alice"), true, true)
        );
        assert_eq!((seen.sound, seen.vibration), (Some(Sound::Default), Some(Vibration::Default)));
        assert_eq!(seen.emblem, Some(Emblem { count: 3, visible: true }));
    }

    #[test]
    fn nothing_is_shown_for_the_app_that_the_user_looks_at_or_has_switched_off() {
        let all = Permissions::default();
        assert_eq!(Showing::of(&notification(card()), all, Focus::OnApp), Showing::default());
        let none = Permissions { notify: false, ..all };
        assert_eq!(shown(none), Showing::default());
        assert!(!shown(none).is_listed());
    }

    #[test]
    fn the_user_looks_at_an_app_only_where_that_is_known_for_certain() {
        let sees = |is_in_front, is_greeter_up, is_locked| {
            Focus::of(Sight { is_in_front, is_greeter_up, is_locked }) == Focus::OnApp
        };
        assert!(sees(Some(true), Some(false), None) && sees(Some(true), None, Some(false)));
        for hidden in [(Some(true), None), (None, Some(true)), (Some(false), Some(true)), (None, None)] {
            assert!(!sees(Some(true), hidden.0, hidden.1), "{hidden:?}");
        }
        assert!(!sees(Some(false), Some(false), Some(false)) && !sees(None, Some(false), Some(false)));
    }

    #[test]
    fn each_setting_switches_off_its_own_part_alone() {
        let all = Permissions::default();
        let silent = shown(Permissions { sounds: false, ..all });
        assert_eq!((silent.sound, silent.vibration.is_some(), silent.bubble.is_some()), (None, true, true));
        let still = shown(Permissions { vibrations: false, ..all });
        assert_eq!((still.sound.is_some(), still.vibration), (true, None));
        let listed = shown(Permissions { bubbles: false, ..all });
        assert!(listed.bubble.is_some_and(|bubble| bubble.stays && !bubble.pops_up));
        let fleeting = shown(Permissions { entries: false, ..all });
        assert!(fleeting.bubble.is_some_and(|bubble| !bubble.stays && bubble.pops_up));
        assert_eq!(shown(Permissions { bubbles: false, entries: false, ..all }).bubble, None);
        assert!(shown(all).is_listed() && !shown(Permissions { entries: false, ..all }).is_listed());
    }

    #[test]
    fn a_bubble_needs_a_summary_and_somewhere_to_be() {
        assert_eq!(bubble(Card { summary: " \n".into(), ..card() }), None);
        assert_eq!(bubble(Card { popup: false, persist: false, ..card() }), None);
    }

    #[test]
    fn settings_for_an_app_hold_for_its_versions_unless_one_has_its_own() {
        let off = Permissions { notify: false, ..Permissions::default() };
        let still = Permissions { vibrations: false, ..Permissions::default() };
        let apps = [(app("ab_chat"), off), (app("ab_chat_2"), still)].into();
        let settings = Settings { others: Permissions::default(), apps };
        assert_eq!(settings.of(&app("ab_chat")), off);
        assert_eq!(settings.of(&app("ab_chat_1.0")), off);
        assert_eq!(settings.of(&app("ab_chat_2")), still);
        assert_eq!(settings.of(&app("ab_other")), Permissions::default());
        assert_eq!(settings.of(&app("_chat")), Permissions::default());
    }

    #[test]
    fn texts_have_an_end_and_no_control_characters() {
        let summary = format!("a\0b\n{}", "ä".repeat(SUMMARY_CHARS_MAX));
        let body = format!("one\ntwo\u{7}\0{}", "x".repeat(BODY_CHARS_MAX));
        let bubble = bubble(Card { summary, body, icon: "a\0".into(), ..card() }).expect("a bubble");
        assert_eq!(bubble.summary.chars().count(), SUMMARY_CHARS_MAX);
        assert!(bubble.summary.starts_with("a b ä") && bubble.summary.ends_with("ä…"));
        assert_eq!(bubble.body.chars().count(), BODY_CHARS_MAX);
        assert!(bubble.body.starts_with("one\ntwox"));
        assert_eq!(bubble.icon, "a");
    }

    #[test]
    fn only_a_url_with_a_scheme_is_ever_opened() {
        for url in ["https://a.example/?q=1", "application:///x.desktop", "tel:+1", "x-a.b+c:d"] {
            assert!(is_url(url), "{url}");
        }
        for wrong in
            ["", "a", "/etc/passwd", "-x:y", "--help", ":a", "a:", "1a:b", "a b:c", "a:b c", "a:b\nc"]
        {
            assert!(!is_url(wrong), "{wrong}");
        }
        let actions = vec!["no url".into(), "https://a.example".into()];
        assert_eq!(bubble(Card { actions, ..card() }).expect("a bubble").url, None, "the first counts");
    }

    #[test]
    fn a_vibration_ends_in_time() {
        let vibration = |durations_ms: &[u32], repeat| {
            Some(Vibration::Pattern { durations_ms: durations_ms.to_vec(), repeat })
        };
        assert_eq!(pattern(vec![100, 50], 2), vibration(&[100, 50], 2));
        assert_eq!(pattern(vec![0, 50, 100], 0), vibration(&[0, 50, 100], 1));
        assert_eq!(pattern(vec![4_000, 1_000], 9), vibration(&[4_000, 1_000], 2));
        assert_eq!(pattern(vec![9_000, u32::MAX, 5], u32::MAX), vibration(&[9_000, 1_000], 1));
        assert_eq!((pattern(vec![], 1), pattern(vec![0, 0], 1)), (None, None));
        let Some(Vibration::Pattern { durations_ms, .. }) = pattern(vec![1; 9_999], 1) else { panic!() };
        assert_eq!(durations_ms.len(), VIBRATION_STEPS_MAX);
    }
}
