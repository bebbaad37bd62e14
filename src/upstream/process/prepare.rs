//! Makes a project ready to start: installs its packages and builds it, where that has not been done.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use tokio::process::Command;
use tracing::{info, warn};

use super::child::Program;
use super::project::{Next, Project, Version};
use crate::upstream::{Config, StartError};

/// What Next.js 16 runs on.
const NODE_FLOOR: Version = Version::new(20, 9, 0);

/// Lock file → the program that reads it, and how it installs exactly what the lock says.
const PACKAGE_MANAGERS: &[(&str, &str, &[&str])] = &[
    ("package-lock.json", "npm", &["ci"]),
    ("npm-shrinkwrap.json", "npm", &["ci"]),
    ("pnpm-lock.yaml", "pnpm", &["install", "--frozen-lockfile"]),
    ("yarn.lock", "yarn", &["install", "--frozen-lockfile"]),
    ("bun.lock", "bun", &["install", "--frozen-lockfile"]),
    ("bun.lockb", "bun", &["install", "--frozen-lockfile"]),
];

/// Without a lock.
const NPM_INSTALL: (&str, &[&str]) = ("npm", &["install"]);

/// Installs and builds `project` where needed. Gives the package `next` that it will run with.
///
/// # Errors
/// A sentence: no Node.js, no package manager, or one that failed.
pub async fn prepare(project: &Project, config: &Config) -> Result<Next, StartError> {
    let directory = project.directory.display();
    check_node(config).await?;
    let next = match project.next() {
        Some(next) => next,
        None => {
            install(project, config).await?;
            let left = || StartError(format!("the packages are installed, but next is not among them in {directory}"));
            project.next().ok_or_else(left)?
        }
    };
    if let Some(warning) = next.warning() {
        warn!("{warning}");
    }
    if !config.dev
        && let Err(why) = project.build()
    {
        info!("{why}: it is built now");
        // Next.js names a build before its pages are made: one that fails or is broken off must not pass for whole.
        let mut unfinished = Unfinished(Some(project));
        build(project, &next, config).await?;
        unfinished.0 = None;
        if let Err(why) = project.build() {
            let dist = config.dist.display();
            let what =
                format!("the build of {directory} left no whole {dist}: is its distDir another than app.dist? ({why})");
            return Err(StartError(what));
        }
    }
    Ok(next)
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

async fn check_node(config: &Config) -> Result<(), StartError> {
    let node = config.node.display();
    let output = Command::new(&config.node).arg("--version").output().await.map_err(|error| {
        StartError(format!("cannot run Node.js as {node:?} ({error}): install it, or say where it is with app.node"))
    })?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match Version::parse(&version) {
        Some(version) if version < NODE_FLOOR => {
            warn!("Node.js {version} is older than {NODE_FLOOR}, which Next.js needs")
        }
        Some(_) => {}
        None => return Err(StartError(format!("{node:?} is not Node.js: it says its version is {version:?}"))),
    }
    Ok(())
}

async fn install(project: &Project, config: &Config) -> Result<(), StartError> {
    let (program, arguments) = package_manager(project);
    let mut install = program_of(project, config, "install", Path::new(program));
    install.arguments = arguments.iter().map(OsString::from).collect();
    run(&install).await
}

fn package_manager(project: &Project) -> (&'static str, &'static [&'static str]) {
    let known = PACKAGE_MANAGERS.iter().find(|(lock, ..)| project.has(lock));
    known.map_or(NPM_INSTALL, |(_, program, arguments)| (program, arguments))
}

/// By the project's own script where it has one, because what it does besides `next build` was meant.
async fn build(project: &Project, next: &Next, config: &Config) -> Result<(), StartError> {
    let own = project.script("build").filter(|script| script.contains("next build"));
    let mut build = match own {
        Some(_) => program_of(project, config, "build", Path::new(package_manager(project).0)),
        None => program_of(project, config, "build", &config.node),
    };
    build.arguments = match own {
        Some(_) => ["run", "build"].map(OsString::from).to_vec(),
        None => {
            let missing = || StartError(format!("next is not whole in {}", next.directory.display()));
            vec![next.program().ok_or_else(missing)?.into(), "build".into()]
        }
    };
    run(&build).await
}

fn program_of(project: &Project, config: &Config, step: &'static str, program: &Path) -> Program {
    // As production, packages for building would not be installed; `next build` sets it by itself.
    let mut environment = vec![("NODE_ENV".into(), None)];
    environment.extend(config.env.iter().map(|(name, value)| (name.into(), Some(value.into()))));
    Program {
        step,
        program: program.to_owned(),
        before: None,
        arguments: Vec::new(),
        directory: project.directory.clone(),
        environment,
    }
}

async fn run(program: &Program) -> Result<(), StartError> {
    let (line, directory) = (program.command_line(), program.directory.display());
    info!(command = line, directory = %directory, "preparing the app");
    let mut child = program.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            StartError(format!("{line:?} cannot be run in {directory}: there is no such program"))
        }
        _ => StartError(format!("{line:?} cannot be run in {directory}: {error}")),
    })?;
    let status = child.wait().await.map_err(|error| StartError(format!("{line:?} cannot be waited for: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(StartError(format!("{line:?} failed in {directory} ({status}): its last lines above say why")))
}
