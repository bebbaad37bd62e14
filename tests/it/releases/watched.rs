//! Promise: a release that fails once it is asked by everybody is replaced by the one before, and the deploy says so.

use super::site::{Ended, Site, build, ended};
use crate::harness::{Door, client, eventually};

/// Deploys "two" over "one" with a watch that no test waits for, fails it by `break_it`, and gives what was said.
async fn broken_when_live(site: &Site, door: &Door, break_it: impl AsyncFn()) -> (Ended, String) {
    site.deploy("one").await.well();
    let one = site.live().unwrap();
    site.app.write("source", "two");
    site.app.write("status", "503");
    let deploying = tokio::spawn(ended(site.command(&["deploy"])));
    eventually("it is live", || async { build(door).await == "two" }).await;
    break_it().await;
    (deploying.await.unwrap(), one)
}

async fn is_back(site: &Site, door: &Door, one: &str) {
    eventually("the one before answers", || async { build(door).await == "one" }).await;
    assert_eq!((site.live().as_deref(), site.on_disk().len()), (Some(one), 1));
    assert_eq!(door.metric("deploys_total{outcome=\"watch\"}").await, 1.0);
    assert_eq!(door.metric("deploys_total{outcome=\"live\"}").await, 1.0);
}

#[tokio::test]
async fn a_release_that_ends_is_taken_back() {
    let site = Site::new();
    let door = site.door("watch = \"1m\"").start();
    let exit = async || drop(client::ask(door.http(), "POST", "/exit", &[], "").await);
    let (said, one) = broken_when_live(&site, &door, exit).await;
    let back = format!("the new app ended after it was switched to; {one} stays live");
    said.badly(&["watching it for 1m", &format!("going back to {one}"), &back]);
    is_back(&site, &door, &one).await;
}

#[tokio::test]
async fn a_release_whose_answers_are_errors_is_taken_back() {
    let site = Site::new();
    let door = site.door("watch = \"1m\"").start();
    let errors = async || {
        // More than there were good ones.
        for _ in 0..500 {
            if client::get(door.http(), "/check", &[]).await.status != 503 {
                break;
            }
        }
    };
    let (said, one) = broken_when_live(&site, &door, errors).await;
    said.badly(&[" answers of the new app were errors (5xx)", &format!("{one} stays live")]);
    is_back(&site, &door, &one).await;
}

#[tokio::test]
async fn a_release_that_fails_unwatched_leaves_nothing() {
    let site = Site::new();
    let door = site.door("watch = \"5m\"").start();
    site.deploy("one").await.well();
    let one = site.live().unwrap();
    site.app.write("source", "two");
    let mut deploying = site.command(&["deploy"]).spawn().unwrap();
    eventually("it is live", || async { build(&door).await == "two" }).await;
    // The terminal is gone.
    deploying.kill().unwrap();
    deploying.wait().unwrap();
    let seen = door.log().len();
    drop(client::ask(door.http(), "POST", "/exit", &[], "").await);
    door.wait_for_log_after(seen, |line| line["message"] == "the release is not live");
    eventually("its folder is gone", || async { site.on_disk() == [one.clone()] }).await;
    assert_eq!((build(&door).await, site.live().as_deref()), ("one".into(), Some(one.as_str())));
    assert_eq!(site.run(&["releases"]).await.well().lines().count(), 1);
}

#[tokio::test]
async fn a_few_errors_are_no_reason() {
    let site = Site::new();
    let door = site.door("watch = \"500ms\"").start();
    let few = async || {
        for _ in 0..4 {
            client::get(door.http(), "/check", &[]).await;
        }
    };
    let (said, one) = broken_when_live(&site, &door, few).await;
    assert!(said.well().contains(&format!("in place of {one}")));
    assert_eq!(build(&door).await, "two");
}

#[tokio::test]
async fn errors_among_many_good_answers_are_no_reason() {
    let site = Site::new();
    let door = site.door("watch = \"1s\"").start();
    let mixed = async || {
        for _ in 0..30 {
            client::get(door.http(), "/", &[]).await;
        }
        for _ in 0..10 {
            client::get(door.http(), "/check", &[]).await;
        }
    };
    let (said, one) = broken_when_live(&site, &door, mixed).await;
    assert!(said.well().contains(&format!("in place of {one}")));
}

#[tokio::test]
async fn neither_the_first_release_nor_a_rollback_is_watched() {
    let site = Site::new();
    let door = site.door("").start();
    site.deploy("one").await.well();
    site.deploy("two").await.well();
    drop(door);
    let door = site.door("watch = \"1m\"").start();
    let said = site.run(&["rollback"]).await.well();
    assert!(!said.contains("watching"), "{said}");
    assert_eq!(build(&door).await, "one");
    let other = Site::new();
    let _door = other.door("watch = \"1m\"").start();
    assert!(!other.deploy("one").await.well().contains("watching"));
}
