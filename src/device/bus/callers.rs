//! Who may ask about which package, by what the bus knows of its callers: their AppArmor labels. It
//! knows no messages; whoever owns it asks the bus and tells it.
//!
//! ```text
//!  unknown ── look up ──▶ asked, calls wait ── the bus answers ──▶ known, until too many are
//! ```

use std::collections::BTreeMap;

use crate::base::AppId;
use crate::service::app::AppName;

/// Whether callers are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Where AppArmor labels the programs of this session.
    #[default]
    Auto,
    /// Everywhere: a caller without an AppArmor label may ask nothing.
    Always,
    /// Nowhere: each program may ask about each app.
    Never,
}

impl Check {
    /// Whether callers are checked on a bus that gives this service's own program `own_label`.
    pub(super) fn applies(self, own_label: Option<&str>) -> bool {
        match self {
            Check::Auto => own_label.is_some_and(|label| Standing::of_label(label).is_some()),
            Check::Always => true,
            Check::Never => false,
        }
    }
}

/// What a caller may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Everything.
    Unconfined,
    /// About its own package; the empty one for a confined program that is in none.
    Of(String),
    /// Nothing: nobody knows who it is.
    Unknown,
}

impl Standing {
    /// By what an AppArmor label says, `unconfined` or `PROFILE (MODE)`; `None` if it is another
    /// system's.
    fn of_label(label: &str) -> Option<Standing> {
        let label = label.trim_end_matches('\0');
        if label == "unconfined" {
            return Some(Standing::Unconfined);
        }
        let (profile, mode) = label.strip_suffix(')')?.rsplit_once(" (")?;
        Some(match mode {
            // The profile forbids nothing.
            "complain" | "unconfined" => Standing::Unconfined,
            _ => Standing::Of(package_of(profile)),
        })
    }

    /// By the label that the bus gave, if it did.
    pub(super) fn of(label: Option<&str>) -> Standing {
        label.and_then(Standing::of_label).unwrap_or(Standing::Unknown)
    }

    /// Whether it may ask about `package`. For `None`, no app may.
    pub(super) fn may_ask(&self, package: Option<&str>) -> bool {
        match self {
            Standing::Unconfined => true,
            Standing::Of(own) => package == Some(own),
            Standing::Unknown => false,
        }
    }
}

/// The package of the program that a click profile confines. A profile that a system's owner wrote for
/// a program is of none.
fn package_of(profile: &str) -> String {
    let (program, _subprofile) = profile.split_once("//").unwrap_or((profile, ""));
    let name = program.parse::<AppId>().ok().and_then(|id| AppName::parse(&id));
    name.map_or_else(String::new, |name| name.package().into())
}

/// How many callers are remembered. A connection keeps its label and its name is never given
/// again, so this only bounds memory.
const KNOWN_MAX: usize = 256;
/// How many calls wait for the bus to say who made them; more are refused. The bus answers at once.
pub(super) const WAITING_MAX: usize = 64;
/// How many of them one caller may have made.
const WAITING_PER_CALLER_MAX: usize = 16;

/// What is known of the callers on one bus, and the calls (`C`) that wait for it.
#[derive(Debug)]
pub(super) struct Callers<C> {
    known: BTreeMap<String, Standing>,
    /// By the number of the question to the bus, with the caller whom it is about.
    asked: Vec<(u32, String, Vec<C>)>,
}

/// What becomes of a call whose caller is not known yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parked<C> {
    /// It waits for a question that is on its way.
    Waits,
    /// It waits once the bus is asked: [`Callers::asked`].
    LookUp(C),
    /// Too many wait.
    Full(C),
}

impl<C> Callers<C> {
    pub(super) fn new() -> Callers<C> {
        Callers { known: BTreeMap::new(), asked: Vec::new() }
    }

    /// What is known of `caller`, by its unique name.
    pub(super) fn standing(&self, caller: &str) -> Option<&Standing> {
        self.known.get(caller)
    }

    /// Takes in a call of a caller who is not known.
    pub(super) fn park(&mut self, caller: &str, call: C) -> Parked<C> {
        if self.asked.iter().map(|(_, _, calls)| calls.len()).sum::<usize>() >= WAITING_MAX {
            return Parked::Full(call);
        }
        match self.asked.iter_mut().find(|(_, asked, _)| asked == caller) {
            Some((_, _, calls)) if calls.len() >= WAITING_PER_CALLER_MAX => Parked::Full(call),
            Some((_, _, calls)) => {
                calls.push(call);
                Parked::Waits
            }
            None => Parked::LookUp(call),
        }
    }

    /// The bus has been asked about `caller`, with the question of this number; `call` waits.
    pub(super) fn asked(&mut self, number: u32, caller: &str, call: C) {
        self.asked.push((number, caller.into(), vec![call]));
    }

    /// The bus has answered the question of this number. The calls that can be decided now, oldest first.
    pub(super) fn told(&mut self, number: u32, standing: Standing) -> Vec<C> {
        let Some(place) = self.asked.iter().position(|(asked, _, _)| *asked == number) else {
            return Vec::new();
        };
        let (_, caller, calls) = self.asked.remove(place);
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(caller, standing);
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(package: &str) -> Standing {
        Standing::Of(package.into())
    }

    #[test]
    fn a_label_says_what_its_program_may_ask() {
        for (label, standing) in [
            ("unconfined", Standing::Unconfined),
            ("unconfined\0", Standing::Unconfined),
            ("com.ubuntu.music_music_2.1 (enforce)", of("com.ubuntu.music")),
            ("com.ubuntu.music_music_2.1 (enforce)\0", of("com.ubuntu.music")),
            ("com.ubuntu.music_helper_2.1//child (kill)", of("com.ubuntu.music")),
            ("com.ubuntu.music_music_2.1 (complain)", Standing::Unconfined),
            ("lomiri-shell (unconfined)", Standing::Unconfined),
            ("/usr/bin/evince (enforce)", of("")),
            ("_sneaky (enforce)", of("")),
            ("unconfined_u:unconfined_r:unconfined_t:s0", Standing::Unknown),
            ("", Standing::Unknown),
        ] {
            assert_eq!(Standing::of(Some(label)), standing, "{label:?}");
        }
        assert_eq!(Standing::of(None), Standing::Unknown);
    }

    #[test]
    fn a_confined_program_may_ask_about_its_own_package_alone() {
        let music = of("com.ubuntu.music");
        assert!(music.may_ask(Some("com.ubuntu.music")));
        for other in [Some("com.ubuntu"), Some("com.ubuntu.music.extra"), Some(""), None] {
            assert!(!music.may_ask(other), "{other:?}");
        }
        assert!(of("").may_ask(Some("")) && !of("").may_ask(Some("com.ubuntu.music")));
        assert!(Standing::Unconfined.may_ask(None) && Standing::Unconfined.may_ask(Some("com.ubuntu.music")));
        assert!(!Standing::Unknown.may_ask(Some("")));
    }

    #[test]
    fn callers_are_checked_where_labels_are_app_armors_or_where_it_is_demanded() {
        let of_selinux = Some("system_u:system_r:init_t:s0");
        assert!(Check::Auto.applies(Some("unconfined")));
        assert!(!Check::Auto.applies(None) && !Check::Auto.applies(of_selinux));
        assert!(Check::Always.applies(None) && !Check::Never.applies(Some("unconfined")));
    }

    #[test]
    fn calls_wait_for_one_question_about_their_caller() {
        let mut callers = Callers::new();
        assert_eq!(callers.park(":1.5", "first"), Parked::LookUp("first"));
        callers.asked(7, ":1.5", "first");
        assert_eq!(callers.park(":1.5", "second"), Parked::Waits);
        assert_eq!(callers.told(8, Standing::Unconfined), [""; 0]);
        assert_eq!(callers.told(7, of("ab")), ["first", "second"]);
        assert_eq!(callers.standing(":1.5"), Some(&of("ab")));
        assert_eq!(callers.told(7, Standing::Unconfined), [""; 0]);
        assert_eq!(callers.standing(":1.5"), Some(&of("ab")));
    }

    #[test]
    fn one_caller_does_not_take_all_places() {
        let mut callers = Callers::new();
        callers.asked(1, ":1.1", ());
        (1..WAITING_PER_CALLER_MAX).for_each(|_| assert_eq!(callers.park(":1.1", ()), Parked::Waits));
        assert_eq!(callers.park(":1.1", ()), Parked::Full(()));
        assert_eq!(callers.park(":1.2", ()), Parked::LookUp(()));
    }

    #[test]
    fn neither_what_waits_nor_what_is_known_grows_without_bound() {
        let mut callers = Callers::new();
        for number in 0..WAITING_MAX as u32 {
            callers.asked(number, &format!(":1.{number}"), ());
        }
        assert_eq!(callers.park(":1.0", ()), Parked::Full(()));
        for number in 0..2 * KNOWN_MAX as u32 {
            callers.asked(number, &format!(":2.{number}"), ());
            callers.told(number, Standing::Unconfined);
        }
        assert!(callers.known.len() <= KNOWN_MAX);
    }
}
