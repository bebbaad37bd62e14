//! Promise: `doorway top` shows what the door does, in place on a terminal, which it leaves as it was; once where there is none.

use std::process::Command;

use super::trace::listening;
use crate::harness::client::get;
use crate::harness::socket::connect;
use crate::harness::terminal::Screen;
use crate::harness::{Door, door};

const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

async fn running() -> (crate::harness::App, Door) {
    let (app, _) = listening().await;
    let door = door().config(app.config()).start();
    (app, door)
}

fn arguments(door: &Door) -> [String; 3] {
    ["top".to_owned(), "--config".to_owned(), door.config_file().display().to_string()]
}

fn watch(door: &Door) -> Screen {
    let arguments = arguments(door);
    Screen::start(
        std::path::Path::new("/"),
        &arguments.each_ref().map(String::as_str),
        &std::env::var("PATH").expect("a path"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_it_is_said_once() {
    let (_app, door) = running().await;
    let _socket = connect(&door, "/api/ws").await;
    get(door.http(), "/page", &[]).await;
    // One that goes on is ended, and has failed.
    let once = Command::new("timeout").args(["60", env!("CARGO_BIN_EXE_doorway")]).args(arguments(&door)).output();
    let top = once.expect("timeout of coreutils");
    let said = String::from_utf8(top.stdout).unwrap();
    assert!(top.status.success() && !said.contains('\u{1b}'), "{said}");
    for (name, part) in
        [("doorway", "ready"), ("app", "answers"), ("requests", "2xx"), ("sockets", "plain 1"), ("door", "MB")]
    {
        assert!(said.lines().any(|line| line.starts_with(name) && line.contains(part)), "{name} {part} in:\n{said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
}

#[tokio::test]
async fn what_has_not_happened_is_nothing() {
    let (_app, door) = running().await;
    let top = Command::new(env!("CARGO_BIN_EXE_doorway")).args(arguments(&door)).output().unwrap();
    let said = String::from_utf8(top.stdout).unwrap();
    let sockets = said.lines().find(|line| line.starts_with("sockets")).unwrap();
    assert_eq!(sockets.split_whitespace().nth(1), Some("0"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_it_goes_on_until_ctrl_c() {
    let (_app, door) = running().await;
    let mut screen = watch(&door);
    screen.shows("answers");
    let socket = connect(&door, "/api/ws").await;
    screen.shows("plain 1");
    assert!(!screen.seen().contains("\n      "), "all has room");
    screen.resize(40, 40);
    screen.shows("\n      ");
    socket.close(1000).await;
    screen.press('\u{3}');
    let (code, seen) = screen.end();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.starts_with(ENTER) && seen.trim_start_matches("^C").ends_with(LEAVE), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_are_those_of_the_last_second() {
    let (_app, door) = running().await;
    let mut screen = watch(&door);
    screen.shows("answers");
    for _ in 0..200 {
        get(door.http(), "/page", &[]).await;
    }
    screen.shows_anew("2xx ");
    // Not as many as there were since it was started, divided by an ever longer time.
    screen.shows_anew("requests      0/s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_left_as_it_was_by_sigterm_too() {
    let (_app, door) = running().await;
    let mut screen = watch(&door);
    screen.shows("answers");
    screen.signal("TERM");
    let (code, seen) = screen.end();
    assert!(code == Some(0) && seen.ends_with(LEAVE), "{code:?} {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_is_gone_is_said_in_place() {
    let (_app, door) = running().await;
    let mut screen = watch(&door);
    screen.shows("answers");
    drop(door);
    screen.shows("no answer from");
    screen.signal("TERM");
    assert!(screen.end().1.ends_with(LEAVE));
}
