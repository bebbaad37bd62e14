//! Whether the packages that are installed are those that the project asks for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::project::Project;
use super::sources::{clock, digest, hex};
use crate::build::DEPENDENCIES;

/// What the package managers write last of all: npm, pnpm, Yarn 1, Yarn 2 and newer, Yarn with Plug'n'Play.
const MARKERS: [&str; 5] = [
    "node_modules/.package-lock.json",
    "node_modules/.modules.yaml",
    "node_modules/.yarn-integrity",
    "node_modules/.yarn-state.yml",
    ".pnp.cjs",
];
/// What we write: which manifest and which lock file were installed.
const RECORD: &str = "node_modules/.doorway-installed.json";
/// Managers write the lock file just before or after the packages.
const SLACK: Duration = Duration::from_secs(5);

/// What was asked for when it was installed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InstallRecord {
    manifest: String,
    lock: Option<String>,
}

/// Why what is installed is not what the project asks for; `None` when it is. Blocks.
pub fn outdated(project: &Project) -> Option<String> {
    // A container image has just what its server needs.
    if project.unpacked().is_some() {
        return None;
    }
    let (record_file, now) = (record_file(project), asked_for(project));
    let record = record_file.as_ref().and_then(|file| fs::read(file).ok());
    let record = record.and_then(|text| serde_json::from_slice::<InstallRecord>(&text).ok());
    // Bun leaves no mark but the folder.
    let marked = newest(project, &MARKERS).or_else(|| newest(project, &["node_modules"]));
    let recorded = record.as_ref().and_then(|_| written(record_file.as_ref()?));
    let installed = marked.max(recorded)?;
    // Ours is written when all else is; who installed since then was another.
    let slack = if recorded == Some(installed) { Duration::ZERO } else { SLACK };
    let is_newer = |file: &PathBuf| written(file).is_some_and(|time| time > installed + slack);
    let lock = project
        .lock_file()
        .filter(|lock| is_newer(lock) && record.as_ref().is_none_or(|record| record.lock != now.lock));
    let manifest = || {
        let manifest = project.directory.join("package.json");
        let is_other = match &record {
            Some(record) => record.manifest != now.manifest,
            None => !is_in_lock(project),
        };
        (is_other && is_newer(&manifest)).then_some(manifest)
    };
    let file = lock.or_else(manifest)?;
    let name = file.file_name().unwrap_or_default().display().to_string();
    Some(format!("{name} is newer than what was installed at {}", clock(installed)))
}

/// Notes what has just been installed.
///
/// # Errors
/// Those of the file system: there may be no `node_modules` (Plug'n'Play).
pub fn keep(project: &Project) -> io::Result<()> {
    let text = serde_json::to_vec(&asked_for(project)).map_err(io::Error::other)?;
    let file = record_file(project).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    fs::write(file, text)
}

/// In the folder where packages are, here or at the root of the workspace.
fn record_file(project: &Project) -> Option<PathBuf> {
    project.roots().map(|root| root.join(RECORD)).find(|file| file.parent().is_some_and(Path::is_dir))
}

/// When the last of these was written, here or at the root of the workspace.
fn newest(project: &Project, names: &[&str]) -> Option<SystemTime> {
    project.roots().flat_map(|root| names.iter().map(move |name| written(&root.join(name)))).flatten().max()
}

fn written(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|file| file.modified()).ok()
}

fn asked_for(project: &Project) -> InstallRecord {
    let lock = project.lock_file().and_then(|lock| digest(&lock).ok());
    InstallRecord {
        manifest: hex(&mut Context::new(&SHA256), dependencies(project.package()).to_string().as_bytes()),
        lock,
    }
}

/// A package that the manifest asks for and npm's lock file does not know: `npm ci` would refuse, with its usage.
pub fn missing_in_lock(project: &Project) -> Option<String> {
    let lock = project.lock_file().filter(|lock| lock.parent() == Some(&project.directory))?;
    if lock.extension()? != "json" {
        return None;
    }
    let lock: Value = serde_json::from_slice(&fs::read(lock).ok()?).ok()?;
    let root = lock["packages"][""].as_object()?;
    let is_known = |name: &String| {
        DEPENDENCIES.iter().any(|kind| root.get(*kind).is_some_and(|names| names.get(name).is_some()))
            || !lock["packages"][format!("node_modules/{name}")].is_null()
    };
    let asked = DEPENDENCIES[..2].iter().filter_map(|kind| project.package()[*kind].as_object());
    asked.flat_map(|names| names.keys()).find(|name| !is_known(name)).cloned()
}

/// npm's lock file has what the manifest asked for when it was written: who edits scripts installs nothing.
fn is_in_lock(project: &Project) -> bool {
    let lock = project.lock_file().and_then(|lock| fs::read(lock).ok());
    let lock = lock.and_then(|text| serde_json::from_slice::<Value>(&text).ok()).unwrap_or_default();
    lock["packages"][""].is_object() && dependencies(&lock["packages"][""]) == dependencies(project.package())
}

fn dependencies(package: &Value) -> Value {
    DEPENDENCIES
        .iter()
        .map(|kind| package.get(*kind).cloned().unwrap_or_else(|| Value::Object(Default::default())))
        .collect()
}
