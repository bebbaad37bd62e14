//! A folder of releases, an app to make them from, a door that runs them, and `doorway` beside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Door, DoorBuilder, Stub, client, door};

/// On a machine of its own: no door of another test is found.
pub struct Site {
    machine: TempDir,
    /// Where the releases are.
    pub root: TempDir,
    /// What they are made from; its `source` names the build.
    pub app: Stub,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// None where it was killed.
    pub code: Option<i32>,
    /// What it said, standard output first.
    pub said: String,
}

impl Site {
    pub fn new() -> Site {
        let (machine, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Site { machine, root, app: Stub::fresh() }
    }

    pub fn root(&self) -> &str {
        self.root.path().to_str().unwrap()
    }

    /// A door in the making, with `more` below `[releases]`.
    pub fn door(&self, more: &str) -> DoorBuilder {
        // Nobody waits for it but who tries it.
        let watch = if more.contains("watch") { "" } else { "watch = \"0s\"\n" };
        let config = format!("[releases]\nroot = {:?}\n{watch}{more}\n[app]\nrestart_delay = \"50ms\"\n", self.root());
        let runtime = self.machine.path().to_str().unwrap();
        door().config(config).env("XDG_RUNTIME_DIR", runtime).env("TMPDIR", runtime)
    }

    /// `doorway`, in the folder of the app.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorway"));
        self.prepare(&mut command);
        command.args(arguments);
        command
    }

    /// Gives any command what one of `doorway` has.
    pub fn prepare(&self, command: &mut Command) {
        command.current_dir(self.app.path()).stdin(Stdio::null());
        for name in ["XDG_RUNTIME_DIR", "TMPDIR"] {
            command.env(name, self.machine.path());
        }
        let own = Path::new(env!("CARGO_BIN_EXE_doorway")).parent().unwrap().to_owned();
        let path = std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&self.app.search_path())));
        command.env("PATH", path.unwrap()).env_remove("RUNTIME_DIRECTORY").env_remove("RUST_LOG");
    }

    pub async fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments)).await
    }

    /// Builds `name`, deploys it, and says how that ended.
    pub async fn deploy(&self, name: &str) -> Ended {
        self.app.write("source", name);
        self.run(&["deploy"]).await
    }

    /// The release that is live, by its name.
    pub fn live(&self) -> Option<String> {
        let real = self.root.path().join("current").canonicalize().ok()?;
        Some(real.file_name()?.to_str()?.to_owned())
    }

    /// All that lies among the releases, but for the lock.
    pub fn on_disk(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.path().join("releases")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != ".lock");
        names.sort();
        names
    }

    pub fn folder(&self, release: &str) -> PathBuf {
        self.root.path().join("releases").join(release)
    }
}

/// The longest that a command may take: real builds are among them.
const LONGEST: Duration = Duration::from_secs(600);

/// Waits for its end, while the app of a test goes on to answer.
pub async fn ended(command: Command) -> Ended {
    let mut command = tokio::process::Command::from(command);
    let output = tokio::time::timeout(LONGEST, command.kill_on_drop(true).output()).await;
    let output: Output = output.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ended { code: output.status.code(), said }
}

/// The build that answers.
pub async fn build(door: &Door) -> String {
    let answer = client::get(door.http(), "/", &[]).await;
    assert_eq!(answer.status, 200, "{}", door.output());
    let page: Value = serde_json::from_slice(&answer.bytes().await).unwrap();
    page["build"].as_str().unwrap().to_owned()
}

impl Ended {
    /// True where another one was under way still.
    pub fn is_too_early(&self) -> bool {
        self.code == Some(1) && self.said.contains("another deploy is under way")
    }

    /// Panics unless it ended well; gives what it said.
    pub fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.said);
        self.said
    }

    /// Panics unless it ended with 1 and said all of `words`.
    pub fn badly(self, words: &[&str]) -> String {
        assert_eq!(self.code, Some(1), "{}", self.said);
        for word in words {
            assert!(self.said.contains(word), "{word:?} is not in {}", self.said);
        }
        self.said
    }
}
