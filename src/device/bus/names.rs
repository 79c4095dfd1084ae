//! The names of the push service on the bus: what it owns there, and which of its interfaces an object path
//! belongs to. What a call says, it does not know.

use crate::service::app::{quote, unquote};

/// One of the two halves of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Tokens: `PushNotifications`.
    Push,
    /// Messages and notifications: `Postal`.
    Postal,
}

/// A half of the service under one of its two names. Its bus name and its interface are the same text.
#[derive(Debug, PartialEq, Eq)]
pub struct Facade {
    /// The bus name, and the interface.
    pub name: &'static str,
    /// The object path above those of the packages.
    pub root: &'static str,
    /// Which half it is.
    pub api: Api,
}

/// What apps of today ask for tokens.
pub const PUSH: Facade =
    Facade { name: "com.lomiri.PushNotifications", root: "/com/lomiri/PushNotifications", api: Api::Push };
/// What apps of today ask for their messages.
pub const POSTAL: Facade = Facade { name: "com.lomiri.Postal", root: "/com/lomiri/Postal", api: Api::Postal };
/// What older apps ask for tokens.
pub const UBUNTU_PUSH: Facade =
    Facade { name: "com.ubuntu.PushNotifications", root: "/com/ubuntu/PushNotifications", api: Api::Push };
/// What older apps ask for their messages.
pub const UBUNTU_POSTAL: Facade =
    Facade { name: "com.ubuntu.Postal", root: "/com/ubuntu/Postal", api: Api::Postal };

/// All of them. Their names are what the service owns.
pub const FACADES: [&Facade; 4] = [&PUSH, &POSTAL, &UBUNTU_PUSH, &UBUNTU_POSTAL];

/// The interface of `Status`, for people's tools.
pub const STATUS_INTERFACE: &str = "com.lomiri.PushNotifications.Status";
/// Where it is.
pub const STATUS_PATH: &str = PUSH.root;

/// The error and the bus of the D-Bus specification itself.
pub(super) const BUS: &str = "org.freedesktop.DBus";
/// Where the bus itself is asked.
pub(super) const BUS_PATH: &str = "/org/freedesktop/DBus";

impl Facade {
    /// The object path of a package; that of programs outside packages for an empty one.
    pub fn path(&self, package: &str) -> String {
        format!("{}/{}", self.root, quote(package))
    }
}

/// What an object path stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The programs of one package, or with an empty one those outside packages.
    Package(&'static Facade, String),
    /// A path above such: the root of a facade, or one above that.
    Above,
    /// None of the service's.
    Elsewhere,
}

impl Place {
    pub(super) fn of(path: &str) -> Place {
        let package = |facade: &'static Facade| {
            let element = path.strip_prefix(facade.root)?.strip_prefix('/')?;
            Some(Place::Package(facade, unquote(element)?))
        };
        let is_above = || path == "/" || FACADES.iter().any(|facade| is_at_or_above(path, facade.root));
        match FACADES.into_iter().find_map(package) {
            Some(place) => place,
            None if is_above() => Place::Above,
            None => Place::Elsewhere,
        }
    }
}

fn is_at_or_above(path: &str, root: &str) -> bool {
    root.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The elements directly below `path` on the way to the facades' roots, each once.
pub(super) fn children(path: &str) -> Vec<&'static str> {
    let above = path.trim_end_matches('/');
    let below = FACADES.iter().filter_map(|facade| facade.root.strip_prefix(above)?.strip_prefix('/'));
    let mut children: Vec<_> = below.filter_map(|rest| rest.split('/').next()).collect();
    children.dedup();
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_facade_and_a_package() {
        let music = || "com.ubuntu.music".to_owned();
        for facade in FACADES {
            let path = format!("{}/com_2eubuntu_2emusic", facade.root);
            assert_eq!(Place::of(&path), Place::Package(facade, music()));
            assert_eq!(facade.path(&music()), path);
            assert_eq!(Place::of(&format!("{}/_", facade.root)), Place::Package(facade, String::new()));
            assert_eq!(Place::of(facade.root), Place::Above);
        }
        let upper_case = "/com/ubuntu/Postal/com_2Eubuntu_2Emusic";
        assert_eq!(Place::of(upper_case), Place::Package(&UBUNTU_POSTAL, music()));
    }

    #[test]
    fn a_path_that_is_none_of_ours_is_told_apart() {
        for above in ["/", "/com", "/com/lomiri", "/com/ubuntu/Postal"] {
            assert_eq!(Place::of(above), Place::Above, "{above}");
        }
        for elsewhere in
            ["/co", "/org", "/com/lomiri/Post", "/com/lomiri/Postal/a_zz", "/com/lomiri/Postal/_/_"]
        {
            assert_eq!(Place::of(elsewhere), Place::Elsewhere, "{elsewhere}");
        }
    }

    #[test]
    fn the_way_down_to_the_facades_can_be_walked() {
        assert_eq!(children("/"), ["com"]);
        assert_eq!(children("/com"), ["lomiri", "ubuntu"]);
        assert_eq!(children("/com/lomiri"), ["PushNotifications", "Postal"]);
        assert_eq!(children("/com/lomiri/Postal"), [""; 0]);
    }
}
