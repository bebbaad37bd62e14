//! What a door that was killed left running: known by a mark in its environment, and ended before its folder gets an app.
//!
//! The kernel asks the first process to end when its door does ([`child`](super::child)), but not what that one has started:
//! of `npm run start` the app stays. No file is kept of it: what a process was started with is known to the kernel.

use std::ffi::OsString;
use std::fs::{read, read_dir, read_link};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::stat::Stat;

/// The variable. Its value: the number of the door, when it began, its session, and the folder that it serves.
const NAME: &str = "DOORWAY_STARTED_BY";

/// Between two looks whether they are gone.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How long the system may take to end what was killed.
const KILL_TIME: Duration = Duration::from_secs(5);

/// Which door a process was started by.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    door: i32,
    began: u64,
    session: i32,
    folder: PathBuf,
}

/// One that is left, by a handle that never means another process.
struct Orphan {
    id: i32,
    handle: OwnedFd,
}

/// For the environment of what is started for the app in `directory`, as the config names it. `None` where the kernel does
/// not say who we are.
pub fn mark(directory: Option<&Path>) -> Option<(OsString, Option<OsString>)> {
    let own = stat("self")?;
    let mark = Mark {
        door: i32::try_from(std::process::id()).ok()?,
        began: own.began,
        session: own.session,
        folder: folder(directory?),
    };
    Some((NAME.into(), Some(mark.write())))
}

/// Ends what a door that is no more left running for the app in `directory`: asked first, and made to after `grace`.
pub async fn end(directory: &Path, grace: Duration) {
    let begun = Instant::now();
    let (mut said, mut killed) = (false, false);
    loop {
        let folder = folder(directory);
        let found = tokio::task::spawn_blocking(move || find(&folder)).await.unwrap_or_default();
        let pids: Vec<i32> = found.iter().map(|orphan| orphan.id).collect();
        if found.is_empty() {
            if said {
                info!("what the door before left running has ended");
            }
            return;
        }
        let waited = begun.elapsed();
        if !said {
            warn!(?pids, "a door that was killed left its app running: it is ended first");
            found.iter().for_each(|orphan| orphan.end(false));
            said = true;
        } else if waited >= grace + KILL_TIME {
            warn!(?pids, "what the door before left running cannot be ended");
            return;
        } else if waited >= grace {
            if !killed {
                warn!(?pids, ?grace, "what the door before left running does not end, it is killed");
                killed = true;
            }
            found.iter().for_each(|orphan| orphan.end(true));
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// As the config names it: a link in it may lead elsewhere by now.
fn folder(directory: &Path) -> PathBuf {
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned())
}

fn find(folder: &Path) -> Vec<Orphan> {
    let own = std::process::id().to_string();
    let names =
        read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| *name != own && is_left(name, folder)).filter_map(|name| Orphan::of(&name, folder)).collect()
}

/// Whether the process is of an app in `folder` whose door is no more.
fn is_left(process: &str, folder: &Path) -> bool {
    let look = || {
        process.parse::<i32>().ok()?;
        let stat = stat(process).filter(|stat| !stat.has_ended)?;
        let mark = Mark::read(&environ(process)?)?;
        // What has gone into a session of its own was to outlive its app: it does when a door ends as it should.
        let is_of_it = mark.folder == folder && mark.session == stat.session;
        // Numbers mean something to those of one container.
        let is_here = namespace(process)? == namespace("self")?;
        Some(is_of_it && is_here && mark.is_door_gone())
    };
    look().unwrap_or(false)
}

fn environ(process: &str) -> Option<Vec<u8>> {
    read(Path::new("/proc").join(process).join("environ")).ok()
}

fn namespace(process: &str) -> Option<PathBuf> {
    read_link(Path::new("/proc").join(process).join("ns/pid")).ok()
}

fn stat(process: &str) -> Option<Stat> {
    Stat::of(&Path::new("/proc").join(process))
}

impl Mark {
    fn write(&self) -> OsString {
        let mut text = format!("{} {} {} ", self.door, self.began, self.session).into_bytes();
        text.extend_from_slice(self.folder.as_os_str().as_bytes());
        OsString::from_vec(text)
    }

    /// Out of an environment as the kernel shows it.
    fn read(environ: &[u8]) -> Option<Mark> {
        let mut variables = environ.split(|byte| *byte == 0);
        let value = variables.find_map(|variable| variable.strip_prefix(NAME.as_bytes())?.strip_prefix(b"="))?;
        let mut parts = value.splitn(4, |byte| *byte == b' ');
        let mut number = || std::str::from_utf8(parts.next()?).ok();
        let (door, began, session) = (number()?.parse().ok()?, number()?.parse().ok()?, number()?.parse().ok()?);
        let folder = OsString::from_vec(parts.next()?.to_vec()).into();
        Some(Mark { door, began, session, folder })
    }

    fn is_door_gone(&self) -> bool {
        stat(&self.door.to_string()).is_none_or(|door| door.has_ended || door.began != self.began)
    }
}

#[cfg(target_os = "linux")]
impl Orphan {
    fn of(process: &str, folder: &Path) -> Option<Orphan> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let id = process.parse().ok()?;
        let handle = pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok()?;
        // Looked at again: from now on the handle is of the one that was.
        is_left(process, folder).then_some(Orphan { id, handle })
    }

    fn end(&self, now: bool) {
        use rustix::process::{Signal, pidfd_send_signal};
        // It may have ended by itself; that is as good.
        let _ = pidfd_send_signal(&self.handle, if now { Signal::KILL } else { Signal::TERM });
    }
}

/// Elsewhere nothing is found, since there is no `/proc`.
#[cfg(not(target_os = "linux"))]
impl Orphan {
    fn of(_process: &str, _folder: &Path) -> Option<Orphan> {
        None
    }

    fn end(&self, _now: bool) {
        let _ = &self.handle;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_is_read_as_it_was_written() {
        let mark = Mark { door: 7, began: 4711, session: 3, folder: "/srv/an app".into() };
        let environ = [b"A=1\0".as_slice(), NAME.as_bytes(), b"=", mark.write().as_bytes(), b"\0B=2\0"].concat();
        assert_eq!(Mark::read(&environ), Some(mark));
        for other in [b"A=1\0".as_slice(), b"DOORWAY_STARTED_BY=7 x 3 /srv\0", b"DOORWAY_STARTED_BY=7 4711\0", b""] {
            assert_eq!(Mark::read(other), None);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn door_is_known_by_its_number_and_when_it_began() {
        let own = stat("self").unwrap();
        let mark = |began| Mark {
            door: i32::try_from(std::process::id()).unwrap(),
            began,
            session: own.session,
            folder: "/".into(),
        };
        assert!(!mark(own.began).is_door_gone());
        assert!(mark(own.began + 1).is_door_gone(), "another has its number now");
        assert!(Mark { door: i32::MAX, ..mark(own.began) }.is_door_gone());
    }
}
