//! Promise: the number of connections is bounded, in all and for one address, and whoever leaves makes room.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{App, Door, PATIENCE, door};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";

/// A connection that has been answered, and stays open.
async fn guest(address: SocketAddr, before: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(before.as_bytes()).await.unwrap();
    ask(&mut stream).await;
    stream
}

async fn ask(stream: &mut TcpStream) {
    stream.write_all(REQUEST).await.unwrap();
    answered(stream).await;
}

async fn answered(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut piece = [0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut piece)).await.expect("an answer in time").unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
}

/// Was the connection closed without an answer?
async fn is_turned_away(stream: &mut TcpStream) -> bool {
    let _ = stream.write_all(REQUEST).await;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("closed in time");
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    read.is_ok() || read.is_err()
}

async fn house(listen: &str, app: &App) -> Door {
    door().config(format!("[listen]\n{listen}\n{}", app.config())).start()
}

#[tokio::test]
async fn when_all_are_taken_new_clients_wait_until_one_leaves() {
    let app = App::saying("hello").await;
    let door = house("max_connections = 2\nmax_connections_per_address = 2", &app).await;
    let first = guest(door.http(), "").await;
    let _second = guest(door.http(), "").await;
    let mut third = TcpStream::connect(door.http()).await.unwrap();
    third.write_all(REQUEST).await.unwrap();
    door.wait_for_metric("accept_pauses_total{reason=\"full\"}", 1.0).await;
    let mut nothing = [0; 1];
    let waits = timeout(Duration::from_millis(300), third.read(&mut nothing)).await;
    assert!(waits.is_err(), "the third was served beside two others");
    door.wait_for_metric("connections_open", 2.0).await;
    door.wait_for_log(|line| line["message"] == "every connection is taken: new clients wait");
    drop(first);
    answered(&mut third).await;
}

#[tokio::test]
async fn an_upgraded_socket_is_still_a_connection() {
    let app = App::saying("hello").await;
    let door = house("max_connections_per_address = 1", &app).await;
    let mut socket = TcpStream::connect(door.http()).await.unwrap();
    let upgrade = "GET /api/ws HTTP/1.1\r\nHost: site.test\r\nOrigin: http://site.test\r\nConnection: upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, socket.read_exact(&mut answer)).await.expect("an answer in time").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    assert!(is_turned_away(&mut TcpStream::connect(door.http()).await.unwrap()).await);
    door.wait_for_metric("connections_open", 1.0).await;
    drop(socket);
    door.wait_for_metric("connections_open", 0.0).await;
    guest(door.http(), "").await;
}

#[tokio::test]
async fn one_address_has_a_limit_of_its_own() {
    let app = App::saying("hello").await;
    let door = house("max_connections_per_address = 2", &app).await;
    let first = guest(door.http(), "").await;
    let _second = guest(door.http(), "").await;
    assert!(is_turned_away(&mut TcpStream::connect(door.http()).await.unwrap()).await);
    door.wait_for_metric("connections_refused_total{reason=\"address_full\"}", 1.0).await;
    drop(first);
    door.wait_for_metric("connections_open", 1.0).await;
    guest(door.http(), "").await;
}

#[tokio::test]
async fn trusted_proxies_have_no_limit_and_those_they_speak_for_do() {
    let app = App::saying("hello").await;
    let listen = "trusted_proxies = \"127.0.0.1\"\nproxy_protocol = \"accept\"\nmax_connections_per_address = 2";
    let door = house(listen, &app).await;
    let mut proxies = Vec::new();
    for _ in 0..5 {
        proxies.push(guest(door.http(), "").await);
    }
    let header = |address: &str| format!("PROXY TCP6 {address} 2001:db8:ffff::1 5000 443\r\n");
    let first = guest(door.http(), &header("2001:db8::1")).await;
    let _second = guest(door.http(), &header("2001:db8::2")).await;
    let mut third = TcpStream::connect(door.http()).await.unwrap();
    third.write_all(header("2001:db8::3").as_bytes()).await.unwrap();
    assert!(is_turned_away(&mut third).await, "one /64 is one client");
    let _elsewhere = guest(door.http(), &header("2001:db8:0:1::1")).await;
    drop(first);
    door.wait_for_metric("connections_open", 7.0).await;
    guest(door.http(), &header("2001:db8::3")).await;
}

#[tokio::test]
async fn a_reload_changes_the_limits() {
    let app = App::saying("hello").await;
    let door = house("max_connections_per_address = 1", &app).await;
    let mut first = guest(door.http(), "").await;
    assert!(is_turned_away(&mut TcpStream::connect(door.http()).await.unwrap()).await);
    let config = std::fs::read_to_string(door.config_file()).unwrap();
    std::fs::write(door.config_file(), config.replace("per_address = 1", "per_address = 3")).unwrap();
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "reloaded");
    let _second = guest(door.http(), "").await;
    ask(&mut first).await;
}

#[tokio::test]
async fn open_file_limit_is_raised_and_sets_the_default() {
    let door = door().start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", door.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers[0], numbers[1], "soft and hard: {line}");
    assert_eq!(door.metric("connections_limit").await, (numbers[0] / 5.0).floor() * 4.0);
}

#[tokio::test]
async fn without_descriptors_it_waits_and_does_not_spin() {
    let app = App::saying("hello").await;
    let config = format!("[listen]\nmax_connections = 1000\n{}", app.config());
    let door = door().config(config).open_files(60).start();
    let mut guests = Vec::new();
    for _ in 0..100 {
        guests.push(TcpStream::connect(door.http()).await.unwrap());
    }
    door.wait_for_log(|line| line["message"] == "cannot accept: trying again");
    let before = processor_time(&door);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = processor_time(&door) - before;
    assert!(spent < Duration::from_millis(200), "{spent:?} of a second");
    guests.clear();
    guest(door.http(), "").await;
}

/// User and system time of the process so far.
fn processor_time(door: &Door) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", door.pid())).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
