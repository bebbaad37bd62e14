//! Promise: whatever happens in the midst of an order, it ends in a sentence, and one order comes to one certificate.

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use super::acme::{Storage, begin, in_use, refused, state};
use crate::harness::pebble::{Advice, Adviser, Doorstep, Pebble};
use crate::harness::{App, Door, client, wire};

/// An authority that keeps certificates back, and where a door keeps what it knows.
struct Scene {
    doorstep: Doorstep,
    storage: Storage,
    app: App,
    _pebble: Pebble,
    adviser: Adviser,
    acme: String,
}

impl Scene {
    async fn new() -> Scene {
        let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
        let pebble = Pebble::start(&doorstep).await;
        let adviser = Adviser::before(&pebble, Advice { holds_certificates: true, ..Advice::default() }).await;
        let acme = pebble.config_at(adviser.address, &storage.path(), "");
        Scene { doorstep, storage, app, _pebble: pebble, adviser, acme }
    }

    fn begin(&self) -> crate::harness::DoorBuilder {
        begin(&self.doorstep, &self.app.config(), &["one.test"], &self.acme)
    }

    fn folder(&self) -> PathBuf {
        self.storage.path().join(format!("{}-dir", self.adviser.address)).join("one.test")
    }

    /// As if the pause after a failure were over.
    fn pause_passes(&self) {
        let mut known = state(&self.folder());
        known["next_try"] = Value::Null;
        std::fs::write(self.folder().join("state.json"), known.to_string()).unwrap();
    }

    /// The authority is as it should be, and so comes what was ordered.
    fn comes_to_one(&self) -> Door {
        self.adviser.advice.lock().holds_certificates = false;
        let running = self.begin().start();
        in_use(&running, "one.test");
        assert_eq!(self.adviser.advice.lock().orders, 1, "one order, and one certificate");
        running
    }
}

async fn why(running: &Door) -> String {
    let why = refused(running, "one.test")["why"].as_str().unwrap().to_owned();
    running.wait_for_metric("acme_orders_total{name=\"one.test\",outcome=\"failed\"}", 1.0).await;
    why
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authority_that_is_slow_is_given_up_for_now() {
    let scene = Scene::new().await;
    let mut running = scene.begin().start();
    scene.adviser.asked_for_certificate().await;
    // Nobody else waits for it.
    let waiting = client::get(scene.doorstep.http_address(), "/", &[("host", "one.test")]).await;
    assert_eq!((waiting.status, waiting.header("retry-after").as_str()), (503, "5"));
    let health = wire::get(running.admin(), "/health/ready").await;
    assert!(wire::status(&health) == 200 && health.contains("one.test waits for its first certificate"), "{health}");
    let why = why(&running).await;
    assert!(why.contains("127.0.0.1 did not answer within 30s"), "{why}");
    running.signal("TERM");
    assert!(running.wait().success());
    scene.pause_passes();
    scene.comes_to_one();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_in_the_midst_neither_waits_nor_orders_anew() {
    let scene = Scene::new().await;
    let mut running = scene.begin().start();
    scene.adviser.asked_for_certificate().await;
    running.signal("TERM");
    assert!(running.wait().success());
    scene.pause_passes();
    scene.comes_to_one();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_that_cannot_be_seen_just_now_is_kept() {
    let scene = Scene::new().await;
    let running = scene.begin().start();
    scene.adviser.asked_for_certificate().await;
    drop(running);
    scene.pause_passes();
    scene.adviser.advice.lock().loses_orders = true;
    let running = scene.begin().start();
    let why = why(&running).await;
    assert!(why.contains("cannot speak with 127.0.0.1"), "{why}");
    drop(running);
    scene.pause_passes();
    scene.adviser.advice.lock().loses_orders = false;
    scene.comes_to_one();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_that_fills_in_the_midst_costs_no_second_order() {
    let scene = Scene::new().await;
    let running = scene.begin().full_disk(1024).start();
    scene.adviser.asked_for_certificate().await;
    running.fill_disk(8);
    scene.adviser.advice.lock().holds_certificates = false;
    let why = why(&running).await;
    assert!(why.contains("cannot write into") && why.contains("File too large"), "{why}");
    drop(running);
    scene.pause_passes();
    scene.comes_to_one();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_is_read_only_orders_nothing() {
    let scene = Scene::new().await;
    std::fs::create_dir_all(scene.storage.path()).unwrap();
    let Some(builder) = scene.begin().read_only(&scene.storage.path()) else {
        // Past the test runner, which keeps what a test prints: tests/run tells of it at the end.
        let _ = std::io::stderr().write_all(b"\nskipped: 1 (nothing can be mounted read-only)\n");
        return;
    };
    let running = builder.start();
    let why = why(&running).await;
    assert!(why.contains("cannot write into") && why.contains("Read-only file system"), "{why}");
    let waiting = client::get(scene.doorstep.http_address(), "/", &[("host", "one.test")]).await;
    assert_eq!(waiting.status, 503);
    drop(running);
    assert_eq!(scene.adviser.advice.lock().orders, 0);
    scene.comes_to_one();
}
