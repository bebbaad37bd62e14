//! Promise: what Next.js declared old stays old when its process, or the door, is another.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use tempfile::TempDir;

use super::next::{FORMS, PAGE, actions, change, made, millis};
use super::{kept, text, warm};
use crate::harness::client::ask;
use crate::harness::{Door, door, eventually, next};

/// Rounds with an end of the app in each; each way to declare the page old has its turn.
const ROUNDS: usize = 4;

fn config(app: &Path, more: &str) -> String {
    format!(
        "[app]\ndir = \"{}\"\nrestart_delay = \"10ms\"\nrestart_delay_max = \"10ms\"\n[app.env]\nNEXT_TELEMETRY_DISABLED = \"1\"\n{more}\n\
         [cache]\npaths = [\"{PAGE}\"]\n",
        app.display()
    )
}

/// The door in front of `app`, with what it keeps in `state`.
fn start(app: &Path, state: &Path) -> Door {
    door().config(config(app, "")).env("XDG_STATE_HOME", state.to_string_lossy()).start()
}

/// Ends the app's process as a crash does, and waits for another.
pub fn crash(door: &Door) {
    let started = |line: &serde_json::Value| line["message"] == "app started";
    let log = door.log();
    let last = log.iter().rev().find(|line| started(line)).expect("it was started");
    let killed = Command::new("kill").args(["-KILL", &last["pid"].to_string()]).status().expect("kill runs");
    assert!(killed.success());
    door.wait_for_log_after(log.len(), started);
}

/// Has the files of the page be newer than they are, as where a busy disk gets them late. Says how many there are.
fn write_late(folder: &Path) -> usize {
    let entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let folders = entries.iter().filter(|path| path.is_dir()).map(|folder| write_late(folder)).sum::<usize>();
    let pages = entries.iter().filter(|path| path.file_name().is_some_and(|name| name == "kept.html"));
    let late =
        |path: &PathBuf| File::options().write(true).open(path).unwrap().set_modified(SystemTime::now()).unwrap();
    folders + pages.map(late).count()
}

async fn data(door: &Door) -> (u128, u128) {
    let page = text(door, PAGE, &[]).await;
    let data = page.split_once("data:").expect(&page).1.split_once(';').expect(&page).0.parse().expect(&page);
    (made(&page), data)
}

#[tokio::test]
async fn a_read_after_a_crash_of_the_app_sees_the_change() {
    let (app, state) = (next::own_test_app(), TempDir::new().unwrap());
    let door = start(app.path(), state.path());
    let actions = actions(&text(&door, FORMS, &[]).await);
    for round in 0..ROUNDS {
        warm(&door, PAGE, &[]).await;
        let before = millis();
        change(&door, round, &actions).await;
        // Of the build's own page Next.js knows the time by another file.
        assert!(round == 0 || write_late(&app.path().join(".next/server")) > 0);
        crash(&door);
        let (made, data) = data(&door).await;
        assert!(made >= before, "round {round}: {made} before {before}");
        // By tag: what the page was made of too.
        assert!(round % 2 == 1 || data >= before, "round {round}: data of {data} before {before}");
    }
    // Stale only: one visitor more may be given it while another is made.
    warm(&door, PAGE, &[]).await;
    let before = millis();
    ask(door.http(), "POST", "/api/kept?by=max", &[], "").await.bytes().await;
    crash(&door);
    eventually("it is made anew", async || data(&door).await.0 >= before).await;
}

#[tokio::test]
async fn a_read_after_a_restart_of_the_door_sees_the_change() {
    let (app, state) = (next::own_test_app(), TempDir::new().unwrap());
    let written = state.path().join("doorway/declared-old");
    let remembered = || {
        let files = std::fs::read_dir(&written).into_iter().flatten().flatten();
        files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect::<String>()
    };
    let mut before = 0;
    for (round, how) in ["TERM", "KILL", "TERM"].into_iter().enumerate() {
        let mut door = start(app.path(), state.path());
        let page = made(&text(&door, PAGE, &[]).await);
        assert!(page >= before, "{page} before {before}");
        kept(&door, PAGE, &[]).await;
        let known = remembered();
        before = millis();
        change(&door, round % 2, &[]).await;
        if how == "KILL" {
            // What was declared in the very moment may be lost.
            eventually("it is on disk", async || remembered() != known).await;
        }
        door.signal(how);
        door.wait();
    }
    assert!(made(&text(&start(app.path(), state.path()), PAGE, &[]).await) >= before);
}

#[tokio::test]
async fn the_new_process_hears_what_the_old_one_says_while_it_starts() {
    let (app, state) = (next::own_test_app(), TempDir::new().unwrap());
    let door = start(app.path(), state.path());
    warm(&door, PAGE, &[]).await;
    let seen = door.log().len();
    door.rewrite(&config(app.path(), "ANOTHER = \"1\""));
    door.signal("HUP");
    // It has been told what there was before it.
    door.wait_for_log_after(seen, |line| {
        line["message"].as_str().is_some_and(|message| message.starts_with("the app says what it declares old"))
    });
    let before = millis();
    change(&door, 0, &[]).await;
    door.wait_for_log_after(seen, |line| line["message"] == "app replaced");
    let page = made(&text(&door, PAGE, &[]).await);
    assert!(page >= before, "{page} before {before}");
}
