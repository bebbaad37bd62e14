//! Promise: a release is put in the place of the one before at once, forth and back, whatever became of that.

use super::site::{Site, build};
use crate::harness::client;

#[tokio::test]
async fn the_first_release_is_waited_for_and_started() {
    let site = Site::new();
    let door = site.door("").start();
    let answer = client::get(door.http(), "/", &[]).await;
    assert_eq!(answer.status, 503);
    assert!(String::from_utf8_lossy(&answer.bytes().await).contains("Nothing has been deployed here yet."));
    let status = site.run(&["status"]).await;
    assert!(status.code == Some(1) && status.said.contains("release: none yet"), "{}", status.said);

    // A first one that does not start leaves it at that.
    site.app.write("crash", "");
    site.deploy("broken").await.badly(&["not deployed: the app ended before it answered", "nothing is live yet"]);
    assert_eq!((site.live(), site.on_disk().len()), (None, 0));
    let answer = client::get(door.http(), "/", &[]).await;
    assert!(String::from_utf8_lossy(&answer.bytes().await).contains("Nothing has been deployed here yet."));

    site.app.remove("crash");
    let said = site.deploy("one").await.well();
    let live = site.live().expect("it is live");
    assert!(said.contains(&format!("live: {live}\n")) && said.contains("memory free: "), "{said}");
    assert_eq!(build(&door).await, "one");
    let status = site.run(&["status"]).await.well();
    assert!(status.starts_with("ready\n") && status.contains(&format!("release: {live}, folder ")), "{status}");
}

#[tokio::test]
async fn rollback_goes_back_without_a_build() {
    let site = Site::new();
    let door = site.door("hook = \"echo ran >> ../../hook\"").start();
    site.run(&["rollback"]).await.badly(&["not rolled back: there is no release before none to go back to"]);
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        site.deploy(name).await.well();
        ids.push(site.live().unwrap());
    }
    let list = site.run(&["releases"]).await.well();
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with(&ids[2]) && lines[0].contains(" live "), "{list}");
    assert!(lines[1].starts_with(&ids[1]) && lines[1].contains(" previous "), "{list}");
    assert!(lines[2].contains(" UTC ") && lines[2].contains("folder "), "{list}");

    let said = site.run(&["rollback"]).await.well();
    assert!(said.contains(&format!("live: {}, in place of {}", ids[1], ids[2])), "{said}");
    assert_eq!((build(&door).await, site.live()), ("two".into(), Some(ids[1].clone())));
    site.run(&["rollback"]).await.well();
    assert_eq!(build(&door).await, "one");
    site.run(&["rollback", &ids[2]]).await.well();
    assert_eq!(build(&door).await, "three");
    site.run(&["rollback", &ids[2]]).await.badly(&["is the release that runs"]);
    site.run(&["rollback", "20200101-000000-0000"]).await.badly(&["there is no release 20200101-000000-0000"]);
    assert_eq!(site.run(&["rollback", "../../etc"]).await.code, Some(2));
    assert_eq!(std::fs::read_to_string(site.root.path().join("hook")).unwrap(), "ran\nran\nran\n");
    assert_eq!(site.app.read("npm-was-called"), "", "nothing is built in the folder itself");
}

#[tokio::test]
async fn names_sort_by_age_though_the_clock_was_set_back() {
    let site = Site::new();
    let door = site.door("").start();
    site.deploy("one").await.well();
    // As one that was made before the clock was set right.
    let early = "29991231-235959-ffff";
    let folders = [site.folder(&site.live().unwrap()), site.folder(early)];
    let copied = std::process::Command::new("cp").arg("-a").args(folders).status().unwrap();
    assert!(copied.success());
    site.run(&["rollback", early]).await.well();
    site.deploy("two").await.well();
    let two = site.live().unwrap();
    assert!(two.as_str() > early, "{two}");
    site.run(&["rollback"]).await.well();
    assert_eq!((build(&door).await, site.live().as_deref()), ("one".into(), Some(early)));
}

#[tokio::test]
async fn a_build_leaves_the_processor_to_the_app() {
    let site = Site::new();
    let door = site.door("").start();
    site.deploy("one").await.well();
    let built = std::fs::read_to_string(site.folder(&site.live().unwrap()).join("built-with")).unwrap();
    let built: serde_json::Value = serde_json::from_str(&built).unwrap();
    let built: i32 = built["its priority"].as_str().unwrap().parse().unwrap();
    let answer = client::get(door.http(), "/priority", &[]).await.bytes().await;
    let runs: i32 = String::from_utf8_lossy(&answer).parse().unwrap();
    assert_eq!(built, (runs + 10).min(19));
}

#[tokio::test]
async fn an_app_that_cannot_be_kept_running_is_replaced() {
    let site = Site::new();
    let door = site.door("").start();
    site.deploy("one").await.well();
    // From now on its process does not start again.
    std::fs::write(site.folder(&site.live().unwrap()).join("crash"), "").unwrap();
    let seen = door.log().len();
    let _ = client::ask(door.http(), "POST", "/exit", &[], "").await;
    door.wait_for_log_after(seen, |line| line["message"] == "the app does not start");
    site.deploy("two").await.well();
    assert_eq!(build(&door).await, "two");
}

#[tokio::test]
async fn a_door_that_is_started_again_runs_what_is_live() {
    let site = Site::new();
    let mut door = site.door("").start();
    site.deploy("one").await.well();
    site.deploy("two").await.well();
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0));
    // By the folder alone, too.
    let runtime = site.door("").start();
    assert_eq!(build(&runtime).await, "two");
    drop(runtime);
    site.app.write("proxy.toml", "");
    let named = site.door("").arguments(&[site.root()]);
    let door = named.start();
    drop(door);
}
