//! A Redis of the test's own, on a socket in its folder, or a cluster of them.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::door::PATIENCE;
use super::signal;

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

    /// All that it keeps under claims, and the names of that.
    pub fn dump(&self) -> String {
        let names = self.tell(&["KEYS", "dw:claim:*"]);
        names.lines().map(|name| format!("{name} {}\n", self.tell(&["GET", name]))).collect()
    }

    /// What it answers to a command.
    pub fn tell(&self, words: &[&str]) -> String {
        let said = Command::new("redis-cli").arg("-s").arg(self.socket()).args(words).output().unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    pub fn signal(&self, name: &str) {
        signal::send(self.child.id(), name);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Redis Cluster that ends with the test: three primaries, each with a replica.
pub struct RedisCluster {
    servers: Vec<(u16, Child)>,
    folder: TempDir,
}

impl RedisCluster {
    pub fn start() -> RedisCluster {
        // Another may take a port between the look and the start: then once more.
        for _ in 0..10 {
            if let Some(cluster) = RedisCluster::attempt() {
                return cluster;
            }
        }
        panic!("no Redis Cluster comes up");
    }

    fn attempt() -> Option<RedisCluster> {
        let mut cluster = RedisCluster { servers: Vec::new(), folder: tempfile::tempdir().unwrap() };
        for _ in 0..6 {
            let (port, bus) = (free_port(), free_port());
            let folder = cluster.folder.path().join(port.to_string());
            std::fs::create_dir(&folder).unwrap();
            let mut command = Command::new("redis-server");
            command.args(["--save", "", "--bind", "127.0.0.1", "--cluster-enabled", "yes"]);
            command.args(["--port", &port.to_string(), "--cluster-port", &bus.to_string()]);
            // Dead within two seconds; a replica is there at once.
            command.args(["--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0", "--dir"]).arg(&folder);
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            cluster.servers.push((port, child));
        }
        let deadline = Instant::now() + PATIENCE;
        while !cluster.servers.iter().all(|(port, _)| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
            if Instant::now() > deadline || cluster.has_lost_one() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let all = cluster.servers.iter().map(|(port, _)| format!("127.0.0.1:{port}"));
        let made = Command::new("redis-cli")
            .args(["--cluster-yes", "--cluster", "create"])
            .args(all)
            .args(["--cluster-replicas", "1"])
            .output()
            .unwrap();
        if cluster.has_lost_one() {
            return None;
        }
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let is_well = |port: u16| {
            let role = ask(port, &["INFO", "replication"]);
            let is_following = role.contains("role:master") || role.contains("master_link_status:up");
            is_following && ask(port, &["CLUSTER", "INFO"]).contains("cluster_state:ok")
        };
        while !cluster.servers.iter().all(|(port, _)| is_well(*port)) {
            assert!(Instant::now() < deadline + PATIENCE, "the cluster does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(cluster)
    }

    fn has_lost_one(&mut self) -> bool {
        self.servers.iter_mut().any(|(_, child)| child.try_wait().is_ok_and(|ended| ended.is_some()))
    }

    /// The section of a door that shares it.
    pub fn config(&self) -> String {
        let [(one, _), .., (last, _)] = &self.servers[..] else { panic!("six") };
        let url = format!("redis+cluster://127.0.0.1:{one},127.0.0.1:{last}");
        format!("[realtime.redis]\nurl = \"{url}\"\nnode_timeout = \"3s\"\nmessage_patience = \"30s\"\n")
    }

    /// The place of the server that takes writes for a channel.
    pub fn primary_of(&self, channel: &str) -> usize {
        let any = self.servers[0].0;
        let slot: u16 = ask(any, &["CLUSTER", "KEYSLOT", &format!("dw:{{{channel}}}:top")]).trim().parse().unwrap();
        let nodes = ask(any, &["CLUSTER", "NODES"]);
        let has = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse::<u16>().is_ok_and(|first| (first..=last.parse().unwrap()).contains(&slot))
        };
        let line = nodes.lines().find(|line| line.split(' ').skip(8).any(has)).unwrap();
        let address = line.split(' ').nth(1).and_then(|text| text.split('@').next()).unwrap();
        self.servers.iter().position(|(port, _)| address.ends_with(&format!(":{port}"))).unwrap()
    }

    /// It is gone, as if its machine were.
    pub fn kill(&mut self, server: usize) {
        self.servers[server].1.kill().unwrap();
        self.servers[server].1.wait().unwrap();
    }
}

impl Drop for RedisCluster {
    fn drop(&mut self) {
        for (_, child) in &mut self.servers {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn ask(port: u16, question: &[&str]) -> String {
    let said = Command::new("redis-cli").args(["-p", &port.to_string()]).args(question).output().unwrap();
    String::from_utf8_lossy(&said.stdout).into_owned()
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
