//! What an app's id says on a device: the package that it belongs to, and by which object path its D-Bus
//! calls come. What is installed, it does not know.

use std::fmt::Write as _;

use crate::base::AppId;

/// An app id that a device understands.
///
/// ```text
///  PACKAGE_APP[_VERSION]   a program of a click package
///  _NAME                   any other program, known by its `NAME.desktop`
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppName {
    /// A program of a click package.
    Click {
        /// The package: at least two of `a`–`z`, `0`–`9`, `+`, `.`, `-`; the first is a letter or a digit.
        package: String,
        /// The program in it: letters, digits, `+`, `.`, `-`.
        app: String,
        /// The package's version, where the id gives one.
        version: Option<String>,
    },
    /// A program that came another way.
    Outside {
        /// Its name: no `/`, and no `.` at the front.
        name: String,
    },
}

impl AppName {
    /// What `id` says; `None` if it is no id of an app on a device.
    pub fn parse(id: &AppId) -> Option<AppName> {
        let id = id.as_str();
        if let Some(name) = id.strip_prefix('_') {
            let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
            return is_name.then(|| AppName::Outside { name: name.into() });
        }
        let mut parts = id.split('_');
        let (package, app, version) = (parts.next()?, parts.next()?, parts.next());
        let is_click =
            parts.next().is_none() && is_package(package) && is_app(app) && version.is_none_or(is_version);
        is_click.then(|| AppName::Click {
            package: package.into(),
            app: app.into(),
            version: version.map(Into::into),
        })
    }

    /// The package; empty for a program that is in none.
    pub fn package(&self) -> &str {
        match self {
            AppName::Click { package, .. } => package,
            AppName::Outside { .. } => "",
        }
    }

    /// Whose an app is, so that what is bounded for each owner is bounded though a program invents apps of its
    /// package: the package, or of a program that is in none its own id.
    pub fn owner(id: &AppId) -> String {
        match AppName::parse(id) {
            Some(AppName::Click { package, .. }) => package,
            Some(AppName::Outside { .. }) | None => id.to_string(),
        }
    }

    /// What the desktop calls the program: the name of its `.desktop` file without the ending.
    pub fn desktop_entry(&self) -> String {
        match self {
            AppName::Click { package, app, version: None } => format!("{package}_{app}"),
            AppName::Click { package, app, version: Some(version) } => format!("{package}_{app}_{version}"),
            AppName::Outside { name } => name.clone(),
        }
    }
}

fn is_package(text: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() >= 2
        && text.as_bytes().first().is_some_and(is_alphanumeric)
        && text.bytes().all(|byte| is_alphanumeric(&byte) || b"+.-".contains(&byte))
}

fn is_app(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
}

fn is_version(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+:~-".contains(&byte))
}

/// `text` as one element of a D-Bus object path: ASCII letters and digits stay, each other byte becomes `_` and
/// two lower-case hexadecimal digits, and nothing becomes `_`.
pub fn quote(text: &str) -> String {
    if text.is_empty() {
        return "_".into();
    }
    text.bytes().fold(String::new(), |mut quoted, byte| {
        if byte.is_ascii_alphanumeric() {
            quoted.push(char::from(byte));
        } else {
            write!(quoted, "_{byte:02x}").expect("a text takes all");
        }
        quoted
    })
}

/// What [`quote`] made `element` of; the digits may be upper-case, too. `None` if there is no such text.
pub fn unquote(element: &str) -> Option<String> {
    if element == "_" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(element.len());
    let mut rest = element.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'_' => bytes.push(16 * hexadecimal(rest.next()?)? + hexadecimal(rest.next()?)?),
            byte if byte.is_ascii_alphanumeric() => bytes.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| value.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(id: &str) -> Option<AppName> {
        AppName::parse(&id.parse().expect("an id for the server"))
    }

    fn click(package: &str, app: &str, version: Option<&str>) -> Option<AppName> {
        let version = version.map(Into::into);
        Some(AppName::Click { package: package.into(), app: app.into(), version })
    }

    #[test]
    fn an_id_names_a_program_of_a_package_with_or_without_its_version() {
        assert_eq!(parse("com.ubuntu.music_music"), click("com.ubuntu.music", "music", None));
        assert_eq!(parse("ab_A-1_2.0~beta:1"), click("ab", "A-1", Some("2.0~beta:1")));
        assert_eq!(parse("_dialer-app"), Some(AppName::Outside { name: "dialer-app".into() }));
        assert_eq!(parse("_a_b"), Some(AppName::Outside { name: "a_b".into() }));
    }

    #[test]
    fn what_is_no_id_of_an_app_is_told_apart() {
        let wrong = [
            "a_app",
            "Ab_app",
            ".ab_app",
            "ab",
            "ab_",
            "ab_a/b",
            "ab_app_v1",
            "ab_app_",
            "ab_app_1_2",
            "_",
            "_.hidden",
            "_a/b",
            "ab_app_1 ",
        ];
        for id in wrong {
            assert_eq!(parse(id), None, "{id}");
        }
    }

    #[test]
    fn a_package_is_quoted_for_an_object_path_and_back() {
        for (text, quoted) in [("com.ubuntu.music", "com_2eubuntu_2emusic"), ("", "_"), ("a-b", "a_2db")] {
            assert_eq!(quote(text), quoted);
            assert_eq!(unquote(quoted).as_deref(), Some(text));
        }
        assert_eq!(unquote("a_2Db").as_deref(), Some("a-b"));
        for wrong in ["", "a_", "a_2", "a_zz", "a.b", "_ff"] {
            assert_eq!(unquote(wrong), None, "{wrong}");
        }
    }
}
