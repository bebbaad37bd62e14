//! A Redis of the test's own, on a socket in its folder.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::door::PATIENCE;

/// A Redis that ends with the test.
pub struct Redis {
    child: Child,
    folder: TempDir,
    args: Vec<String>,
}

impl Redis {
    pub fn start(args: &[&str]) -> Redis {
        let folder = tempfile::tempdir().unwrap();
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let child = spawn(&folder, &args);
        let redis = Redis { child, folder, args };
        redis.wait();
        redis
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not come up");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The section of a door that shares it.
    pub fn config(&self) -> String {
        format!("[realtime.redis]\nurl = \"unix://{}\"\nnode_timeout = \"3s\"\n", self.socket().display())
    }

    /// It is gone, as if its machine were.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// It is there again, with what it has on disk.
    pub fn restart(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        self.child = spawn(&self.folder, &self.args);
        self.wait();
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &TempDir, args: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--save", "", "--port", "0", "--dir"]).arg(folder.path());
    command.arg("--unixsocket").arg(folder.path().join("redis.sock")).args(args);
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    started.unwrap_or_else(|error| {
        panic!("redis-server cannot be started: {error}. It is in Debian's package redis-server")
    })
}
