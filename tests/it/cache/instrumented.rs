//! Promise: an app that the door has not started, or whose `start` script it has, tells it what is old by the file of the
//! guide.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::next::{FORMS, PAGE, actions, change, made, millis};
use super::{text, warm};
use crate::harness::client::ask;
use crate::harness::{Door, door, eventually, next};

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
    sees_each_change(&door).await;
}

async fn sees_each_change(door: &Door) {
    let actions = actions(&text(door, FORMS, &[]).await);
    for round in 0..8 {
        warm(door, PAGE, &[]).await;
        let before = millis();
        change(door, round, &actions).await;
        let page = made(&text(door, PAGE, &[]).await);
        let is_action = round % 4 >= 2;
        assert!(!is_action || page >= before, "round {round}: {page} before {before}");
        eventually("a route handler is not waited for", async || made(&text(door, PAGE, &[]).await) >= before).await;
    }
}

#[tokio::test]
async fn so_does_one_that_its_start_script_starts() {
    let app = next::own_test_app();
    let manifest = app.path().join("package.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let script = text.replace("\"start\": \"next start\"", "\"start\": \"node -e 0 && next start\"");
    assert_ne!(script, text);
    let modified = std::fs::metadata(&manifest).unwrap().modified().unwrap();
    std::fs::write(&manifest, script).unwrap();
    // No older and no newer than what was built by it: nothing need be built.
    std::fs::File::open(&manifest).unwrap().set_modified(modified).unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "[admin]\nlisten = \"{admin}\"\n[app]\ndir = \"{}\"\n[app.env]\nPURGE_URL = \"http://{admin}/_doorway/api/v1/purge\"\n\
         [cache]\npaths = [\"{PAGE}\"]\n",
        app.path().display()
    );
    let door = door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start();
    eventually("the app answers", async || ask(door.http(), "GET", FORMS, &[], "").await.status == 200).await;
    sees_each_change(&door).await;
    let says = |line: &Value| line.to_string().contains("the app says what it declares old");
    assert!(!door.log().iter().any(says), "not by the hook");
}
