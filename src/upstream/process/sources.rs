//! What a build is made of, and whether it is still what lies there: a start never serves yesterday's pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};
use ignore::{DirEntry, WalkBuilder};
use serde::{Deserialize, Serialize};

use super::project::Project;
use crate::upstream::Config;

/// Lies in `distDir` or what else every other build empties: what the build there was made of.
const RECORD: &str = "doorway-sources.json";
/// Where it lies where nobody knows what a build writes, below the project.
const RECORDS: &str = ".doorway";

/// What Next.js reads of them at a build, from the folder of the project alone.
pub const ENV_FILES: [&str; 4] = [".env", ".env.local", ".env.production", ".env.production.local"];
/// Hidden files that are config of a build; others are an editor's or the system's.
const HIDDEN_CONFIG: [&str; 5] = [".babelrc", ".browserslistrc", ".postcssrc", ".swcrc", ".npmrc"];
/// At the top of a project: made by a build or a tool, or for people.
const NOT_AT_THE_TOP: [&str; 8] =
    ["next-env.d.ts", "proxy.toml", "out", "coverage", "README.md", "LICENSE", "Dockerfile", "docker-compose.yml"];
/// What an app that runs writes beside its sources, or a build leaves there.
const NOT_SOURCE: [&str; 10] =
    [".tsbuildinfo", ".log", ".db", ".sqlite", ".sqlite3", "-wal", "-shm", "-journal", ".pid", "~"];
/// Of a longer file only the length counts, in bytes: reading pictures and films would make a start slow.
const MAX_READ: u64 = 8 << 20;
/// Archives keep times to two seconds, and what is copied all at once has no order.
const SLACK: Duration = Duration::from_secs(2);

/// The sources of a project: what each is called for people, and where it lies.
pub struct Sources(BTreeMap<String, PathBuf>);

/// What a build was made of.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Name → what is in it.
    files: BTreeMap<String, String>,
    /// Variables of the environment, likewise.
    variables: BTreeMap<String, String>,
}

impl Sources {
    /// All that goes into a build of `project`: the files of its folder that `.gitignore` does not leave out, its env and lock
    /// files, and the packages beside it that it is linked to. Blocks.
    pub fn of(project: &Project) -> Sources {
        let mut found = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut folders = vec![project.directory.clone()];
        while let Some(folder) = folders.pop() {
            if !seen.insert(folder.clone()) {
                continue;
            }
            gather(&folder, project, &mut found);
            folders.extend(linked(&folder));
        }
        for file in ENV_FILES.iter().map(|name| project.directory.join(name)).chain(project.lock_file()) {
            if file.is_file() {
                found.insert(name(&file, project), file);
            }
        }
        Sources(found)
    }

    /// The first that was written after `time`.
    fn newer_than(&self, time: SystemTime) -> Option<&str> {
        let is_newer = |file: &Path| fs::metadata(file).and_then(|file| file.modified()).is_ok_and(|it| it > time);
        self.0.iter().find(|(_, file)| is_newer(file)).map(|(name, _)| name.as_str())
    }

    /// What is in them now.
    fn record(&self, project: &Project, config: &Config) -> SourceRecord {
        let files = self.0.iter().filter_map(|(name, file)| Some((name.clone(), digest(file).ok()?))).collect();
        let inherited = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let own = config.env.iter().map(|(name, value)| (name.clone(), value.into()));
        let public = project.framework.public_variables;
        let is_public = |name: &str| public.iter().any(|prefix| name.starts_with(prefix));
        let variables = inherited.chain(own).filter(|(name, _)| is_public(name));
        let variables =
            variables.map(|(name, value)| (name, hex(&mut Context::new(&SHA256), value.as_encoded_bytes())));
        SourceRecord { files, variables: variables.collect() }
    }
}

impl SourceRecord {
    /// What lies there before a build. Blocks.
    pub fn before(project: &Project, config: &Config) -> SourceRecord {
        Sources::of(project).record(project, config)
    }

    /// Puts it beside the build that was made of it. What somebody changes meanwhile is not in that build; what a build
    /// writes itself (a site map, a service worker) it writes into `public`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep(mut self, project: &Project, config: &Config) -> io::Result<()> {
        let now = SourceRecord::before(project, config);
        let is_public = |name: &str| name.starts_with("public/");
        self.files.retain(|name, _| !is_public(name));
        self.files.extend(now.files.into_iter().filter(|(name, _)| is_public(name)));
        let file = record_file(project);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, serde_json::to_vec(&self).map_err(io::Error::other)?)
    }
}

/// Why the whole build in `project` is not one of what lies there now; `None` when it is. Blocks.
pub fn stale(project: &Project, config: &Config) -> Option<String> {
    let (framework, file) = (project.framework, record_file(project));
    // The build came without its sources, as into a container image.
    if !framework.is_other() && !framework.sources.iter().any(|name| project.directory.join(name).exists()) {
        return None;
    }
    let record = fs::read(&file).ok();
    let record = record.and_then(|text| serde_json::from_slice::<SourceRecord>(&text).ok());
    let built = if framework.is_other() {
        match fs::metadata(&file).and_then(|file| file.modified()) {
            Ok(built) => built,
            Err(_) => return Some("nobody knows of a build of it".to_owned()),
        }
    } else {
        project.build().ok()?.written()?
    };
    let sources = Sources::of(project);
    let Some(record) = record else {
        return sources
            .newer_than(built + SLACK)
            .map(|name| format!("{name} is newer than the build of {}", clock(built)));
    };
    let now = sources.record(project, config);
    let other = |now: &BTreeMap<String, String>, then: &BTreeMap<String, String>| {
        now.iter().find(|(name, digest)| then.get(*name) != Some(digest)).map(|(name, _)| name.clone())
    };
    let gone = record.files.keys().find(|name| !now.files.contains_key(*name));
    let variable = || other(&now.variables, &record.variables).or_else(|| other(&record.variables, &now.variables));
    let what = match (other(&now.files, &record.files), gone) {
        (Some(name), _) => format!("{name} is newer than"),
        (None, Some(name)) => format!("{name} is gone since"),
        (None, None) => format!("the environment's {} is another than in", variable()?),
    };
    Some(format!("{what} the build of {}", clock(built)))
}

/// A time of day for people, as the log has it (UTC), with the day unless it is today.
pub fn clock(time: SystemTime) -> String {
    let text = |time| humantime::format_rfc3339_seconds(time).to_string();
    let (then, now) = (text(time), text(SystemTime::now()));
    let (day, hour) = (then.get(..10).unwrap_or_default(), then.get(11..16).unwrap_or_default());
    if now.starts_with(day) { format!("{hour} UTC") } else { format!("{day} {hour} UTC") }
}

/// What is in `file`, in few characters.
///
/// # Errors
/// Those of the file system.
pub fn digest(file: &Path) -> io::Result<String> {
    let mut file = fs::File::open(file)?;
    let length = file.metadata()?.len();
    if length > MAX_READ {
        return Ok(format!("{length} bytes"));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(hex(&mut Context::new(&SHA256), &text))
}

/// SHA-256 in hexadecimal digits.
pub fn hex(context: &mut Context, bytes: &[u8]) -> String {
    context.update(bytes);
    context.clone().finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn record_file(project: &Project) -> PathBuf {
    if project.framework.is_other() {
        return project.directory.join(RECORDS).join(RECORD);
    }
    project.dist.join(project.framework.output.notes).join(RECORD)
}

fn gather(folder: &Path, project: &Project, found: &mut BTreeMap<String, PathBuf>) {
    let (top, dist, exported) = (folder.to_owned(), project.dist.clone(), project.exported());
    let mut walk = WalkBuilder::new(folder);
    walk.hidden(false).require_git(false).ignore(false);
    walk.filter_entry(move |entry| {
        let is_output = entry.path() == dist || Some(entry.path()) == exported.as_deref();
        is_source(entry, &top) && (entry.depth() == 0 || !is_output)
    });
    for entry in walk.build().flatten().filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file())) {
        found.insert(name(entry.path(), project), entry.into_path());
    }
}

fn is_source(entry: &DirEntry, top: &Path) -> bool {
    if entry.depth() == 0 {
        return true;
    }
    let Some(name) = entry.file_name().to_str() else { return false };
    let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
    let is_at_the_top = entry.path().parent() == Some(top);
    if is_folder {
        // `app/.well-known` is a route; at the top there are `.git`, `.next`, `.doorway` and their kin.
        return name != "node_modules" && !(is_at_the_top && (name.starts_with('.') || NOT_AT_THE_TOP.contains(&name)));
    }
    let is_hidden_config = || HIDDEN_CONFIG.iter().any(|config| name.starts_with(config));
    let is_hidden = name.starts_with('.') && !is_hidden_config();
    let is_left_out = is_at_the_top && NOT_AT_THE_TOP.contains(&name);
    !is_hidden && !is_left_out && !NOT_SOURCE.iter().any(|end| name.ends_with(end))
}

/// Folders of packages that `folder` uses and that are not installed but linked: members of the same workspace.
fn linked(folder: &Path) -> Vec<PathBuf> {
    let manifest = fs::read(folder.join("package.json")).ok();
    let manifest: serde_json::Value = manifest.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let names = ["dependencies", "devDependencies"].into_iter().filter_map(|kind| manifest[kind].as_object());
    let real = |name: &String| {
        let link = folder.ancestors().map(|above| above.join("node_modules").join(name)).find(|link| link.exists())?;
        let real = link.canonicalize().ok().filter(|real| *real != link)?;
        (!real.components().any(|part| part.as_os_str() == "node_modules")).then_some(real)
    };
    names.flat_map(|names| names.keys()).filter_map(real).collect()
}

/// Below the project's folder by its path there, elsewhere by all of it.
fn name(file: &Path, project: &Project) -> String {
    file.strip_prefix(&project.directory).unwrap_or(file).display().to_string()
}
