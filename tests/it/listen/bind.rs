//! Promise: several addresses at once, IPv4 and IPv6; what cannot be had is said in one sentence.

use std::net::{SocketAddr, TcpListener};

use crate::harness::{App, Door, door, wire};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n";

/// A port that was free a moment ago, for both families.
fn free_port() -> u16 {
    TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

async fn answers(address: SocketAddr) {
    let answer = wire::exchange(address, REQUEST).await;
    assert!(answer.contains("hello"), "{address}: {answer}");
}

fn every_address(door: &Door, kind: &str) -> Vec<SocketAddr> {
    let lines = door.log().into_iter().filter(|line| line["message"] == "listening" && line["kind"] == kind);
    lines.map(|line| line["address"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn every_address_answers() {
    let app = App::saying("hello").await;
    let config = "[listen]\nhttp = [\"127.0.0.1:0\", \"127.0.0.1:0\", \"[::1]:0\"]\n";
    let door = door().config(format!("{config}{}", app.config())).start();
    let addresses = every_address(&door, "http");
    assert_eq!(addresses.len(), 3);
    for address in addresses {
        answers(address).await;
    }
}

#[tokio::test]
async fn both_families_share_a_port() {
    let app = App::saying("hello").await;
    let port = free_port();
    let config = format!("[listen]\nhttp = [\"0.0.0.0:{port}\", \"[::]:{port}\"]\n{}", app.config());
    let _door = door().config(config).start();
    answers(SocketAddr::from(([127, 0, 0, 1], port))).await;
    answers(format!("[::1]:{port}").parse().unwrap()).await;
}

#[tokio::test]
async fn the_ipv6_wildcard_alone_is_for_ipv4_too() {
    let app = App::saying("hello").await;
    let door = door().config(format!("[listen]\nhttp = \"[::]:0\"\n{}", app.config())).start();
    let port = door.http().port();
    answers(SocketAddr::from(([127, 0, 0, 1], port))).await;
    answers(format!("[::1]:{port}").parse().unwrap()).await;
}

#[tokio::test]
async fn a_port_in_use_names_key_address_and_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    for (config, key) in [
        (format!("[listen]\nhttp = \"{address}\"\n"), "listen.http"),
        (format!("[listen]\nhttps = \"{address}\"\n[tls]\nself_signed = true\n"), "listen.https"),
        (format!("[admin]\nlisten = \"{address}\"\n"), "admin.listen"),
    ] {
        let mut door = door().config(config).env("XDG_STATE_HOME", "/nonexistent").spawn();
        assert_eq!(door.wait().code(), Some(1), "{}", door.output());
        let sentence = format!("{key}: cannot listen on {address}: the port is in use by ");
        let line = door.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with(&sentence)));
        let holder = format!("(pid {})", std::process::id());
        assert!(line["message"].as_str().unwrap().ends_with(&holder), "{line}");
    }
}

#[tokio::test]
async fn an_address_of_another_machine_is_refused() {
    let mut door = door().config("[listen]\nhttp = \"192.0.2.1:0\"\n").spawn();
    assert_eq!(door.wait().code(), Some(1));
    assert!(door.output().contains("listen.http: cannot listen on 192.0.2.1:0: this machine has no such address"));
}

#[tokio::test]
async fn nothing_to_listen_on_is_refused() {
    let mut door = door().config("[listen]\nhttp = []\n").spawn();
    assert_eq!(door.wait().code(), Some(1));
    assert!(door.output().contains("there is nothing to listen on"), "{}", door.output());
}

#[tokio::test]
async fn accepted_sockets_have_keepalive_and_no_delay() {
    let app = App::saying("hello").await;
    let door = door().config(format!("[listen]\ntcp_keepalive = \"40s\"\n{}", app.config())).start();
    let client = tokio::net::TcpStream::connect(door.http()).await.unwrap();
    door.wait_for_metric("connections_open", 1.0).await;
    // The kernel's own word: timer 2 is keep-alive, and its hundredths of a second run down from 40 s.
    let (local, remote) = (door.http().port(), client.local_addr().unwrap().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ends = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.len() > 5
            && fields[1].ends_with(&format!(":{local:04X}"))
            && fields[2].ends_with(&format!(":{remote:04X}"))
    };
    let line = table.lines().find(ends).expect("the connection is in the table");
    let (timer, left) = line.split_whitespace().nth(5).unwrap().split_once(':').unwrap();
    let left = u64::from_str_radix(left, 16).unwrap();
    assert_eq!(timer, "02", "{line}");
    assert!((1..=4000).contains(&left), "{line}");
}
