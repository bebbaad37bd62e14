//! How a project is started: which program, on which port, with which environment.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::warn;

use super::child::Program;
use super::deployment;
use super::guard::{guard, guard_option, proxied};
use super::listener::{self, Listener};
use super::orphans;
use super::project::Project;
use super::script::OwnScript;
use crate::build::NEXT;
use crate::upstream::{Address, Config, StartError};

/// How long the app keeps an idle connection, in ms, where it can be told: longer than its own 5 s, so that the pool
/// seldom dials. The pool lets go a second earlier.
const KEEP_ALIVE: &str = "75000";

/// Never an address: whatever address of the loopback Next is given, it spells it so in the URLs that a `proxy.ts` sees
/// and rewrites to, and then takes such a rewrite for another origin; behind TLS it asks itself by TLS on a plain port.
const HOST: &str = "localhost";

/// Where all others are told to listen: no resolver stands between.
const LOOPBACK_HOST: &str = "127.0.0.1";

/// The program that serves `project` on `port` of the loopback.
///
/// # Errors
/// A sentence when there is nothing to start.
pub fn program(project: &Project, config: &Config, port: u16) -> Result<Program, StartError> {
    let port = port.to_string();
    let next = if project.framework.is_next() { project.program(&NEXT.build) } else { None };
    let server = if config.dev { None } else { project.standalone() };
    if let Some(server) = &server {
        link_static_files(project, server);
    }
    let server = server.or_else(|| if next.is_none() { project.unpacked() } else { None });
    // A folder that is a build came from elsewhere, without what its scripts call.
    let own = if next.is_some() || !project.framework.is_next() { OwnScript::of(project, config) } else { None };
    if let Some(script) = own {
        if let Some((program, arguments)) = script.command(project, config, &options(project, config, &port)) {
            let mut environment = environment(project, config);
            environment.extend(address(project, &port));
            environment.extend(path_to(&config.node));
            let arguments = arguments.into_iter().map(OsString::from).collect();
            let mut run = whole(project, config, program, environment, arguments);
            run.environment.extend(guarded(project, config));
            return Ok(run);
        }
        let cause = "its package manager is not found";
        if project.framework.is_other() {
            return Err(StartError(format!("the script {:?} cannot be run: {cause}", script.text)));
        }
        warn!(
            script = script.text,
            "the script is not run, since {cause}: what it does besides starting {} is left out",
            project.framework.name
        );
    }
    let mut environment = environment(project, config);
    let arguments: Vec<OsString> = match (server, next) {
        (Some(server), _) => {
            environment.extend(address(project, &port));
            vec![server.into()]
        }
        (None, Some(next)) => {
            let command = if config.dev { "dev" } else { "start" };
            let options = options(project, config, &port).into_iter().map(OsString::from);
            [next.into(), command.into()].into_iter().chain(options).collect()
        }
        (None, None) if project.framework.is_next() => {
            let what = format!("{} has neither `next start` nor a standalone server.js", project.directory.display());
            return Err(StartError(what));
        }
        (None, None) => {
            environment.extend(address(project, &port));
            server_of(project, config, &port)?
        }
    };
    let is_node = !config.dev && is_node(&config.node);
    let before = match project.framework {
        framework if framework.is_next() && is_node => guard(&project.served()),
        framework if framework.start.knows_no_proxy && is_node => Some(proxied()),
        _ => None,
    };
    Ok(Program { before, ..whole(project, config, config.node.clone(), environment, arguments) })
}

/// What Node.js is to run where the framework is none of those that have a branch of their own above.
fn server_of(project: &Project, config: &Config, port: &str) -> Result<Vec<OsString>, StartError> {
    let (framework, place) = (project.framework, project.directory.display());
    if framework.is_other() {
        return Err(StartError(format!("{place} has no script \"{}\"", if config.dev { "dev" } else { "start" })));
    }
    let tool = if config.dev { Some(&framework.dev) } else { framework.start.tool.as_ref() };
    let missing = |package: &str| StartError(format!("{package} is not whole in the node_modules of {place}"));
    let mut arguments: Vec<OsString> = Vec::new();
    if let Some(tool) = tool {
        arguments.push(project.program(tool).ok_or_else(|| missing(tool.package))?.into());
    }
    if config.dev {
        arguments.extend(framework.dev.arguments.iter().map(OsString::from));
        arguments.extend(options(project, config, port).into_iter().map(OsString::from));
    } else {
        arguments.extend(framework.output.written.first().map(|server| project.dist.join(server).into()));
    }
    Ok(arguments)
}

/// Options behind the framework's own program that say where it is to listen.
fn options(project: &Project, config: &Config, port: &str) -> Vec<String> {
    let words: &[&str] = match project.framework.is_next() {
        true if config.dev => &["-H", HOST, "-p", port],
        true => &["-H", HOST, "-p", port, "--keepAliveTimeout", KEEP_ALIVE],
        false => &["--host", LOOPBACK_HOST, "--port", port],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The mode, and what tells the app of the proxy before it.
fn environment(project: &Project, config: &Config) -> Vec<(OsString, Option<OsString>)> {
    let mode = if config.dev { "development" } else { "production" };
    let told = project.framework.start.environment.iter().filter(|_| !config.dev);
    let told = told.map(|(name, value)| (name.into(), Some(value.into())));
    let told = told.chain(deployment::of_start(project, config));
    std::iter::once(("NODE_ENV".into(), Some(mode.into()))).chain(told).collect()
}

/// Variables that say where to listen.
fn address(project: &Project, port: &str) -> Vec<(OsString, Option<OsString>)> {
    let variables: &[(&str, &str)] = if project.framework.is_next() {
        &[("PORT", port), ("HOSTNAME", HOST), ("KEEP_ALIVE_TIMEOUT", KEEP_ALIVE)]
    } else if project.framework.is_other() {
        &[("PORT", port), ("HOSTNAME", HOST), ("HOST", HOST)]
    } else {
        &[("PORT", port), ("HOST", LOOPBACK_HOST)]
    };
    variables.iter().map(|(name, value)| (name.into(), Some(value.into()))).collect()
}

fn whole(
    project: &Project,
    config: &Config,
    program: PathBuf,
    mut environment: Vec<(OsString, Option<OsString>)>,
    arguments: Vec<OsString>,
) -> Program {
    environment.extend(config.env.iter().map(|(name, value)| (name.into(), Some(value.into()))));
    environment.extend(orphans::mark(config.dir.as_deref()));
    let directory = project.directory.clone();
    Program { step: "run", program, before: None, arguments, directory, environment }
}

/// Where an app that listens on [`HOST`] may be: which of them it is the system's resolver decides, once for each start.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// How long the system's resolver may take to say where [`HOST`] is.
const RESOLVER_TIMEOUT: Duration = Duration::from_secs(2);

/// How many ports are looked at until one is free on all addresses of the loopback.
const MAX_LOOKUPS: usize = 32;

/// A port that is free now on every address of the loopback, so that nobody there is taken for the app. Another may take
/// it before the app does; the start is then tried again.
///
/// # Errors
/// Those of the system, when there is none.
pub fn free_port() -> io::Result<u16> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..MAX_LOOKUPS {
        let bound = TcpListener::bind((LOOPBACK[0], 0)).or_else(|_| TcpListener::bind((LOOPBACK[1], 0)));
        let port = match bound.and_then(|listener| listener.local_addr()) {
            Ok(address) => address.port(),
            Err(error) => {
                last = error;
                continue;
            }
        };
        if !is_taken(port) {
            return Ok(port);
        }
    }
    Err(last)
}

/// Whether `port` is somebody's on any address of the loopback.
pub fn is_taken(port: u16) -> bool {
    let is_taken = |address| {
        TcpListener::bind((address, port)).is_err_and(|error: io::Error| error.kind() == io::ErrorKind::AddrInUse)
    };
    LOOPBACK.into_iter().any(is_taken)
}

/// Where the process group `group` takes connections on `port`, if it does: by the kernel's word, so that a stranger who
/// took the port on another address is not taken for the app. It stands for as long as the process runs.
pub async fn listening(group: i32, port: u16) -> Option<Address> {
    let looked = tokio::task::spawn_blocking(move || listener::find(group, port)).await;
    let address = match looked.unwrap_or(Listener::Unknown) {
        Listener::Nobody => return None,
        Listener::At(address) => address,
        Listener::Unknown => answering(port).await?,
    };
    Some(Address::Tcp { host: address.to_string(), port })
}

/// The ports that the process group `group` listens on.
pub async fn ports(group: i32) -> Vec<u16> {
    tokio::task::spawn_blocking(move || listener::ports(group)).await.unwrap_or_default()
}

/// Which address of the loopback takes connections on `port`.
async fn answering(port: u16) -> Option<IpAddr> {
    for address in LOOPBACK {
        if TcpStream::connect((address, port)).await.is_ok() {
            return Some(address);
        }
    }
    None
}

/// Where the system does not know [`HOST`], what to do about it: Next then has no address to listen on.
pub async fn missing_host() -> Option<String> {
    let known = timeout(RESOLVER_TIMEOUT, tokio::net::lookup_host((HOST, 0))).await.ok().and_then(Result::ok);
    if known.is_some_and(|mut addresses| addresses.next().is_some()) {
        return None;
    }
    Some(format!(
        "{HOST} has no address on this machine, and Next listens there: write \"127.0.0.1 {HOST}\" into /etc/hosts"
    ))
}

/// A standalone build comes without `public` and its static files: container images copy them to their place, and here
/// they are linked. Copies that are there already stay.
fn link_static_files(project: &Project, server: &Path) {
    let Some(home) = server.parent() else { return };
    let Ok(dist) = project.dist.strip_prefix(&project.directory) else { return };
    for (from, to) in [
        (project.dist.join("static"), home.join(dist).join("static")),
        (project.directory.join("public"), home.join("public")),
    ] {
        if !from.is_dir() || to.is_dir() {
            continue;
        }
        let parent = to.parent().unwrap_or(home);
        // A link into a folder that is no longer there.
        let _ = std::fs::remove_file(&to);
        if let Err(error) = std::fs::create_dir_all(parent).and_then(|()| symlink(&from, &to)) {
            warn!(from = %from.display(), to = %to.display(), %error, "cannot link the static files of the standalone build");
        }
    }
}

/// What makes a process of Next.js that a script starts write no pages into another build.
fn guarded(project: &Project, config: &Config) -> Option<(OsString, Option<OsString>)> {
    const NAME: &str = "NODE_OPTIONS";
    if config.dev || !project.framework.is_next() {
        return None;
    }
    let option = guard_option(&project.served())?;
    let given = config.env.get(NAME).map(OsString::from).or_else(|| std::env::var_os(NAME));
    let mut options = given.filter(|given| !given.is_empty()).unwrap_or_default();
    if !options.is_empty() {
        options.push(" ");
    }
    options.push(option);
    Some((NAME.into(), Some(options)))
}

/// What makes scripts run by the Node.js of the config, where that is named by its path.
fn path_to(node: &Path) -> Option<(OsString, Option<OsString>)> {
    let folder = node.parent().filter(|folder| folder.is_absolute())?.to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).ok()?;
    Some(("PATH".into(), Some(all)))
}

/// Whether a program is Node.js by its name, and no other runtime that is told what to run in another way.
fn is_node(program: &Path) -> bool {
    program.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("node"))
}
