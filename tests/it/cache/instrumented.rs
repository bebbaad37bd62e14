//! Promise: an app that the door has not started tells it what is old, by the file of the guide.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::next::{FORMS, PAGE, actions, change, made, millis};
use super::{text, warm};
use crate::harness::client::ask;
use crate::harness::{door, eventually, next};

/// `next start`, ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_read_after_a_change_sees_it() {
    let app = next::own_test_app();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!("[app]\nurl = \"http://127.0.0.1:{port}\"\n[cache]\npaths = [\"{PAGE}\"]\n");
    let door = door().config(config).start();
    let next = Command::new("node")
        .args(["node_modules/next/dist/bin/next", "start", "-H", "127.0.0.1", "-p", &port.to_string()])
        .env("PURGE_URL", format!("http://{}/_doorway/api/v1/purge", door.admin()))
        .env("NEXT_TELEMETRY_DISABLED", "1")
        .current_dir(app.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("node runs");
    let _running = Running(next);
    eventually("the app answers", async || ask(door.http(), "GET", FORMS, &[], "").await.status == 200).await;
    let actions = actions(&text(&door, FORMS, &[]).await);
    for round in 0..8 {
        warm(&door, PAGE, &[]).await;
        let before = millis();
        change(&door, round, &actions).await;
        let page = made(&text(&door, PAGE, &[]).await);
        let is_action = round % 4 >= 2;
        assert!(!is_action || page >= before, "round {round}: {page} before {before}");
        eventually("a route handler is not waited for", async || made(&text(&door, PAGE, &[]).await) >= before).await;
    }
}
