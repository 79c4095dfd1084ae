//! What is said to a notification server about a bubble (`org.freedesktop.Notifications`), by what that server
//! can do. How it is reached, it does not know.

use super::presentation::Bubble;

/// How long a bubble is up that nobody touches, in milliseconds.
pub const BUBBLE_MS: i32 = 30_000;
/// The name of the action that a click on the bubble itself stands for.
pub const DEFAULT_ACTION: &str = "default";
/// What servers that show the default action as a button write on it.
const DEFAULT_LABEL: &str = "Open";

/// What a notification server can do, of what matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It tells of clicks.
    pub actions: bool,
    /// It reads the body as markup, so that it must be escaped.
    pub body_markup: bool,
    /// It keeps notifications until the user has done with them.
    pub persistence: bool,
    /// It plays sounds.
    pub sound: bool,
    /// It is Lomiri's own, which has hints of its own.
    pub lomiri: bool,
}

impl Capabilities {
    /// What the names in the answer to `GetCapabilities` mean.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Capabilities {
        let mut can = Capabilities::default();
        for name in names {
            match name {
                "actions" => can.actions = true,
                "body-markup" => can.body_markup = true,
                "persistence" => can.persistence = true,
                "sound" => can.sound = true,
                name => can.lomiri |= name.starts_with("x-lomiri-"),
            }
        }
        // Lomiri's server plays a `sound-file`, but has always kept silent about it.
        can.sound |= can.lomiri;
        can
    }
}

/// How the desktop shows the app itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appearance {
    /// Its name for people.
    pub name: String,
    /// The name of its `.desktop` file without the ending.
    pub desktop_entry: String,
    /// The name or the path of its icon. May be empty.
    pub icon: String,
}

/// A sound that is there to be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Playable {
    /// A file, by its absolute path.
    File(String),
    /// A sound of the desktop's theme, by its name.
    Named(&'static str),
}

/// What a hint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A text.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// 0 low, 1 normal, 2 critical.
    Urgency(u8),
}

/// What `Notify` is called with, but for the bubble that it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whose it is, for people.
    pub app_name: String,
    /// The name or the path of an icon. May be empty.
    pub icon: String,
    /// One line.
    pub summary: String,
    /// More lines, escaped if the server reads markup.
    pub body: String,
    /// In pairs: an action's name and its label.
    pub actions: Vec<&'static str>,
    /// By name.
    pub hints: Vec<(&'static str, Hint)>,
    /// How long it is up, in milliseconds.
    pub expires_after_ms: i32,
}

impl Notice {
    /// How a server that can do so much is to show `bubble`. `None` if it cannot: what only stays needs a
    /// server that keeps.
    pub fn of(
        bubble: &Bubble,
        app: &Appearance,
        sound: Option<&Playable>,
        can: Capabilities,
    ) -> Option<Notice> {
        let is_possible = bubble.pops_up || can.persistence;
        is_possible.then(|| Notice {
            app_name: app.name.clone(),
            icon: bubble.icon.clone(),
            summary: bubble.summary.clone(),
            body: if can.body_markup { escaped(&bubble.body) } else { bubble.body.clone() },
            actions: if is_clickable(bubble, can) { vec![DEFAULT_ACTION, DEFAULT_LABEL] } else { Vec::new() },
            hints: hints(bubble, app, sound, can),
            expires_after_ms: BUBBLE_MS,
        })
    }
}

fn is_clickable(bubble: &Bubble, can: Capabilities) -> bool {
    can.actions && bubble.url.is_some()
}

fn hints(
    bubble: &Bubble,
    app: &Appearance,
    sound: Option<&Playable>,
    can: Capabilities,
) -> Vec<(&'static str, Hint)> {
    let mut hints = vec![
        ("desktop-entry", Hint::Text(app.desktop_entry.clone())),
        ("category", Hint::Text("im.received".into())),
        // The common desktops put what is of low urgency into their list without a bubble.
        ("urgency", Hint::Urgency(if bubble.pops_up { 1 } else { 0 })),
    ];
    if can.persistence && !bubble.stays {
        hints.push(("transient", Hint::Flag(true)));
    }
    if can.sound {
        hints.push(sound_hint(sound));
    }
    if can.lomiri {
        hints.push(("x-lomiri-secondary-icon", Hint::Text(app.icon.clone())));
    }
    if can.lomiri && is_clickable(bubble, can) {
        hints.push(("x-lomiri-switch-to-application", Hint::Text("true".into())));
    }
    hints
}

/// A server that plays sounds may have one of its own for what has none.
fn sound_hint(sound: Option<&Playable>) -> (&'static str, Hint) {
    match sound {
        Some(Playable::File(path)) => ("sound-file", Hint::Text(path.clone())),
        Some(Playable::Named(name)) => ("sound-name", Hint::Text((*name).into())),
        None => ("suppress-sound", Hint::Flag(true)),
    }
}

/// `text` as markup that shows just that text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a common desktop's server can do.
    const DESKTOP: Capabilities =
        Capabilities { actions: true, body_markup: true, persistence: true, sound: true, lomiri: false };

    fn bubble() -> Bubble {
        Bubble {
            summary: "<Alice>".into(),
            body: "1 < 2 & \"so\"".into(),
            icon: "mail".into(),
            url: Some("chatter:alice".into()),
            pops_up: true,
            stays: false,
        }
    }

    fn app() -> Appearance {
        Appearance { name: "Chatter".into(), desktop_entry: "ab_chat".into(), icon: "/icon.svg".into() }
    }

    fn notice(bubble: &Bubble, can: Capabilities) -> Notice {
        Notice::of(bubble, &app(), None, can).expect("something to show")
    }

    fn hint(notice: &Notice, name: &str) -> Option<Hint> {
        notice.hints.iter().find(|(other, _)| *other == name).map(|(_, hint)| hint.clone())
    }

    fn text(text: &str) -> Option<Hint> {
        Some(Hint::Text(text.into()))
    }

    #[test]
    fn what_a_server_can_do_is_read_from_its_names() {
        let names = ["actions", "body", "body-markup", "persistence", "sound", "x-kde-urls"];
        assert_eq!(Capabilities::of(names), DESKTOP);
        assert_eq!(Capabilities::of([]), Capabilities::default());
        let lomiri = Capabilities::of(["x-lomiri-truncation"]);
        assert!(lomiri.lomiri && lomiri.sound && !lomiri.actions);
    }

    #[test]
    fn a_body_is_escaped_where_it_is_markup_and_a_summary_never_is() {
        let marked = notice(&bubble(), DESKTOP);
        assert_eq!((marked.summary.as_str(), marked.body.as_str()), ("<Alice>", "1 &lt; 2 &amp; \"so\""));
        assert_eq!(notice(&bubble(), Capabilities::default()).body, "1 < 2 & \"so\"");
    }

    #[test]
    fn a_click_is_asked_for_where_there_is_something_to_open_and_the_server_tells() {
        assert_eq!(notice(&bubble(), DESKTOP).actions, ["default", "Open"]);
        assert!(notice(&Bubble { url: None, ..bubble() }, DESKTOP).actions.is_empty());
        assert!(notice(&bubble(), Capabilities { actions: false, ..DESKTOP }).actions.is_empty());
    }

    #[test]
    fn every_server_hears_whose_it_is() {
        let notice = notice(&bubble(), Capabilities::default());
        assert_eq!((notice.app_name.as_str(), notice.icon.as_str()), ("Chatter", "mail"));
        assert_eq!(hint(&notice, "desktop-entry"), text("ab_chat"));
        assert_eq!((hint(&notice, "urgency"), notice.expires_after_ms), (Some(Hint::Urgency(1)), 30_000));
        assert_eq!(notice.hints.len(), 3, "no hint that the server has not asked for: {notice:?}");
    }

    #[test]
    fn only_what_stays_is_kept_by_a_server_that_keeps() {
        let staying = Bubble { stays: true, ..bubble() };
        assert_eq!(hint(&notice(&bubble(), DESKTOP), "transient"), Some(Hint::Flag(true)));
        assert_eq!(hint(&notice(&staying, DESKTOP), "transient"), None);
        let listed = Bubble { pops_up: false, ..staying };
        assert_eq!(hint(&notice(&listed, DESKTOP), "urgency"), Some(Hint::Urgency(0)));
        assert_eq!(Notice::of(&listed, &app(), None, Capabilities::default()), None);
    }

    #[test]
    fn a_server_that_plays_sounds_is_told_which_or_none() {
        let file = Playable::File("/a.ogg".into());
        let with = |sound| Notice::of(&bubble(), &app(), sound, DESKTOP).expect("something to show");
        assert_eq!(hint(&with(Some(&file)), "sound-file"), text("/a.ogg"));
        assert_eq!(hint(&with(Some(&Playable::Named("bell"))), "sound-name"), text("bell"));
        assert_eq!(hint(&with(None), "suppress-sound"), Some(Hint::Flag(true)));
    }

    #[test]
    fn lomiri_gets_its_own_hints() {
        let lomiri = Capabilities { lomiri: true, ..DESKTOP };
        let clickable = notice(&bubble(), lomiri);
        assert_eq!(hint(&clickable, "x-lomiri-secondary-icon"), text("/icon.svg"));
        assert_eq!(hint(&clickable, "x-lomiri-switch-to-application"), text("true"));
        let still = notice(&Bubble { url: None, ..bubble() }, lomiri);
        assert_eq!(hint(&still, "x-lomiri-switch-to-application"), None);
        assert!(!notice(&bubble(), DESKTOP).hints.iter().any(|(name, _)| name.starts_with("x-lomiri")));
    }
}
