//! Promise: what this machine lacks for a connection to the app is said as such, and is not taken for an app that is gone.

use std::process::Command;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::harness::raw::{Asked, RawApp, eventually, ok};
use crate::harness::{client, door, wire};

/// Set for the process that runs in a network of its own.
const INSIDE: &str = "DOORWAY_TEST_OWN_NETWORK";
const REQUESTS: usize = 12;

/// Runs itself once more, in a network namespace, where the range of local ports may be made small. Where the system does
/// not let users make one, nothing can be shown.
#[test]
fn local_ports_that_run_out_are_not_an_app_that_is_gone() {
    if std::env::var_os(INSIDE).is_some() {
        return tokio::runtime::Runtime::new().expect("a runtime").block_on(ports_run_out());
    }
    let unshare = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !unshare(Command::new("unshare").args(["-rn", "ip", "link", "set", "lo", "up"])) {
        eprintln!("no network namespace to be had: nothing is tested");
        return;
    }
    let name = "upstream::ports::local_ports_that_run_out_are_not_an_app_that_is_gone";
    let itself = std::env::current_exe().expect("a path");
    let output = Command::new("unshare")
        .args(["-rn", "sh", "-c", "ip link set lo up && exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(itself)
        .arg(name)
        .env(INSIDE, "1")
        .output()
        .expect("unshare runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

async fn ports_run_out() {
    let permits = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&permits);
    let app = RawApp::start(move |mut asked: Asked| {
        let held = Arc::clone(&held);
        async move {
            if asked.target() == "/held" {
                held.acquire().await.expect("never closed").forget();
            }
            asked.send(ok("yes")).await;
            Some(asked)
        }
    })
    .await;
    let door = door().config(app.config() + "health_interval = \"100ms\"\n").start();
    assert_eq!(client::get(door.http(), "/", &[]).await.status, 200);
    let mut clients = Vec::new();
    for _ in 0..REQUESTS {
        clients.push(TcpStream::connect(door.http()).await.expect("a connection"));
    }
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "50000 50003").expect("it is our own network");
    for client in &mut clients {
        let request = "GET /held HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n";
        client.write_all(request.as_bytes()).await.expect("it is taken");
    }
    // With the ports that there are, and a connection that was there; all others are refused.
    let refused = || door.log().iter().filter(|line| line["target"] == "access" && line["status"] == 503).count();
    eventually("each is asked or refused", || app.requests() - 1 + refused() == REQUESTS).await;
    assert!(refused() > 0, "there were ports enough");
    let line = door.wait_for_log(|line| line["message"] == "failed" && line["status"] == 503);
    assert!(line["detail"].as_str().unwrap().contains("no local port is left"), "{line}");
    assert_eq!(door.metric("upstream_ready").await, 1.0);

    let refused = refused();
    permits.add_permits(REQUESTS);
    let mut statuses = Vec::new();
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("an answer");
        statuses.push(wire::status(&answer));
        if wire::status(&answer) == 503 {
            assert!(
                answer.contains("no room for another connection") && answer.to_lowercase().contains("retry-after: "),
                "{answer}"
            );
        }
    }
    let counted = |status: u16| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((counted(200), counted(503)), (REQUESTS - refused, refused));
    assert!(!door.log().iter().any(|line| line["message"] == "the app does not answer"), "{}", door.output());
    assert_eq!(client::get(door.http(), "/", &[]).await.status, 200);
}
