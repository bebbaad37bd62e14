//! Promise: sockets handed over by the service manager are used in place of binding.

use std::net::{TcpListener, UdpSocket};

use crate::harness::certificate::Authority;
use crate::harness::{App, door, secure, wire};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n";

fn socket() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[tokio::test]
async fn by_their_names() {
    let app = App::saying("hello").await;
    let authority = Authority::new();
    let (http, other, https, admin) = (socket(), socket(), socket(), socket());
    let addresses: Vec<_> = [&http, &other, &https, &admin].map(|socket| socket.local_addr().unwrap()).to_vec();
    let builder = door();
    let files = authority.issue(&["site.test"]).write(builder.folder(), "site");
    // What the config names is not bound: nothing else may have these ports.
    let config = format!(
        "[listen]\nhttp = \"{}\"\n[admin]\nlisten = \"{}\"\n[https]\nredirect = false\n[tls]\n{}{}",
        addresses[1],
        addresses[2],
        files.keys(),
        app.config()
    );
    let door = builder
        .config(config)
        .socket("http", http)
        .socket("admin", admin)
        .socket("https", https)
        .socket("http", other)
        .start();
    for address in &addresses[..2] {
        assert!(wire::exchange(*address, REQUEST).await.contains("hello"), "{address}");
    }
    let mut stream = secure::Client::new(&authority).connect(addresses[2], "site.test").await;
    assert!(secure::get(&mut stream, "site.test").await.contains("hello"));
    door.wait_for_metric("connections_accepted_total{kind=\"http\"}", 2.0).await;
    assert_eq!(door.admin(), addresses[3]);
}

#[tokio::test]
async fn without_names_they_are_for_http() {
    let app = App::saying("hello").await;
    let given = socket();
    let address = given.local_addr().unwrap();
    let _door = door().config(app.config()).socket("", given).start();
    assert!(wire::exchange(address, REQUEST).await.contains("hello"));
}

#[tokio::test]
async fn clients_that_came_before_the_door_was_there_are_served() {
    let app = App::saying("hello").await;
    let given = socket();
    let address = given.local_addr().unwrap();
    let early = tokio::spawn(async move { wire::exchange(address, REQUEST).await });
    let _door = door().config(app.config()).socket("http", given).start();
    assert!(early.await.unwrap().contains("hello"));
}

#[tokio::test]
async fn what_cannot_be_used_is_refused() {
    let mut strange = door().socket("doorway.socket", socket()).spawn();
    assert_eq!(strange.wait().code(), Some(1));
    let sentence = "set FileDescriptorName= to http, https or admin";
    assert!(strange.output().contains("doorway.socket") && strange.output().contains(sentence), "{}", strange.output());

    let udp = TcpListener::from(std::os::fd::OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap()));
    let mut wrong = door().socket("http", udp).spawn();
    assert_eq!(wrong.wait().code(), Some(1));
    assert!(wrong.output().contains("is not a TCP socket that listens"), "{}", wrong.output());

    let mut plain = door().socket("https", socket()).spawn();
    assert_eq!(plain.wait().code(), Some(1));
    let sentence = "a socket for https was inherited, but [tls] has no certificate to show";
    assert!(plain.output().contains(sentence), "{}", plain.output());

    let mut disagreeing = door().socket("http", socket()).env("LISTEN_FDNAMES", "http:https").spawn();
    assert_eq!(disagreeing.wait().code(), Some(1));
    assert!(disagreeing.output().contains("LISTEN_FDNAMES do not agree"), "{}", disagreeing.output());
}

#[tokio::test]
async fn sockets_meant_for_another_process_are_left_alone() {
    let app = App::saying("hello").await;
    let door = door().config(app.config()).env("LISTEN_FDS", "1").env("LISTEN_PID", "1").start();
    assert!(wire::exchange(door.http(), REQUEST).await.contains("hello"));
}
