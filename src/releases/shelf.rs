//! The folders of the releases: which there are, which one is live, and which may go.
//!
//! ```text
//! ROOT/releases/20261127-231500-4f2a/         a release; nothing writes into it but its own processes
//! ROOT/releases/20261128-090000-0c1d.partial  says that the release beside it is not whole, or never was live
//! ROOT/releases/.lock                         locked by whoever deploys
//! ROOT/current -> releases/20261127-…         what runs
//! ROOT/shared/                                linked into each release: .env, folders of uploads
//! ```
//!
//! A release is made in the folder that it stays in, since builds write down where they were made; the file beside it
//! goes when it becomes the live one. So whatever is broken off leaves that file, and the next deploy clears both.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::id::ReleaseId;
use super::in_use;

/// What a release says of itself, in its own folder.
const ABOUT: &str = ".doorway-release.json";

/// The end of the name of the file that says that a release is none yet.
const PARTIAL: &str = "partial";

/// The release folders of one app.
#[derive(Debug, Clone)]
pub struct Shelf {
    root: PathBuf,
}

/// Held by whoever deploys; the system lets go of it when the process ends in whatever way.
#[derive(Debug)]
pub struct ShelfLock {
    _file: File,
}

/// A release that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub id: ReleaseId,
    /// What it was made from, for people; nothing where somebody put it there by hand.
    pub from: Option<String>,
    pub is_live: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct About {
    from: String,
}

/// Releases cannot be looked at or changed; a sentence for a person.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    #[error("another deploy is under way in {0}: wait until it is done")]
    Busy(PathBuf),
    #[error("there is no folder {0}: make it, as the user that runs the door")]
    NoRoot(PathBuf),
    #[error("there is no release {id} in {root}; `doorway releases` lists them")]
    NoSuchRelease { id: ReleaseId, root: PathBuf },
    #[error("{0} is the release that runs")]
    IsLive(ReleaseId),
    #[error("there is no release before {0} to go back to")]
    NoneBefore(String),
    #[error("{what}: {error}")]
    Disk { what: String, error: io::Error },
}

/// Whether `folder` holds releases rather than an app: there is `releases`, and no `package.json`. Blocks.
pub fn is_root(folder: &Path) -> bool {
    folder.join("releases").is_dir() && !folder.join("package.json").exists()
}

fn disk<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> ShelfError + 'a {
    move |error| ShelfError::Disk { what: format!("{what} {}", path.display()), error }
}

impl Shelf {
    pub fn new(root: PathBuf) -> Shelf {
        Shelf { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The link to what runs.
    pub fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    /// What each release has links to.
    pub fn shared(&self) -> PathBuf {
        self.root.join("shared")
    }

    fn releases(&self) -> PathBuf {
        self.root.join("releases")
    }

    /// Where `id` is, or will be.
    pub fn folder(&self, id: &ReleaseId) -> PathBuf {
        self.releases().join(id.as_str())
    }

    fn mark(&self, id: &ReleaseId) -> PathBuf {
        self.releases().join(format!("{id}.{PARTIAL}"))
    }

    /// Makes the folders where they are missing, and keeps others from deploying. Blocks.
    ///
    /// # Errors
    /// [`ShelfError::Busy`] while another deploys; those of the disk.
    pub fn lock(&self) -> Result<ShelfLock, ShelfError> {
        // One that was mistyped is not made.
        if !self.root.is_dir() {
            return Err(ShelfError::NoRoot(self.root.clone()));
        }
        for folder in [self.releases(), self.shared()] {
            fs::create_dir_all(&folder).map_err(disk("cannot make", &folder))?;
        }
        let path = self.releases().join(".lock");
        let file = File::options().create(true).write(true).truncate(false).open(&path);
        let file = file.map_err(disk("cannot write", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(ShelfLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(ShelfError::Busy(self.root.clone())),
            Err(TryLockError::Error(error)) => Err(disk("cannot lock", &path)(error)),
        }
    }

    /// Takes away what deploys before left unfinished, and says what. Only with the lock. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn clear(&self, _lock: &ShelfLock) -> Result<Vec<ReleaseId>, ShelfError> {
        let live = self.live();
        let mut cleared = Vec::new();
        for name in self.names()? {
            let Some(id) = name.strip_suffix(&format!(".{PARTIAL}")).and_then(|id| id.parse::<ReleaseId>().ok()) else {
                continue;
            };
            if live.as_ref() != Some(&id) {
                self.remove(&id)?;
                cleared.push(id);
            } else {
                // It became the live one, and the door ended in the midst of that.
                let _ = fs::remove_file(self.mark(&id));
            }
        }
        Ok(cleared)
    }

    /// The name of another release, behind all that are there. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn next(&self) -> Result<ReleaseId, ShelfError> {
        Ok(ReleaseId::after(self.names()?.iter().filter_map(|name| name.parse().ok())))
    }

    /// Begins the release `id`: its folder is there, and not taken for whole. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn begin(&self, id: &ReleaseId) -> Result<PathBuf, ShelfError> {
        let (folder, mark) = (self.folder(id), self.mark(id));
        File::create_new(&mark).map_err(disk("cannot write", &mark))?;
        fs::create_dir(&folder).map_err(disk("cannot make", &folder))?;
        Ok(folder)
    }

    /// Notes what the release was made from. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn describe(&self, id: &ReleaseId, from: &str) -> Result<(), ShelfError> {
        let file = self.folder(id).join(ABOUT);
        let text = serde_json::to_vec(&About { from: from.to_owned() }).unwrap_or_default();
        let written = File::create(&file).and_then(|mut file| file.write_all(&text));
        written.map_err(disk("cannot write", &file))
    }

    /// Links all that lies in `shared` into the release, over files of the same name. Blocks.
    ///
    /// # Errors
    /// A folder of the release that is in the way, and those of the disk.
    pub fn link_shared(&self, id: &ReleaseId) -> Result<(), ShelfError> {
        let Ok(shared) = fs::read_dir(self.shared()) else { return Ok(()) };
        for entry in shared.flatten() {
            let place = self.folder(id).join(entry.file_name());
            match fs::symlink_metadata(&place) {
                // Left empty for it, as by a .gitkeep that git does not keep.
                Ok(there) if there.is_dir() => fs::remove_dir(&place)
                    .map_err(disk("shared has a folder of the same name, and there are files in", &place))?,
                Ok(_) => fs::remove_file(&place).map_err(disk("cannot replace", &place))?,
                Err(_) => {}
            }
            symlink(Path::new("../../shared").join(entry.file_name()), &place).map_err(disk("cannot link", &place))?;
        }
        Ok(())
    }

    /// Makes `id` the live one; with that it is whole. One step on disk, that is there after a crash, too. Blocks.
    ///
    /// # Errors
    /// Those of the disk: then the one before stays.
    pub fn make_live(&self, id: &ReleaseId) -> Result<(), ShelfError> {
        match fs::remove_file(self.mark(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(disk("cannot remove", &self.mark(id))(error));
            }
            _ => {}
        }
        super::failpoint("marked");
        let (current, next) = (self.current(), self.root.join(".current.next"));
        let _ = fs::remove_file(&next);
        symlink(Path::new("releases").join(id.as_str()), &next).map_err(disk("cannot link", &next))?;
        fs::rename(&next, &current).map_err(disk("cannot move", &current))?;
        // What the file system loses in a power cut is the move alone: then the one before is live.
        let _ = File::open(&self.root).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// Takes back the first release, which did not start: nothing is live then. Blocks.
    pub fn make_none_live(&self) {
        let _ = fs::remove_file(self.current());
    }

    /// The release that `current` leads to. Blocks.
    pub fn live(&self) -> Option<ReleaseId> {
        let real = self.current().canonicalize().ok()?;
        let inside = real.strip_prefix(self.releases().canonicalize().ok()?).ok()?;
        inside.to_str()?.parse().ok()
    }

    /// Those that are whole, newest first. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn list(&self) -> Result<Vec<Release>, ShelfError> {
        let live = self.live();
        let mut found: Vec<Release> = Vec::new();
        for id in self.names()?.iter().filter_map(|name| name.parse::<ReleaseId>().ok()) {
            let is_live = live.as_ref() == Some(&id);
            let is_whole = is_live || !self.mark(&id).exists();
            if is_whole && self.folder(&id).is_dir() {
                let about = fs::read(self.folder(&id).join(ABOUT)).ok();
                let about: Option<About> = about.and_then(|text| serde_json::from_slice(&text).ok());
                found.push(Release { id, from: about.map(|about| about.from), is_live });
            }
        }
        found.sort_by(|one, other| other.id.cmp(&one.id));
        Ok(found)
    }

    /// The release that runs, and what it was made from, for people. Blocks.
    pub fn live_for_people(&self) -> String {
        let live = self.list().unwrap_or_default().into_iter().find(|release| release.is_live);
        live.map_or_else(
            || "none yet".to_owned(),
            |Release { id, from, .. }| from.map_or_else(|| id.to_string(), |from| format!("{id}, {from}")),
        )
    }

    /// The release to go back to: `asked`, or the newest that is older than the live one. Blocks.
    ///
    /// # Errors
    /// [`ShelfError`]: there is none, or it is the live one.
    pub fn before(&self, asked: Option<&ReleaseId>) -> Result<ReleaseId, ShelfError> {
        let (all, live) = (self.list()?, self.live());
        if let Some(asked) = asked {
            return match all.into_iter().find(|release| release.id == *asked) {
                Some(release) if release.is_live => Err(ShelfError::IsLive(release.id)),
                Some(release) => Ok(release.id),
                None => Err(ShelfError::NoSuchRelease { id: asked.clone(), root: self.root.clone() }),
            };
        }
        let older = all.into_iter().find(|release| live.as_ref().is_none_or(|live| release.id < *live));
        let name = || live.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        older.map(|release| release.id).ok_or_else(|| ShelfError::NoneBefore(name()))
    }

    /// Deletes all but the newest `keep`, the live one, and those that a process runs from; says which. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn prune(&self, keep: usize, _lock: &ShelfLock) -> Result<Vec<ReleaseId>, ShelfError> {
        let (folders, all) = (in_use::folders(), self.list()?);
        // The live one counts wherever it stands.
        let others = all.into_iter().filter(|release| !release.is_live).skip(keep.saturating_sub(1));
        let mut deleted = Vec::new();
        for Release { id, .. } in others.filter(|other| !in_use::is_in_use(&self.folder(&other.id), &folders)) {
            self.remove(&id)?;
            deleted.push(id);
        }
        Ok(deleted)
    }

    /// Deletes `id`, in an order in which what is left of it is never taken for whole. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn remove(&self, id: &ReleaseId) -> Result<(), ShelfError> {
        let (folder, mark) = (self.folder(id), self.mark(id));
        let _ = File::create(&mark);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk("cannot delete", &folder)(error)),
            _ => {}
        }
        match fs::remove_file(&mark) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk("cannot delete", &mark)(error)),
            _ => Ok(()),
        }
    }

    /// Takes away `id`, which came to nothing. Whoever deploys does so as well; where he has gone, nobody else would, and it
    /// would pass for one that was live. Blocks.
    pub fn discard(&self, id: &ReleaseId) {
        if self.live().as_ref() == Some(id) {
            return;
        }
        let _ = File::create(self.mark(id));
        // He who has the lock is there still.
        if let Ok(_lock) = self.lock()
            && let Err(error) = self.remove(id)
        {
            warn!(release = %id, %error, "what is left of the release stays until the next deploy");
        }
    }

    fn names(&self) -> Result<Vec<String>, ShelfError> {
        let folder = self.releases();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(disk("cannot look into", &folder))?,
        };
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }
}

impl Release {
    /// When it was made, as its name says, for people; nothing for another name.
    pub fn made(&self) -> Option<String> {
        let (date, rest) = self.id.as_str().split_once('-')?;
        let (time, _) = rest.split_once('-')?;
        let is_number = |text: &str, length| text.len() == length && text.chars().all(|char| char.is_ascii_digit());
        let name = self.id.as_str();
        (is_number(date, 8) && is_number(time, 6)).then(|| {
            format!(
                "{}-{}-{} {}:{}:{} UTC",
                &date[..4],
                &date[4..6],
                &date[6..],
                &name[9..11],
                &name[11..13],
                &name[13..15]
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf() -> (tempfile::TempDir, Shelf) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().to_owned());
        (folder, shelf)
    }

    fn id(text: &str) -> ReleaseId {
        text.parse().unwrap()
    }

    fn ids(releases: &[Release]) -> Vec<&str> {
        releases.iter().map(|release| release.id.as_str()).collect()
    }

    #[test]
    fn what_never_was_live_is_cleared_and_the_live_one_is_not() {
        let (_folder, shelf) = shelf();
        let lock = shelf.lock().unwrap();
        for name in ["1", "2", "3"] {
            shelf.begin(&id(name)).unwrap();
        }
        assert_eq!(ids(&shelf.list().unwrap()), Vec::<&str>::new());
        shelf.make_live(&id("1")).unwrap();
        shelf.make_live(&id("2")).unwrap();
        assert_eq!((ids(&shelf.list().unwrap()), shelf.live()), (vec!["2", "1"], Some(id("2"))));
        // As where the door ended between two steps.
        File::create(shelf.mark(&id("2"))).unwrap();
        assert_eq!(shelf.clear(&lock).unwrap(), [id("3")]);
        assert_eq!(ids(&shelf.list().unwrap()), ["2", "1"]);
        assert!(!shelf.mark(&id("2")).exists() && !shelf.folder(&id("3")).exists());
    }

    #[test]
    fn the_newest_stay_and_the_live_one_wherever_it_stands() {
        let (_folder, shelf) = shelf();
        let lock = shelf.lock().unwrap();
        for name in ["1", "2", "3", "4", "5"] {
            shelf.begin(&id(name)).unwrap();
            shelf.make_live(&id(name)).unwrap();
        }
        shelf.make_live(&id("2")).unwrap();
        assert_eq!(shelf.before(None).unwrap(), id("1"));
        assert_eq!(shelf.prune(3, &lock).unwrap(), [id("3"), id("1")]);
        assert_eq!(ids(&shelf.list().unwrap()), ["5", "4", "2"]);
        assert!(matches!(shelf.before(None), Err(ShelfError::NoneBefore(live)) if live == "2"));
        assert!(matches!(shelf.before(Some(&id("2"))), Err(ShelfError::IsLive(_))));
        assert!(matches!(shelf.before(Some(&id("9"))), Err(ShelfError::NoSuchRelease { .. })));
    }

    #[test]
    fn one_deploys_at_a_time() {
        let (_folder, shelf) = shelf();
        let lock = shelf.lock().unwrap();
        assert!(matches!(shelf.lock(), Err(ShelfError::Busy(_))));
        drop(lock);
        assert!(shelf.lock().is_ok());
    }

    #[test]
    fn shared_files_win_and_folders_with_files_do_not_give_way() {
        let (_folder, shelf) = shelf();
        let _lock = shelf.lock().unwrap();
        let release = shelf.begin(&id("1")).unwrap();
        fs::write(shelf.shared().join(".env"), "shared").unwrap();
        fs::write(release.join(".env"), "own").unwrap();
        fs::create_dir(shelf.shared().join("uploads")).unwrap();
        fs::create_dir(release.join("uploads")).unwrap();
        shelf.link_shared(&id("1")).unwrap();
        assert_eq!(fs::read_to_string(release.join(".env")).unwrap(), "shared");
        assert!(fs::symlink_metadata(release.join("uploads")).unwrap().is_symlink());
        fs::remove_file(release.join("uploads")).unwrap();
        fs::create_dir(release.join("uploads")).unwrap();
        fs::write(release.join("uploads/file"), "").unwrap();
        assert!(shelf.link_shared(&id("1")).unwrap_err().to_string().contains("uploads"));
    }
}
