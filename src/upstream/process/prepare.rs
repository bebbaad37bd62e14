//! Makes a project ready to start: installs its packages and builds it, where that has not been done.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use tracing::{info, warn};

use super::child::Program;
use super::output::Hears;
use super::project::{Project, Version, package_manager};
use super::sources::{self, SourceRecord};
use super::{deployment, dist, installed, orphans};
use crate::upstream::{BuildPolicy, Config, StartError, TakeError};

/// What Next.js 16 runs on.
const NODE_FLOOR: Version = Version::new(20, 9, 0);

/// What whoever asks for a page is told meanwhile.
const INSTALLING: &str = "The app's packages are being installed.";
const BUILDING: &str = "The app is being built.";

/// What cannot be run: the packages are in archives that only Yarn's own loader reads.
const PLUG_AND_PLAY: &str = "Yarn's Plug'n'Play has no node_modules, from which apps are started here: write `nodeLinker: \
    node-modules` into .yarnrc.yml and run `yarn install`";

/// By whom a build is forbidden.
const FORBIDDEN: &str = "app.build = \"never\" (--no-build) forbids to make it";

/// Installs and builds `project` where needed, and tells `stage` of it, in a sentence for whoever asks for a page meanwhile.
///
/// # Errors
/// A sentence: no Node.js, no package manager, or one that failed.
pub async fn prepare(
    project: &mut Project,
    config: &Config,
    stage: &(dyn Fn(&'static str) + Sync),
) -> Result<(), StartError> {
    let (directory, name) = (project.directory.display().to_string(), named(project));
    check_node(project, config).await?;
    let package =
        match (project.installed(), blocking(project, config, |project, _| installed::outdated(project)).await) {
            (Some(package), None) => package,
            (Some(package), Some(why)) if !may_change(project, config, &why) => package,
            (None, _) if config.build == BuildPolicy::Never => {
                return Err(StartError(format!("{name} is not installed in {directory}, and {FORBIDDEN}")));
            }
            (_, why) => {
                stage(INSTALLING);
                info!("installing: {}", why.as_deref().unwrap_or("the packages are not there yet"));
                install(project, config).await?;
                let left = || {
                    if project.find(".pnp.cjs").is_some() {
                        return StartError(format!("{directory}: {PLUG_AND_PLAY}"));
                    }
                    StartError(format!("the packages are installed, but {name} is not among them in {directory}"))
                };
                project.installed().ok_or_else(left)?
            }
        };
    if project.framework.is_next()
        && let Some(dist) = dist::find(project, config).await
    {
        project.dist = project.directory.join(dist);
    }
    if let Some(warning) = package.warning().filter(|_| project.framework.is_next()) {
        warn!("{warning}");
    }
    if !config.dev
        && let Some(why) = reason_to_build(project, config).await?
    {
        stage(BUILDING);
        info!("building: {why}");
        build_whole(project, config).await?;
    }
    Ok(())
}

/// What is looked for among the packages.
pub fn named(project: &Project) -> &'static str {
    if project.framework.is_other() { "node_modules" } else { project.framework.package }
}

/// Why there is to be another build; `None` where the one that is there will do.
async fn reason_to_build(project: &Project, config: &Config) -> Result<Option<String>, StartError> {
    if project.framework.is_other() {
        if project.script("build").is_none() || config.build == BuildPolicy::Never {
            return Ok(None);
        }
    } else if let Err(why) = project.build() {
        return match config.build {
            BuildPolicy::Never => Err(StartError(format!("{why}; {FORBIDDEN}"))),
            _ => Ok(Some(why.to_string())),
        };
    }
    if config.build == BuildPolicy::Always {
        return Ok(Some("it was asked for".to_owned()));
    }
    let why = blocking(project, config, sources::stale).await;
    Ok(why.filter(|why| may_change(project, config, why)))
}

/// Whether something may be done about `why` what is there is of yesterday; where not, it is said that it is used.
fn may_change(project: &Project, config: &Config, why: &str) -> bool {
    if config.build == BuildPolicy::Never {
        info!("used as it is: {why} ({FORBIDDEN})");
        return false;
    }
    let writable = |folder: &Path| rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    let is_ours = writable(&project.directory) && (!project.dist.exists() || writable(&project.dist));
    if !is_ours {
        warn!("used as it is: {why}, but {} may not be written to", project.directory.display());
    }
    is_ours
}

/// Looks through many files, elsewhere.
async fn blocking(project: &Project, config: &Config, look: fn(&Project, &Config) -> Option<String>) -> Option<String> {
    let (project, config) = (project.clone(), config.clone());
    tokio::task::spawn_blocking(move || look(&project, &config)).await.unwrap_or_default()
}

/// Builds, and notes what the build was made of.
async fn build_whole(project: &Project, config: &Config) -> Result<(), StartError> {
    let (of, with) = (project.clone(), config.clone());
    let record = tokio::task::spawn_blocking(move || SourceRecord::before(&of, &with)).await.unwrap_or_default();
    // Next.js names a build before its pages are made: one that fails or is broken off must not pass for whole.
    let mut unfinished = Unfinished(Some(project));
    build(project, config).await?;
    unfinished.0 = None;
    if !project.framework.is_other()
        && let Err(why) = project.build()
    {
        let dist = project.dist.strip_prefix(&project.directory).unwrap_or(&project.dist).display();
        let directory = project.directory.display();
        let own = if project.framework.is_next() { "its distDir" } else { "the folder of its build" };
        let what = format!("the build of {directory} left no whole {dist}: is {own} another than app.dist? ({why})");
        return Err(StartError(what));
    }
    let (of, with) = (project.clone(), config.clone());
    let kept = tokio::task::spawn_blocking(move || record.keep(&of, &with)).await;
    if let Ok(Err(error)) = kept {
        warn!(%error, "cannot note what the build was made of: at the next start only times are compared");
    }
    Ok(())
}

/// A build under way. Dropped, it is none.
struct Unfinished<'a>(Option<&'a Project>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(project) = self.0 {
            project.forget_build();
        }
    }
}

async fn check_node(project: &Project, config: &Config) -> Result<(), StartError> {
    let node = config.node.display();
    let output = Command::new(&config.node).arg("--version").output().await.map_err(|error| {
        StartError(format!("cannot run Node.js as {node:?} ({error}): install it, or say where it is with app.node"))
    })?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match Version::parse(&version) {
        Some(version) if version < NODE_FLOOR && project.framework.is_next() => {
            warn!("Node.js {version} is older than {NODE_FLOOR}, which Next.js needs")
        }
        Some(_) => {}
        None => return Err(StartError(format!("{node:?} is not Node.js: it says its version is {version:?}"))),
    }
    Ok(())
}

async fn install(project: &Project, config: &Config) -> Result<(), StartError> {
    let (program, arguments) = package_manager(project);
    if let Some(missing) = installed::missing_in_lock(project) {
        return Err(StartError(format!(
            "package-lock.json is out of step with package.json, it has no {missing}: run `npm install` in {}",
            project.directory.display()
        )));
    }
    let mut install = program_of(project, config, "install", Path::new(program));
    install.arguments = arguments.iter().map(OsString::from).collect();
    run(&install).await.map_err(|failed| StartError(why(failed, project, program)))?;
    // Not there with Plug'n'Play, which has a mark of its own.
    let _ = installed::keep(project);
    Ok(())
}

/// By the project's own script where it has one, because what it does besides `next build` and its like was meant.
async fn build(project: &Project, config: &Config) -> Result<(), StartError> {
    let tool = &project.framework.build;
    let own = project.script("build").filter(|script| script.contains(&tool.words()));
    let mut build = match own {
        Some(_) => program_of(project, config, "build", Path::new(package_manager(project).0)),
        None => program_of(project, config, "build", &config.node),
    };
    build.arguments = match own {
        Some(_) => ["run", "build"].map(OsString::from).to_vec(),
        None => {
            let place = project.directory.display();
            let missing = || StartError(format!("{} is not whole in the node_modules of {place}", tool.package));
            let program = project.program(tool).ok_or_else(missing)?;
            std::iter::once(program.into()).chain(tool.arguments.iter().map(OsString::from)).collect()
        }
    };
    let (of, with) = (project.clone(), config.clone());
    let told = tokio::task::spawn_blocking(move || deployment::of_build(&of, &with)).await.unwrap_or_default();
    build.environment.extend(told);
    Ok(run(&build).await?)
}

fn program_of(project: &Project, config: &Config, step: &'static str, program: &Path) -> Program {
    // As production, packages for building would not be installed; `next build` sets it by itself.
    let mut environment = vec![("NODE_ENV".into(), None)];
    environment.extend(config.env.iter().map(|(name, value)| (name.into(), Some(value.into()))));
    environment.extend(orphans::mark(config.dir.as_deref()));
    Program {
        step,
        program: program.to_owned(),
        before: None,
        arguments: Vec::new(),
        directory: project.directory.clone(),
        environment,
    }
}

/// A step that failed: the program is not there, or what it said last.
struct StepFailed {
    what: String,
    is_missing: bool,
    said: Vec<String>,
}

impl From<StepFailed> for StartError {
    fn from(failed: StepFailed) -> StartError {
        StartError(failed.what)
    }
}

/// What package managers say of a lock file that does not fit the manifest: npm, pnpm, Yarn 1, newer Yarn, Bun.
const OUT_OF_STEP: [&str; 6] = [
    "can only install packages when your package.json and",
    "ERR_PNPM_OUTDATED_LOCKFILE",
    "Your lockfile needs to be updated",
    "The lockfile would have been modified by this install",
    "lockfile had changes, but lockfile is frozen",
    "EUSAGE",
];

/// Why the packages are not installed, in one sentence with what to do.
fn why(failed: StepFailed, project: &Project, program: &str) -> String {
    let lock = project.lock_file();
    let lock = lock.as_deref().and_then(Path::file_name).map(|name| name.display().to_string());
    let asked_by = lock.clone().unwrap_or_else(|| "packageManager in package.json".to_owned());
    if failed.is_missing && program != "npm" {
        let cure = if program == "bun" {
            "npm install -g bun".to_owned()
        } else {
            format!("corepack enable` or `npm install -g {program}")
        };
        return format!("{}: {asked_by} asks for {program}: `{cure}` installs it", failed.what);
    }
    let is_out_of_step = failed.said.iter().any(|line| OUT_OF_STEP.iter().any(|words| line.contains(words)));
    match lock.filter(|_| is_out_of_step) {
        Some(lock) => format!(
            "{lock} is out of step with package.json: run `{program} install` in {}, and keep what it writes",
            project.directory.display()
        ),
        None => failed.what,
    }
}

/// Runs `hook`, a line for the shell, in the folder of a release whose app is yet to be started, as that will be: with its
/// environment, and the programs of its packages before all others. `hears` is told each line that it writes.
///
/// # Errors
/// [`TakeError`] with what it said last: it failed, or took longer than `longest`, and was ended.
pub async fn run_hook(
    directory: &Path,
    hook: &str,
    config: &Config,
    longest: Duration,
    hears: Option<Hears>,
) -> Result<(), TakeError> {
    let own = directory.join("node_modules/.bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&path)));
    let mut environment: Vec<(OsString, Option<OsString>)> = vec![("NODE_ENV".into(), Some("production".into()))];
    environment.extend(path.ok().map(|path| ("PATH".into(), Some(path))));
    environment.extend(config.env.iter().map(|(name, value)| (name.into(), Some(value.into()))));
    environment.extend(orphans::mark(config.dir.as_deref()));
    let program = Program {
        step: "hook",
        program: "/bin/sh".into(),
        before: None,
        arguments: vec!["-c".into(), hook.into()],
        directory: directory.to_owned(),
        environment,
    };
    info!(hook, directory = %directory.display(), "running the hook");
    let spawned = program.spawn_heard(None, hears);
    let mut child = spawned.map_err(|error| StartError(format!("the hook {hook:?} cannot be run: {error}")))?;
    let waited = timeout(longest, child.wait()).await;
    let why = match waited {
        Ok(Ok(status)) if status.success() => return Ok(()),
        Ok(Ok(status)) => format!("the hook {hook:?} failed ({status})"),
        Ok(Err(error)) => format!("the hook {hook:?} cannot be waited for: {error}"),
        Err(_) => format!("the hook {hook:?} took longer than {longest:?}"),
    };
    Err(TakeError { why, said: child.last_lines() })
}

async fn run(program: &Program) -> Result<(), StepFailed> {
    let (line, directory) = (program.command_line(), program.directory.display());
    info!(command = line, directory = %directory, "preparing the app");
    let failed = |what: String, said: Vec<String>| StepFailed { what, is_missing: false, said };
    let mut child = program.spawn(None).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StepFailed {
            what: format!("{line:?} cannot be run in {directory}: there is no such program"),
            is_missing: true,
            said: Vec::new(),
        },
        _ => failed(format!("{line:?} cannot be run in {directory}: {error}"), Vec::new()),
    })?;
    let waited = child.wait().await;
    let status = waited.map_err(|error| failed(format!("{line:?} cannot be waited for: {error}"), Vec::new()))?;
    if status.success() {
        return Ok(());
    }
    let what = format!("{line:?} failed in {directory} ({status}): its last lines above say why");
    Err(failed(what, child.last_lines()))
}
