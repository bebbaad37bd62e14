//! Promise: while the app is installed and built the door answers already: people see what is being done on a page that
//! reloads itself, programs get 503, and sockets are the hub's.

use crate::harness::raw::eventually;
use crate::harness::socket::{Socket, connect};
use crate::harness::{Stub, client, door};

async fn hears(socket: &mut Socket, text: &str) {
    while socket.hear_json().await["data"] != text {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_done_is_said_and_sockets_are_served() {
    let project = Stub::fresh();
    project.write("hold-install", "");
    project.write("hold-build", "");
    let door = door().config(project.config()).env("PATH", project.search_path()).spawn();
    let mut socket = connect(&door, "/api/ws").await;
    for (hold, sentence) in
        [("hold-install", "The app's packages are being installed."), ("hold-build", "The app is being built.")]
    {
        door.wait_for_log(|line| {
            let words = if hold == "hold-install" { "installing" } else { "building" };
            line["message"].as_str().is_some_and(|text| text.starts_with(words))
        });
        let page = client::get(door.http(), "/", &[("accept", "text/html")]).await;
        assert_eq!((page.status, page.header("retry-after")), (503, "3".to_owned()));
        let page = String::from_utf8_lossy(&page.bytes().await).into_owned();
        assert!(page.contains(sentence) && page.contains("http-equiv=\"refresh\""), "{page}");
        let answer = client::ask(door.http(), "POST", "/api", &[("accept", "application/json")], "{}").await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "3".to_owned()));
        let ready = client::get(door.admin(), "/health/ready", &[("host", "localhost")]).await;
        assert_eq!(ready.status, 503);
        socket.say("hello").await;
        hears(&mut socket, "hello").await;
        project.remove(hold);
    }
    door.wait_for_log(|line| line["message"] == "ready");
    assert_eq!(client::get(door.http(), "/", &[]).await.status, 200);
    socket.say("still here").await;
    hears(&mut socket, "still here").await;
    assert!(!door.log().iter().any(|line| line["message"] == "failed"), "{}", door.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_before_it_is_known_is_told_as_soon_as_it_is() {
    let project = Stub::new();
    project.write("hold-build", "");
    let door = door().config(project.config() + "wait_timeout = \"10m\"\n").spawn();
    // Perhaps before anything has begun: it does not wait for all of the build.
    assert_eq!(client::get(door.http(), "/", &[]).await.status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_still_builds_ends_when_it_is_asked_to() {
    let project = Stub::new();
    project.write("hold-build", "");
    let mut door = door().config(project.config()).spawn();
    let _socket = connect(&door, "/api/ws").await;
    door.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with("Creating an optimized")));
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
    assert!(door.output().contains("stopped before it was ready"), "{}", door.output());
    let folder = project.path().canonicalize().unwrap();
    let is_there = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .into_iter()
            .any(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder))
    };
    eventually("the build ends too", || !is_there()).await;
}
