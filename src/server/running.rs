//! Which doors run here: each leaves a note in the runtime folder, by which `doorway reload` and `doorway status` find it.

use std::fmt;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use tracing::debug;

/// The longest note that is read, in bytes.
const MAX_NOTE: u64 = 64 * 1024;

/// Where a unit of systemd with `RuntimeDirectory=doorway` leaves its note: a shell is not told of it.
const OF_THE_SYSTEM: &str = "/run/doorway";

/// What a door says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub pid: u32,
    /// Its admin listener, as it can be dialled; none where `[admin] listen` is "off".
    pub admin: Option<SocketAddr>,
    /// The config file, by its whole path; none where there is none.
    pub config: Option<PathBuf>,
    /// The folder of the app, by its whole path.
    pub dir: Option<PathBuf>,
    /// Where it is open, for people.
    pub urls: String,
    /// The folder of the app's releases, by its whole path; none where it has no such.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// Its socket for who runs it; none where it could not be made.
    #[serde(default)]
    pub socket: Option<PathBuf>,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}, {}", self.pid, self.urls)?;
        for (name, path) in [("", &self.dir), ("--config ", &self.config)] {
            if let Some(path) = path {
                write!(f, ", {name}{}", path.display())?;
            }
        }
        Ok(())
    }
}

/// The note of this process: it stands until this is dropped, and is known to be stale once the process is gone in any
/// other way, since the kernel takes the lock from it. (A process number alone may be another's by then, and means nothing
/// outside of its container.)
#[derive(Debug)]
pub struct Posted {
    path: PathBuf,
    socket: Option<PathBuf>,
    _lock: File,
}

impl Drop for Posted {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.socket.as_deref().map(remove_socket);
    }
}

/// With the folder that was made for it.
fn remove_socket(socket: &Path) {
    let _ = fs::remove_file(socket);
    let _ = socket.parent().map(fs::remove_dir);
}

impl Note {
    /// Leaves it, and opens the socket that it names. Without it the door runs as well, and must be named by its config
    /// file.
    pub fn post(self) -> (Option<Posted>, Option<UnixListener>) {
        let posted = own_folder().and_then(|folder| self.post_in(&folder));
        let posted = posted.inspect_err(|error| debug!(%error, "no note is left for `doorway reload` and the like"));
        posted.map_or((None, None), |(posted, socket)| (Some(posted), socket))
    }

    fn post_in(mut self, folder: &Path) -> io::Result<(Posted, Option<UnixListener>)> {
        // Containers with one folder between them may have the same process numbers.
        let name = format!("{}-{:08x}", self.pid, fastrand::u32(..));
        let socket = open_socket(&folder.join(&name));
        let socket = socket.inspect_err(|error| debug!(%error, "no socket for `doorway deploy`")).ok();
        self.socket = socket.as_ref().map(|_| socket_in(&folder.join(&name)));
        let (draft, path) = (folder.join(format!(".{name}")), folder.join(format!("{name}.json")));
        let mut file = File::create_new(&draft)?;
        let written = serde_json::to_vec(&self).map_err(io::Error::other).and_then(|text| file.write_all(&text));
        // Locked before it can be seen: nobody takes it for stale.
        let done =
            written.and_then(|()| file.try_lock().map_err(io::Error::from)).and_then(|()| fs::rename(&draft, &path));
        done.inspect_err(|_| drop(fs::remove_file(&draft)))?;
        Ok((Posted { path, socket: self.socket, _lock: file }, socket))
    }
}

fn socket_in(folder: &Path) -> PathBuf {
    folder.join("admin.sock")
}

/// A socket in a folder of its own, into which nobody else can look: not even between its making and its mode.
fn open_socket(folder: &Path) -> io::Result<UnixListener> {
    DirBuilder::new().mode(0o700).create(folder)?;
    let path = socket_in(folder);
    let socket = UnixListener::bind(&path).and_then(|socket| {
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    socket.inspect_err(|_| remove_socket(&path))
}

/// The doors that run here, as far as this user may know of them. Notes of those that are gone are taken away.
pub fn doors() -> Vec<Note> {
    let mut found: Vec<Note> =
        folders().iter().filter(|folder| is_trusted(folder)).flat_map(|folder| notes(folder)).collect();
    found.sort_by_key(|note| note.pid);
    found
}

fn notes(folder: &Path) -> Vec<Note> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "json"))
        .filter_map(|entry| read(&entry.path()))
        .collect()
}

fn read(path: &Path) -> Option<Note> {
    let file = File::open(path).ok()?;
    if file.try_lock_shared().is_ok() {
        let _ = fs::remove_file(path);
        // Named as the note is, whatever that says.
        remove_socket(&socket_in(&path.with_extension("")));
        return None;
    }
    let mut text = String::new();
    file.take(MAX_NOTE).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// What systemd gives, else what the session has, else one below `/tmp`.
fn own_folder() -> io::Result<PathBuf> {
    if let Some(given) = given_by_systemd() {
        return Ok(given);
    }
    let folder = of_the_session().unwrap_or_else(temporary);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match is_trusted(&folder) {
        true => Ok(folder),
        false => Err(io::Error::other(format!("{} is somebody else's", folder.display()))),
    }
}

/// All in which a door may have left a note: it may have been started with another environment than this one.
fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<_> = given_by_systemd().into_iter().chain([PathBuf::from(OF_THE_SYSTEM)]).collect();
    folders.extend(of_the_session());
    folders.push(temporary());
    folders.dedup();
    folders
}

fn given_by_systemd() -> Option<PathBuf> {
    // Several are separated by colons; the first is the unit's main one.
    let given = std::env::var("RUNTIME_DIRECTORY").ok()?;
    given.split(':').next().filter(|first| !first.is_empty()).map(PathBuf::from)
}

fn of_the_session() -> Option<PathBuf> {
    let session = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
    session.is_absolute().then(|| session.join("doorway"))
}

fn temporary() -> PathBuf {
    std::env::temp_dir().join(format!("doorway-{}", geteuid().as_raw()))
}

/// Anybody may make a folder below `/tmp` under a name of ours, or a link: such a one counts for nothing.
fn is_trusted(folder: &Path) -> bool {
    let Ok(meta) = fs::symlink_metadata(folder) else { return false };
    let is_ours = meta.uid() == geteuid().as_raw() && meta.mode() & 0o022 == 0;
    meta.is_dir() && (is_ours || folder == Path::new(OF_THE_SYSTEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(pid: u32) -> Note {
        let dir = Some(PathBuf::from("/srv/app"));
        Note { pid, admin: None, config: None, dir, urls: "http://localhost:3001".to_owned(), root: None, socket: None }
    }

    #[test]
    fn a_note_stands_as_long_as_its_door() {
        let folder = tempfile::tempdir().unwrap();
        let (posted, socket) = note(7).post_in(folder.path()).unwrap();
        let [found] = &notes(folder.path())[..] else { panic!("one") };
        let path = found.socket.clone().unwrap();
        assert_eq!(found, &Note { socket: Some(path.clone()), ..note(7) });
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        drop((posted, socket));
        assert_eq!((notes(folder.path()), fs::read_dir(folder.path()).unwrap().count()), (Vec::new(), 0));
    }

    #[test]
    fn a_note_without_its_lock_is_stale_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        drop(open_socket(&folder.path().join("7-0")).unwrap());
        fs::write(folder.path().join("7-0.json"), serde_json::to_vec(&note(7)).unwrap()).unwrap();
        assert_eq!((notes(folder.path()), fs::read_dir(folder.path()).unwrap().count()), (Vec::new(), 0));
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        DirBuilder::new().mode(0o700).create(&open).unwrap();
        assert!(is_trusted(&open));
        fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert!(!is_trusted(&open));
        std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
        assert!(!is_trusted(&folder.path().join("link")));
    }

    #[test]
    fn a_door_is_named_by_what_tells_it_from_others() {
        assert_eq!(note(7).to_string(), "pid 7, http://localhost:3001, /srv/app");
    }
}
