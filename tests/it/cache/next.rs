//! Promise: who is told by Next.js that his change is done sees it, and is told how old a page really is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use tempfile::TempDir;

use super::{Script, is_hit, keeping, kept, text, warm};
use crate::harness::client::ask;
use crate::harness::{Door, door, next};

pub const PAGE: &str = "/kept";
/// Has the Server Actions; another page, so that nothing but Next.js' own word is about the first.
pub const FORMS: &str = "/kept/change";
/// Rounds of each way to declare a page old, without and with others who read it meanwhile.
const ROUNDS: usize = 50;

/// A door with an app of its own; the door ends first.
fn start(section: &str) -> (TempDir, Door) {
    let app = next::own_test_app();
    let config = format!("[app]\ndir = \"{}\"\n[cache]\npaths = [\"{PAGE}\"]\n{section}\n", app.path().display());
    let door = door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start();
    (app, door)
}

pub fn millis() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()
}

/// When the page was made, by its own word.
pub fn made(page: &str) -> u128 {
    let rest = page.split_once("made:").expect(page).1;
    rest.split_once(';').unwrap().0.parse().unwrap()
}

/// The ids of a page's two Server Actions: by tag, by path.
pub fn actions(page: &str) -> Vec<String> {
    let ids = page.split("$ACTION_ID_").skip(1).map(|rest| rest.chars().take_while(char::is_ascii_hexdigit).collect());
    let mut all: Vec<String> = Vec::new();
    for id in ids {
        if !all.contains(&id) {
            all.push(id);
        }
    }
    all.truncate(2);
    assert_eq!(all.len(), 2, "{page}");
    all
}

/// Declares the page old in the way that `round` has its turn; answered when that is done.
pub async fn change(door: &Door, round: usize, actions: &[String]) {
    let origin = format!("http://{}", door.http());
    let host = door.http().to_string();
    let answer = match round % 4 {
        0 => ask(door.http(), "POST", "/api/kept?by=tag", &[], "").await,
        1 => ask(door.http(), "POST", "/api/kept?by=path", &[], "").await,
        way => {
            let headers = [
                ("host", host.as_str()),
                ("origin", origin.as_str()),
                ("next-action", actions[way - 2].as_str()),
                ("content-type", "text/plain;charset=UTF-8"),
                ("accept", "text/x-component"),
            ];
            ask(door.http(), "POST", FORMS, &headers, "[]").await
        }
    };
    assert_eq!(answer.status, 200, "round {round}");
    assert!(!answer.headers.contains_key("x-doorway-entry"));
    answer.bytes().await;
}

async fn rounds(door: &Door) {
    let actions = actions(&text(door, FORMS, &[]).await);
    for round in 0..4 * ROUNDS {
        warm(door, PAGE, &[]).await;
        let before = millis();
        change(door, round, &actions).await;
        let page = text(door, PAGE, &[]).await;
        assert!(made(&page) >= before, "round {round}: {} before {before}", made(&page));
    }
}

#[tokio::test]
async fn a_read_after_a_change_sees_it() {
    let (_app, door) = start("");
    rounds(&door).await;
    // Each was heard, and it is known how late.
    let heard = door.metric("cache_purge_lag_seconds_count").await;
    assert!(heard >= 4.0 * ROUNDS as f64, "{heard}");
    assert_eq!(door.metric("cache_purge_lag_seconds_bucket{le=\"+Inf\"}").await, heard);
}

#[tokio::test]
async fn a_read_after_a_change_sees_it_while_others_read() {
    let (_app, door) = start("");
    let door = Arc::new(door);
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (door, is_over) = (Arc::clone(&door), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    made(&text(&door, PAGE, &[]).await);
                }
            })
        })
        .collect();
    rounds(&door).await;
    is_over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn pages_are_as_old_as_next_made_them() {
    let (_app, door) = start("");
    warm(&door, PAGE, &[]).await;
    let answer = ask(door.http(), "GET", PAGE, &[], "").await;
    assert!(is_hit(&answer) && !answer.headers.contains_key("x-doorway-entry"));
    let age: u128 = answer.header("age").parse().unwrap();
    let page = String::from_utf8(answer.bytes().await.to_vec()).unwrap();
    // Next counts from when it had the whole page written.
    let old = (millis() - made(&page)) / 1000;
    assert!(age + 60 >= old && age <= old + 1, "{age} s, made {old} s ago");
}

#[tokio::test]
async fn without_the_hook_nothing_is_heard() {
    let (_app, door) = start("hook = false");
    warm(&door, PAGE, &[]).await;
    let before = made(&text(&door, PAGE, &[]).await);
    change(&door, 0, &[]).await;
    kept(&door, PAGE, &[]).await;
    assert_eq!(made(&text(&door, PAGE, &[]).await), before);
}

#[tokio::test]
async fn what_an_app_says_for_the_door_alone_reaches_nobody() {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"*\"]");
    let page = "/a?cache-control=s-maxage%3D4000000000&x-doorway-entry=1700000000001,a";
    for _ in 0..2 {
        warm(&door, page, &[]).await;
        let answer = ask(door.http(), "GET", page, &[], "").await;
        assert!(!answer.headers.contains_key("x-doorway-entry"));
    }
}
