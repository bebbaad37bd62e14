//! Promise: what happened is told, to a receiver that is who it says; also when the door stops before all is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::app::{enter, sign, subscribe};
use crate::harness::certificate::Authority;
use crate::harness::raw::eventually;
use crate::harness::socket::Socket;
use crate::harness::{App, Door, door, response};

/// The events that a receiver was sent, by the id of the request.
type Told = Arc<Mutex<Vec<(String, Vec<Value>)>>>;

/// A receiver that takes its time, and looks at each signature.
async fn receiver(time: Duration) -> (App, Told) {
    let told = Told::default();
    let kept = Arc::clone(&told);
    let app = App::start(move |request| {
        let told = Arc::clone(&told);
        async move {
            let header = |name: &str| request.headers()[name].to_str().expect("text").to_owned();
            let (id, key, signature) = (header("webhook-id"), header("x-pusher-key"), header("x-pusher-signature"));
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let text = std::str::from_utf8(&body).expect("text");
            assert_eq!((key.as_str(), signature), ("app-key", sign("app-secret", text)));
            tokio::time::sleep(time).await;
            let mut post: Value = serde_json::from_str(text).expect("JSON");
            let events = serde_json::from_value(post["events"].take()).expect("a list");
            told.lock().unwrap().push((id, events));
            response(200, "")
        }
    })
    .await;
    (app, kept)
}

fn events(told: &Told) -> Vec<Value> {
    let told = told.lock().unwrap();
    let by_id: HashMap<_, _> = told.iter().cloned().collect();
    assert_eq!(by_id.len(), told.len(), "none was told twice");
    told.iter().flat_map(|(_, events)| events.clone()).collect()
}

fn config(url: &str, more: &str) -> String {
    format!(
        "[app]\nurl = \"off\"\n{more}[[realtime.pusher]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"app-secret\"\n\
         client_event_rate = 10000\n[[realtime.pusher.webhooks]]\nurl = \"{url}\"\n"
    )
}

/// A client in `private-x` that has sent so many events; the door has read them all.
async fn speaker(door: &Door, count: usize) -> Socket {
    let (mut socket, id) = enter(door).await;
    let auth = format!("app-key:{}", sign("app-secret", &format!("{id}:private-x")));
    socket.say(&subscribe("private-x", &auth)).await;
    assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    for n in 0..count {
        let event = json!({ "event": "client-n", "channel": "private-x", "data": n });
        socket.say(&event.to_string()).await;
    }
    socket.say(r#"{"event":"pusher:ping","data":"{}"}"#).await;
    assert_eq!(socket.hear_json().await["event"], "pusher:pong");
    socket
}

#[tokio::test]
async fn a_receiver_is_told_over_tls_and_only_if_it_is_who_it_says() {
    let (app, told) = receiver(Duration::ZERO).await;
    let making = door();
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]).write(making.folder(), "front");
    let trusted = making.folder().join("authority.pem");
    std::fs::write(&trusted, &authority.pem).expect("a file");
    let front = format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}{}", files.keys(), app.config());
    let front = making.config(front).start();
    let hooked = config(&format!("https://localhost:{}/hook?secret=1", front.https().port()), "");

    let suspicious = door().config(hooked.clone()).start();
    let _speaker = speaker(&suspicious, 1).await;
    let line = suspicious.wait_for_log(|line| line["why"].as_str().is_some_and(|why| why.contains("certificate")));
    assert_eq!(line["receiver"], format!("https://localhost:{}/hook", front.https().port()), "without its secret");
    assert_eq!(told.lock().unwrap().len(), 0);

    let trusting = door().config(hooked).env("SSL_CERT_FILE", trusted.display().to_string()).start();
    let _speaker = speaker(&trusting, 3).await;
    eventually("all is told", || events(&told).len() == 4).await;
    assert_eq!(events(&told)[0], json!({ "name": "channel_occupied", "channel": "private-x" }));
    trusting.wait_for_metric("pusher_webhooks_events_total{outcome=\"delivered\"}", 4.0).await;
}

/// The receiver answers while the test waits for the door's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_delivers_pending_webhooks_and_none_of_its_own() {
    let (app, told) = receiver(Duration::from_millis(200)).await;
    let mut door = door().config(config(&format!("http://{}/hook", app.address), "")).start();
    let mut speaker = speaker(&door, 1000).await;
    let (mut leaver, _) = enter(&door).await;
    leaver.say(&subscribe("left", "")).await;
    assert_eq!(leaver.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    leaver.say(r#"{"event":"pusher:unsubscribe","data":{"channel":"left"}}"#).await;
    leaver.say(r#"{"event":"pusher:ping","data":"{}"}"#).await;
    assert_eq!(leaver.hear_json().await["event"], "pusher:pong");
    door.signal("TERM");
    assert_eq!((speaker.closed().await.0, leaver.closed().await.0), (4101, 4101));
    drop((speaker, leaver));
    assert!(door.wait().success());
    let events = events(&told);
    let spoken = events.iter().filter(|event| event["name"] == "client_event");
    let spoken: Vec<_> = spoken.map(|event| event["data"].as_str().expect("a string").to_owned()).collect();
    assert_eq!(spoken, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
    let others: Vec<_> = events.iter().filter(|event| event["name"] != "client_event").collect();
    let other = |name: &str, channel: &str| json!({ "name": name, "channel": channel });
    let expected = [
        other("channel_occupied", "private-x"),
        other("channel_occupied", "left"),
        // It did not wait to be quiet: this was before the stop.
        other("channel_vacated", "left"),
    ];
    assert_eq!(others, expected.iter().collect::<Vec<_>>());
    assert!(!door.output().contains("not delivered"), "{}", door.output());
}

#[tokio::test]
async fn what_nobody_takes_until_the_end_is_counted() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let drain = "[drain]\ntimeout = \"1s\"\n";
    let mut door = door().config(config(&format!("http://{nobody}/hook"), drain)).start();
    let _speaker = speaker(&door, 250).await;
    door.signal("TERM");
    door.wait();
    let line = door.wait_for_log(|line| line["message"] == "webhooks were not delivered before the door stopped");
    assert_eq!((&line["lost"], &line["receiver"]), (&json!(251), &json!(format!("http://{nobody}/hook"))));
}
