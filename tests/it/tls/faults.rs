//! Promise: what is wrong with this machine, its clock or its port 80, is said in a sentence, costs no order, and is gone on
//! from when it is right.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::acme::{Storage, begin, config, in_use, refused, state};
use crate::harness::clock::off_by;
use crate::harness::pebble::{Advice, Adviser, Doorstep, Pebble};
use crate::harness::secure;
use crate::harness::{App, door};

/// As if the pause after a failure were over.
fn pause_passes(folder: PathBuf) {
    let mut known = state(&folder);
    known["next_try"] = Value::Null;
    std::fs::write(folder.join("state.json"), known.to_string()).unwrap();
}

#[tokio::test]
async fn clock_that_is_off_by_a_year_is_said_and_asks_nothing() {
    let (doorstep, app) = (Doorstep::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    for (days, what) in [(400.0, "has expired"), (-400.0, "is not valid yet")] {
        let storage = Storage::new();
        let acme = pebble.config(&storage.path(), "");
        let running = off_by(begin(&doorstep, &app.config(), &["one.test"], &acme), days).start();
        let why = refused(&running, "one.test")["why"].as_str().unwrap().to_owned();
        let sentence = format!("the certificate of 127.0.0.1 {what} by the clock here, which says 20");
        assert!(why.contains(&sentence) && why.contains("timedatectl"), "{why}");
        running.wait_for_metric("acme_orders_total{name=\"one.test\",outcome=\"failed\"}", 1.0).await;
        drop(running);
        // The clock is set.
        let folder = pebble.folder(&storage.path(), "one.test");
        assert!(!folder.parent().unwrap().join("account.json").exists(), "nothing was asked for");
        pause_passes(folder);
        let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
        in_use(&running, "one.test");
    }
}

#[tokio::test]
async fn clock_that_is_behind_does_not_speak_against_what_was_ordered() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    let acme = pebble.config(&storage.path(), "");
    // Two hours, as where summer time was forgotten: the authority itself is believed.
    let running = off_by(begin(&doorstep, &app.config(), &["one.test"], &acme), -1.0 / 12.0).start();
    in_use(&running, "one.test");
    let line = running.wait_for_log(|line| line["message"] == "it is used all the same");
    assert!(line["why"].as_str().unwrap().contains("is not valid yet by the clock here"), "{line}");
    // Everybody else's clock is right.
    let mut stream = pebble.client().await.connect(doorstep.https_address(), "one.test").await;
    assert!(secure::get(&mut stream, "one.test").await.contains("hello"));
    assert!(!running.output().contains("is refused"), "{}", running.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_that_is_ahead_orders_once_and_keeps_what_it_has() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    // An authority of one's own, that is believed for longer than what it gives out.
    let month = json!({ "externalAccountBindingRequired": false, "certificateValidityPeriod": 30 * 86_400 });
    let pebble = Pebble::with(&doorstep, month).await;
    let adviser = Adviser::before(&pebble, Advice::default()).await;
    let acme = pebble.config_at(adviser.address, &storage.path(), "");
    let folder = storage.path().join(format!("{}-dir", adviser.address)).join("one.test");
    let begin = || begin(&doorstep, &app.config(), &["one.test"], &acme);
    for orders in [1, 2] {
        let running = off_by(begin(), 100.0).start();
        let why = refused(&running, "one.test")["why"].as_str().unwrap().to_owned();
        assert!(why.contains("the authority sent has expired by the clock here"), "{why}");
        if orders == 2 {
            // What it has is shown still.
            pebble.client().await.connect(doorstep.https_address(), "one.test").await;
        }
        running.wait_for_metric("acme_orders_total{name=\"one.test\",outcome=\"failed\"}", 1.0).await;
        drop(running);
        // Also where the clock stays wrong, no other is ordered: the one that was given out is fetched again.
        pause_passes(folder.clone());
        let running = off_by(begin(), 100.0).start();
        refused(&running, "one.test");
        running.wait_for_metric("acme_orders_total{name=\"one.test\",outcome=\"failed\"}", 1.0).await;
        drop(running);
        assert_eq!(adviser.advice.lock().orders, orders);
        pause_passes(folder.clone());
        let running = begin().start();
        if orders == 1 {
            in_use(&running, "one.test");
        }
        pebble.client().await.connect(doorstep.https_address(), "one.test").await;
        assert_eq!(adviser.advice.lock().orders, orders);
    }
}

#[tokio::test]
async fn port_80_that_is_taken_is_said_before_anything_is_ordered() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    let acme = pebble.config(&storage.path(), "");
    let address = doorstep.http_address();
    let taken = format!("[listen]\nhttp = \"{address}\"\n{}", config(&app.config(), &["one.test"], &acme));
    let mut running = door().socket("https", doorstep.https()).config(taken).spawn();
    assert_eq!(running.wait().code(), Some(1));
    let said = running.output();
    assert!(said.contains(&format!("listen.http: cannot listen on {address}: the port is in use by")), "{said}");
    assert!(said.contains("certificates come over listen.https alone, too"), "{said}");
    assert!(!storage.path().exists(), "nothing was begun");
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    in_use(&running, "one.test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stranger_at_port_80_is_named_and_the_other_way_taken() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    let acme = pebble.config(&storage.path(), "");
    let stranger = doorstep.http();
    stranger.set_nonblocking(true).unwrap();
    let stranger = tokio::net::TcpListener::from_std(stranger).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = stranger.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        }
    });
    // The door is where no authority looks, and at 443.
    let begin = || door().socket("https", doorstep.https()).config(config(&app.config(), &["one.test"], &acme)).start();
    let running = begin();
    let why = refused(&running, "one.test")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("Http01") && why.contains("404"), "{why}");
    running.wait_for_metric("acme_orders_total{name=\"one.test\",outcome=\"failed\"}", 1.0).await;
    drop(running);
    pause_passes(pebble.folder(&storage.path(), "one.test"));
    let running = begin();
    in_use(&running, "one.test");
}
