//! Runs one helper: gives it the payload, bounds its time, its files and its output, ends all that it has
//! started, and takes what it wrote. What that means, and whose turn it is, it does not know.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, PipeReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio, retry_on_intr};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::confine::{Access, sockets};
use super::exchange::Exchange;
use super::processes::Mark;
use super::{Helper, Helpers};
use crate::base::{AppId, Payload};
use crate::device::clock;
use crate::service::app::AppName;
use crate::service::output::OUTPUT_BYTES_MAX;

/// What the log keeps of what a helper says, in bytes.
const SAID_BYTES_MAX: usize = 4096;
/// The cache of programs that are in no package.
const OWN_CACHE: &str = "lomiri-push";
/// Says which session bus.
const BUS_VARIABLE: &str = "DBUS_SESSION_BUS_ADDRESS";
/// What helpers get to know of the environment, beside what begins with one of [`PREFIXES`].
const VARIABLES: [&str; 4] = ["HOME", "PATH", "LANG", BUS_VARIABLE];
/// Where files lie, and how dates are written.
const PREFIXES: [&str; 2] = ["XDG_", "LC_"];
/// Takes on the limit by which the processes of the run are known, before there is any, and becomes the rest. Its
/// input has an end when this process has one, be it by `kill -9`: a process beside the rest, and none of its children,
/// waits for that and kills the group.
const SHELL: [&str; 3] = [
    "-c",
    r#"ulimit -f "$1" || exit
shift
exec 3<&0 </dev/null
({ read end <&3; kill -9 0; } >/dev/null 2>&1 &)
exec 3<&-
exec "$@""#,
    "helper",
];

/// Why a helper gave no output.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no such file.
    #[error("{0} is missing")]
    Missing(PathBuf),
    /// It is no program.
    #[error("{0} is not executable")]
    NotExecutable(PathBuf),
    /// There is no place for its files.
    #[error("its files cannot be made: {0}")]
    Files(io::Error),
    /// The system starts no process.
    #[error("it cannot be started: {0}")]
    Start(io::Error),
    /// The service ends.
    #[error("no helper is started any more")]
    Over,
    /// It was killed.
    #[error("it had not ended after {0:?}")]
    Timeout(Duration),
    /// It wrote more than an output may have.
    #[error("it wrote more than {OUTPUT_BYTES_MAX} bytes")]
    TooMuchOutput,
    /// It ended like this, and had written nothing.
    #[error("it wrote nothing ({0})")]
    NoOutput(ExitStatus),
    /// Where its output should be, there is something else.
    #[error("its output cannot be read: {0}")]
    Unreadable(io::Error),
}

/// See [`Helpers::run`].
pub fn run(helpers: &Helpers, helper: &Helper, app: &AppId, payload: &Payload) -> Result<Vec<u8>, RunError> {
    check_executable(&helper.exec)?;
    let exchange = Exchange::new(&cache_of(helpers, app), payload).map_err(RunError::Files)?;
    let mark = Mark::new();
    let mut command = command(helpers, helper, app, &exchange, mark);
    let (leash, held) = io::pipe().map_err(RunError::Start)?;
    command.stdin(leash);
    let is_heard = log::log_enabled!(log::Level::Debug);
    let mut talk = Talk::of(&mut command, is_heard).map_err(RunError::Start)?;
    let mut child = helpers.runs.start(&mut command, mark)?;
    let has_ended = wait(&child, &mut talk, helpers.options.time_limit);
    let status = end(&mut child, mark, |child| helpers.runs.leave(child));
    drop(held);
    talk.log(app);
    match (has_ended.map_err(RunError::Start)?, status.map_err(RunError::Start)?) {
        (false, _) => Err(RunError::Timeout(helpers.options.time_limit)),
        (true, status) => exchange.output().and_then(|output| unless_empty(output, status)),
    }
}

fn check_executable(exec: &Path) -> Result<(), RunError> {
    let metadata = fs::metadata(exec).map_err(|_| RunError::Missing(exec.into()))?;
    let is_executable = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    is_executable.then_some(()).ok_or_else(|| RunError::NotExecutable(exec.into()))
}

/// How the helper ended does not matter if it wrote something.
fn unless_empty(output: Vec<u8>, status: ExitStatus) -> Result<Vec<u8>, RunError> {
    if output.is_empty() { Err(RunError::NoOutput(status)) } else { Ok(output) }
}

fn cache_of(helpers: &Helpers, app: &AppId) -> PathBuf {
    helpers.folders.cache_home.join(package_of(app).unwrap_or_else(|| OWN_CACHE.into()))
}

fn package_of(app: &AppId) -> Option<String> {
    let package = AppName::parse(app)?.package().to_owned();
    (!package.is_empty()).then_some(package)
}

fn command(helpers: &Helpers, helper: &Helper, app: &AppId, exchange: &Exchange, mark: Mark) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(SHELL).arg(mark.blocks().to_string());
    command.args(helpers.walls.arguments(&access(helpers, helper, app, exchange)));
    command.args([&helper.exec, &exchange.infile(), &exchange.outfile()]);
    command.env_clear().envs(environment(helpers)).env("APP_ID", app.as_str());
    command.current_dir(helper.exec.parent().unwrap_or(Path::new("/")));
    command.process_group(0);
    command
}

/// A helper may write to its run's folder, and that of a click package to the package's own.
fn access(helpers: &Helpers, helper: &Helper, app: &AppId, exchange: &Exchange) -> Access {
    let folders = &helpers.folders;
    let homes = [&folders.data_home, &folders.config_home, &folders.cache_home];
    let own = package_of(app).into_iter().flat_map(|package| homes.map(|home| home.join(&package)));
    let writable = own.chain([exchange.folder().into()]).collect();
    let bus = environment(helpers).into_iter().find(|(name, _)| name == BUS_VARIABLE);
    let mut visible = bus.map_or_else(Vec::new, |(_, address)| sockets(&address.to_string_lossy()));
    visible.push(helper.exec.clone());
    Access { writable, visible }
}

fn environment(helpers: &Helpers) -> Vec<(OsString, OsString)> {
    let is_needed =
        |name: &str| VARIABLES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let ours = env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_needed));
    let bus = helpers.options.bus_address.iter().map(|address| (BUS_VARIABLE.into(), address.into()));
    let is_replaced = |name: &OsString| name == BUS_VARIABLE && helpers.options.bus_address.is_some();
    ours.filter(|(name, _)| !is_replaced(name)).chain(bus).collect()
}

/// Whether the helper ended in time. Takes what it says meanwhile, so that it never waits for its log.
fn wait(child: &Child, talk: &mut Talk, limit: Duration) -> io::Result<bool> {
    let end = end_of(child)?;
    let deadline = clock::now() + limit;
    loop {
        let remaining = deadline.since(clock::now());
        if remaining.is_zero() {
            return Ok(false);
        }
        match wait_once(&end, talk, remaining) {
            Ok(true) => return Ok(true),
            Ok(false) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether `end` has come. Returns when it has, when something was said, or when the time is over.
fn wait_once(end: &PipeReader, talk: &mut Talk, remaining: Duration) -> rustix::io::Result<bool> {
    let mut awaited = vec![PollFd::new(end, PollFlags::IN)];
    awaited.extend(talk.pipe.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    poll(&mut awaited, remaining.try_into().ok().as_ref())?;
    let has_ended = !awaited[0].revents().is_empty();
    if awaited.get(1).is_some_and(|pipe| !pipe.revents().is_empty()) {
        talk.hear();
    }
    Ok(has_ended)
}

/// A pipe whose end comes with the child's. The child is left to be looked at, so that its number stays its
/// own until all is over. (A descriptor of the process would do it alone, but from Linux 5.3 on only, and many
/// phones have an older one.)
fn end_of(child: &Child) -> io::Result<PipeReader> {
    let (end, alive) = io::pipe()?;
    let child = Pid::from_child(child);
    thread::Builder::new().name("helper-end".into()).spawn(move || {
        let _ = await_end(child);
        drop(alive);
    })?;
    Ok(end)
}

/// Ends the helper, if it has not ended, and all that it has started. `ended` is told before the helper's number may
/// become another process's.
fn end(child: &mut Child, mark: Mark, ended: impl FnOnce(&Child)) -> io::Result<ExitStatus> {
    let process = Pid::from_child(child);
    let _ = kill_process_group(process, Signal::KILL);
    let _ = await_end(process);
    mark.end_all();
    ended(child);
    child.wait()
}

/// Waits until a child has ended, and leaves it to be looked at.
fn await_end(child: Pid) -> rustix::io::Result<()> {
    retry_on_intr(|| waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)).map(drop)
}

/// What a helper says on its standard output and error, of which the log keeps the beginning.
struct Talk {
    /// Is there as long as somebody may say something.
    pipe: Option<PipeReader>,
    said: Vec<u8>,
}

impl Talk {
    /// Of `command`, if it is to be heard.
    fn of(command: &mut Command, is_heard: bool) -> io::Result<Talk> {
        if !is_heard {
            command.stdout(Stdio::null()).stderr(Stdio::null());
            return Ok(Talk { pipe: None, said: Vec::new() });
        }
        let (pipe, theirs) = io::pipe()?;
        ioctl_fionbio(&pipe, true)?;
        command.stdout(theirs.try_clone()?).stderr(theirs);
        Ok(Talk { pipe: Some(pipe), said: Vec::new() })
    }

    /// Takes what is there, or some of it. False if there is nothing.
    fn hear(&mut self) -> bool {
        let mut chunk = [0; SAID_BYTES_MAX];
        let Some(pipe) = &mut self.pipe else { return false };
        match pipe.read(&mut chunk) {
            Ok(0) => self.pipe = None,
            Ok(length) => {
                let room = SAID_BYTES_MAX - self.said.len();
                self.said.extend(&chunk[..length.min(room)]);
                return true;
            }
            Err(_) => {}
        }
        false
    }

    /// Takes what is still there of what the log keeps.
    fn hear_out(&mut self) {
        while self.said.len() < SAID_BYTES_MAX && self.hear() {}
    }

    fn log(mut self, app: &AppId) {
        self.hear_out();
        if !self.said.is_empty() {
            log::debug!("the helper of {app} said: {}", String::from_utf8_lossy(&self.said).escape_debug());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_helper_says_is_heard_out_and_its_beginning_kept() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo hello; head -c 300000 /dev/zero; echo over >&2"]).process_group(0);
        let mut talk = Talk::of(&mut command, true).expect("a pipe");
        let mut child = command.spawn().expect("a shell");
        assert!(wait(&child, &mut talk, Duration::from_secs(120)).expect("it is waited for"));
        assert!(end(&mut child, Mark::new(), |_| {}).expect("it has ended").success());
        assert!(talk.said.starts_with(b"hello\n\0"));
        assert_eq!(talk.said.len(), SAID_BYTES_MAX);
    }

    #[test]
    fn the_last_words_are_kept_too() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo over >&2"]).process_group(0);
        let mut talk = Talk::of(&mut command, true).expect("a pipe");
        let mut child = command.spawn().expect("a shell");
        assert!(wait(&child, &mut talk, Duration::from_secs(120)).expect("it is waited for"));
        end(&mut child, Mark::new(), |_| {}).expect("it has ended");
        talk.hear_out();
        assert_eq!(talk.said, b"over\n");
    }
}
