//! What any door is asked, it answers for all: lists, users, ends, questions to clients. A door that says nothing is left
//! out, and nobody waits for it for long.

use serde_json::{Value, json};

use super::{at_each, config, doors, hears, text};
use crate::api::{get, post};
use crate::harness::redis::Redis;
use crate::harness::socket::{Socket, connect};
use crate::harness::{App, Door, door, eventually, response};

/// The names and subscribers of a list.
fn listed(list: &Value) -> Vec<(String, u64)> {
    let channels = list["channels"].as_array().expect("channels");
    channels.iter().map(|one| (text(&one["name"]), one["subscribers"].as_u64().expect("a number"))).collect()
}

/// So many doors behind which an app says that everybody is ada.
async fn doors_of_ada<const N: usize>(redis: &Redis) -> ([Door; N], App) {
    let app = App::start(|request| async move {
        if request.method() == "POST" { response(200, json!({"user": "ada"}).to_string()) } else { response(404, "") }
    })
    .await;
    let callbacks = "[callbacks]\nevents = [\"connect\"]\n[[realtime.channel]]\nmatch = \"default\"\n";
    let config = format!("{}{}{callbacks}", app.config(), config(redis));
    let doors = [(); N].map(|()| door().config(config.clone()).start());
    doors.iter().for_each(hears);
    (doors, app)
}

#[tokio::test]
async fn lists_are_those_of_all_doors_in_parts_too() {
    let redis = Redis::start(&[]);
    let doors = doors::<3>(&redis);
    let mut sockets = at_each(&doors, "/api/ws/kept-1?since=now").await;
    for (number, door) in doors.iter().enumerate().skip(1) {
        sockets.push(connect(door, &format!("/api/ws/kept-{}", number + 1)).await);
    }
    for door in &doors {
        let expected = [("kept-1".to_owned(), 3), ("kept-2".to_owned(), 1), ("kept-3".to_owned(), 1)];
        eventually("all of them", async || listed(&get(door, "/channels").await.json) == expected).await;
        let part = get(door, "/channels?prefix=kept&limit=2").await.json;
        assert_eq!(listed(&part), expected[..2]);
        assert_eq!(part["next"], "kept-2");
        let rest = get(door, "/channels?prefix=kept&limit=2&after=kept-2").await.json;
        assert_eq!((listed(&rest), rest.get("next")), (expected[2..].to_vec(), None));
        assert_eq!(get(door, "/connections").await.json["connections"], 5);
    }
    drop(sockets);
    eventually("nobody", async || get(&doors[0], "/connections").await.json["connections"] == 0).await;
}

#[tokio::test]
async fn a_users_connections_are_found_and_ended_on_any_door() {
    let redis = Redis::start(&[]);
    let (doors, _app) = doors_of_ada::<3>(&redis).await;
    let mut sockets = Vec::new();
    for door in &doors[..2] {
        sockets.push(connect(door, "/api/ws").await);
    }
    let third = &doors[2];
    let of_ada = async || get(third, "/users/ada").await.json["connections"].as_array().expect("a list").clone();
    eventually("both", async || of_ada().await.len() == 2).await;
    assert_eq!(get(third, "/connections").await.json, json!({"connections": 2, "users": 1}));
    let id = text(&of_ada().await[0]);
    assert_eq!(get(third, &format!("/connections/{id}")).await.json, json!({"connection": id, "user": "ada"}));
    assert_eq!(get(third, "/connections/ffffffff00000000").await.status, 404);
    let sent = post(third, "/publish", json!({"user": "ada", "text": "bye"})).await;
    assert_eq!(sent.json, json!({"connections": 2}));
    let sent = post(third, "/publish", json!({"connection": "ffffffff00000000", "text": "bye"})).await;
    assert_eq!(sent.status, 404);
    let ended = post(third, "/disconnect", json!({"user": "ada", "code": 4001, "reason": "signed out"})).await;
    assert_eq!(ended.json, json!({"connections": 2}));
    for socket in &mut sockets {
        assert_eq!(socket.hear_json().await["data"], "bye");
        assert_eq!(socket.closed().await, (4001, "signed out".to_owned()));
    }
    // And one by its id.
    let mut again = connect(&doors[0], "/api/ws").await;
    eventually("one", async || of_ada().await.len() == 1).await;
    let id = text(&of_ada().await[0]);
    assert_eq!(post(third, "/disconnect", json!({"connection": id})).await.json, json!({"connections": 1}));
    assert_eq!(again.closed().await.0, 1008);
    let again = async || post(third, "/disconnect", json!({"connection": id})).await.status;
    eventually("nobody", async || again().await == 404).await;
}

/// A client of Socket.IO, in `/`.
pub async fn client(door: &Door) -> Socket {
    let mut socket = connect(door, "/socket.io/?EIO=4&transport=websocket").await;
    assert!(socket.hear().await.starts_with("0{"));
    socket.say("40").await;
    assert!(socket.hear().await.starts_with("40"));
    socket
}

/// Acknowledges the next question.
async fn acknowledge(socket: &mut Socket, answer: &str) {
    let text = socket.hear().await;
    let number: String = text.strip_prefix("42").expect("an event").chars().take_while(char::is_ascii_digit).collect();
    socket.say(&format!("43{number}[\"{answer}\"]")).await;
}

/// So many doors that are not soon taken for dead.
fn patient_doors<const N: usize>(redis: &Redis) -> [Door; N] {
    let doors = [(); N].map(|()| door().config(config(redis).replace("\"3s\"", "\"60s\"")).start());
    doors.iter().for_each(hears);
    doors
}

#[tokio::test]
async fn clients_of_all_doors_are_asked_and_answer() {
    let redis = Redis::start(&[]);
    let doors = patient_doors::<3>(&redis);
    let mut clients = Vec::new();
    for door in &doors {
        clients.push(client(door).await);
    }
    let [one, two, three] = &mut clients[..] else { panic!("three") };
    let ask = |limit: u64| post(&doors[0], "/emit", json!({ "name": "ready?", "serverTimeout": limit }));
    let answering = async { tokio::join!(acknowledge(one, "a"), acknowledge(two, "b"), acknowledge(three, "c")) };
    let (answer, _) = tokio::join!(ask(60_000), answering);
    assert_eq!(answer.status, 200, "{}", answer.json);
    let mut given: Vec<_> =
        answer.json["results"].as_array().unwrap().iter().map(|one| text(&one["args"][0])).collect();
    given.sort();
    assert_eq!(given, ["a", "b", "c"]);
    // Who does not answer is named, wherever it is.
    let answering = async { tokio::join!(acknowledge(one, "a"), acknowledge(two, "b")) };
    let (answer, _) = tokio::join!(ask(500), answering);
    assert_eq!((answer.status, answer.json["missing"].as_array().map(Vec::len)), (504, Some(1)), "{}", answer.json);
    // A door that says nothing cannot say whom it has.
    doors[2].signal("STOP");
    let answering = async { tokio::join!(acknowledge(one, "a"), acknowledge(two, "b")) };
    let (answer, _) = tokio::join!(ask(500), answering);
    doors[2].signal("CONT");
    assert_eq!((answer.status, answer.json["results"].as_array().map(Vec::len)), (504, Some(2)), "{}", answer.json);
    assert!(text(&answer.json["detail"]).contains("nor 1 of the doors"), "{}", answer.json);
}

#[tokio::test]
async fn a_door_that_says_nothing_is_left_out() {
    let redis = Redis::start(&[]);
    let doors = patient_doors::<3>(&redis);
    let mut sockets = Vec::new();
    for (number, door) in doors.iter().enumerate() {
        sockets.push(connect(door, &format!("/api/ws/kept-{}", number + 1)).await);
    }
    let [one, two, _] = &doors;
    let names = async || -> Vec<String> {
        listed(&get(one, "/channels").await.json).into_iter().map(|(name, _)| name).collect()
    };
    eventually("all", async || names().await == ["kept-1", "kept-2", "kept-3"]).await;
    two.signal("STOP");
    assert_eq!(names().await, ["kept-1", "kept-3"]);
    let is_said = |message: &str| message.starts_with("other doors have not answered");
    one.wait_for_log(|line| line["message"].as_str().is_some_and(is_said));
    let gone = post(one, "/disconnect", json!({"connection": "ffffffff00000000"})).await;
    assert_eq!(gone.status, 503, "it may be there: {}", gone.json);
    two.signal("CONT");
    eventually("all again", async || names().await == ["kept-1", "kept-2", "kept-3"]).await;
}

#[tokio::test]
async fn a_door_that_died_is_asked_no_more() {
    let redis = Redis::start(&[]);
    let [one, mut two] = doors::<2>(&redis);
    let socket = connect(&two, "/api/ws/kept-2").await;
    let names = async || listed(&get(&one, "/channels").await.json).len();
    eventually("it", async || names().await == 1).await;
    two.signal("KILL");
    two.wait();
    let gone = async || post(&one, "/disconnect", json!({"connection": "ffffffff00000000"})).await.status;
    eventually("nobody waits for it", async || gone().await == 404).await;
    assert_eq!(names().await, 0);
    drop(socket);
}
