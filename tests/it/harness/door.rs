//! The real binary, started with a config of the test's own, on ports that the system chooses.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use super::{activation, signal};

/// How long a test waits for what must happen; generous, because machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<Value>, bool)>,
    grown: Condvar,
}

/// A running door. Killed when dropped.
pub struct Door {
    child: Child,
    log: Arc<Log>,
    folder: TempDir,
}

/// A door in the making: `door().config("…").env("K", "V").start()`.
pub struct Builder {
    config: String,
    sockets: Vec<(String, TcpListener)>,
    limits: String,
    wrapper: String,
    environment: Vec<(String, String)>,
    arguments: Option<Vec<String>>,
    folder: TempDir,
}

/// Begins a door. Without more it listens on a free port, admin on another, app at an address where nothing is.
pub fn door() -> Builder {
    Builder {
        config: String::new(),
        sockets: Vec::new(),
        limits: String::new(),
        wrapper: String::new(),
        environment: Vec::new(),
        arguments: None,
        folder: tempfile::tempdir().expect("a temporary folder"),
    }
}

impl Builder {
    /// The whole `proxy.toml`. `[listen] http` and `[admin] listen` default to free ports of 127.0.0.1.
    pub fn config(mut self, config: impl Into<String>) -> Self {
        self.config = config.into();
        self
    }

    pub fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.environment.push((key.to_owned(), value.into()));
        self
    }

    /// Arguments in place of `--config FILE`.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = Some(arguments.iter().map(|argument| (*argument).to_owned()).collect());
        self
    }

    /// Hands it a socket, as systemd does, under this name.
    pub fn socket(mut self, name: &str, socket: TcpListener) -> Self {
        self.sockets.push((name.to_owned(), socket));
        self
    }

    /// The limit of open files that it finds, soft and hard.
    pub fn open_files(mut self, limit: u32) -> Self {
        self.limits.push_str(&format!("ulimit -n {limit}; "));
        self
    }

    /// No file grows beyond so many KiB, as on a disk that is full.
    pub fn full_disk(mut self, kib: u32) -> Self {
        self.limits.push_str(&format!("trap '' XFSZ; ulimit -f {kib}; "));
        self
    }

    /// Sees `folder` as on a disk that is mounted read-only. None where a test may not mount.
    pub fn read_only(mut self, folder: &Path) -> Option<Self> {
        let script = format!("mount --bind {0:?} {0:?} && mount -o remount,ro,bind {0:?}", folder);
        let tried = Command::new("unshare").args(["-Urm", "sh", "-c", &script]).output().ok()?;
        self.wrapper = format!("unshare -Urm sh -c '{script} && exec \"$0\" \"$@\"'");
        tried.status.success().then_some(self)
    }

    /// Its instructions are counted, and said at its end.
    pub fn counted(mut self) -> Self {
        self.wrapper = "valgrind --tool=callgrind --callgrind-out-file=/dev/null".to_owned();
        self
    }

    /// Where the config lies; a test may put certificates beside it before it starts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the binary without waiting for anything.
    pub fn spawn(self) -> Door {
        let file = self.folder.path().join("proxy.toml");
        std::fs::write(&file, complete(&self.config)).expect("a config file");
        let arguments =
            self.arguments.unwrap_or_else(|| vec!["--config".to_owned(), file.to_string_lossy().into_owned()]);
        let mut command = activation::command(self.sockets, &self.limits, &self.wrapper);
        let mut child = command
            .args(arguments)
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .envs(self.environment)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Log::default());
        let (writer, stderr) = (Arc::clone(&log), child.stderr.take().expect("stderr is piped"));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { break };
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                writer.lines.lock().unwrap().0.push(value);
                writer.grown.notify_all();
            }
            writer.lines.lock().unwrap().1 = true;
            writer.grown.notify_all();
        });
        Door { child, log, folder: self.folder }
    }

    /// Starts the binary and waits until it is ready to serve.
    pub fn start(self) -> Door {
        let door = self.spawn();
        door.wait_for_log(|line| line["message"] == "ready");
        door
    }
}

/// `config` with free ports where it names none.
fn complete(config: &str) -> String {
    let mut text = config.to_owned();
    for (section, key) in [("listen", "http"), ("admin", "listen")] {
        let line = format!("{key} = \"127.0.0.1:0\"");
        let header = format!("[{section}]");
        let section_text = text.split(&header).nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
        if section_text.lines().any(|known| known.trim_start().split('=').next().map(str::trim) == Some(key)) {
            continue;
        }
        match text.find(&header) {
            Some(at) => text.insert_str(at + header.len(), &format!("\n{line}")),
            None => text.push_str(&format!("\n{header}\n{line}\n")),
        }
    }
    text
}

impl Door {
    /// Another config in place of the one it was started with; SIGHUP makes it read it.
    pub fn rewrite(&self, config: &str) {
        std::fs::write(self.config_file(), complete(config)).expect("a config file");
    }

    pub fn http(&self) -> SocketAddr {
        self.address("http")
    }

    pub fn https(&self) -> SocketAddr {
        self.address("https")
    }

    pub fn admin(&self) -> SocketAddr {
        self.address("admin")
    }

    /// The address bound for `kind`.
    pub fn address(&self, kind: &str) -> SocketAddr {
        let line = self.wait_for_log(|line| line["message"] == "listening" && line["kind"] == kind);
        line["address"].as_str().expect("an address").parse().expect("an address")
    }

    /// The first log line that `matches`; waits for it. Panics with the log when it never comes.
    pub fn wait_for_log(&self, matches: impl Fn(&Value) -> bool) -> Value {
        self.wait_for_log_after(0, matches)
    }

    /// The same, among the lines after the first `seen` (as counted by `log().len()`).
    pub fn wait_for_log_after(&self, seen: usize, matches: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.0.iter().skip(seen).find(|line| matches(line)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.1 {
                panic!("the log never said it:\n{}", Self::render(&lines.0));
            }
            lines = self.log.grown.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Every log line so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.lines.lock().unwrap().0.clone()
    }

    /// Everything it has written so far, as text.
    pub fn output(&self) -> String {
        Self::render(&self.log.lines.lock().unwrap().0)
    }

    fn render(lines: &[Value]) -> String {
        lines.iter().map(|line| line.as_str().map_or_else(|| line.to_string(), str::to_owned) + "\n").collect()
    }

    /// Where static files of builds are kept; not there before the first is.
    pub fn kept(&self) -> PathBuf {
        let apps = std::fs::read_dir(self.folder.path().join("state/doorway/static")).into_iter().flatten().flatten();
        apps.map(|app| app.path()).next().unwrap_or_else(|| self.folder.path().join("nothing-is-kept"))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("proxy.toml")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name: "TERM", "HUP", … After "STOP" it has stopped.
    pub fn signal(&self, name: &str) {
        signal::send(self.pid(), name);
    }

    /// Lets no file grow beyond so many bytes from now on. For one that was started with `full_disk`.
    pub fn fill_disk(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        prlimit(pid, Resource::Fsize, limit).expect("a limit of ours");
    }

    /// Waits until the process has ended, and its log with it.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                let mut lines = self.log.lines.lock().unwrap();
                while !lines.1 && Instant::now() < deadline {
                    lines = self.log.grown.wait_timeout(lines, Duration::from_secs(1)).unwrap().0;
                }
                return status;
            }
            assert!(Instant::now() < deadline, "it never ended:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How many ends of pipes it has open.
    pub fn pipes(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("its files").flatten();
        let ends = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        ends.filter(|end| end.to_string_lossy().starts_with("pipe:")).count()
    }

    /// Resident memory now, in bytes.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The part of it that is no file's: the program's own pages are not in it.
    pub fn allocated(&self) -> u64 {
        self.memory("RssAnon:")
    }

    fn memory(&self, kind: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(kind)).expect(kind);
        let kib: u64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
        kib * 1024
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
