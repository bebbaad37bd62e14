//! Promise: a door that is its own upstream is an error of the config, however the address is written; over other hops a
//! request goes round a few times and no more.

use std::net::TcpListener;
use std::process::Command;

use crate::harness::raw::{RawApp, ok};
use crate::harness::{client, door, wire};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_door_that_asks_itself_does_not_start() {
    for (listen, url) in [
        ("127.0.0.1:PORT", "127.0.0.1:PORT"),
        ("127.0.0.1:PORT", "localhost:PORT"),
        ("0.0.0.0:PORT", "127.0.0.1:PORT"),
        ("0.0.0.0:PORT", "localhost:PORT"),
        ("[::]:PORT", "127.0.0.1:PORT"),
        ("[::]:PORT", "[::1]:PORT"),
        ("[::1]:PORT", "[::1]:PORT"),
        ("127.0.0.1:PORT", "0.0.0.0:PORT"),
    ] {
        let port = free_port().to_string();
        let (listen, url) = (listen.replace("PORT", &port), url.replace("PORT", &port));
        let config = format!("[listen]\nhttp = \"{listen}\"\n[app]\nurl = \"http://{url}\"\n");
        let mut door = door().config(config).spawn();
        assert_eq!(door.wait().code(), Some(1), "{listen} {url}");
        let said = door.output();
        assert!(said.contains("proxy.toml:4:7") && said.contains("where the door itself listens"), "{said}");
    }
}

#[test]
fn the_apps_usual_port_is_no_exception() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("proxy.toml"), "[listen]\nhttp = \"0.0.0.0:3000\"\n").unwrap();
    for arguments in [&["check"][..], &[]] {
        let output = Command::new(env!("CARGO_BIN_EXE_doorway")).args(arguments).current_dir(folder.path()).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("http://127.0.0.1:3000, where the door itself listens (listen.http"), "{said}");
    }
}

#[tokio::test]
async fn an_inherited_socket_counts_too() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = socket.local_addr().unwrap();
    let mut door = door().config(format!("[app]\nurl = \"http://{url}\"\n")).socket("http", socket).spawn();
    assert_eq!(door.wait().code(), Some(1));
    assert!(door.output().contains("where the door itself listens"), "{}", door.output());
}

#[tokio::test]
async fn another_port_of_the_same_address_is_fine() {
    let app = RawApp::saying(ok("app")).await;
    let door = door().config(app.config()).start();
    assert!(wire::get(door.http(), "/").await.ends_with("app"));
}

#[tokio::test]
async fn what_comes_back_over_another_hop_ends_with_508() {
    // A forwarder that the config cannot know of: it leads back to the door.
    let hop = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = format!("http://{}", hop.local_addr().unwrap());
    let door = door().config(format!("[app]\nurl = \"{there}\"\n")).start();
    let address = door.http();
    let passed = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&passed);
    let forwarder = tokio::spawn(async move {
        let mut tasks = tokio::task::JoinSet::new();
        while let Ok((mut from, _)) = hop.accept().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tasks.spawn(async move {
                let mut to = tokio::net::TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    let answer = client::get(address, "/page", &[]).await;
    assert_eq!(answer.status, 508);
    let failed = door.wait_for_log(|line| line["message"] == "failed" && line["status"] == 508);
    assert!(failed["detail"].as_str().unwrap().contains(&format!("{there} leads back to this door")), "{failed}");
    // Probes have connections of their own.
    assert!(passed.load(std::sync::atomic::Ordering::SeqCst) < 30, "{passed:?}");
    forwarder.abort();
}

#[tokio::test]
async fn another_doors_mark_is_no_loop() {
    let app = RawApp::start(|mut asked| async move {
        let marks = asked.header("cdn-loop");
        asked.send(ok(&marks)).await;
        Some(asked)
    })
    .await;
    let door = door().config(app.config()).start();
    let others = ["doorway-00000000"; 20].join(", ");
    let answer = client::get(door.http(), "/", &[("cdn-loop", &others)]).await;
    assert_eq!(answer.status, 200);
    let marks = String::from_utf8_lossy(&answer.bytes().await).into_owned();
    assert!(marks.starts_with(&others) && marks[others.len()..].starts_with(", doorway-"), "{marks}");
}
