//! What is found in folders as click, distributions and people fill them.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// Folders of their own, one below the other.
struct Place {
    root: TempDir,
    folders: Folders,
}

impl Place {
    fn new() -> Place {
        let root = tempfile::tempdir().expect("a folder");
        let below = |name: &str| root.path().join(name);
        let folders = Folders {
            data_home: below("home"),
            data_dirs: vec![below("local"), below("share")],
            config_home: below("config"),
            cache_home: below("cache"),
            lib_dirs: vec![below("lib"), below("libexec")],
            click_dirs: vec![below("click")],
        };
        Place { root, folders }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// A hook as click makes it: a link into the package.
    fn hook(&self, name: &str, text: &str) {
        let target = format!("click/{name}/helper.json");
        self.write(&target, text);
        let link = self.path("home/lomiri-push-service/helpers").join(format!("{name}.json"));
        fs::create_dir_all(link.parent().expect("below the root")).expect("made");
        symlink(self.path(&target), link).expect("linked");
    }

    /// The helper's path below the root.
    fn find(&self, app: &str) -> Option<String> {
        let exec = self.folders.find(&app.parse().expect("valid"))?.exec;
        let root = self.root.path().canonicalize().expect("a folder");
        let below = exec.strip_prefix(&root).expect("below the root");
        Some(below.to_str().expect("text").into())
    }

    fn is_installed(&self, app: &str) -> bool {
        self.folders.is_installed(&app.parse().expect("valid"))
    }
}

#[test]
fn a_packages_helper_is_that_of_the_app_or_else_of_the_package() {
    let place = Place::new();
    place.hook("ab_push_1.0", r#"{"exec": "bin/push", "other": 1}"#);
    assert_eq!(place.find("ab_chat").as_deref(), Some("click/ab_push_1.0/bin/push"));
    place.hook("ab_apush_1.0", r#"{"exec": "chat", "app_id": "ab_chat"}"#);
    place.hook("ab_chatpush_1.0", r#"{"exec": "chat", "app_id": "ab_chat"}"#);
    for app in ["ab_chat", "ab_chat_1.0"] {
        assert_eq!(place.find(app).as_deref(), Some("click/ab_chatpush_1.0/chat"), "{app}: the last by name");
    }
    assert_eq!(place.find("ab_mail").as_deref(), Some("click/ab_push_1.0/bin/push"));
}

#[test]
fn a_package_speaks_for_no_other_and_stays_in_its_folder() {
    let place = Place::new();
    place.hook("ab_push_1", r#"{"exec": "push", "app_id": "cd_chat"}"#);
    place.hook("abc_push_1", r#"{"exec": "push"}"#);
    place.hook("ef_push_1", r#"{"exec": "../../secret"}"#);
    place.hook("gh_push_1", r#"{"exec": "/bin/sh"}"#);
    place.hook("ij_push_1", r#"{"exec": ""}"#);
    for app in ["ab_chat", "cd_chat", "ef_chat", "gh_chat", "ij_chat"] {
        assert_eq!(place.find(app), None, "{app}");
    }
}

#[test]
fn a_broken_file_is_passed_over() {
    let place = Place::new();
    for (number, broken) in ["", "{", "[]", r#"{"exec": 1}"#, r#"{"app_id": "ab_chat"}"#].iter().enumerate() {
        place.hook(&format!("ab_z{number}_1"), broken);
    }
    assert_eq!(place.find("ab_chat"), None);
    place.hook("ab_push_1", r#"{"exec": "push"}"#);
    assert_eq!(place.find("ab_chat").as_deref(), Some("click/ab_push_1/push"));
    place.write("home/lomiri-push/helpers/_chat.json", "{");
    place.write("share/lomiri-push/helpers/_chat.json", r#"{"exec": "push"}"#);
    assert_eq!(place.find("_chat").as_deref(), Some("share/lomiri-push/helpers/push"));
}

#[test]
fn a_program_of_the_system_has_a_helper_of_its_name() {
    let place = Place::new();
    place.write("libexec/lomiri-push-service/legacy-helpers/settings", "");
    assert_eq!(
        place.find("_settings").as_deref(),
        Some("libexec/lomiri-push-service/legacy-helpers/settings")
    );
    place.write("lib/lomiri-push-service/legacy-helpers/settings", "");
    place.write("home/lomiri-push/helpers/_settings.json", r#"{"exec": "/bin/true"}"#);
    assert_eq!(place.find("_settings").as_deref(), Some("lib/lomiri-push-service/legacy-helpers/settings"));
    assert_eq!(place.find("_other"), None);
}

#[test]
fn any_program_may_drop_in_a_file_and_the_users_counts_first() {
    let place = Place::new();
    let absolute = place.path("opt/push").display().to_string();
    place.write("share/lomiri-push/helpers/ab_chat.json", &format!(r#"{{"exec": {absolute:?}}}"#));
    assert_eq!(place.find("ab_chat").as_deref(), Some("opt/push"));
    place.write("home/lomiri-push/helpers/ab_chat.json", r#"{"exec": "../push"}"#);
    assert_eq!(place.find("ab_chat").as_deref(), Some("home/lomiri-push/helpers/../push"));
    assert!(place.is_installed("ab_chat") && !place.is_installed("ab_chat_1"));
}

#[test]
fn no_name_leads_out_of_the_folders() {
    let place = Place::new();
    place.write("lib/lomiri-push-service/secret", "");
    place.write("home/secret.json", r#"{"exec": "secret"}"#);
    place.write("home/secret.desktop", "");
    for app in ["_../secret", "_..", "_/secret", "../../secret", "_a/../../../secret", ".._x", "ab_../x"] {
        assert_eq!(place.find(app), None, "{app}");
        assert!(!place.is_installed(app), "{app}");
    }
}

#[test]
fn a_package_is_installed_by_its_hook_or_its_folder_in_the_version_that_is_asked_for() {
    let place = Place::new();
    place.hook("ab_push_1.0", r#"{"exec": "push"}"#);
    fs::create_dir_all(place.path("click/cd/2.0")).expect("made");
    symlink("2.0", place.path("click/cd/current")).expect("linked");
    for app in ["ab_chat", "ab_chat_1.0", "cd_chat", "cd_chat_2.0"] {
        assert!(place.is_installed(app), "{app}");
    }
    for app in ["ab_chat_0", "ab_chat_1.1", "cd_chat_1.0", "ef_chat", "abc_chat"] {
        assert!(!place.is_installed(app), "{app}");
    }
}

#[test]
fn a_program_is_installed_that_the_desktop_knows() {
    let place = Place::new();
    place.write("share/applications/org.example.Chat.desktop", "");
    assert!(place.is_installed("_org.example.Chat"));
    assert!(!place.is_installed("_org.example") && !place.is_installed("org.example.Chat"));
    assert!(!place.is_installed(&format!("_{}", "a".repeat(254))));
}

#[test]
fn folders_are_those_of_the_environment_where_they_are_absolute() {
    let given = |name: &str| match name {
        "XDG_DATA_HOME" => Some("/data".into()),
        "XDG_CACHE_HOME" => Some("cache".into()),
        "XDG_DATA_DIRS" => Some("/a:b::/c".into()),
        _ => None,
    };
    let folders = Folders::of_variables(Path::new("/home/carol"), given);
    assert_eq!(folders.data_home, Path::new("/data"));
    assert_eq!(folders.cache_home, Path::new("/home/carol/.cache"));
    assert_eq!(folders.config_home, Path::new("/home/carol/.config"));
    assert_eq!(folders.data_dirs, [Path::new("/a"), Path::new("/c")]);
    let folders = Folders::of_variables(Path::new("/home/carol"), |_| Some("".into()));
    assert_eq!(folders.data_dirs, [Path::new("/usr/local/share"), Path::new("/usr/share")]);
}

#[test]
fn helpers_of_the_system_lie_in_the_folder_of_a_kind_of_processor_or_of_all() {
    let place = Place::new();
    place.write("usr/lib/aarch64-linux-gnu/lomiri-push-service/legacy-helpers/settings", "");
    place.write("usr/lib/x86_64-linux-gnu/other", "");
    let expected = ["usr/lib/aarch64-linux-gnu", "usr/lib", "usr/libexec"].map(|name| place.path(name));
    assert_eq!(lib_dirs(&place.path("usr")), expected);
}
