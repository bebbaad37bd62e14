//! A Redis Cluster of the test's own: three primaries with a replica each.

use std::time::Instant;

use super::harness::{Door, LONG, Redis, free_port};
use crate::realtime::broker::redis::slots::{SLOTS, slot_of};
use crate::realtime::broker::redis::{Config, RedisAddress};
use crate::realtime::vocabulary::Channel;

const PRIMARIES: usize = 3;

/// Servers that end with the test. The first three begin as primaries of a third of the slots each, and the others as their
/// replicas, in order.
pub struct Cluster {
    pub servers: Vec<Redis>,
}

fn server() -> Redis {
    // Dead within two seconds; a replica is there at once.
    let quick = ["--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0"];
    // The usual port of their own bus may be too high.
    let bus = free_port().to_string();
    Redis::start(&[&["--cluster-enabled", "yes", "--cluster-port", &bus], &quick[..]].concat())
}

impl Cluster {
    pub fn start() -> Cluster {
        let cluster = Cluster { servers: (0..2 * PRIMARIES).map(|_| server()).collect() };
        let third = usize::from(SLOTS) / PRIMARIES + 1;
        for (number, redis) in cluster.servers.iter().enumerate() {
            tell(redis, &format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
            if number < PRIMARIES {
                let last = ((number + 1) * third).min(usize::from(SLOTS)) - 1;
                tell(redis, &format!("CLUSTER ADDSLOTSRANGE {} {last}", number * third));
            }
            cluster.meet(redis);
        }
        let knows = |redis: &Redis| redis.ask("CLUSTER INFO").contains("cluster_known_nodes:6");
        until("they know each other", || cluster.servers.iter().all(knows));
        for (number, replica) in cluster.servers.iter().enumerate().skip(PRIMARIES) {
            let primary = cluster.servers[number - PRIMARIES].ask("CLUSTER MYID");
            tell(replica, &format!("CLUSTER REPLICATE {primary}"));
        }
        cluster.is_whole();
        cluster
    }

    fn meet(&self, redis: &Redis) {
        let first = &self.servers[0];
        let nodes = first.ask("CLUSTER NODES");
        let bus = nodes.split('@').nth(1).and_then(|rest| rest.split([' ', ',']).next()).unwrap();
        tell(redis, &format!("CLUSTER MEET 127.0.0.1 {} {bus}", first.port()));
    }

    /// One more server, without slots.
    pub fn add(&mut self) -> usize {
        let new = server();
        tell(&new, "CLUSTER SET-CONFIG-EPOCH 99");
        self.meet(&new);
        self.servers.push(new);
        let all = format!("cluster_known_nodes:{}", self.servers.len());
        // It takes nothing before it knows who serves each slot.
        let is_one_of_them = |redis: &Redis| {
            let info = redis.ask("CLUSTER INFO");
            info.contains(&all) && info.contains("cluster_state:ok")
        };
        until("it is one of them", || self.servers.iter().all(is_one_of_them));
        self.servers.len() - 1
    }

    /// Waits until all slots are served, and replicas follow.
    pub fn is_whole(&self) {
        let is_well = |redis: &Redis| {
            let role = redis.ask("INFO replication");
            redis.ask("CLUSTER INFO").contains("cluster_state:ok")
                && (role.contains("role:master") || role.contains("master_link_status:up"))
        };
        until("all is well", || self.servers.iter().all(is_well));
        let replicas = |redis: &Redis| redis.ask("INFO replication").contains("connected_slaves:1");
        until("each is followed", || self.servers.iter().filter(|redis| replicas(redis)).count() == PRIMARIES);
    }

    /// Names some of them.
    pub fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", free_port(), self.servers[1].port())
    }

    pub fn config(&self) -> Config {
        super::harness::config(&self.url())
    }

    pub async fn door(&self) -> Door {
        Door::up(&self.url()).await
    }

    /// The server that began with the slot of a channel.
    pub fn home(&self, room: &Channel) -> usize {
        usize::from(slot(room)) / (usize::from(SLOTS) / PRIMARIES + 1)
    }

    /// A channel of each of the first servers.
    pub fn rooms(&self, name: &str) -> Vec<Channel> {
        let all = || (0..1_000).map(|number| super::harness::channel(&format!("{name} {{{number}}}")));
        (0..PRIMARIES).map(|server| all().find(|room| self.home(room) == server).unwrap()).collect()
    }

    /// Moves a slot with all that is in it, as `redis-cli --cluster reshard` does; `amid` is called while it is on its way.
    pub async fn move_slot(&self, slot: u16, from: usize, to: usize, amid: impl AsyncFn()) {
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let (from_id, to_id) = (source.ask("CLUSTER MYID"), target.ask("CLUSTER MYID"));
        tell(target, &format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
        tell(source, &format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
        amid().await;
        loop {
            let keys = source.keys_in(slot);
            if keys.is_empty() {
                break;
            }
            for key in keys {
                let moved = source.tell(&format!("MIGRATE 127.0.0.1 {} \"{key}\" 0 5000", target.port()));
                assert!(["+OK", "+NOKEY"].contains(&&*moved), "{key}: {moved}");
            }
        }
        for redis in [target, source] {
            tell(redis, &format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
        }
    }
}

impl Redis {
    /// Keys of a slot: some of them.
    fn keys_in(&self, slot: u16) -> Vec<String> {
        let count: usize = self.tell(&format!("CLUSTER COUNTKEYSINSLOT {slot}"))[1..].parse().unwrap();
        if count == 0 {
            return Vec::new();
        }
        self.ask_list(&format!("CLUSTER GETKEYSINSLOT {slot} 100"))
    }
}

pub fn slot(room: &Channel) -> u16 {
    slot_of(super::super::names::Names::new("dw").channel(room).events().as_bytes())
}

fn tell(redis: &Redis, command: &str) {
    let told = redis.tell(command);
    assert_eq!(told, "+OK", "{command}");
}

/// Waits until something is so that nobody tells of.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn slots_are_those_that_redis_computes() {
    let redis = Redis::start(&["--cluster-enabled", "yes"]);
    for key in ["a", "dw:{room}:top", "dw:{}x", "{a", "dw:{\u{e9}\u{1f}%7B}:log", "", "{{a}}", "a}{b}"] {
        let said = redis.tell(&format!("CLUSTER KEYSLOT \"{key}\""));
        assert_eq!(said, format!(":{}", slot_of(key.as_bytes())), "{key}");
    }
    let address = RedisAddress::read("redis+cluster://a:1,b").unwrap();
    assert_eq!(address.to_string(), "redis+cluster://a:1,b:6379");
}
