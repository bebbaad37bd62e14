//! Static files of earlier builds, kept for tabs that were opened before a deploy: `next build` begins by deleting them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tracing::debug;

use crate::settings::{app_folder_name, plain_name};

/// No more builds than this are kept, however young: each is some megabytes.
const MOST_BUILDS: usize = 8;
/// No more files than this of one build: beyond it something else is wrong.
const MOST_FILES: usize = 50_000;
/// In the folder of one app: the path of that app, as the config has it.
const APP: &str = "app";
/// How long an app's folder may be missing before what is kept for it is deleted.
const GONE: Duration = Duration::from_secs(24 * 60 * 60);
/// Folders within folders within `static`.
const MAX_DEPTH: usize = 32;

/// Where builds are kept, a folder each, and for how long.
#[derive(Debug, Clone)]
pub struct Previous {
    pub folder: PathBuf,
    pub keep: Duration,
}

impl Previous {
    /// Keeps `files` (`.next/static`) in a folder called `build`, forgets what is too old, and says where builds are
    /// kept, newest first. Files are linked where they can be, which takes no room, else copied. Blocks.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn adopt(&self, build: &str, files: &Path) -> io::Result<Vec<PathBuf>> {
        let current = self.folder.join(build);
        let is_new = !current.exists();
        fs::create_dir_all(&current)?;
        let ignore = self.folder.join(".gitignore");
        if !ignore.exists() {
            // It may lie in the project: nobody is to commit it, and what looks through sources passes it by.
            fs::write(ignore, "*\n")?;
        }
        if is_new {
            // The newest of the others was in use until now: its time begins.
            if let Some((_, newest)) = self.builds()?.into_iter().find(|(_, folder)| *folder != current) {
                touch(&newest)?;
            }
        }
        let mut left = MOST_FILES;
        keep(files, &current, &mut left, MAX_DEPTH)?;
        touch(&current)?;
        self.forget(&current)?;
        Ok(self.builds()?.into_iter().map(|(_, folder)| folder).collect())
    }

    fn forget(&self, current: &Path) -> io::Result<()> {
        let now = SystemTime::now();
        for (place, (used, folder)) in self.builds()?.into_iter().enumerate() {
            let is_old = now.duration_since(used).is_ok_and(|age| age > self.keep);
            if folder != current && (is_old || place >= MOST_BUILDS) {
                fs::remove_dir_all(folder)?;
            }
        }
        Ok(())
    }

    /// When each build was last in use, and its folder; newest first.
    fn builds(&self) -> io::Result<Vec<(SystemTime, PathBuf)>> {
        let mut builds = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                builds.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        builds.sort();
        builds.reverse();
        Ok(builds)
    }
}

/// The folder in `all` for the app whose folder is written as `app`, an absolute path: two apps never share one. It is
/// made, and those of apps that have gone are deleted. Where that fails, who writes there hears of it. Blocks.
pub fn folder_of(all: &Path, app: &Path) -> Option<PathBuf> {
    let folder = all.join(app_folder_name(app)?);
    if !folder.join(APP).exists() {
        let _ =
            fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(APP), app.as_os_str().as_encoded_bytes()));
        forget_gone(all);
    }
    Some(folder)
}

/// Deletes what is kept for apps that are nowhere any more.
fn forget_gone(all: &Path) {
    for folder in fs::read_dir(all).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let Ok(app) = fs::read(folder.join(APP)) else { continue };
        let app = PathBuf::from(OsString::from_vec(app));
        let is_gone = fs::symlink_metadata(&app).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let written = fs::metadata(&folder).and_then(|folder| folder.modified()).ok();
        // Perhaps it is only being moved, or on a disk that is not mounted yet.
        let is_old = written.and_then(|time| SystemTime::now().duration_since(time).ok()).is_some_and(|age| age > GONE);
        if is_gone
            && is_old
            && let Err(error) = fs::remove_dir_all(&folder)
        {
            debug!(%error, folder = %folder.display(), "what is kept for an app that is gone stays");
        }
    }
}

/// What the folder of a build is called: by its identity, which may be anything that `generateBuildId` says, and behind a
/// dot by what its pages call it.
pub fn folder_name(build: &str, deployment: Option<&str>) -> String {
    let deployment = deployment.map_or_else(String::new, |deployment| format!(".{}", plain_name(deployment)));
    format!("build-{}{deployment}", plain_name(build))
}

/// Whether the pages of the build in `folder` call it `deployment`.
pub fn is_of_deployment(folder: &Path, deployment: &str) -> bool {
    folder.extension().is_some_and(|named| *named == *plain_name(deployment))
}

fn touch(folder: &Path) -> io::Result<()> {
    File::open(folder)?.set_modified(SystemTime::now())
}

fn keep(from: &Path, to: &Path, left: &mut usize, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() && depth > 0 {
            fs::create_dir_all(&target)?;
            keep(&entry.path(), &target, left, depth - 1)?;
        } else if kind.is_file() {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("too many files"))?;
            keep_file(&entry.path(), &target)?;
        }
    }
    Ok(())
}

fn keep_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let (here, there) = (fs::metadata(from)?, fs::metadata(to)?);
            if (here.dev(), here.ino()) == (there.dev(), there.ino()) {
                return Ok(());
            }
            // A copy made before, or the same build made again: the newer one holds.
            if here.len() == there.len() && here.modified()? <= there.modified()? {
                return Ok(());
            }
            fs::remove_file(to)?;
            if fs::hard_link(from, to).is_ok() {
                return Ok(());
            }
        }
        // Another file system, or files that are not ours to link.
        Err(_) => {}
    }
    fs::copy(from, to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn age(folder: &Path, age: Duration) {
        File::open(folder).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn what_a_build_deletes_stays_for_a_while() {
        let root = tempfile::tempdir().unwrap();
        let files = root.path().join("static");
        let previous = Previous { folder: root.path().join("kept"), keep: Duration::from_secs(3600) };
        write(&files, "chunks/a-1.js", "one");
        previous.adopt("one", &files).unwrap();
        fs::remove_dir_all(&files).unwrap();
        write(&files, "chunks/a-2.js", "two");
        let folders = previous.adopt("two", &files).unwrap();
        assert_eq!(folders.len(), 2);
        assert_eq!(fs::read_to_string(folders[0].join("chunks/a-2.js")).unwrap(), "two");
        assert_eq!(fs::read_to_string(folders[1].join("chunks/a-1.js")).unwrap(), "one");
        age(&folders[1], Duration::from_secs(3599));
        assert_eq!(previous.adopt("two", &files).unwrap().len(), 2, "not old enough");
        age(&folders[1], Duration::from_secs(3601));
        assert_eq!(previous.adopt("two", &files).unwrap(), folders[..1], "forgotten");
    }

    #[test]
    fn an_old_build_has_its_time_from_when_it_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let files = root.path().join("static");
        let previous = Previous { folder: root.path().join("kept"), keep: Duration::from_secs(3600) };
        write(&files, "a.js", "one");
        let folders = previous.adopt("one", &files).unwrap();
        age(&folders[0], Duration::from_secs(30 * 86400));
        assert_eq!(previous.adopt("two", &files).unwrap().len(), 2, "it was in use for a month, until now");
    }

    #[test]
    fn few_builds_are_kept_under_names_inside_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let files = root.path().join("static");
        let previous = Previous { folder: root.path().join("kept"), keep: Duration::from_secs(3600) };
        write(&files, "a.js", "one");
        for build in ["../../x", "/etc", "", "..", "a", "b", "c", "d", "e", "f", "g", "h"] {
            previous.adopt(&folder_name(build, None), &files).unwrap();
        }
        assert!(previous.builds().unwrap().len() <= MOST_BUILDS);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "nothing beside `static` and `kept`");
    }

    #[test]
    fn same_build_made_again_replaces_what_changed_not_links() {
        let root = tempfile::tempdir().unwrap();
        let files = root.path().join("static");
        let previous = Previous { folder: root.path().join("kept"), keep: Duration::from_secs(3600) };
        write(&files, "a.js", "one");
        std::os::unix::fs::symlink("/etc/passwd", files.join("link.js")).unwrap();
        previous.adopt("one", &files).unwrap();
        fs::remove_file(files.join("a.js")).unwrap();
        write(&files, "a.js", "another");
        let folders = previous.adopt("one", &files).unwrap();
        assert_eq!(fs::read_to_string(folders[0].join("a.js")).unwrap(), "another");
        assert!(!folders[0].join("link.js").exists());
    }
}
