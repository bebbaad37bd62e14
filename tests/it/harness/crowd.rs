//! Many clients in processes of their own: one process may not hold as many sockets as a door.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use super::door::PATIENCE;
use super::socket::{Socket, connect_to};

/// Tells a process what it is: an address, a path and a number of sockets.
const TASK: &str = "DOORWAY_TEST_CROWD";
/// Before what it says on its standard output; the rest is the test runner's.
const SAYS: &str = "crowd: ";

/// Processes with open sockets. Dropped, they end.
pub struct Crowd(Vec<Process>);

struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    words: Receiver<String>,
}

impl Crowd {
    /// `processes` of them with `each` sockets on `path`; all are open when this is done. `entry` is the whole name of a
    /// test of this binary that does nothing but call [`attend`].
    pub fn open(address: SocketAddr, path: &str, processes: usize, each: usize, entry: &str) -> Crowd {
        let start = |_| Process::start(entry, &format!("{address} {path} {each}"));
        let crowd = Crowd((0..processes).map(start).collect());
        for process in &crowd.0 {
            process.says("open");
        }
        crowd
    }

    /// Waits until each of their sockets has heard a message with this for its data.
    pub fn hears(&mut self, data: &str) {
        for process in &mut self.0 {
            let orders = process.orders.as_mut().expect("it listens");
            writeln!(orders, "{data}").and_then(|()| orders.flush()).expect("it listens");
        }
        for process in &self.0 {
            process.says("heard");
        }
    }
}

impl Process {
    fn start(entry: &str, task: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args([entry, "--exact", "--ignored", "--nocapture"])
            .env(TASK, task)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (sender, words) = channel();
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The runner's own words may stand before it on the line.
                if let Some((_, word)) = line.split_once(SAYS) {
                    let _ = sender.send(word.to_owned());
                }
            }
        });
        let orders = child.stdin.take();
        Process { child, orders, words }
    }

    fn says(&self, expected: &str) {
        match self.words.recv_timeout(3 * PATIENCE) {
            Ok(word) => assert_eq!(word, expected),
            Err(error) => panic!("it never said that it is {expected}: {error}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What such a process does; nothing in one that nobody gave a task.
pub async fn attend() {
    let Ok(task) = std::env::var(TASK) else { return };
    let words: Vec<_> = task.split(' ').collect();
    let [address, path, many] = words[..] else { panic!("no task: {task}") };
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("a higher limit");
    let (address, many) = (address.parse().expect("an address"), many.parse().expect("a number"));
    let mut sockets = open_all(address, path, many).await;
    println!("{SAYS}open");
    for order in std::io::stdin().lines() {
        let data = order.expect("an order");
        for socket in &mut sockets {
            assert_eq!(socket.hear_json().await["data"], *data);
        }
        println!("{SAYS}heard");
    }
}

/// Opens `many` sockets on `path`, some at a time.
pub async fn open_all(address: SocketAddr, path: &str, many: usize) -> Vec<Socket> {
    let mut sockets = Vec::with_capacity(many);
    let mut opening = JoinSet::new();
    for _ in 0..many {
        if opening.len() == 100 {
            sockets.push(opening.join_next().await.expect("one of them").expect("no panic"));
        }
        let path = path.to_owned();
        opening.spawn(async move { connect_to(address, &path, &[]).await.expect("let in") });
    }
    sockets.extend(opening.join_all().await);
    sockets
}
