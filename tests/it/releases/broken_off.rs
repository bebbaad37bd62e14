//! Promise: a deploy or a door that is killed at any step leaves an app that runs, and the next deploy works and clears
//! what was left.

use super::site::{Site, build, ended};
use crate::harness::{client, eventually};

#[tokio::test]
async fn a_deploy_killed_at_any_step_leaves_the_old_app() {
    let site = Site::new();
    let door = site.door("").start();
    site.deploy("first").await.well();
    let first = site.live();
    for step in ["begun", "filled", "built"] {
        site.app.write("source", "killed");
        let mut command = site.command(&["deploy"]);
        command.env("DOORWAY_FAILPOINT", step);
        let killed = ended(command).await;
        assert_eq!(killed.code, None, "{step}: {}", killed.said);
        assert_eq!((site.live(), build(&door).await), (first.clone(), "first".into()), "{step}");
        assert_eq!(site.run(&["releases"]).await.well().lines().count(), 1, "{step}: what is not whole is no release");
        assert_eq!(site.on_disk().len(), 3, "{step}");
    }
    let said = site.deploy("second").await.well();
    assert_eq!(said.matches("which an earlier deploy left unfinished").count(), 1, "{said}");
    assert_eq!((build(&door).await, site.on_disk().len()), ("second".into(), 2));
}

#[tokio::test]
async fn a_door_killed_at_any_step_starts_again() {
    let site = Site::new();
    let mut door = site.door("").start();
    site.deploy("old").await.well();
    for (step, runs) in [("hooked", "old"), ("started", "old"), ("marked", "old"), ("linked", "new")] {
        drop(door);
        let failing = site.door("").env("DOORWAY_FAILPOINT", step).start();
        assert_eq!(build(&failing).await, "old", "{step}");
        site.deploy("new").await.badly(&["the door ended before it was done"]);
        drop(failing);
        door = site.door("").start();
        assert_eq!(build(&door).await, runs, "{step}");
        site.deploy("old").await.well();
        assert_eq!(build(&door).await, "old", "{step}");
        assert!(site.on_disk().iter().all(|name| !name.ends_with(".partial")), "{step}: {:?}", site.on_disk());
    }
}

#[tokio::test]
async fn a_door_killed_while_it_watches_starts_again() {
    let site = Site::new();
    let mut door = site.door("").start();
    site.deploy("old").await.well();
    // The last one is killed while all is well.
    for (step, runs) in [("going back", "new"), ("gone back", "old"), ("", "new")] {
        drop(door);
        let watching = site.door("watch = \"5m\"").env("DOORWAY_FAILPOINT", step).start();
        assert_eq!(build(&watching).await, "old", "{step}");
        site.app.write("source", "new");
        let deploying = tokio::spawn(ended(site.command(&["deploy"])));
        eventually("it is live", || async { build(&watching).await == "new" }).await;
        if !step.is_empty() {
            drop(client::ask(watching.http(), "POST", "/exit", &[], "").await);
            deploying.await.unwrap().badly(&["the door ended before it was done"]);
        }
        drop(watching);
        door = site.door("").start();
        assert_eq!(build(&door).await, runs, "{step}");
        site.deploy("old").await.well();
        assert_eq!(build(&door).await, "old", "{step}");
        assert!(site.on_disk().iter().all(|name| !name.ends_with(".partial")), "{step}: {:?}", site.on_disk());
    }
}

#[tokio::test]
async fn who_gives_up_while_the_new_app_starts_keeps_the_old() {
    let site = Site::new();
    let door = site.door("hook = \"touch ../../hooked; while [ -e ../../hold ]; do sleep 0.05; done\"").start();
    site.deploy("old").await.well();
    let (hooked, hold) = (site.root.path().join("hooked"), site.root.path().join("hold"));
    std::fs::remove_file(&hooked).unwrap();
    std::fs::write(&hold, "").unwrap();
    site.app.write("source", "new");
    let mut deploy = site.command(&["deploy"]).spawn().unwrap();
    eventually("the hook runs", || async { hooked.exists() }).await;
    deploy.kill().unwrap();
    deploy.wait().unwrap();
    let seen = door.log().len();
    std::fs::remove_file(&hold).unwrap();
    let line = door.wait_for_log_after(seen, |line| line["message"] == "the release is not live");
    assert_eq!(line["why"], "who asked for it has gone");
    assert_eq!(build(&door).await, "old");
    // The one that was broken off is cleared away first.
    let newer = async || {
        let newer = site.deploy("newer").await;
        newer.is_too_early() || !newer.well().is_empty()
    };
    eventually("its turn", async || newer().await && build(&door).await == "newer").await;
}
