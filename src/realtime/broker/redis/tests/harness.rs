//! A Redis of its own for each test, a way to it that can fall silent, and a listener that remembers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::realtime::broker::redis::{Config, Metrics, RedisAddress, RedisLink, RedisState};
use crate::realtime::broker::{
    Appended, Broker, BrokerError, BrokerListener, ChannelEvent, LogEntry, NodeId, Snapshot,
};
use crate::realtime::vocabulary::{Channel, Position};
use crate::telemetry::Registry;

/// So long a test waits for a state before it fails.
pub const LONG: Duration = Duration::from_secs(60);

/// A Redis that ends with the test.
pub struct Redis {
    child: Mutex<Child>,
    folder: TempDir,
    port: u16,
    args: Vec<String>,
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Redis {
    pub fn start(args: &[&str]) -> Redis {
        let folder = tempfile::tempdir().unwrap();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let port = free_port();
        let child = Redis::spawn(&folder, port, &args);
        let redis = Redis { child: Mutex::new(child), folder, port, args };
        redis.wait();
        redis
    }

    /// One that watches others.
    pub fn sentinel() -> Redis {
        Redis::start(&["--sentinel"])
    }

    fn spawn(folder: &TempDir, port: u16, args: &[String]) -> Child {
        let mut command = Command::new("redis-server");
        if args.iter().any(|arg| arg == "--sentinel") {
            // It writes there what it finds out.
            let file = folder.path().join("sentinel.conf");
            std::fs::write(&file, "").unwrap();
            command.arg(file);
        } else {
            command.args(["--save", "", "--appendfsync", "always"]);
        }
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(folder.path());
        command.arg("--unixsocket").arg(folder.path().join("redis.sock")).args(args);
        let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        started.unwrap_or_else(|error| {
            panic!("redis-server cannot be started: {error}. It is in Debian's package redis-server")
        })
    }

    fn wait(&self) {
        let until = std::time::Instant::now() + LONG;
        while !self.try_tell("PING").is_some_and(|answer| answer.starts_with('+') || answer.starts_with("-NOAUTH")) {
            assert!(std::time::Instant::now() < until, "Redis does not start");
            std::thread::yield_now();
        }
    }

    pub fn kill(&self) {
        let mut child = self.child.lock();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Starts it again, at the same place.
    pub fn start_again(&self) {
        *self.child.lock() = Redis::spawn(&self.folder, self.port, &self.args);
        self.wait();
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.lock().id()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Says one command in words, and gives the first line of the answer.
    pub fn tell(&self, command: &str) -> String {
        self.try_tell(command).unwrap_or_else(|| panic!("{command}: no answer"))
    }

    /// The same where the answer is a text of its own length.
    pub fn ask(&self, command: &str) -> String {
        let mut stream = BufReader::new(UnixStream::connect(self.socket()).unwrap());
        stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut head = String::new();
        stream.read_line(&mut head).unwrap();
        let length = head.trim_end().strip_prefix('$').and_then(|length| length.parse().ok());
        let mut text = vec![0; length.unwrap_or_else(|| panic!("{command}: {head}"))];
        stream.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// The same where it is a list of texts.
    pub fn ask_list(&self, command: &str) -> Vec<String> {
        let mut stream = BufReader::new(UnixStream::connect(self.socket()).unwrap());
        stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut line = || {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let length = line().strip_prefix('*').and_then(|length| length.parse().ok()).unwrap_or(0);
        // No text has a line break in it.
        (0..length).map(|_| (line(), line()).1).collect()
    }

    fn try_tell(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok().filter(|length| *length > 0)?;
        Some(line.trim_end().to_owned())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a door was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    Event(Channel, ChannelEvent),
    Word(Bytes),
    Gap(Channel),
    Departed(Channel, String, Bytes),
    WordsLost,
    Expelled,
}

/// Remembers all that it is told.
pub struct Memory {
    seen: watch::Sender<Vec<Seen>>,
    /// Held while the door is to be busy.
    pub busy: Mutex<()>,
}

impl Memory {
    fn add(&self, seen: Seen) {
        drop(self.busy.lock());
        self.seen.send_modify(|all| all.push(seen));
    }
}

impl BrokerListener for Memory {
    fn on_event(&self, channel: &Channel, event: ChannelEvent) {
        self.add(Seen::Event(channel.clone(), event));
    }

    fn on_word(&self, body: Bytes) {
        self.add(Seen::Word(body));
    }

    fn on_gap(&self, channel: &Channel) {
        self.add(Seen::Gap(channel.clone()));
    }

    fn on_departed(&self, channel: &Channel, field: &str, value: Bytes) {
        self.add(Seen::Departed(channel.clone(), field.to_owned(), value));
    }

    fn on_words_lost(&self) {
        self.add(Seen::WordsLost);
    }

    fn on_expelled(&self) {
        self.add(Seen::Expelled);
    }
}

/// A door: its link, and what it was told.
pub struct Door {
    pub link: RedisLink,
    pub memory: Arc<Memory>,
    pub metrics: Metrics,
}

pub fn config(url: &str) -> Config {
    let url = RedisAddress::read(url).unwrap();
    Config { node_timeout: Duration::from_secs(2), message_patience: LONG, ..Config::at(url) }
}

impl Door {
    pub fn open(url: &str) -> Door {
        Door::with(config(url))
    }

    pub fn with(config: Config) -> Door {
        Door::named(config, NodeId(fastrand::u64(..)))
    }

    pub fn named(config: Config, node: NodeId) -> Door {
        let memory = Arc::new(Memory { seen: watch::Sender::new(Vec::new()), busy: Mutex::new(()) });
        let metrics = Metrics::new(&mut Registry::default());
        let link = RedisLink::open(config, node, Arc::clone(&memory) as Arc<_>, metrics.clone());
        Door { link, memory, metrics }
    }

    /// Opened, and hears.
    pub async fn up(url: &str) -> Door {
        let door = Door::open(url);
        door.is(|state| *state == RedisState::Up).await;
        door
    }

    /// Waits for a state of the link.
    pub async fn is(&self, wanted: impl Fn(&RedisState) -> bool) -> RedisState {
        let mut state = self.link.state();
        let waited = timeout(LONG, state.wait_for(|state| wanted(state))).await.map(|state| state.unwrap().clone());
        waited.unwrap_or_else(|_| panic!("it is {:?}", self.link.state().borrow()))
    }

    /// Waits until what it was told is `enough`.
    pub async fn saw(&self, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let mut seen = self.memory.seen.subscribe();
        let waited = timeout(LONG, seen.wait_for(|seen| enough(seen))).await.map(|seen| seen.unwrap().clone());
        waited.unwrap_or_else(|_| panic!("it saw {:?}", self.memory.seen.borrow()))
    }

    /// Waits until something is so that nobody tells of.
    pub async fn until(&self, is_so: impl Fn() -> bool) {
        let waited = timeout(LONG, async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect("it never becomes so");
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.memory.seen.borrow().clone()
    }

    pub fn forget(&self) {
        self.memory.seen.send_modify(Vec::clear);
    }

    pub async fn snapshot(&self, channel: &Channel, after: Option<Position>, most: usize) -> Snapshot {
        self.link.snapshot(channel, after, most).await.unwrap()
    }

    /// What there is after a position: whether the channel goes on from there, and the entries.
    pub async fn after(&self, channel: &Channel, after: Position) -> (bool, Vec<(u64, Bytes)>) {
        let snapshot = self.snapshot(channel, Some(after), 100).await;
        (snapshot.goes_on_from(after), snapshot.entries)
    }

    pub async fn say(&self, channel: &Channel, body: &str) -> Result<Appended, BrokerError> {
        self.link.append(channel, entry(body)).await
    }
}

/// What was said in a channel, with offsets.
pub fn bodies(seen: &[Seen], channel: &Channel) -> Vec<(u64, String)> {
    let said = seen.iter().filter_map(|seen| match seen {
        Seen::Event(at, ChannelEvent::Said { position, body }) if at == channel => {
            Some((position.offset, String::from_utf8(body.to_vec()).unwrap()))
        }
        _ => None,
    });
    said.collect()
}

pub fn entry(body: &str) -> LogEntry {
    LogEntry { body: Bytes::from(body.to_owned()), id: None, messages: 100, age: Duration::from_secs(600) }
}

pub fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

/// A way to Redis that can fall silent: connections stay open, and nothing more comes through.
pub struct Way {
    port: u16,
    silent: watch::Sender<Silence>,
    task: tokio::task::JoinHandle<()>,
}

/// What no longer comes through. Connections made later are not concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    None,
    Answers(u64),
    All(u64),
    /// Answers come, and what is published does not.
    Pushes(u64),
}

impl Way {
    pub async fn to(redis: &Redis) -> Way {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (silent, socket) = (watch::Sender::new(Silence::None), redis.socket());
        let watching = silent.clone();
        let task = tokio::spawn(async move {
            for number in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                let Ok(server) = tokio::net::UnixStream::connect(&socket).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                let asked = watching.subscribe();
                let answered = watching.subscribe();
                tokio::spawn(pass(from_client, to_server, asked, move |silence| match silence {
                    Silence::All(before) if number < before => Swallows::All,
                    _ => Swallows::Nothing,
                }));
                tokio::spawn(pass(from_server, to_client, answered, move |silence| match silence {
                    Silence::All(before) | Silence::Answers(before) if number < before => Swallows::All,
                    Silence::Pushes(before) if number < before => Swallows::Pushes,
                    _ => Swallows::Nothing,
                }));
            }
        });
        Way { port, silent, task }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn fall_silent(&self, silence: Silence) {
        self.silent.send_replace(silence);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes bytes on, or swallows them once it is silent. A connection is ended only by those at its ends.
async fn pass(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    silent: watch::Receiver<Silence>,
    swallows: impl Fn(Silence) -> Swallows,
) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let swallows = swallows(*silent.borrow());
        let passed = match swallows {
            Swallows::Nothing => buffer[..read].to_vec(),
            Swallows::All => Vec::new(),
            Swallows::Pushes => without_pushes(&buffer[..read]),
        };
        if to.write_all(&passed).await.is_err() {
            return;
        }
    }
}

enum Swallows {
    Nothing,
    All,
    Pushes,
}

/// Takes out what was published: seven lines each.
fn without_pushes(answers: &[u8]) -> Vec<u8> {
    let mut lines = answers.split_inclusive(|byte| *byte == b'\n');
    let mut rest = Vec::new();
    while let Some(line) = lines.next() {
        if line == b">3\r\n" {
            lines.nth(5);
        } else {
            rest.extend_from_slice(line);
        }
    }
    rest
}
