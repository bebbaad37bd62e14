//! What a release is made from: a folder, an archive, or what git has under a name.

use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Folders of a project that a build makes anew, or that are nobody's business.
const NOT_SOURCES: [&str; 5] = [".git", ".doorway", "node_modules", ".next", "releases"];

/// The same where the build was made already.
const NEVER: [&str; 2] = [".git", ".doorway"];

/// How far into an archive it is looked to know of which kind it is, in bytes.
const MAGIC: usize = 4;

/// What a release is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A project's folder; `is_built`: with its packages and its build.
    Folder { folder: PathBuf, is_built: bool },
    /// `.tar`, `.tar.gz` or `.tar.zst`.
    Archive(PathBuf),
    /// The same, from standard input.
    Input,
    /// A commit of the repository that this process is in, under a name that a person gave it.
    Commit { name: String, hash: String },
}

/// There is nothing to make a release from, or it cannot be put there; a sentence.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("{0}")]
    Unusable(String),
    #[error("the disk is full: {0}; delete what is old, or keep fewer releases ([releases] keep)")]
    Full(String),
}

impl ContentError {
    fn of(what: impl std::fmt::Display, error: &io::Error) -> ContentError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ContentError::Full(what.to_string()),
            _ => ContentError::Unusable(format!("{what}: {error}")),
        }
    }
}

impl Content {
    /// What `word` means: `-`, a folder, a file, or else a name that git knows. Blocks.
    ///
    /// # Errors
    /// A sentence: it is none of these.
    pub fn named(word: &Path, is_built: bool) -> Result<Content, ContentError> {
        if word == Path::new("-") {
            return Ok(Content::Input);
        }
        if word.is_dir() {
            // A folder that *is* a build came from elsewhere, as `output: "standalone"` makes it.
            let is_build = word.join("server.js").is_file() && word.join(".next/BUILD_ID").is_file();
            return Ok(Content::Folder { folder: word.to_owned(), is_built: is_built || is_build });
        }
        if word.is_file() {
            return Ok(Content::Archive(word.to_owned()));
        }
        let name = word.to_string_lossy().into_owned();
        let nothing = || {
            let what = "neither a folder, nor an archive, nor what the git repository here knows";
            ContentError::Unusable(format!("there is no {name:?}: {what}"))
        };
        if name.starts_with('-') {
            return Err(nothing());
        }
        let mut git = Command::new("git");
        git.args(["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")]);
        let found = git.stdin(Stdio::null()).stderr(Stdio::null()).output().map_err(|_| nothing())?;
        let hash = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        if found.status.success() && !hash.is_empty() { Ok(Content::Commit { name, hash }) } else { Err(nothing()) }
    }

    /// For people.
    pub fn describe(&self) -> String {
        let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string();
        match self {
            Content::Folder { folder, is_built: false } => format!("folder {}", whole(folder)),
            Content::Folder { folder, is_built: true } => format!("build in {}", whole(folder)),
            Content::Archive(file) => format!("archive {}", whole(file)),
            Content::Input => "archive from standard input".to_owned(),
            Content::Commit { name, hash } => {
                let short = hash.get(..12).unwrap_or(hash);
                if hash == name { format!("commit {short}") } else { format!("{name} (commit {short})") }
            }
        }
    }

    /// Whether there may be a build in it that was made elsewhere.
    pub fn may_be_built(&self) -> bool {
        matches!(self, Content::Folder { is_built: true, .. } | Content::Archive(_) | Content::Input)
    }

    /// Puts it into the folder `release`, which is empty. Blocks.
    ///
    /// # Errors
    /// A sentence; what is there then is not whole.
    pub fn fill(&self, release: &Path) -> Result<(), ContentError> {
        match self {
            Content::Folder { folder, is_built } => {
                let without: &[&str] = if *is_built { &NEVER } else { &NOT_SOURCES };
                let real = folder.canonicalize().map_err(|error| ContentError::of(folder.display(), &error))?;
                copy(&real, &real, release, without)
            }
            Content::Archive(file) => {
                let open = File::open(file).map_err(|error| ContentError::of(file.display(), &error))?;
                unpack(open, release)
            }
            Content::Input => unpack(io::stdin().lock(), release),
            Content::Commit { hash, .. } => git_archive(hash, release),
        }
    }
}

/// Copies what is in `from`, but for the names of `without`, which hold at the top alone (`node_modules` at any depth).
fn copy(top: &Path, from: &Path, to: &Path, without: &[&str]) -> Result<(), ContentError> {
    let entries = fs::read_dir(from).map_err(|error| ContentError::of(from.display(), &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| ContentError::of(from.display(), &error))?;
        let (path, name) = (entry.path(), entry.file_name());
        if is_left_out(top, from, &name.to_string_lossy(), without) || to.starts_with(&path) {
            continue;
        }
        let target = to.join(&name);
        let failed = |error: io::Error| ContentError::of(format!("cannot copy {}", path.display()), &error);
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            fs::create_dir(&target).map_err(failed)?;
            let mode = fs::metadata(&path).map_err(failed)?.permissions();
            copy(top, &path, &target, without)?;
            fs::set_permissions(&target, mode).map_err(failed)?;
        } else if kind.is_symlink() {
            symlink(leading(top, &path).map_err(failed)?, &target).map_err(failed)?;
        } else if kind.is_file() {
            fs::copy(&path, &target).map_err(failed)?;
            // Times tell whether a build is older than its sources.
            let times = fs::metadata(&path).and_then(|meta| meta.modified());
            let _ = times.and_then(|time| File::options().write(true).open(&target)?.set_modified(time));
        }
    }
    Ok(())
}

fn is_left_out(top: &Path, folder: &Path, name: &str, without: &[&str]) -> bool {
    let is_build_cache = name == "cache" && folder.strip_prefix(top).is_ok_and(|inside| inside == Path::new(".next"));
    is_build_cache || (without.contains(&name) && (folder == top || name == "node_modules"))
}

/// Where the link `path` leads: as it is written, or the whole path where it leads out of `top`.
fn leading(top: &Path, path: &Path) -> io::Result<PathBuf> {
    let written = fs::read_link(path)?;
    if written.is_absolute() {
        return Ok(written);
    }
    let real = path.canonicalize();
    Ok(real.ok().filter(|real| !real.starts_with(top)).unwrap_or(written))
}

/// Unpacks an archive, whichever of the three kinds it is.
fn unpack(mut archive: impl Read, release: &Path) -> Result<(), ContentError> {
    let mut magic = Vec::with_capacity(MAGIC);
    let failed = |error: io::Error| ContentError::of("cannot unpack the archive", &error);
    (&mut archive).take(MAGIC as u64).read_to_end(&mut magic).map_err(failed)?;
    if magic.is_empty() {
        return Err(ContentError::Unusable("the archive is empty".to_owned()));
    }
    let archive = BufReader::new(Cursor::new(magic.clone()).chain(archive));
    match magic[..] {
        [0x1f, 0x8b, ..] => extract(flate2::bufread::MultiGzDecoder::new(archive), release),
        [0x28, 0xb5, 0x2f, 0xfd] => extract(zstd::Decoder::with_buffer(archive).map_err(failed)?, release),
        _ => extract(archive, release),
    }
}

fn extract(mut archive: impl Read, release: &Path) -> Result<(), ContentError> {
    let failed = |error: io::Error| {
        // Its own words hide what the disk said.
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let is_full = rustix::fs::statvfs(release).is_ok_and(|fs| fs.f_bavail == 0 || fs.f_favail == 0);
        if is_full || cause.contains("No space left") {
            return ContentError::Full(format!("cannot unpack the archive into {}", release.display()));
        }
        let cause = if cause.is_empty() { String::new() } else { format!(" ({cause})") };
        ContentError::Unusable(format!("the archive is not whole, or no .tar, .tar.gz or .tar.zst: {error}{cause}"))
    };
    let mut tar = tar::Archive::new(&mut archive);
    // What leads out of the folder is passed over by `unpack`.
    tar.set_overwrite(true);
    tar.set_preserve_permissions(false);
    tar.unpack(release).map_err(failed)?;
    // Padding behind the end; who writes it would be told of a broken pipe.
    io::copy(&mut archive, &mut io::sink()).map_err(failed)?;
    lift(release).map_err(|error| ContentError::of("cannot unpack the archive", &error))
}

/// An archive of one folder with all in it is taken for what is in the folder.
fn lift(release: &Path) -> io::Result<()> {
    let entries: Vec<PathBuf> = fs::read_dir(release)?.flatten().map(|entry| entry.path()).collect();
    let [only] = &entries[..] else { return Ok(()) };
    if !only.is_dir() || fs::symlink_metadata(only)?.is_symlink() {
        return Ok(());
    }
    // The one folder may hold another of its own name.
    let aside = release.join(".doorway-unpacked");
    fs::rename(only, &aside)?;
    for entry in fs::read_dir(&aside)?.flatten() {
        fs::rename(entry.path(), release.join(entry.file_name()))?;
    }
    fs::remove_dir(&aside)
}

fn git_archive(hash: &str, release: &Path) -> Result<(), ContentError> {
    let failed = |error: io::Error| ContentError::Unusable(format!("git cannot be run: {error}"));
    let mut git = Command::new("git");
    git.args(["archive", "--format=tar", hash]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut git = git.spawn().map_err(failed)?;
    let unpacked = match git.stdout.take() {
        Some(archive) => unpack(archive, release),
        None => Ok(()),
    };
    let status = git.wait().map_err(failed)?;
    if !status.success() && unpacked.is_ok() {
        return Err(ContentError::Unusable(format!("git archive failed ({status}): its lines above say why")));
    }
    unpacked
}

/// Writes `folder` as a `.tar` to `to`, with what [`Content::Folder`] has of it: for a door on another machine. Blocks.
///
/// # Errors
/// Those of the disk, and of `to`.
pub fn pack(folder: &Path, is_built: bool, to: impl Write) -> io::Result<()> {
    let without: &[&str] = if is_built { &NEVER } else { &NOT_SOURCES };
    let top = folder.canonicalize()?;
    let mut tar = tar::Builder::new(to);
    tar.follow_symlinks(false);
    append(&mut tar, &top, &top, without)?;
    tar.into_inner()?.flush()
}

fn append(tar: &mut tar::Builder<impl Write>, top: &Path, from: &Path, without: &[&str]) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if is_left_out(top, from, &entry.file_name().to_string_lossy(), without) {
            continue;
        }
        let path = entry.path();
        let inside = path.strip_prefix(top).map_err(io::Error::other)?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            tar.append_dir(inside, &path)?;
            append(tar, top, &path, without)?;
        } else if kind.is_file() || kind.is_symlink() {
            tar.append_path_with_name(&path, inside)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn app() -> tempfile::TempDir {
        let app = tempfile::tempdir().unwrap();
        for name in [".git/HEAD", "node_modules/next/x", "packages/a/node_modules/y", ".next/cache/z", ".next/BUILD_ID"]
        {
            write(app.path(), name, name);
        }
        write(app.path(), "package.json", "{}");
        write(app.path(), "app/cache/page.js", "page");
        symlink("package.json", app.path().join("link")).unwrap();
        app
    }

    fn has(release: &Path, name: &str) -> bool {
        fs::symlink_metadata(release.join(name)).is_ok()
    }

    #[test]
    fn sources_are_copied_without_what_is_made_from_them() {
        let (app, release) = (app(), tempfile::tempdir().unwrap());
        let folder = app.path().to_owned();
        Content::Folder { folder, is_built: false }.fill(release.path()).unwrap();
        let names = [".git", "node_modules", "packages/a/node_modules", ".next"];
        assert!(names.iter().all(|name| !has(release.path(), name)));
        assert!(
            ["package.json", "app/cache/page.js", "packages/a", "link"].iter().all(|name| has(release.path(), name))
        );
    }

    #[test]
    fn builds_are_copied_with_their_packages() {
        let (app, release, packed) = (app(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = app.path().to_owned();
        Content::Folder { folder, is_built: true }.fill(release.path()).unwrap();
        let mut tar = Vec::new();
        pack(app.path(), true, &mut tar).unwrap();
        unpack(Cursor::new(tar), packed.path()).unwrap();
        for release in [release.path(), packed.path()] {
            assert!(["node_modules/next/x", ".next/BUILD_ID", "link"].iter().all(|name| has(release, name)));
            assert!([".git", ".next/cache"].iter().all(|name| !has(release, name)));
        }
    }

    #[test]
    fn archives_of_each_kind_are_unpacked() {
        let mut tar = Vec::new();
        pack(app().path(), false, &mut tar).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&tar).unwrap();
        for archive in [tar.clone(), gz.finish().unwrap(), zstd::encode_all(&tar[..], 1).unwrap()] {
            let release = tempfile::tempdir().unwrap();
            unpack(Cursor::new(archive), release.path()).unwrap();
            assert!(has(release.path(), "app/cache/page.js"));
        }
        let release = tempfile::tempdir().unwrap();
        assert!(unpack(Cursor::new(b"no archive at all".to_vec()), release.path()).is_err());
        let cut = tar[..tar.len() / 2 - 100].to_vec();
        assert!(unpack(Cursor::new(cut), release.path()).is_err());
        assert!(unpack(io::empty(), release.path()).unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn a_single_folder_in_an_archive_is_passed_through() {
        let (outer, release) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(outer.path(), "site/package.json", "{}");
        write(outer.path(), "site/site/page.js", "");
        let mut tar = Vec::new();
        pack(outer.path(), false, &mut tar).unwrap();
        unpack(Cursor::new(tar), release.path()).unwrap();
        assert!(has(release.path(), "package.json") && has(release.path(), "site/page.js"));
    }

    #[test]
    fn nothing_of_an_archive_lands_outside_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let release = folder.path().join("release");
        fs::create_dir(&release).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        // As a hand writes it: the crate's own way refuses such a path.
        header.as_old_mut().name[..9].copy_from_slice(b"../stolen");
        header.set_cksum();
        tar.append(&header, &b"bad"[..]).unwrap();
        let _ = unpack(Cursor::new(tar.into_inner().unwrap()), &release);
        assert!(!folder.path().join("stolen").exists());
    }
}
