//! `doorway reload` and `doorway status`: ask the running door at its admin listener, and wait for what it says.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::running::{self, Note};
use super::source::{DEFAULT_FILE, Overrides, Source};
use crate::admin::{AdminListen, reachable};
use crate::config::Config;
use crate::releases::Shelf;

/// For a connection to a listener on this machine, and for sending the request.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// For an answer for which the app may have to be asked.
const ASKING_TIMEOUT: Duration = Duration::from_secs(65);
/// Longer than the app may take to start: other orders may be before this one.
const RELOAD_MARGIN: Duration = Duration::from_secs(60);
/// How long an answer is read at most, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// Which door is meant. Without more it is that of the `proxy.toml` here, else the only one that runs.
#[derive(Debug, Args)]
pub struct Which {
    /// The folder of its app, as in `doorway DIR` [default: the only door that runs, or that of the proxy.toml here]
    #[arg(conflicts_with = "config")]
    dir: Option<PathBuf>,
    /// Its config file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Which {
    /// The door of this config file, or the only one.
    pub fn config(file: Option<&Path>) -> Which {
        Which { dir: None, config: file.map(Path::to_owned) }
    }

    /// What its config says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(&self) -> Result<Config, String> {
        let here = PathBuf::from(DEFAULT_FILE);
        let file = self.config.clone().or_else(|| (self.dir.is_none() && here.exists()).then_some(here));
        let said = Overrides { dir: self.dir.clone(), ..Overrides::default() };
        Source::new(file, said).load().map_err(|error| error.to_string())
    }
}

/// The socket of the door that is meant, which only who runs it may open; where none runs, its config.
///
/// # Errors
/// A sentence: several may be meant, or the config is wrong.
pub fn owners_door(which: &Which) -> Result<Result<PathBuf, Box<Config>>, String> {
    match find(which)?.note {
        Some(note) => {
            let nowhere = || format!("the door of process {} has no socket to be asked by: its log says why", note.pid);
            Ok(Ok(note.socket.clone().ok_or_else(nowhere)?))
        }
        None => Ok(Err(Box::new(which.load()?))),
    }
}

/// A door, and what is known of it.
struct Found {
    /// Where it can be asked; nowhere where `[admin] listen` is "off" and its socket is not known.
    admin: Option<AskedAt>,
    /// What it left itself; nothing where it runs as another user, say.
    note: Option<Note>,
    /// How long a reload may take.
    reload_timeout: Duration,
}

/// Where a door answers operators.
#[derive(Debug, Clone)]
enum AskedAt {
    Listener(SocketAddr),
    /// Only who runs the door may open it.
    Socket(PathBuf),
}

impl std::fmt::Display for AskedAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AskedAt::Listener(address) => write!(f, "http://{address}"),
            AskedAt::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Asks a running door to reload.
///
/// # Errors
/// A sentence: there is no such door, it refuses the config, or the new app does not start.
pub fn reload(which: &Which) -> Result<ExitCode, String> {
    let door = find(which)?;
    let address = door.admin.as_ref().ok_or_else(|| {
        let whom = door.note.as_ref().map_or_else(String::new, |note| format!(" to process {}", note.pid));
        format!("[admin] listen is \"off\": send SIGHUP{whom} instead, and look into the log")
    })?;
    let answer = door.ask(address, "POST /reload", door.reload_timeout)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let told: Value = serde_json::from_str(body).unwrap_or_default();
    let is_taken = head.split(' ').nth(1) == Some("200") && told["ok"] == true;
    if !is_taken {
        let said = head.lines().next().unwrap_or_default();
        return Err(format!("not reloaded: {}", told["reason"].as_str().unwrap_or(said)));
    }
    match (&told["before"], &told["now"]) {
        (Value::String(before), Value::String(now)) => {
            say(&format!("reloaded, app replaced: {now}\nbefore: {before}\n"))
        }
        _ => say("reloaded, app unchanged\n"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Says how a running door is: exit code 0 when it is ready.
///
/// # Errors
/// A sentence: there is no such door, or it cannot be asked.
pub fn status(which: &Which) -> Result<ExitCode, String> {
    let Watched { door, address } = &Watched::find(which)?;
    let told = |path: &str| -> Result<Value, String> {
        let body = door.get(address, path)?;
        serde_json::from_str(&body).map_err(|_| format!("what answers at {address} is no door"))
    };
    let (health, counts) = (told("/health/ready")?, told("/connections")?);
    let mut said = format!("{}\n", readiness(&health));
    for warning in health["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(said, "warning: {warning}");
    }
    if let Some(note) = &door.note {
        let _ = writeln!(said, "url: {}\npid: {}", note.urls, note.pid);
        if let Some(root) = &note.root {
            let _ = writeln!(said, "release: {}", Shelf::new(root.clone()).live_for_people());
        }
    }
    for (kind, count) in counts.as_object().into_iter().flatten() {
        let _ = writeln!(said, "{kind}: {count}");
    }
    say(&said);
    Ok(if is_ready(&health) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// By the answer of `/health/ready`.
fn is_ready(health: &Value) -> bool {
    health["ready"] == true
}

/// `ready`, or why it is not.
fn readiness(health: &Value) -> String {
    let reasons: Vec<_> = health["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if is_ready(health) { "ready".to_owned() } else { format!("not ready: {}", reasons.join(", ")) }
}

/// A running door that is asked again and again.
pub struct Watched {
    door: Found,
    address: AskedAt,
}

impl Watched {
    /// The door that is meant.
    ///
    /// # Errors
    /// A sentence: there is no such door, or it cannot be asked.
    pub fn find(which: &Which) -> Result<Watched, String> {
        let door = find(which)?;
        let address = door.admin.clone().ok_or("[admin] listen is \"off\": nobody can be asked")?;
        Ok(Watched { door, address })
    }

    /// What it answers for `path`.
    ///
    /// # Errors
    /// A sentence.
    pub fn get(&self, path: &str) -> Result<String, String> {
        self.door.get(&self.address, path)
    }

    /// What it answers to `request`, a method and a path with its query, in JSON.
    ///
    /// # Errors
    /// A sentence: what it refuses in its own words, too.
    pub fn told(&self, request: &str) -> Result<Value, String> {
        let answer = self.door.ask(&self.address, request, ASKING_TIMEOUT)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if head.split(' ').nth(1) != Some("200") {
            return Err(body.trim().to_owned());
        }
        serde_json::from_str(body).map_err(|_| format!("what answers at {} is no door of this version", self.address))
    }

    /// `ready`, or why it is not.
    ///
    /// # Errors
    /// A sentence.
    pub fn state(&self) -> Result<String, String> {
        Ok(readiness(&serde_json::from_str(&self.get("/health/ready")?).unwrap_or_default()))
    }

    /// Where it is open, for people; where it left no note, where it is asked.
    pub fn urls(&self) -> String {
        self.door.note.as_ref().map_or_else(|| self.address.to_string(), |note| note.urls.clone())
    }

    pub fn pid(&self) -> Option<u32> {
        self.door.note.as_ref().map(|note| note.pid)
    }
}

/// Writes `text` to standard output. A reader that has seen enough (`head`) is no error.
pub fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// The door that is meant: by the note that it left, else by what its config says.
fn find(which: &Which) -> Result<Found, String> {
    let here = PathBuf::from(DEFAULT_FILE);
    let file = which.config.clone().or_else(|| (which.dir.is_none() && here.exists()).then_some(here));
    let doors = running::doors();
    let is = |path: &Option<PathBuf>, meant: &Path| {
        path.as_ref()
            .and_then(|path| path.canonicalize().ok())
            .is_some_and(|path| meant.canonicalize().is_ok_and(|meant| path == meant))
    };
    let of = |meant: &dyn Fn(&Note) -> bool| doors.iter().filter(|note| meant(note)).cloned().collect::<Vec<_>>();
    let meant = match (&which.dir, &file) {
        (Some(dir), _) => of(&|note| is(&note.dir, dir)),
        (None, Some(file)) => of(&|note| is(&note.config, file)),
        (None, None) => Some(of(&|note| is(&note.dir, Path::new("."))))
            .filter(|here| here.len() == 1)
            .unwrap_or_else(|| doors.clone()),
    };
    if meant.len() > 1 {
        return Err(format!(
            "several doors run: say which by --config FILE or by the folder of its app{}",
            listed(&meant)
        ));
    }
    let said = Overrides { dir: which.dir.clone(), ..Overrides::default() };
    let config = Source::new(file, said).load();
    match (meant.into_iter().next(), config) {
        (Some(note), config) => {
            // What is wrong with its file the door says itself.
            let reload_timeout = reload_timeout(config.as_ref().unwrap_or(&Config::default()));
            let listener = note.admin.map(AskedAt::Listener);
            let admin = listener.or_else(|| note.socket.clone().map(AskedAt::Socket));
            Ok(Found { admin, note: Some(note), reload_timeout })
        }
        (None, Err(error)) => Err(error.to_string()),
        (None, Ok(config)) => {
            let admin = match config.admin.listen {
                AdminListen::At(address) => Some(AskedAt::Listener(reachable(address))),
                AdminListen::Off => None,
            };
            Ok(Found { admin, note: None, reload_timeout: reload_timeout(&config) })
        }
    }
}

/// `doors`, a line each.
pub fn listed(doors: &[Note]) -> String {
    doors.iter().map(|note| format!("\n  {note}")).collect()
}

impl Found {
    /// The body of what it answers for `path`.
    fn get(&self, address: &AskedAt, path: &str) -> Result<String, String> {
        let answer = self.ask(address, &format!("GET {path}"), DIAL_TIMEOUT)?;
        Ok(answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
    }

    /// Sends `request`, a method and a path.
    fn ask(&self, address: &AskedAt, request: &str, timeout: Duration) -> Result<String, String> {
        exchange(address, request, timeout).map_err(|error| {
            let others = if self.note.is_none() { running::doors() } else { Vec::new() };
            let hint = if others.is_empty() { "" } else { "\nother doors run here:" };
            format!("no answer from {address}: {error}{hint}{}", listed(&others))
        })
    }
}

/// What the door may take: an app that is tried on several ports, or is asked to end first.
pub fn reload_timeout(config: &Config) -> Duration {
    config.app.start_timeout.saturating_mul(3) + config.app.stop_timeout + RELOAD_MARGIN
}

fn exchange(address: &AskedAt, request: &str, timeout: Duration) -> io::Result<String> {
    match address {
        AskedAt::Listener(address) => {
            let stream = TcpStream::connect_timeout(address, DIAL_TIMEOUT)?;
            stream.set_write_timeout(Some(DIAL_TIMEOUT))?;
            stream.set_read_timeout(Some(timeout))?;
            put(stream, &address.to_string(), request)
        }
        AskedAt::Socket(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_write_timeout(Some(DIAL_TIMEOUT))?;
            stream.set_read_timeout(Some(timeout))?;
            put(stream, "localhost", request)
        }
    }
}

fn put(mut stream: impl Read + Write, host: &str, request: &str) -> io::Result<String> {
    let request = format!("{request} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}
