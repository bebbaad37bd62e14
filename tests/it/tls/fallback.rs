//! Promise: where an authority gives no certificate for long the fallback is asked, which has an account for us by then; the
//! next renewal is the first one's again.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::acme::{Storage, begin, config, in_use, refused, state};
use crate::harness::pebble::{Advice, Adviser, Doorstep, Pebble};
use crate::harness::secure;
use crate::harness::{App, Door};

const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// Two authorities: something before the first, and a second that wants an account elsewhere.
struct Two {
    first: Pebble,
    before: Adviser,
    second: Pebble,
    storage: Storage,
}

impl Two {
    async fn start(doorstep: &Doorstep, advice: Advice) -> Two {
        let first = Pebble::start(doorstep).await;
        let binding = json!({ "externalAccountBindingRequired": true, "externalAccountMACKeys": { "kid-2": KEY } });
        let second = Pebble::with(doorstep, binding).await;
        first.trust_too(&second);
        let before = Adviser::before(&first, advice).await;
        Two { first, before, second, storage: Storage::new() }
    }

    /// `[tls.acme]` with both.
    fn config(&self, has_account: bool) -> String {
        let file = self.storage.path().with_extension("eab");
        std::fs::write(&file, KEY).unwrap();
        let account = format!("fallback_eab_key_id = \"kid-2\"\nfallback_eab_key_file = {file:?}\n");
        let more = self.second.as_fallback() + if has_account { &account } else { "" };
        self.first.config_at(self.before.address, &self.storage.path(), &more)
    }

    /// Where what is known of "one.test" is.
    fn folder(&self) -> PathBuf {
        self.storage.path().join(format!("{}-dir", self.before.address)).join("one.test")
    }
}

fn know(folder: &Path, state: &Value) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("state.json"), state.to_string()).unwrap();
}

fn is_asked(door: &Door) -> bool {
    door.log().iter().any(|line| line["message"] == "ordering a certificate from the fallback")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authority_that_is_down_for_long_is_replaced_until_it_is_back() {
    let (doorstep, app) = (Doorstep::new(), App::saying("hello").await);
    let two = Two::start(&doorstep, Advice { is_down: true, ..Advice::default() }).await;
    let begin = || begin(&doorstep, &app.config(), &["one.test"], &two.config(true));
    // It has failed once: the second time is not for long yet.
    know(&two.folder(), &json!({ "failures": 1, "chance": 0.5 }));
    let running = begin().start();
    refused(&running, "one.test");
    running.wait_for_log(|line| line["message"] == "the fallback has an account for us");
    running.wait_for_metric("acme_orders_total{name=\"one.test\",outcome=\"failed\"}", 1.0).await;
    drop(running);
    assert_eq!(state(&two.folder())["failures"], 2);
    know(&two.folder(), &json!({ "failures": 2, "chance": 0.5 }));
    let running = begin().start();
    let line = refused(&running, "one.test");
    assert_eq!(line["authority"], two.before.address.to_string(), "{line}");
    in_use(&running, "one.test");
    assert!(is_asked(&running));
    running.wait_for_metric("acme_last_result{name=\"one.test\"}", 1.0).await;
    let mut stream = two.second.client().await.connect(doorstep.https_address(), "one.test").await;
    assert!(secure::get(&mut stream, "one.test").await.contains("hello"));
    let given = secure::shown(&stream);
    drop(running);
    // It is known whose it is, and kept.
    let mut known = state(&two.folder());
    let id = known["fallback"].as_str().expect("whose it is").to_owned();
    assert_eq!(known["failures"], 0);
    let running = begin().start();
    let stream = two.second.client().await.connect(doorstep.https_address(), "one.test").await;
    assert_eq!(secure::shown(&stream), given);
    drop(running);
    // Its time comes, and the first one is back: it is asked as for the first time.
    two.before.advice.lock().is_down = false;
    known["issued"] = json!(known["issued"].as_u64().unwrap() - 7200);
    known["window"] = json!({ "id": id, "start": 1, "end": 3, "at": 2 });
    know(&two.folder(), &known);
    let running = begin().start();
    in_use(&running, "one.test");
    assert!(!is_asked(&running));
    two.first.client().await.connect(doorstep.https_address(), "one.test").await;
    let advice = two.before.advice.lock();
    assert_eq!((advice.orders, advice.replaced.len()), (1, 0));
    assert_eq!(state(&two.folder())["fallback"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_that_is_long_is_not_waited_for() {
    let (doorstep, app) = (Doorstep::new(), App::saying("hello").await);
    let two = Two::start(&doorstep, Advice { limit: Some(90_000), ..Advice::default() }).await;
    let running = begin(&doorstep, &app.config(), &["one.test"], &two.config(true)).start();
    refused(&running, "one.test");
    in_use(&running, "one.test");
    two.second.client().await.connect(doorstep.https_address(), "one.test").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fallback_that_cannot_be_used_is_said_before_it_is_needed() {
    let (doorstep, app) = (Doorstep::new(), App::saying("hello").await);
    let two = Two::start(&doorstep, Advice::default()).await;
    let acme = two.config(false);
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    let line = running.wait_for_log(|line| line["message"] == "the fallback cannot be used");
    assert!(line["why"].as_str().unwrap().contains("externalAccountRequired"), "{line}");
    in_use(&running, "one.test");
    let file = two.storage.path().with_extension("toml");
    std::fs::write(&file, config(&app.config(), &["localhost"], &acme)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_doorway")).args(["check", "--online"]).arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("give tls.acme.fallback_eab_key_id"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fallback_is_tried_again_while_the_first_is_waited_for() {
    let (doorstep, app) = (Doorstep::new(), App::saying("hello").await);
    let two = Two::start(&doorstep, Advice { limit: Some(90_000), ..Advice::default() }).await;
    let before_second = Adviser::before(&two.second, Advice { is_down: true, ..Advice::default() }).await;
    let direct = two.second.as_fallback();
    let acme = two.config(true).replace(&direct, &format!("fallback = \"https://{}/dir\"\n", before_second.address));
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    let second = before_second.address.to_string();
    running.wait_for_log(|line| line["message"] == "no certificate" && line["authority"] == second.as_str());
    running.wait_for_metric("acme_orders_total{name=\"one.test\",outcome=\"failed\"}", 2.0).await;
    drop(running);
    // A day is left for the first, a minute for the second, which is back.
    before_second.advice.lock().is_down = false;
    let folder = two.storage.path().join(format!("{second}-dir")).join("one.test");
    let mut known = state(&folder);
    known["next_try"] = Value::Null;
    know(&folder, &known);
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    in_use(&running, "one.test");
    assert_eq!((before_second.advice.lock().orders, state(&two.folder())["failures"].as_u64()), (1, Some(0)));
}
