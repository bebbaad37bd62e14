//! Promise: what a door that was killed left running is ended before its folder gets an app again, and nothing else is.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Door, Stub, client, door};

/// An app behind a shell and a package manager, which the kernel's word to its first process does not reach. It does not
/// end when it is asked, and has sent something out that is to live on.
const SERVER: &str = r#"
const { spawn } = require('child_process');
const daemon = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 300000)'], { detached: true, stdio: 'ignore' });
process.on('SIGTERM', () => console.log('it was asked'));
require('http')
  .createServer((_, answer) => answer.end(JSON.stringify({ pid: process.pid, daemon: daemon.pid })))
  .listen(process.env.PORT, process.env.HOSTNAME);
"#;

fn project() -> Stub {
    let project = Stub::new();
    project.write(
        "package.json",
        r#"{ "dependencies": { "next": "16.4.6" }, "scripts": { "start": "echo migrated && node server.js" } }"#,
    );
    project.write("server.js", SERVER);
    project
}

/// By the real npm.
fn start(project: &Stub) -> Door {
    door().config(project.config() + "stop_timeout = \"300ms\"\n").start()
}

async fn pids(door: &Door) -> (Ended, Ended) {
    let answer = client::get(door.http(), "/", &[]).await;
    let said: Value = serde_json::from_slice(&answer.bytes().await).expect("JSON");
    (Ended(said["pid"].as_i64().unwrap()), Ended(said["daemon"].as_i64().unwrap()))
}

/// A process, ended when this is dropped.
struct Ended(i64);

impl Ended {
    fn is_alive(&self) -> bool {
        let stat = std::fs::read_to_string(Path::new("/proc").join(self.0.to_string()).join("stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let number = i32::try_from(self.0).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(process) = number.filter(|_| self.is_alive()) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
    }
}

fn said(door: &Door) -> Option<Value> {
    let begins = |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with("a door that was killed"));
    door.log().into_iter().find(begins)
}

#[tokio::test]
async fn app_of_a_killed_door_is_ended_at_the_next_start() {
    let project = project();
    let mut first = start(&project);
    let (app, daemon) = pids(&first).await;
    first.signal("KILL");
    first.wait();
    assert!(app.is_alive(), "the shell took the kernel's word to itself");
    let second = start(&project);
    assert!(!app.is_alive(), "{}", second.output());
    let line = said(&second).expect("a line in the log");
    assert!(line["level"] == "WARN" && line["pids"].as_str().unwrap().contains(&app.0.to_string()), "{line}");
    assert!(second.output().contains("does not end, it is killed"), "{}", second.output());
    let (now, _other) = pids(&second).await;
    assert!(now.is_alive() && now.0 != app.0);
    assert!(daemon.is_alive(), "what has a session of its own is no part of the app");
}

#[tokio::test]
async fn app_of_a_door_that_lives_or_of_another_folder_is_let_be() {
    let (here, there) = (project(), project());
    let living = start(&here);
    let (app, _daemon) = pids(&living).await;
    let mut killed = start(&there);
    let (left, _daemon) = pids(&killed).await;
    killed.signal("KILL");
    killed.wait();
    let second = start(&here);
    assert_eq!(said(&second), None);
    assert!(app.is_alive() && left.is_alive());
    drop(living);
    let third = start(&here);
    assert!(said(&third).is_some() && !app.is_alive(), "{}", third.output());
    assert_eq!(client::get(second.http(), "/", &[]).await.status, 200, "{}", second.output());
}
