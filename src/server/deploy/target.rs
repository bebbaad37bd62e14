//! Whose releases are meant: those of the door that runs, or of a config that names them; and how that door is asked.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rustix::process::geteuid;

use crate::admin::DEPLOY;
use crate::config::Config;
use crate::releases::{Order, OrderKind, ReleaseId, Shelf, Step};
use crate::server::ask::{listed, reload_timeout};
use crate::server::running::{self, Note};
use crate::server::source::DEFAULT_FILE;

/// For sending an order.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Whose releases. Without more, those of the only door here that has such, else of the proxy.toml here.
#[derive(Debug, Args)]
pub struct Whose {
    /// The door's config file
    #[arg(long, value_name = "FILE", conflicts_with = "root")]
    config: Option<PathBuf>,
    /// The folder of the releases, as [releases] root or `doorway ROOT` has it
    #[arg(long, value_name = "ROOT")]
    root: Option<PathBuf>,
}

/// The releases that are meant, and the door that runs one of them.
pub struct Target {
    pub shelf: Shelf,
    /// Of the door; its defaults where it has none.
    pub config: Config,
    /// Where the door is ordered; none where no door runs.
    pub socket: Option<PathBuf>,
}

impl Target {
    /// Looks for it.
    ///
    /// # Errors
    /// A sentence: there is none, or several may be meant.
    pub fn find(whose: &Whose) -> Result<Target, String> {
        let here = PathBuf::from(DEFAULT_FILE);
        let doors: Vec<Note> = running::doors().into_iter().filter(|note| note.root.is_some()).collect();
        let is = |path: &Option<PathBuf>, meant: &Path| {
            let real = path.as_ref().and_then(|path| path.canonicalize().ok());
            real.is_some_and(|path| meant.canonicalize().is_ok_and(|meant| path == meant))
        };
        let mut meant: Vec<Note> = match (&whose.root, &whose.config) {
            (Some(root), _) => doors.iter().filter(|note| is(&note.root, root)).cloned().collect(),
            (None, Some(file)) => doors.iter().filter(|note| is(&note.config, file)).cloned().collect(),
            (None, None) => doors.clone(),
        };
        if meant.len() > 1 && whose.config.is_none() && whose.root.is_none() {
            meant.retain(|note| is(&note.config, &here));
        }
        match &meant[..] {
            [note] => Target::of_door(note),
            [] if doors.is_empty() || whose.config.is_some() || whose.root.is_some() => Target::at_rest(whose, here),
            _ => {
                Err(format!("several doors have releases: say which by --config FILE or --root ROOT{}", listed(&doors)))
            }
        }
    }

    fn of_door(note: &Note) -> Result<Target, String> {
        let config = note.config.as_deref().map_or_else(|| Ok(Config::default()), read)?;
        let root = note.root.clone().unwrap_or_default();
        let socket = note.socket.clone().ok_or("the door has no socket to be ordered by: its log says why")?;
        Ok(Target { shelf: Shelf::new(root), config, socket: Some(socket) })
    }

    fn at_rest(whose: &Whose, here: PathBuf) -> Result<Target, String> {
        let nowhere = "no door with releases runs here: name its config by --config FILE, or the folder by --root ROOT; \
            [releases] root in the config says where they are";
        let file = whose.config.clone().or_else(|| (whose.root.is_none() && here.exists()).then_some(here));
        let config = file.as_deref().map_or_else(|| Ok(Config::default()), read)?;
        let root = whose.root.clone().or_else(|| config.releases.root.clone()).ok_or(nowhere)?;
        let root = std::path::absolute(&root).map_err(|error| error.to_string())?;
        Ok(Target { shelf: Shelf::new(root), config, socket: None })
    }

    /// Files of another user's app could be neither read nor written by it.
    ///
    /// # Errors
    /// A sentence: who is to do it.
    pub fn check_user(&self) -> Result<(), String> {
        let root = self.shelf.root();
        match fs::metadata(root) {
            Ok(meta) if meta.uid() != geteuid().as_raw() => Err(format!(
                "{} belongs to user {}: deploy as that user, as in `sudo -u '#{}' doorway deploy`",
                root.display(),
                meta.uid(),
                meta.uid()
            )),
            _ => Ok(()),
        }
    }

    /// Has the door count a release that could not be made. It is no matter where none runs.
    pub fn tell_unmade(&self, id: &ReleaseId) {
        let order = Order { release: id.to_string(), kind: OrderKind::Unmade };
        if let Some(socket) = &self.socket {
            let _ = self::order(socket, &order, SEND_TIMEOUT, |_| {});
        }
    }

    /// How long the door may say nothing.
    pub fn timeout(&self) -> Duration {
        let releases = &self.config.releases;
        // Twice the time of a start: it may go back.
        releases.hook_timeout + releases.watch + reload_timeout(&self.config) * 2 + self.config.app.answer_timeout
    }
}

/// The file's text alone counts: what else it names is the door's to find, in whichever folder that runs.
fn read(file: &Path) -> Result<Config, String> {
    let text = Config::text(file).map_err(|error| error.to_string())?;
    Config::parse(&file.display().to_string(), &text).map_err(|problems| problems.to_string())
}

/// Puts an order, tells `tell` each step, and gives the last.
///
/// # Errors
/// Those of the socket.
pub fn order(socket: &Path, order: &Order, timeout: Duration, tell: impl Fn(&Step)) -> io::Result<Step> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(SEND_TIMEOUT))?;
    stream.set_read_timeout(Some(timeout))?;
    let body = serde_json::to_string(order).map_err(io::Error::other)?;
    // Answered until the connection ends, without chunks.
    let head = format!("POST {DEPLOY} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())?;
    let mut lines = BufReader::new(stream).lines();
    for line in lines.by_ref() {
        if line?.is_empty() {
            break;
        }
    }
    let mut last = Step::Doing(String::new());
    for line in lines {
        last = serde_json::from_str(&line?).map_err(io::Error::other)?;
        tell(&last);
    }
    Ok(last)
}
