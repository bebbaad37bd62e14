//! Promise: as the first process of a container the door leaves no dead behind, and signals and exit codes pass through.

use std::fs::File;
use std::future::ready;
use std::io::{Seek, Write};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::eventually;

/// A door in a namespace of processes of its own.
struct Container {
    unshare: Child,
    /// The first process, by the number that it has outside.
    first: String,
    folder: TempDir,
}

/// With what `unshare` makes such a namespace here; nothing where it cannot.
fn unshare() -> Option<Vec<&'static str>> {
    let way = vec!["--pid", "--fork", "--kill-child", "--mount-proc"];
    let ways = [way.clone(), [vec!["--user", "--map-root-user"], way].concat()];
    let works = |way: &Vec<_>| {
        let made = Command::new("unshare").args(way).arg("true").stderr(Stdio::null()).status();
        made.is_ok_and(|made| made.success())
    };
    let found = ways.into_iter().find(works);
    if found.is_none() {
        // Past the test runner, which keeps what a test prints: tests/run tells of it at the end.
        let _ = std::io::stderr().write_all(b"\nskipped: 1 (no right to make a namespace of processes)\n");
    }
    found
}

impl Container {
    fn start(config: &str) -> Option<Container> {
        let way = unshare()?;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.toml");
        std::fs::write(&file, format!("{config}\n[admin]\nlisten = \"127.0.0.1:0\"\n")).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(way).arg(env!("CARGO_BIN_EXE_doorway")).arg("--config").arg(file);
        command.env("XDG_RUNTIME_DIR", folder.path()).env_remove("RUST_LOG");
        let unshare = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Some(Container { first: String::new(), unshare, folder })
    }

    async fn ready(mut self) -> Container {
        eventually("it is ready", || ready(self.log().contains("\"message\":\"ready\""))).await;
        let number = self.unshare.id();
        let children = std::fs::read_to_string(format!("/proc/{number}/task/{number}/children")).unwrap();
        self.first = children.trim().to_owned();
        self
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Runs a line of shell as one who came in.
    fn shell(&self, line: &str) -> (bool, String) {
        let mut out = tempfile::tempfile().unwrap();
        let mut command = Command::new("nsenter");
        // Only those who made a namespace of users may, and must, come into that too.
        let users = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/user")).unwrap();
        if users("self") != users(&self.first) {
            command.args(["--user", "--preserve-credentials"]);
        }
        let status = command.args(["sh", "-c", line]).stdout(out.try_clone().unwrap()).stderr(Stdio::null()).status();
        out.rewind().unwrap();
        (status.unwrap().success(), std::io::read_to_string(out).unwrap().trim().to_owned())
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.first]).status().unwrap().success());
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.unshare.kill(); // and by --kill-child all that is in it
        let _ = self.unshare.wait();
    }
}

const QUIET: &str = "[listen]\nhttp = \"127.0.0.1:0\"\n[app]\nurl = \"off\"\n";

#[tokio::test]
async fn who_lost_his_parent_is_buried() {
    let Some(container) = Container::start(QUIET) else { return };
    let container = container.ready().await;
    // Its parent ends at once: from then on it is a child of the first process.
    let (_, orphan) = container.shell("sleep 600 > /dev/null & echo $!");
    assert!(!orphan.is_empty(), "{}", container.log());
    let is_listed = || container.shell(&format!("kill -0 {orphan}")).0;
    assert!(is_listed());
    container.shell(&format!("kill -KILL {orphan}"));
    eventually("it is off the list of processes", || ready(!is_listed())).await;
}

#[tokio::test]
async fn signals_and_exit_codes_pass_through() {
    let Some(container) = Container::start(QUIET) else { return };
    let mut container = container.ready().await;
    container.signal("HUP");
    eventually("the reload", || ready(container.log().contains("\"message\":\"reloaded"))).await;
    container.signal("TERM");
    assert_eq!(container.unshare.wait().unwrap().code(), Some(0), "{}", container.log());
    assert!(container.log().contains("\"why\":\"SIGTERM\""), "{}", container.log());

    let Some(mut wrong) = Container::start("[listen]\nhtpp = 1\n") else { return };
    assert_eq!(wrong.unshare.wait().unwrap().code(), Some(1), "{}", wrong.log());
}
