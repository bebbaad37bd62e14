//! How a project is started: which program, on which port, with which environment.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::warn;

use super::child::Program;
use super::guard::guard;
use super::listener::{self, Listener};
use super::project::{Next, Project};
use super::script::OwnScript;
use crate::upstream::{Address, Config, StartError};

/// How long the app keeps an idle connection, in ms, where it can be told: longer than its own 5 s, so that the pool
/// seldom dials. The pool lets go a second earlier.
const KEEP_ALIVE: &str = "75000";

/// Never an address: whatever address of the loopback Next is given, it spells it so in the URLs that a `proxy.ts` sees
/// and rewrites to, and then takes such a rewrite for another origin; behind TLS it asks itself by TLS on a plain port.
const HOST: &str = "localhost";

/// The program that serves `project` on `port` of the loopback.
///
/// # Errors
/// A sentence when there is nothing to start.
pub fn program(project: &Project, next: &Next, config: &Config, port: u16) -> Result<Program, StartError> {
    let port = port.to_string();
    let mut environment: Vec<(OsString, Option<OsString>)> = Vec::new();
    let mode = if config.dev { "development" } else { "production" };
    environment.push(("NODE_ENV".into(), Some(mode.into())));
    let server = if config.dev { None } else { project.standalone() };
    if let Some(server) = &server {
        link_static_files(project, server);
    }
    let server = server.or_else(|| if next.program().is_none() { project.unpacked() } else { None });
    // A folder that is a build came from elsewhere, without what its scripts call.
    let own = if next.program().is_some() { OwnScript::of(project, config) } else { None };
    if let Some(script) = own {
        let mut options = vec!["-H".to_owned(), HOST.to_owned(), "-p".to_owned(), port.clone()];
        if !config.dev {
            options.extend(["--keepAliveTimeout".to_owned(), KEEP_ALIVE.to_owned()]);
        }
        if let Some((program, arguments)) = script.command(project, config, &options) {
            for (name, value) in [("PORT", port.as_str()), ("HOSTNAME", HOST), ("KEEP_ALIVE_TIMEOUT", KEEP_ALIVE)] {
                environment.push((name.into(), Some(value.into())));
            }
            environment.extend(path_to(&config.node));
            environment.extend(config.env.iter().map(|(name, value)| (name.into(), Some(value.into()))));
            let arguments = arguments.into_iter().map(OsString::from).collect();
            let directory = project.directory.clone();
            return Ok(Program { step: "run", program, before: None, arguments, directory, environment });
        }
        warn!(
            script = script.text,
            "the script is not run, since its package manager is not found: what it does besides starting Next.js is left out"
        );
    }
    let arguments: Vec<OsString> = match (server, next.program()) {
        (Some(server), _) => {
            for (name, value) in [("PORT", port.as_str()), ("HOSTNAME", HOST), ("KEEP_ALIVE_TIMEOUT", KEEP_ALIVE)] {
                environment.push((name.into(), Some(value.into())));
            }
            vec![server.into()]
        }
        (None, Some(next)) if config.dev => {
            vec![next.into(), "dev".into(), "-H".into(), HOST.into(), "-p".into(), port.into()]
        }
        (None, Some(next)) => {
            let keep = ["--keepAliveTimeout".into(), KEEP_ALIVE.into()];
            [next.into(), "start".into(), "-H".into(), HOST.into(), "-p".into(), port.into()]
                .into_iter()
                .chain(keep)
                .collect()
        }
        (None, None) => {
            let what = format!("{} has neither `next start` nor a standalone server.js", project.directory.display());
            return Err(StartError(what));
        }
    };
    environment.extend(config.env.iter().map(|(name, value)| (name.into(), Some(value.into()))));
    Ok(Program {
        step: "run",
        program: config.node.clone(),
        before: if config.dev || !is_node(&config.node) { None } else { guard(&project.served()) },
        arguments,
        directory: project.directory.clone(),
        environment,
    })
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
