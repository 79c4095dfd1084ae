//! How the desktop shows an app: its name and its icon, from its `.desktop` file (the desktop entry
//! specification). What else stands there, it does not read.

use std::fs;
use std::path::{Path, PathBuf};

use super::Folders;
use crate::base::AppId;
use crate::service::app::AppName;
use crate::service::notice::Appearance;

/// Largest `.desktop` file that is read, in bytes: they have a few kB, with all their languages.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// How `app` is shown, as far as it has a `.desktop` file; otherwise by its id.
pub(super) fn appearance(app: &AppId, folders: &Folders) -> Appearance {
    let Some(name) = AppName::parse(app) else {
        return Appearance { name: app.to_string(), desktop_entry: app.to_string(), icon: String::new() };
    };
    match find(&name, folders) {
        Some((desktop_entry, text)) => read(&text, &name, desktop_entry),
        None => read("", &name, name.desktop_entry()),
    }
}

fn find(name: &AppName, folders: &Folders) -> Option<(String, String)> {
    let places = std::iter::once(&folders.own).chain(&folders.shared);
    places.map(|folder| folder.join("applications")).find_map(|folder| {
        let entry = name.desktop_entry();
        let entry = if text_of(&folder, &entry).is_some() { entry } else { with_version(&folder, name)? };
        text_of(&folder, &entry).map(|text| (entry, text))
    })
}

/// The `.desktop` file of a click app names its version, which the app's id may leave out.
fn with_version(folder: &Path, name: &AppName) -> Option<String> {
    let AppName::Click { version: None, .. } = name else { return None };
    let prefix = format!("{}_", name.desktop_entry());
    let names = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let entries = names.filter_map(|name| name.strip_suffix(".desktop").map(Into::into));
    entries.filter(|entry: &String| entry.starts_with(&prefix)).max()
}

fn text_of(folder: &Path, entry: &str) -> Option<String> {
    let path: PathBuf = folder.join(format!("{entry}.desktop"));
    let is_readable = fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= FILE_BYTES_MAX);
    is_readable.then(|| fs::read_to_string(&path).ok()).flatten()
}

fn read(text: &str, name: &AppName, desktop_entry: String) -> Appearance {
    let value = |key: &str| {
        let lines = text.lines().skip_while(|line| line.trim() != "[Desktop Entry]").skip(1);
        let mut pairs =
            lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
        pairs.find(|(other, _)| other.trim() == key).map(|(_, value)| value.trim().to_string())
    };
    let short = match name {
        AppName::Click { app, .. } => app,
        AppName::Outside { name } => name,
    };
    Appearance {
        name: value("Name").unwrap_or_else(|| short.clone()),
        icon: value("X-Lomiri-SymbolicIcon").or_else(|| value("Icon")).unwrap_or_default(),
        desktop_entry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(own: &Path) -> Folders {
        Folders { own: own.into(), shared: vec!["/nowhere".into()] }
    }

    fn write(folder: &Path, name: &str, text: &str) {
        fs::create_dir_all(folder.join("applications")).expect("a folder");
        fs::write(folder.join("applications").join(name), text).expect("a file");
    }

    fn seen(id: &str, own: &Path) -> Appearance {
        appearance(&id.parse().expect("an id"), &folders(own))
    }

    #[test]
    fn an_app_is_shown_as_its_desktop_file_says() {
        let own = tempfile::tempdir().expect("a folder");
        let text = "# Chat\n[Desktop Entry]\nName = Chatter\nName[de]=Plausch\nIcon=chat\n[Other]\nName=no\n";
        write(own.path(), "chatter.desktop", text);
        let seen = seen("_chatter", own.path());
        assert_eq!((seen.name.as_str(), seen.icon.as_str()), ("Chatter", "chat"));
        assert_eq!(seen.desktop_entry, "chatter");
    }

    #[test]
    fn a_click_app_is_found_without_its_version_and_shows_lomiris_icon() {
        let own = tempfile::tempdir().expect("a folder");
        let text = "[Desktop Entry]\nIcon=/a.png\nX-Lomiri-SymbolicIcon=/b.svg\n";
        write(own.path(), "ab_chat_1.0.desktop", text);
        let seen = seen("ab_chat", own.path());
        assert_eq!((seen.name.as_str(), seen.icon.as_str()), ("chat", "/b.svg"));
        assert_eq!(seen.desktop_entry, "ab_chat_1.0");
    }

    #[test]
    fn an_app_without_a_desktop_file_is_shown_by_its_id() {
        let seen = seen("ab_chat", Path::new("/nowhere"));
        assert_eq!((seen.name.as_str(), seen.icon.as_str()), ("chat", ""));
        assert_eq!(seen.desktop_entry, "ab_chat");
    }
}
