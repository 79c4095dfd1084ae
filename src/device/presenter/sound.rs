//! Finds the sound of a notification, and plays it where the notification server does not.

use std::path::{Component, Path, PathBuf};

use super::Folders;
use super::peers::{Peer, Peers};
use super::programs::Programs;
use crate::base::AppId;
use crate::service::app::AppName;
use crate::service::notice::Playable;
use crate::service::notification::Sound;

/// What the sound naming specification calls the arrival of a message.
const THEME_SOUND: &str = "message-new-instant";

/// The file of `sound` in the app's data folder or in those of everybody. What is not there is heard as the
/// default; what points out of those folders is not heard at all.
pub(super) fn find(
    sound: &Sound,
    app: &AppId,
    folders: &Folders,
    default: Option<&Path>,
) -> Option<Playable> {
    let named = match sound {
        Sound::Default => None,
        Sound::File(path) if !is_below(Path::new(path)) => {
            log::debug!("the sound of {app} is not in its data folder, and not played");
            return None;
        }
        Sound::File(path) => {
            first_file(&[vec![folders.own.join(folder_of(app))], everybodys(folders)].concat(), path)
        }
    };
    let default = || first_file(&everybodys(folders), default?);
    Some(named.or_else(default).map_or(Playable::Named(THEME_SOUND), Playable::File))
}

/// Whether a path stays below whatever it is joined to.
fn is_below(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn folder_of(app: &AppId) -> String {
    match AppName::parse(app) {
        Some(AppName::Click { package, .. }) => package,
        Some(AppName::Outside { name }) => name,
        None => app.to_string(),
    }
}

fn everybodys(folders: &Folders) -> Vec<PathBuf> {
    std::iter::once(&folders.own).chain(&folders.shared).cloned().collect()
}

fn first_file(folders: &[PathBuf], path: impl AsRef<Path>) -> Option<String> {
    let places = folders.iter().map(|folder| folder.join(&path));
    places.filter(|path| path.is_file()).find_map(|path| path.into_os_string().into_string().ok())
}

/// Plays a sound with the first player that is there. False if none is.
pub(super) fn play(programs: &mut Programs, sound: &Playable) -> bool {
    let is_played = players(sound).iter().any(|(program, arguments)| programs.start(program, arguments));
    if !is_played {
        log::debug!("no player is there for the sound of a notification");
    }
    is_played
}

/// The players to try, in order, and what each is told.
fn players(sound: &Playable) -> Vec<(&'static str, Vec<&str>)> {
    match sound {
        Playable::Named(name) => vec![("canberra-gtk-play", vec!["-i", name])],
        Playable::File(path) => {
            let mut players = vec![
                ("pw-play", vec![path.as_str()]),
                ("paplay", vec![path]),
                ("canberra-gtk-play", vec!["-f", path]),
            ];
            if path.ends_with(".wav") {
                // It takes all else for samples, and makes noise of them.
                players.push(("aplay", vec!["-q", path]));
            }
            players
        }
    }
}

/// Whether the user of a Lomiri phone wants silence; false where that is not known.
pub(super) fn is_phone_silent(system: &mut Peers) -> bool {
    let path = format!("/org/freedesktop/Accounts/User{}", rustix::process::getuid().as_raw());
    let user = Peer {
        service: "org.freedesktop.Accounts",
        path: &path,
        interface: "com.lomiri.touch.AccountsService.Sound",
    };
    system.property(user, "SilentMode").unwrap_or(false)
}

/// Whether the user of another phone wants silence; false where that is not known.
pub(super) fn is_feedback_silent(session: &mut Peers) -> bool {
    let profile: Option<String> = session.property(super::vibration::FEEDBACK, "Profile");
    profile.is_some_and(|profile| profile != "full")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Place {
        root: tempfile::TempDir,
        folders: Folders,
    }

    /// Data folders with these files.
    fn place(files: &[&str]) -> Place {
        let root = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, "sound").expect("a file");
        }
        let folders = Folders { own: root.path().join("own"), shared: vec![root.path().join("all")] };
        Place { root, folders }
    }

    impl Place {
        fn found(&self, app: &str, sound: &Sound, default: Option<&str>) -> Option<Playable> {
            find(sound, &app.parse().expect("an id"), &self.folders, default.map(Path::new))
        }

        fn file(&self, path: &str) -> Option<Playable> {
            Some(Playable::File(self.root.path().join(path).to_str().expect("a text").into()))
        }
    }

    #[test]
    fn a_sound_is_looked_for_in_the_apps_folder_and_then_in_those_of_everybody() {
        let place = place(&["own/ab/a.ogg", "all/a.ogg", "all/sounds/b.ogg", "own/mail/c.ogg"]);
        let named = |path: &str| Sound::File(path.into());
        assert_eq!(place.found("ab_chat_1", &named("a.ogg"), None), place.file("own/ab/a.ogg"));
        assert_eq!(place.found("ab_chat", &named("sounds/b.ogg"), None), place.file("all/sounds/b.ogg"));
        assert_eq!(place.found("_mail", &named("c.ogg"), None), place.file("own/mail/c.ogg"));
        assert_eq!(place.found("_other", &named("a.ogg"), None), place.file("all/a.ogg"));
    }

    #[test]
    fn what_points_out_of_the_data_folders_is_not_played() {
        let place = place(&["secret.ogg", "own/a.ogg"]);
        for wrong in ["../secret.ogg", "x/../../secret.ogg", "/etc/passwd", ""] {
            let found = place.found("ab_chat", &Sound::File(wrong.into()), None);
            assert!(!matches!(found, Some(Playable::File(_))), "{wrong}: {found:?}");
        }
        assert_eq!(place.found("ab_chat", &Sound::File("../secret.ogg".into()), Some("a.ogg")), None);
    }

    #[test]
    fn the_default_is_what_the_user_chose_or_else_the_themes() {
        let place = place(&["all/sounds/ping.ogg", "elsewhere.ogg"]);
        let absolute = place.root.path().join("elsewhere.ogg");
        assert_eq!(
            place.found("_a", &Sound::Default, Some("sounds/ping.ogg")),
            place.file("all/sounds/ping.ogg")
        );
        assert_eq!(place.found("_a", &Sound::Default, absolute.to_str()), place.file("elsewhere.ogg"));
        let theme = Some(Playable::Named("message-new-instant"));
        assert_eq!(place.found("_a", &Sound::Default, Some("gone.ogg")), theme);
        assert_eq!(place.found("_a", &Sound::File("gone.ogg".into()), None), theme);
    }

    #[test]
    fn only_samples_are_given_to_the_player_of_samples() {
        let programs = |sound| players(&sound).into_iter().map(|(program, _)| program).collect::<Vec<_>>();
        let others = ["pw-play", "paplay", "canberra-gtk-play"];
        assert_eq!(programs(Playable::File("/a.ogg".into())), others);
        assert_eq!(programs(Playable::File("/a.wav".into()))[..3], others);
        assert_eq!(programs(Playable::File("/a.wav".into()))[3..], ["aplay"]);
    }
}
