//! A build of the app on disk: which one it is, told from every other, and whether it is whole.

mod framework;
mod prerendered;

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;

pub use framework::{DEPENDENCIES, Framework, NEXT, NEXT_CONFIGS, Tool, is_usual};
pub use prerendered::{Onlooker, PageCounts, Prerendered};

/// Files that every build writes anew, and that nothing else writes: each by itself tells two builds apart, and a build
/// that goes on changes one of them. In the order in which they are written last by Next.js 15.5 and 16.4 (seen), but for
/// `required-server-files.json`, which 16 writes before `BUILD_ID` and 15 after it.
const WRITTEN_FILES: [&str; 6] =
    [NAME, "required-server-files.json", "routes-manifest.json", PRERENDERED, "images-manifest.json", LAST_FILE];

const NAME: &str = "BUILD_ID";

/// The last file of `next build`, before what `output: "standalone"` adds to it. Pages are made before it, `BUILD_ID`
/// long before that.
const LAST_FILE: &str = "export-marker.json";

/// Says where an export was written, below `distDir`, and where that is when nobody says.
const EXPORT_DETAIL: &str = "export-detail.json";
const EXPORT_FOLDER: &str = "out";

const PRERENDERED: &str = "prerender-manifest.json";

/// A longer word for a build is none, in bytes.
const MAX_LABEL: usize = 64;

/// What `next start` cannot do without.
const NEEDED_FILES: [&str; 4] = [NAME, "required-server-files.json", "routes-manifest.json", PRERENDERED];

/// One build, told from every other. The text of `BUILD_ID` alone does not: with `deploymentId` every build of Next.js
/// 16.4 has the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// What `BUILD_ID` says, or where there is none what else the framework has.
    pub name: String,
    /// The real path of `distDir`.
    pub dist: PathBuf,
    framework: &'static Framework,
    stamps: Vec<Option<Stamp>>,
}

/// Where the pages of a build with `output: "export"` lie, of which Next.js makes no server; `None` for any other. Blocks.
pub fn exported(app: &Path, dist: &Path) -> Option<PathBuf> {
    let files = json(&dist.join("required-server-files.json"))?;
    (files["config"]["output"].as_str() == Some("export")).then(|| export_folder(app, dist))
}

/// The same of a build that is known to be one. Blocks.
pub fn export_folder(app: &Path, dist: &Path) -> PathBuf {
    // An absolute path of the machine that built it, which may be another.
    let detail = json(&dist.join(EXPORT_DETAIL)).unwrap_or_default();
    let written = Path::new(detail["outDirectory"].as_str().unwrap_or(EXPORT_FOLDER));
    if written.is_dir() && written.starts_with(app) {
        return written.to_owned();
    }
    app.join(written.file_name().unwrap_or(EXPORT_FOLDER.as_ref()))
}

fn json(file: &Path) -> Option<Value> {
    read_json(file).ok()
}

/// A manifest; an error names it.
fn read_json(file: &Path) -> io::Result<Value> {
    let invalid = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    serde_json::from_slice(&fs::read(file).map_err(invalid)?).map_err(|error| invalid(error.into()))
}

/// By what name the pages of the build of Next.js in `dist` call it: its `deploymentId`, as it was built. `None` where it
/// has none, and for other frameworks. Blocks.
pub fn deployment_id(dist: &Path) -> Option<String> {
    let files = json(&dist.join("required-server-files.json"))?;
    files["config"]["deploymentId"].as_str().filter(|id| !id.is_empty()).map(str::to_owned)
}

/// Where the app is that is asked, and of which build it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The project's folder.
    pub directory: PathBuf,
    pub framework: &'static Framework,
    /// `None` where no process of ours runs it, and in development: then it is whichever is there.
    pub build: Option<Build>,
}

/// Of a file: which, and when it was written, in s and ns since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Build {
    /// The build of Next.js in `dist` as it is now, whole or not; `None` where there is not even a `BUILD_ID`. Blocks.
    pub fn read(dist: &Path) -> Option<Build> {
        Build::of(&NEXT, dist)
    }

    /// The same of any framework; `None` without the first of the files that a build writes. Blocks.
    pub fn of(framework: &'static Framework, dist: &Path) -> Option<Build> {
        let dist = dist.canonicalize().ok()?;
        let stamps: Vec<_> = framework.output.written.iter().map(|file| Stamp::of(&dist.join(file))).collect();
        let name = if framework.is_next() {
            fs::read_to_string(dist.join(NAME)).ok()?.trim().to_owned()
        } else {
            (*stamps.first()?)?;
            label(framework, &dist).unwrap_or_else(|| framework.name.replace([' ', '.'], "-").to_lowercase())
        };
        Some(Build { name, dist, framework, stamps })
    }

    /// The build in `dist`, if nothing is missing that is needed to start it. Blocks.
    ///
    /// # Errors
    /// A clause that says what is missing: there is no build, one is being made, or one was broken off.
    pub fn whole_of(framework: &'static Framework, dist: &Path) -> Result<Build, String> {
        if framework.is_next() {
            return Build::whole(dist);
        }
        let mut needed = framework.output.written.iter().take(framework.output.needed);
        match needed.find(|file| !dist.join(file).is_file()) {
            Some(file) => Err(format!("it has no {file}")),
            None => Build::of(framework, dist).ok_or_else(|| format!("cannot read {}", dist.display())),
        }
    }

    /// The build of Next.js in `dist`, if nothing is missing that `next build` makes. Blocks.
    ///
    /// # Errors
    /// As of [`Build::whole_of`].
    fn whole(dist: &Path) -> Result<Build, String> {
        // A folder that *is* a standalone build came without the marker, which nothing reads at run time.
        let is_unpacked = dist.parent().is_some_and(|app| app.join("server.js").is_file());
        let last = (!is_unpacked).then_some(LAST_FILE);
        for file in NEEDED_FILES.into_iter().chain(last) {
            let path = dist.join(file);
            if let Err(error) = fs::metadata(&path) {
                return Err(match error.kind() {
                    ErrorKind::NotFound => format!("it has no {file}"),
                    _ => format!("cannot read {}: {error}", path.display()),
                });
            }
        }
        // After the marker `output: "standalone"` copies what the server needs, and writes the server last.
        let inside = standalone(dist);
        let copies = dist.join("standalone");
        if let Some(server) = inside.filter(|server| copies.is_dir() && !server.is_file()) {
            return Err(format!("it has no {} yet", server.strip_prefix(dist).unwrap_or(&server).display()));
        }
        Build::read(dist).ok_or_else(|| format!("cannot read {}", dist.join(NAME).display()))
    }

    /// Its name, and when it was made, in ms since 1970: builds with a `deploymentId` all have the same name.
    pub fn identity(&self) -> String {
        let made = self.stamps.first().copied().flatten().map(|Stamp { seconds, nanoseconds, .. }| {
            let (seconds, nanoseconds) = (u64::try_from(seconds).unwrap_or(0), u64::try_from(nanoseconds).unwrap_or(0));
            Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds)
        });
        format!("{}-{}", made.unwrap_or_default().as_millis(), self.name)
    }

    /// When its last file was written.
    pub fn written(&self) -> Option<SystemTime> {
        let time = |stamp: &Stamp| {
            let since = Duration::new(u64::try_from(stamp.seconds).ok()?, u32::try_from(stamp.nanoseconds).ok()?);
            Some(SystemTime::UNIX_EPOCH + since)
        };
        self.stamps.iter().flatten().filter_map(time).max()
    }

    /// Whether it is the one that is there now. Blocks.
    pub fn is_there(&self) -> bool {
        Build::of(self.framework, &self.dist).as_ref() == Some(self)
    }
}

/// The secret by which the app whose build is in `dist` knows a request of its own for a page to be made anew
/// (`x-prerender-revalidate`): each build makes another. Blocks.
pub fn revalidation_secret(dist: &Path) -> Option<String> {
    // The manifest names every prerendered page, and is long for large sites.
    #[derive(Deserialize)]
    struct Manifest {
        preview: Preview,
    }
    #[derive(Deserialize)]
    struct Preview {
        #[serde(rename = "previewModeId")]
        id: String,
    }
    let text = fs::read(dist.join(PRERENDERED)).ok()?;
    let manifest: Manifest = serde_json::from_slice(&text).ok()?;
    // Next.js makes 32 digits; a stub of one is nobody's secret.
    Some(manifest.preview.id).filter(|id| id.len() >= 16)
}

/// When the file that holds it was written; `None` without one. Blocks.
pub fn revalidation_secret_written(dist: &Path) -> Option<SystemTime> {
    fs::metadata(dist.join(PRERENDERED)).ok()?.modified().ok()
}

impl fmt::Display for Build {
    /// With what tells it from a build of the same name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Build { name, dist, stamps, .. } = self;
        write!(f, "{name} in {}", dist.display())?;
        match stamps.first() {
            Some(Some(Stamp { seconds, nanoseconds, .. })) => {
                write!(f, ", written {seconds}.{:03}", nanoseconds / 1_000_000)
            }
            _ => Ok(()),
        }
    }
}

/// The word that a framework has for its build, as a file name may have it.
fn label(framework: &Framework, dist: &Path) -> Option<String> {
    let (file, field) = framework.output.label?;
    let text = json(&dist.join(file))?;
    let word = text[field].as_str()?;
    let is_name = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    (!word.is_empty() && word.len() <= MAX_LABEL && word.chars().all(is_name)).then(|| word.to_owned())
}

impl Stamp {
    fn of(file: &Path) -> Option<Stamp> {
        let metadata = fs::metadata(file).ok()?;
        let (device, inode) = (metadata.dev(), metadata.ino());
        Some(Stamp { device, inode, seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() })
    }
}

/// Where the `server.js` of a build with `output: "standalone"` in `dist` is, or will be; `None` for other builds.
pub fn standalone(dist: &Path) -> Option<PathBuf> {
    let described = json(&dist.join("required-server-files.json"))?;
    if described["config"]["output"] != "standalone" {
        return None;
    }
    // In a workspace it lies as deep as the project does.
    let inside = described["relativeAppDir"].as_str().unwrap_or_default();
    Some(dist.join("standalone").join(inside).join("server.js"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dist: &Path, file: &str, text: &str) {
        let file = dist.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn a_build_is_whole_when_its_last_file_is_there() {
        let app = tempfile::tempdir().unwrap();
        let dist = app.path().join(".next");
        for file in
            ["BUILD_ID", "required-server-files.json", "routes-manifest.json", "prerender-manifest.json", LAST_FILE]
        {
            assert_eq!(Build::whole(&dist), Err(format!("it has no {file}")));
            write(&dist, file, "{}");
        }
        assert!(Build::whole(&dist).is_ok());
        fs::remove_file(dist.join(LAST_FILE)).unwrap();
        assert!(Build::whole(&dist).is_err());
        write(app.path(), "server.js", "");
        assert!(Build::whole(&dist).is_ok(), "it was unpacked here");
    }

    #[test]
    fn a_standalone_build_ends_with_its_server() {
        let app = tempfile::tempdir().unwrap();
        let dist = app.path().join(".next");
        for file in ["BUILD_ID", "routes-manifest.json", "prerender-manifest.json", LAST_FILE] {
            write(&dist, file, "{}");
        }
        let described = r#"{ "config": { "output": "standalone" }, "relativeAppDir": "apps/web" }"#;
        write(&dist, "required-server-files.json", described);
        assert!(Build::whole(&dist).is_ok(), "who takes the copies away wants `next start`");
        write(&dist, "standalone/package.json", "{}");
        assert_eq!(Build::whole(&dist), Err("it has no standalone/apps/web/server.js yet".into()));
        write(&dist, "standalone/apps/web/server.js", "");
        assert!(Build::whole(&dist).is_ok());
    }

    #[test]
    fn a_build_of_the_same_name_is_another() {
        let app = tempfile::tempdir().unwrap();
        for file in WRITTEN_FILES {
            write(app.path(), file, "{}");
        }
        let one = Build::read(app.path()).unwrap();
        assert!(one.is_there());
        for file in WRITTEN_FILES {
            let before = Build::read(app.path()).unwrap();
            let later = SystemTime::now() + Duration::from_secs(60);
            fs::File::options().write(true).open(app.path().join(file)).unwrap().set_modified(later).unwrap();
            assert_ne!(Build::read(app.path()).unwrap(), before, "{file}");
        }
        assert!(!one.is_there());
    }
}
