//! Promise: an event with a `serverTimeout` is a question: the answer to it says what each client answered, or who has not
//! in time; whoever was not asked cannot answer, and what is open is bounded.

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::{Answer, call, call_with, post};
use crate::harness::socket::{Socket, connect};
use crate::harness::{Door, door};

const SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// A client in `/`, and its id.
async fn client(door: &Door) -> (Socket, String) {
    let mut socket = connect(door, SOCKET).await;
    assert!(socket.hear().await.starts_with("0{"));
    socket.say("40").await;
    let text = socket.hear().await;
    let open: Value = serde_json::from_str(text.strip_prefix("40").expect("it is in")).expect("JSON");
    (socket, open["sid"].as_str().expect("a sid").to_owned())
}

/// Asks in another task: clients answer meanwhile.
fn asking(door: &Door, body: Value) -> JoinHandle<(u16, Value)> {
    let address = door.admin();
    tokio::spawn(async move {
        let headers = [("host", "localhost"), ("content-type", "application/json")];
        let answer =
            crate::harness::client::ask(address, "POST", "/_doorway/api/v1/emit", &headers, body.to_string()).await;
        let (status, kind) = (answer.status, answer.headers.clone());
        let json = serde_json::from_slice(&answer.bytes().await).expect("JSON");
        super::schema::check_answer("POST", "/emit", status, &kind, &json);
        (status, json)
    })
}

/// The next question: its number, and the event.
async fn question(socket: &mut Socket) -> (u64, String) {
    let text = socket.hear().await;
    let rest = text.strip_prefix("42").expect("an event");
    let digits = rest.find('[').expect("arguments");
    (rest[..digits].parse().expect("a number"), rest[digits..].to_owned())
}

/// What comes until an event of this client's own is acknowledged.
async fn until_now(socket: &mut Socket) -> Vec<String> {
    socket.say("427[\"message\",1]").await;
    let mut heard = Vec::new();
    loop {
        let text = socket.hear().await;
        if text.starts_with("437") {
            return heard;
        }
        heard.push(text);
    }
}

#[tokio::test]
async fn everyone_answers_and_each_answer_is_told() {
    let door = door().start();
    let ((mut ada, adas), (mut bob, bobs)) = (client(&door).await, client(&door).await);
    let asked = asking(&door, json!({ "name": "ready?", "args": [1], "serverTimeout": 60_000 }));
    let (number, event) = question(&mut ada).await;
    assert_eq!(event, "[\"ready?\",1]");
    assert_eq!(question(&mut bob).await.0, number, "it is one question");
    bob.say(&format!("43{number}[\"yes\",{{\"a\":[1.50]}}]")).await;
    until_now(&mut bob).await;
    door.wait_for_metric("hub_questions", 1.0).await;
    ada.say(&format!("461-{number}[{{\"_placeholder\":true,\"num\":0}}]")).await;
    ada.send(Message::binary(&b"xyz"[..])).await;
    let (status, json) = asked.await.unwrap();
    assert_eq!(status, 200, "{json}");
    let results = json["results"].as_array().unwrap();
    assert_eq!((results.len(), &results[0]["socket"], &results[1]["socket"]), (2, &json!(bobs), &json!(adas)));
    assert_eq!(results[0]["args"], json!(["yes", { "a": [1.5] }]));
    assert_eq!(results[1]["args"], json!([{ "$base64": "eHl6" }]));
    assert_eq!(json.get("missing"), None);
    door.wait_for_metric("hub_questions", 0.0).await;
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_missing() {
    let door = door().start();
    let ((mut ada, adas), (mut bob, _)) = (client(&door).await, client(&door).await);
    let asked = asking(&door, json!({ "name": "ready?", "serverTimeout": 1500 }));
    let (number, _) = question(&mut ada).await;
    ada.say(&format!("43{number}[\"first\"]")).await;
    ada.say(&format!("43{number}[\"second\"]")).await;
    question(&mut bob).await;
    let (status, json) = asked.await.unwrap();
    assert_eq!((status, &json["type"]), (504, &json!("urn:doorway:problem:unanswered")), "{json}");
    assert_eq!(json["results"].as_array().unwrap().len(), 1);
    assert_eq!((&json["results"][0]["socket"], &json["results"][0]["args"]), (&json!(adas), &json!(["first"])));
    assert_eq!(json["missing"].as_array().unwrap().len(), 1);
    assert_ne!(json["missing"][0], json["results"][0]["connection"]);
    // Too late, and for a question that never was: nothing comes of it.
    bob.say(&format!("43{number}[\"late\"]")).await;
    bob.say("43999999[1]").await;
    until_now(&mut bob).await;
    door.wait_for_metric("hub_questions", 0.0).await;
}

#[tokio::test]
async fn only_those_count_who_were_asked_and_can_answer() {
    let door = door().start();
    let (mut ada, adas) = client(&door).await;
    let (mut eve, _) = client(&door).await;
    let mut plain = connect(&door, "/api/ws/lobby").await;
    for (socket, room) in [(&mut ada, "lobby"), (&mut eve, "elsewhere")] {
        socket.say(&format!("421[\"join-room\",\"{room}\"]")).await;
        while !socket.hear().await.starts_with("431") {}
    }
    let asked = asking(&door, json!({ "name": "ready?", "to": "lobby", "serverTimeout": 60_000 }));
    let (number, _) = question(&mut ada).await;
    while !plain.hear().await.contains("\"ready?\"") {}
    eve.say(&format!("43{number}[\"I was not asked\"]")).await;
    until_now(&mut eve).await;
    ada.say(&format!("43{number}[]")).await;
    let (status, json) = asked.await.unwrap();
    assert_eq!(status, 200, "{json}");
    assert_eq!(json["results"].as_array().unwrap().len(), 1);
    assert_eq!((&json["results"][0]["socket"], &json["results"][0]["args"]), (&json!(adas), &json!([])));

    // Nobody is there: nobody is missing.
    let nobody = post(&door, "/emit", json!({ "name": "x", "to": "empty", "serverTimeout": 60_000 })).await;
    assert_eq!((nobody.status, nobody.json), (200, json!({ "results": [] })));
    // One that is still connected, but no longer in the namespace.
    ada.say("41").await;
    ada.say("40").await;
    ada.hear().await;
    let gone = post(&door, "/emit", json!({ "name": "x", "to": adas, "serverTimeout": 60_000 })).await;
    assert_eq!((gone.status, gone.json), (200, json!({ "results": [] })));
}

#[tokio::test]
async fn single_clients_and_all_but_some_are_asked_too() {
    let door = door().start();
    let ((mut ada, adas), (mut bob, bobs)) = (client(&door).await, client(&door).await);
    for body in [
        json!({ "name": "q", "to": [&adas], "serverTimeout": 60_000 }),
        json!({ "name": "q", "except": [&bobs], "serverTimeout": 60_000, "volatile": true }),
    ] {
        let asked = asking(&door, body);
        let (number, _) = question(&mut ada).await;
        ada.say(&format!("43{number}[7]")).await;
        let (status, json) = asked.await.unwrap();
        assert_eq!((status, json["results"].as_array().unwrap().len()), (200, 1), "{json}");
        assert_eq!(json["results"][0]["socket"], json!(adas));
    }
    assert!(until_now(&mut bob).await.iter().all(|text| !text.contains("\"q\"")), "it was asked nothing");
}

#[tokio::test]
async fn questions_and_answers_are_bounded() {
    let door = door().config("[realtime]\nmax_questions = 2\nmax_answers = \"2KiB\"\n").start();
    let (mut ada, _) = client(&door).await;
    let body = json!({ "name": "q", "serverTimeout": 2000 });
    let first = asking(&door, body.clone());
    let (number, _) = question(&mut ada).await;
    let second = asking(&door, body.clone());
    let (next, _) = question(&mut ada).await;
    let third = post(&door, "/emit", body.clone()).await;
    assert_eq!((third.status, third.header("retry-after")), (503, "1"));
    ada.say(&format!("43{number}[\"{}\"]", "x".repeat(4000))).await;
    ada.say(&format!("43{next}[\"short\"]")).await;
    assert_eq!(second.await.unwrap().0, 200);
    let (status, json) = first.await.unwrap();
    assert_eq!((status, json["results"].as_array().unwrap().len()), (504, 0), "the answer is not kept");
    door.wait_for_metric("hub_questions", 0.0).await;
    let again = asking(&door, body);
    let (number, _) = question(&mut ada).await;
    ada.say(&format!("43{number}[\"short\"]")).await;
    assert_eq!(again.await.unwrap().0, 200, "there is room again");
}

#[tokio::test]
async fn who_asks_and_goes_away_leaves_nothing_open() {
    let door = door().start();
    let (mut ada, _) = client(&door).await;
    let asked = asking(&door, json!({ "name": "q", "serverTimeout": 300_000 }));
    question(&mut ada).await;
    door.wait_for_metric("hub_questions", 1.0).await;
    asked.abort();
    door.wait_for_metric("hub_questions", 0.0).await;
}

#[tokio::test]
async fn a_question_with_a_key_is_asked_once() {
    let door = door().start();
    let (mut ada, _) = client(&door).await;
    let key = [("idempotency-key", "one")];
    let body = json!({ "name": "q", "serverTimeout": 300 }).to_string();
    let first: Answer = call_with(&door, "POST", "/emit", &key, &body).await;
    let again = call_with(&door, "POST", "/emit", &key, &body).await;
    assert_eq!((first.status, again.status, again.header("idempotency-replayed")), (504, 504, "true"));
    assert_eq!(first.json, again.json);
    question(&mut ada).await;
    assert!(until_now(&mut ada).await.iter().all(|text| !text.contains("\"q\"")), "and not a second time");
}

#[tokio::test]
async fn a_time_that_makes_no_sense_is_named() {
    let door = door().start();
    for time in ["0", "-1", "1.5", "300001", "\"5s\""] {
        let answer = call(&door, "POST", "/emit", &format!("{{\"name\":\"q\",\"serverTimeout\":{time}}}")).await;
        assert_eq!((answer.status, &answer.json["errors"][0]["pointer"]), (400, &json!("#/serverTimeout")), "{time}");
    }
}
