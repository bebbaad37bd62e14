//! What lies in the project's folder: of which framework it is, is it installed, is it built, and in which shape.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::build::{self, Build, Framework, NEXT, Tool};
use crate::upstream::StartError;

/// The newest known-good releases of the lines that are maintained (November 2026).
const KNOWN_GOOD: &[(u64, Version)] = &[(15, Version(15, 5, 29)), (16, Version(16, 4, 5))];

/// Lock file → the program that reads it, and how it installs exactly what the lock says.
pub const PACKAGE_MANAGERS: &[(&str, &str, &[&str])] = &[
    ("package-lock.json", "npm", &["ci"]),
    ("npm-shrinkwrap.json", "npm", &["ci"]),
    ("pnpm-lock.yaml", "pnpm", &["install", "--frozen-lockfile"]),
    ("yarn.lock", "yarn", &["install", YARN_FROZEN]),
    ("bun.lock", "bun", &["install", "--frozen-lockfile"]),
    ("bun.lockb", "bun", &["install", "--frozen-lockfile"]),
];

/// Yarn 1's word; newer ones call it `--immutable`.
const YARN_FROZEN: &str = "--frozen-lockfile";

/// For who meant another kind of app.
const OTHER_SERVER_HINT: &str = "to put Doorway in front of another server, start that and name it as [app] url";

/// A version of Node.js or Next.js: major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64, u64, u64);

/// A folder with an app.
#[derive(Debug, Clone)]
pub struct Project {
    pub directory: PathBuf,
    pub framework: &'static Framework,
    /// Where its build is (`distDir`), absolute.
    pub dist: PathBuf,
    package: Value,
}

/// The package of the framework as it is installed; where there is none, the project itself.
#[derive(Debug, Clone)]
pub struct Package {
    pub directory: PathBuf,
    pub version: String,
}

impl Project {
    /// Looks into `directory`.
    ///
    /// # Errors
    /// A sentence that says why it is no project that can be started.
    pub fn inspect(directory: &Path, dist: &Path) -> Result<Project, StartError> {
        let name = directory.display();
        let directory = directory.canonicalize().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                StartError(format!("{name}: there is no such folder; the folder of an app is expected"))
            }
            _ => StartError(format!("cannot open {name}: {error}")),
        })?;
        let manifest = directory.join("package.json");
        let text = match std::fs::read(&manifest) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StartError(format!("{name} is not an app: it has no package.json ({OTHER_SERVER_HINT})")));
            }
            Err(error) => return Err(StartError(format!("cannot read {}: {error}", manifest.display()))),
        };
        let package: Value = serde_json::from_slice(&text)
            .map_err(|error| StartError(format!("{} is not JSON: {error}", manifest.display())))?;
        let known = Framework::of(&package);
        // The root of a workspace may have a script that starts something of all of them.
        let is_named = known.is_some_and(|framework| !framework.is_other());
        let members = if !is_named && is_workspace(&directory) { members(&directory) } else { Vec::new() };
        let Some(framework) = known.filter(|_| members.is_empty()) else {
            let what = match members[..] {
                [] => format!("its package.json lists no framework and has no start script ({OTHER_SERVER_HINT})"),
                _ => format!("it is the root of a workspace, whose apps are: doorway {}", members.join(", doorway ")),
            };
            return Err(StartError(format!("{name} is not an app: {what}")));
        };
        let project = Project { dist: directory.join(framework.output(dist)), directory, framework, package };
        match framework.missing_adapter(&project.package).filter(|_| project.script("start").is_none()) {
            None => Ok(project),
            Some(adapter) => Err(StartError(format!(
                "{name}: nothing serves a build of {} without {adapter}: install it, name it in the app's config, or write \
                a `start` script",
                framework.name
            ))),
        }
    }

    /// The package of its framework, here or in a folder above, as Node would find it; `None` before it is installed.
    pub fn installed(&self) -> Option<Package> {
        if self.framework.is_other() {
            let needs = self.package["dependencies"].as_object().is_some_and(|names| !names.is_empty());
            let is_there = !needs || self.directory.ancestors().any(|folder| folder.join("node_modules").is_dir());
            let version = self.package["version"].as_str().unwrap_or("0.0.0").to_owned();
            return is_there.then(|| Package { directory: self.directory.clone(), version });
        }
        self.find_package(self.framework.package)
    }

    fn find_package(&self, name: &str) -> Option<Package> {
        let found = self.directory.ancestors().map(|folder| folder.join("node_modules").join(name));
        found.into_iter().find_map(|directory| {
            let package: Value = serde_json::from_slice(&std::fs::read(directory.join("package.json")).ok()?).ok()?;
            Some(Package { directory, version: package["version"].as_str()?.to_owned() })
        })
    }

    /// The script of `tool` that Node.js runs, as its package names it.
    pub fn program(&self, tool: &Tool) -> Option<PathBuf> {
        let Package { directory, .. } = self.find_package(tool.package)?;
        let manifest: Value = serde_json::from_slice(&std::fs::read(directory.join("package.json")).ok()?).ok()?;
        let named = manifest["bin"].as_str().or_else(|| manifest["bin"][tool.program].as_str());
        let script = if tool.package == NEXT.package { "dist/bin/next" } else { named? };
        Some(directory.join(script)).filter(|script| script.is_file())
    }

    /// The build that is there now, if it is whole.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn build(&self) -> Result<Build, StartError> {
        let place = self.dist.display();
        if let Some(pages) = self.exported().filter(|pages| !pages.is_dir()) {
            return Err(StartError(format!("there are no pages of the build in {}", pages.display())));
        }
        Build::whole_of(self.framework, &self.dist).map_err(|why| match self.look() {
            Some(_) => StartError(format!(
                "the build in {place} is not whole: {why}; `{}` is still at work, or was broken off",
                self.framework.build.words()
            )),
            None => StartError(format!("there is no build in {place}: {why}")),
        })
    }

    /// The build that is there now, whole or not.
    pub fn look(&self) -> Option<Build> {
        Build::of(self.framework, &self.dist)
    }

    /// Where its pages lie, if it is an export: then there is nothing to start.
    pub fn exported(&self) -> Option<PathBuf> {
        if self.framework.is_next() { build::exported(&self.directory, &self.dist) } else { None }
    }

    /// The folder that a process reads the build from, and writes pages into.
    pub fn served(&self) -> PathBuf {
        let inside = self.standalone().and_then(|server| {
            let dist = self.dist.strip_prefix(&self.directory).ok()?;
            Some(server.parent()?.join(dist))
        });
        inside.unwrap_or_else(|| self.dist.clone())
    }

    /// What is there of a build is not to be taken for one.
    pub fn forget_build(&self) {
        let Some(mark) = self.framework.output.written.first() else { return };
        let file = self.dist.join(mark);
        if let Err(error) = std::fs::remove_file(&file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "cannot remove {}: the next start takes the failed build for whole", file.display());
        }
    }

    /// Its own script of that name. One that runs the door (`"dev": "doorway --dev ."`) is how we were started: to run it
    /// would be to start another door, and so on.
    pub fn script(&self, name: &str) -> Option<&str> {
        self.package["scripts"][name].as_str().filter(|text| !runs_doorway(text))
    }

    /// Its `package.json`.
    pub fn package(&self) -> &Value {
        &self.package
    }

    /// This folder, and the roots of the workspaces that it belongs to.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        let mut folders = self.directory.ancestors();
        let own = folders.next().into_iter();
        own.chain(folders.filter(|folder| is_workspace(folder)))
    }

    /// Where `file` lies, here or at the root of the workspace.
    pub fn find(&self, file: &str) -> Option<PathBuf> {
        self.roots().map(|folder| folder.join(file)).find(|file| file.is_file())
    }

    /// What says exactly which packages are to be installed.
    pub fn lock_file(&self) -> Option<PathBuf> {
        PACKAGE_MANAGERS.iter().find_map(|(lock, ..)| self.find(lock))
    }

    /// The `server.js` of a build with `output: "standalone"`.
    pub fn standalone(&self) -> Option<PathBuf> {
        build::standalone(&self.dist).filter(|server| self.framework.is_next() && server.is_file())
    }

    /// The `server.js` of a folder that *is* such a build, as container images have it.
    pub fn unpacked(&self) -> Option<PathBuf> {
        let server = self.directory.join("server.js");
        (self.framework.is_next() && server.is_file() && Build::read(&self.dist).is_some()).then_some(server)
    }
}

/// The program that installs the packages of `project` and runs its scripts, and how it installs them.
pub fn package_manager(project: &Project) -> (&'static str, Vec<&'static str>) {
    if let Some((lock, program, arguments)) = PACKAGE_MANAGERS.iter().find(|(lock, ..)| project.find(lock).is_some()) {
        let is_newer_yarn = *program == "yarn"
            && project
                .find(lock)
                .and_then(|lock| std::fs::read_to_string(lock).ok())
                .is_some_and(|lock| lock.contains("__metadata:"));
        let spelt =
            |argument: &&'static str| if is_newer_yarn && *argument == YARN_FROZEN { "--immutable" } else { argument };
        return (program, arguments.iter().map(spelt).collect());
    }
    // As corepack reads it: `pnpm@9.1.0`.
    let named = project.package["packageManager"].as_str().and_then(|named| named.split('@').next());
    match PACKAGE_MANAGERS.iter().find(|(_, program, _)| Some(*program) == named) {
        Some((_, program, _)) => (program, vec!["install"]),
        None => ("npm", vec!["install"]),
    }
}

/// How deep the members of a workspace lie at most, as in `packages/apps/web`.
const MEMBER_DEPTH: usize = 3;

/// Whether a word of the script is this program by its usual name, wherever it lies.
fn runs_doorway(script: &str) -> bool {
    let mut words = script.split(|c: char| c.is_whitespace() || "&|;()".contains(c));
    words.any(|word| word == "doorway" || word.ends_with("bin/doorway"))
}

/// The members of the workspace `root` that are of a framework, as paths below the folder that was named.
fn members(root: &Path) -> Vec<String> {
    let mut walk = ignore::WalkBuilder::new(root);
    walk.max_depth(Some(MEMBER_DEPTH)).require_git(false).sort_by_file_name(std::ffi::OsStr::cmp);
    walk.filter_entry(|entry| entry.file_name() != "node_modules");
    let is_app = |folder: &Path| {
        let text = std::fs::read(folder.join("package.json")).ok()?;
        let package: Value = serde_json::from_slice(&text).ok()?;
        Framework::of(&package).filter(|framework| !framework.is_other())
    };
    let folders = walk.build().flatten().filter(|entry| entry.depth() > 0 && entry.path().is_dir());
    folders.filter(|entry| is_app(entry.path()).is_some()).map(|entry| entry.path().display().to_string()).collect()
}

fn is_workspace(folder: &Path) -> bool {
    let lists_members = || {
        let package: Value = serde_json::from_slice(&std::fs::read(folder.join("package.json")).ok()?).ok()?;
        package.get("workspaces").map(|_| ())
    };
    folder.join("pnpm-workspace.yaml").is_file() || lists_members().is_some()
}

impl Package {
    /// What to say of a version of Next.js with known holes.
    pub fn warning(&self) -> Option<String> {
        let version = Version::parse(&self.version)?;
        let Some((_, floor)) = KNOWN_GOOD.iter().find(|(line, _)| *line == version.0) else {
            let is_old = version.0 < KNOWN_GOOD[0].0;
            return is_old
                .then(|| format!("Next.js {} is no longer maintained: move to {}", self.version, KNOWN_GOOD[1].1));
        };
        // A pre-release comes before its release.
        let is_old = version < *floor || (version == *floor && self.version.contains('-'));
        is_old.then(|| format!("Next.js {} has known holes: move to {floor} or newer", self.version))
    }
}

impl Version {
    /// The numbers of `16.4.6` or `v20.9.0`, whatever follows them.
    pub fn parse(text: &str) -> Option<Version> {
        let metrics = text.trim().trim_start_matches('v').split(['-', '+']).next()?;
        let mut metrics = metrics.split('.').map(str::parse);
        let mut number = || metrics.next()?.ok();
        Some(Version(number()?, number()?, number()?))
    }

    pub const fn new(major: u64, minor: u64, patch: u64) -> Version {
        Version(major, minor, patch)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_runs_the_door_is_known() {
        for script in ["doorway --dev .", "npx doorway", "PORT=1 ./node_modules/.bin/doorway .&& x", "(cd web;doorway)"]
        {
            assert!(runs_doorway(script), "{script}");
        }
        for script in ["next dev", "node doorway.js", "node server.js --title=doorways"] {
            assert!(!runs_doorway(script), "{script}");
        }
    }

    #[test]
    fn versions_below_the_floor_are_warned_of() {
        let warned = |version: &str| Package { directory: PathBuf::new(), version: version.into() }.warning().is_some();
        for version in ["16.4.5", "16.4.6", "16.5.0-canary.3", "15.5.29", "17.0.0", "nonsense"] {
            assert!(!warned(version), "{version}");
        }
        for version in ["16.4.4", "16.0.0", "16.4.5-canary.1", "15.5.28", "14.2.35", "9.0.0"] {
            assert!(warned(version), "{version}");
        }
    }
}
