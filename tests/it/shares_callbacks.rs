//! Promise: one address cannot take all turns at the app's callback, nor all places among those who wait for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;
use serde_json::Value;

use crate::harness::raw::eventually;
use crate::harness::{App, door, response};
use crate::shares_realtime::{GREEDY, OTHER, is_served, open};

#[tokio::test]
async fn questions_to_the_app_of_one_address_hold_nobody_up() {
    let held = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&held);
    let app = App::start(move |request| {
        let count = Arc::clone(&count);
        async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            let question: Value = serde_json::from_slice(&body).expect("JSON");
            if question["data"]["text"] == "hold" {
                count.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            response(200, "{}")
        }
    })
    .await;
    let callbacks = "[callbacks]\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\nevents = [\"message\"]\n\
                     concurrency = 4\nmax_waiting = 16\n";
    let rest = "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n[[realtime.channel]]\nmatch = \"*\"\n";
    let door = door().config(format!("{}{callbacks}{rest}", app.config())).start();
    let mut greedy = Vec::new();
    for n in 0..24 {
        let mut socket = open(&door, GREEDY, &format!("/api/ws/held-{n}")).await;
        socket.say("hold").await;
        greedy.push(socket);
    }
    eventually("its share is under way", || held.load(Ordering::Relaxed) == 2).await;
    let _other = is_served(&door, OTHER, "/api/ws/own").await;
    assert_eq!(held.load(Ordering::Relaxed), 2, "the others of the greedy one wait, or were refused");
}
