//! Promise: doors that share a Redis, and a secret, order one certificate a name; each of them answers the authority, and all
//! show what comes of it, also those that start later, and without Redis.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::acme::{Storage, in_use};
use crate::harness::pebble::{Advice, Adviser, Doorstep, Pebble};
use crate::harness::redis::Redis;
use crate::harness::secure::{self, Client};
use crate::harness::{App, Door, client, door};

const SECRET: &str = "secret = \"a secret that all of these doors have in their configs\"\n";

/// What stands before the doors: each connection goes to the next of them.
struct Balancer {
    targets: Arc<Mutex<Vec<SocketAddr>>>,
    /// Where somebody was sent.
    sent: Arc<Mutex<BTreeSet<SocketAddr>>>,
}

impl Balancer {
    fn before(listener: std::net::TcpListener) -> Balancer {
        let (targets, sent) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(BTreeSet::new())));
        let balancer = Balancer { targets: Arc::clone(&targets), sent: Arc::clone(&sent) };
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move {
            for turn in 0.. {
                let Ok((mut client, _)) = listener.accept().await else { return };
                let target = {
                    let targets: Vec<SocketAddr> = targets.lock().clone();
                    targets.get(turn % targets.len().max(1)).copied()
                };
                let Some(target) = target else { continue };
                sent.lock().insert(target);
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        balancer
    }
}

/// The doors of one site, and what they have: an authority that comes to any of them.
struct Site {
    redis: Redis,
    adviser: Adviser,
    pebble: Pebble,
    app: App,
    http: Balancer,
    https: Balancer,
    storages: Vec<Storage>,
}

impl Site {
    async fn new(doors: usize) -> Site {
        let doorstep = Doorstep::new();
        let pebble = Pebble::start(&doorstep).await;
        let adviser = Adviser::before(&pebble, Advice::default()).await;
        let (http, https) = (Balancer::before(doorstep.http()), Balancer::before(doorstep.https()));
        let storages = (0..doors).map(|_| Storage::new()).collect();
        Site { redis: Redis::start(&[]), adviser, pebble, app: App::saying("hello").await, http, https, storages }
    }

    /// A door with a storage of its own, which the balancers know as soon as it listens.
    fn door(&self, number: usize, domains: &[&str], more: &str) -> Door {
        let running = door().config(self.config(number, domains, more)).spawn();
        self.http.targets.lock().push(running.http());
        self.https.targets.lock().push(running.https());
        running
    }

    fn config(&self, number: usize, domains: &[&str], more: &str) -> String {
        let acme = self.pebble.config_at(self.adviser.address, &self.storages[number].path(), more);
        let (app, redis) = (self.app.config(), self.redis.config());
        let redis = format!("{redis}message_patience = \"1s\"\n");
        format!("{app}[listen]\nhttps = \"127.0.0.1:0\"\n{redis}[tls]\ndomains = {domains:?}\n{acme}")
    }

    fn orders(&self) -> usize {
        self.adviser.advice.lock().orders
    }

    fn doors_visited(balancer: &Balancer) -> usize {
        balancer.sent.lock().len()
    }
}

fn orders(doors: &[Door]) -> usize {
    let of = |door: &Door| door.log().iter().filter(|line| line["message"] == "ordering a certificate").count();
    doors.iter().map(of).sum()
}

/// The paths at which the authority looked.
fn asked_for(door: &Door) -> Vec<String> {
    let paths = door.log().into_iter().filter_map(|line| Some(line["path"].as_str()?.to_owned()));
    paths.filter(|path| path.starts_with("/.well-known/acme-challenge/")).collect()
}

/// The certificates that doors show.
async fn shown(client: &Client, doors: &[Door], name: &str) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    for door in doors {
        all.insert(secure::shown(&client.connect(door.https(), name).await).to_vec());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_door_orders_and_all_show_what_comes_of_it() {
    let site = Site::new(4).await;
    let more = format!("challenge = \"http-01\"\n{SECRET}");
    let domains = ["one.test", "two.test"];
    let mut doors: Vec<Door> = (0..3).map(|number| site.door(number, &domains, &more)).collect();
    let client = site.pebble.client().await;
    for name in domains {
        doors.iter().for_each(|door| in_use(door, name));
        assert_eq!(shown(&client, &doors, name).await.len(), 1, "{name}: all show the same");
    }
    assert_eq!((site.orders(), orders(&doors)), (2, 2), "one order a name");
    assert!(Site::doors_visited(&site.http) > 1, "the authority came to others than who ordered, too");
    // One that comes later has what is there.
    doors.push(site.door(3, &domains, &more));
    for name in domains {
        in_use(&doors[3], name);
        assert_eq!(shown(&client, &doors, name).await.len(), 1, "{name}");
    }
    assert_eq!(site.orders(), 2);
    // When it is over nobody shows the authority anything more.
    let challenges: BTreeSet<String> = doors.iter().flat_map(asked_for).collect();
    assert!(challenges.len() >= 2, "{challenges:?}");
    for (door, path) in doors.iter().flat_map(|door| challenges.iter().map(move |path| (door, path))) {
        let answer = client::get(door.http(), path, &[("host", "one.test")]).await;
        let (status, said) = (answer.status, answer.bytes().await);
        let token = path.rsplit('/').next().unwrap().as_bytes();
        assert!(status != 200 || !said.starts_with(token), "{path}");
    }
    // What Redis keeps is sealed.
    let dump = site.redis.dump();
    assert!(dump.contains("acme:") && !dump.contains("PRIVATE KEY") && !dump.contains("BEGIN CERTIFICATE"), "{dump}");
    let pair = site.storages[3].path().join(format!("{}-dir", site.adviser.address)).join("one.test/live/privkey.pem");
    assert_eq!(std::fs::metadata(&pair).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handshake_is_shown_by_every_door_too() {
    let site = Site::new(2).await;
    let more = format!("challenge = \"tls-alpn-01\"\n{SECRET}");
    let doors: Vec<Door> = (0..2).map(|number| site.door(number, &["one.test"], &more)).collect();
    doors.iter().for_each(|door| in_use(door, "one.test"));
    assert_eq!(shown(&site.pebble.client().await, &doors, "one.test").await.len(), 1);
    assert_eq!((site.orders(), Site::doors_visited(&site.https)), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doors_that_get_a_name_at_the_same_time_order_it_once() {
    let site = Site::new(2).await;
    let more = format!("challenge = \"http-01\"\n{SECRET}");
    let doors = [site.door(0, &["one.test"], &more), site.door(1, &["one.test"], &more)];
    doors.iter().for_each(|door| in_use(door, "one.test"));
    // Both look, and then go on, at one moment.
    let names = ["one.test", "two.test", "three.test", "four.test", "five.test"];
    site.redis.signal("STOP");
    for (number, door) in doors.iter().enumerate() {
        door.rewrite(&site.config(number, &names, &more));
        door.signal("HUP");
        door.wait_for_log(|line| line["message"] == "reloaded");
    }
    site.redis.signal("CONT");
    let client = site.pebble.client().await;
    for name in names {
        doors.iter().for_each(|door| in_use(door, name));
        assert_eq!(shown(&client, &doors, name).await.len(), 1, "{name}");
    }
    assert_eq!((site.orders(), orders(&doors)), (names.len(), names.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_from_before_is_shared_and_outlives_redis() {
    let mut site = Site::new(2).await;
    let alone = "challenge = \"http-01\"\n";
    let first = site.door(0, &["one.test"], alone);
    in_use(&first, "one.test");
    assert_eq!(site.orders(), 1);
    drop(first);
    site.http.targets.lock().clear();
    // With a secret it has one for the others.
    let more = format!("{alone}{SECRET}");
    let doors = [site.door(0, &["one.test"], &more), site.door(1, &["one.test"], &more)];
    in_use(&doors[1], "one.test");
    let client = site.pebble.client().await;
    let before = shown(&client, &doors, "one.test").await;
    assert_eq!((before.len(), site.orders()), (1, 1));
    drop(doors);
    site.http.targets.lock().clear();
    site.redis.kill();
    let doors = [site.door(0, &["one.test"], &more), site.door(1, &["one.test", "new.test"], &more)];
    assert_eq!(shown(&client, &doors, "one.test").await, before, "by what is on disk");
    // What is not there is not ordered by each for itself.
    doors[1].wait_for_log(|line| {
        line["message"].as_str().is_some_and(|text| text.contains("no certificate is ordered while Redis is away"))
    });
    assert_eq!(site.orders(), 1);
    site.redis.restart();
    in_use(&doors[1], "new.test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_common_secret_each_door_has_its_own() {
    let site = Site::new(2).await;
    let other = "secret = \"another secret, which the other door does not have\"\n";
    // The balancers know one door at a time: the authority comes to who orders.
    let mut all = BTreeSet::new();
    let client = site.pebble.client().await;
    for (number, secret) in [SECRET, other].into_iter().enumerate() {
        site.http.targets.lock().clear();
        let running = site.door(number, &["one.test"], &format!("challenge = \"http-01\"\n{secret}"));
        in_use(&running, "one.test");
        all.extend(shown(&client, &[running], "one.test").await);
    }
    assert_eq!((all.len(), site.orders()), (2, 2));
}
