//! Finds what the system knows of an app: whether it is installed, and its helper. How helpers run, it does
//! not know.
//!
//! ```text
//!  package_app   XDG_DATA_HOME/lomiri-push-service/helpers/PACKAGE_HELPER_VERSION.json   {"exec", "app_id"?}
//!  _name         LIBDIR/lomiri-push-service/legacy-helpers/NAME                          the helper itself
//!  any           XDG_DATA_HOME and each of XDG_DATA_DIRS/lomiri-push/helpers/APP_ID.json {"exec"}
//! ```
//!
//! The first is made by click, the second comes with the system's own programs, the third is for any other
//! program. `exec` is relative to the folder of the file, or absolute in the third. Names of files are
//! made of ids that [`AppName`] has understood, and so hold no `/` and do not begin with `.`.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::base::AppId;
use crate::service::app::AppName;

/// Longest file that names a helper, in bytes: a path and a name.
const NAMING_BYTES_MAX: u64 = 64 * 1024;
/// Where click keeps packages.
const CLICK_FOLDERS: [&str; 3] = ["/opt/click.ubuntu.com", "/custom/click", "/usr/share/click/preinstalled"];

/// Where apps, their helpers and their files lie.
#[derive(Clone, Debug)]
pub struct Folders {
    /// `XDG_DATA_HOME`.
    pub data_home: PathBuf,
    /// `XDG_DATA_DIRS`.
    pub data_dirs: Vec<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: PathBuf,
    /// `XDG_CACHE_HOME`.
    pub cache_home: PathBuf,
    /// Below which there may be `lomiri-push-service/legacy-helpers`.
    pub lib_dirs: Vec<PathBuf>,
    /// Where click keeps packages: each in `PACKAGE/VERSION`, beside a link `PACKAGE/current`.
    pub click_dirs: Vec<PathBuf>,
}

/// A program that makes an output of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// Its path.
    pub exec: PathBuf,
}

/// What a file says that names a helper.
#[derive(Deserialize)]
struct Naming {
    exec: PathBuf,
    app_id: Option<String>,
}

/// A helper of a click package.
struct Hook {
    app_id: String,
    helper: Helper,
}

impl Folders {
    /// As the environment of this process and the system have them.
    pub fn of_environment() -> Folders {
        let home = env::home_dir().unwrap_or_else(|| "/".into());
        let lib_dirs = lib_dirs(Path::new("/usr"));
        let click_dirs = CLICK_FOLDERS.map(PathBuf::from).into();
        Folders { lib_dirs, click_dirs, ..Folders::of_variables(&home, |name| env::var_os(name)) }
    }

    /// As the XDG base directory specification says: what is not absolute does not count.
    fn of_variables(home: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Folders {
        let folder = |name, default| {
            let given = variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
            given.unwrap_or_else(|| home.join(default))
        };
        let data_dirs = variable("XDG_DATA_DIRS").filter(|dirs| !dirs.is_empty());
        let data_dirs = data_dirs.unwrap_or_else(|| "/usr/local/share:/usr/share".into());
        Folders {
            data_home: folder("XDG_DATA_HOME", ".local/share"),
            data_dirs: env::split_paths(&data_dirs).filter(|path| path.is_absolute()).collect(),
            config_home: folder("XDG_CONFIG_HOME", ".config"),
            cache_home: folder("XDG_CACHE_HOME", ".cache"),
            lib_dirs: Vec::new(),
            click_dirs: Vec::new(),
        }
    }

    /// The helper of `app`, if it has one. A file that names it and cannot be read is passed over, and the
    /// log says why.
    pub fn find(&self, app: &AppId) -> Option<Helper> {
        let by_system = match AppName::parse(app)? {
            AppName::Click { package, app, .. } => self.hooked(&package, &app),
            AppName::Outside { name } => self.legacy(&name),
        };
        by_system.or_else(|| self.dropped_in(app))
    }

    /// Whether the system knows `app`: as a click package, of the version that it names, which has a helper or
    /// lies in click's folders; as a program with a `.desktop` file; or by a drop-in file of ours.
    pub fn is_installed(&self, app: &AppId) -> bool {
        let Some(name) = AppName::parse(app) else { return false };
        let is_known = match name {
            AppName::Click { package, version, .. } => self.has_package(&package, version.as_deref()),
            AppName::Outside { name } => {
                self.data_files(format!("applications/{name}.desktop")).any(|path| path.is_file())
            }
        };
        is_known || self.drop_ins(app).any(|path| path.is_file())
    }

    fn has_package(&self, package: &str, version: Option<&str>) -> bool {
        let ending = version.map_or_else(|| ".json".into(), |version| format!("_{version}.json"));
        let folder = Path::new(package).join(version.unwrap_or("current"));
        self.hook_files(package).iter().any(|(name, _)| name.ends_with(&ending))
            || self.click_dirs.iter().any(|root| root.join(&folder).is_dir())
    }

    /// The helper that is meant for this program of the package, else the one for the whole package. Of
    /// several, while a package is being replaced, the last by name.
    fn hooked(&self, package: &str, app: &str) -> Option<Helper> {
        let read = |(_, path): (String, PathBuf)| passed_over_if_broken(&path, hook(&path, package));
        let hooks: Vec<Hook> = self.hook_files(package).into_iter().filter_map(read).collect();
        let of = |app_id: &str| hooks.iter().rfind(|hook| hook.app_id == app_id);
        of(&format!("{package}_{app}")).or_else(|| of(package)).map(|hook| hook.helper.clone())
    }

    /// The files that click made for helpers of a package, by name.
    fn hook_files(&self, package: &str) -> Vec<(String, PathBuf)> {
        let entries = fs::read_dir(self.data_home.join("lomiri-push-service/helpers"));
        let files = entries.into_iter().flatten().flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_theirs = name.strip_prefix(package)?.starts_with('_') && name.ends_with(".json");
            is_theirs.then(|| (name, entry.path()))
        });
        let mut files: Vec<(String, PathBuf)> = files.collect();
        files.sort();
        files
    }

    fn legacy(&self, name: &str) -> Option<Helper> {
        let path = |folder: &PathBuf| folder.join("lomiri-push-service/legacy-helpers").join(name);
        let exec = self.lib_dirs.iter().map(path).find(|path| path.is_file())?;
        Some(Helper { exec })
    }

    fn dropped_in(&self, app: &AppId) -> Option<Helper> {
        let present = self.drop_ins(app).filter(|path| path.is_file());
        present.into_iter().find_map(|path| passed_over_if_broken(&path, drop_in(&path)))
    }

    fn drop_ins(&self, app: &AppId) -> impl Iterator<Item = PathBuf> {
        self.data_files(format!("lomiri-push/helpers/{app}.json"))
    }

    /// Where a data file may lie, the user's own first.
    fn data_files(&self, name: String) -> impl Iterator<Item = PathBuf> {
        [&self.data_home].into_iter().chain(&self.data_dirs).map(move |folder| folder.join(&name))
    }
}

/// `/usr/lib` for each kind of processor, where there are helpers; then those for all.
fn lib_dirs(usr: &Path) -> Vec<PathBuf> {
    let lib = usr.join("lib");
    let entries = fs::read_dir(&lib).into_iter().flatten().flatten().map(|entry| entry.path());
    let has_helpers = |folder: &PathBuf| folder.join("lomiri-push-service/legacy-helpers").is_dir();
    let mut folders: Vec<PathBuf> = entries.filter(has_helpers).collect();
    folders.sort();
    folders.extend([lib, usr.join("libexec")]);
    folders
}

fn passed_over_if_broken<T>(path: &Path, read: io::Result<T>) -> Option<T> {
    read.inspect_err(|error| log::warn!("{}: {error}; it names no helper", path.display())).ok()
}

/// A click package reaches nothing outside of its folder, to which click has linked the file.
fn hook(path: &Path, package: &str) -> io::Result<Hook> {
    let path = path.canonicalize()?;
    let Naming { exec, app_id } = naming(&path)?;
    let is_inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if exec.as_os_str().is_empty() || !exec.components().all(is_inside) {
        return Err(io::Error::other("its `exec` leaves the package"));
    }
    let helper = Helper { exec: path.with_file_name(exec) };
    Ok(Hook { app_id: app_id.unwrap_or_else(|| package.into()), helper })
}

fn drop_in(path: &Path) -> io::Result<Helper> {
    let Naming { exec, .. } = naming(path)?;
    if exec.as_os_str().is_empty() {
        return Err(io::Error::other("its `exec` is empty"));
    }
    Ok(Helper { exec: path.with_file_name(exec) })
}

fn naming(path: &Path) -> io::Result<Naming> {
    let mut json = Vec::new();
    File::open(path)?.take(NAMING_BYTES_MAX).read_to_end(&mut json)?;
    serde_json::from_slice(&json).map_err(io::Error::from)
}

#[cfg(test)]
mod tests;
