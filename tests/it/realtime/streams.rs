//! Promise: a channel can be listened to with a stock `EventSource`, and read with a stock `fetch`.

use std::collections::VecDeque;

use serde_json::Value;

use crate::harness::client::{Answer, ask, get};
use crate::harness::socket::{Socket, connect};
use crate::harness::{Door, door, eventually};

const CONFIG: &str = "[[realtime.channel]]\nmatch = \"kept\"\nhistory = 5\n[realtime.plain]\necho = false\n";

/// An `EventSource` by hand: the id it would come back with, and the events as they come.
struct Events {
    answer: Answer,
    text: String,
    last_id: String,
    retry: u64,
    events: VecDeque<String>,
}

impl Events {
    async fn open(door: &Door, path: &str, headers: &[(&str, &str)]) -> Events {
        let headers: Vec<_> = headers.iter().copied().chain([("accept", "text/event-stream")]).collect();
        let answer = get(door.http(), path, &headers).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "text/event-stream");
        Events { answer, text: String::new(), last_id: String::new(), retry: 0, events: VecDeque::new() }
    }

    /// The next event's data, or `None` when the stream ends.
    async fn next(&mut self) -> Option<String> {
        while self.events.is_empty() {
            let chunk = self.answer.chunk().await?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            self.parse();
        }
        self.events.pop_front()
    }

    fn parse(&mut self) {
        while let Some((block, rest)) = self.text.split_once("\n\n") {
            let mut data = Vec::new();
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => self.last_id = id.to_owned(),
                    Some(("retry", after)) => self.retry = after.parse().unwrap(),
                    Some(("data", text)) => data.push(text),
                    _ => {}
                }
            }
            if !data.is_empty() {
                self.events.push_back(data.join("\n"));
            }
            self.text = rest.to_owned();
        }
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.next().await.expect("an event")).unwrap()
    }
}

async fn say(speaker: &mut Socket, text: &str) {
    speaker.say(text).await;
    assert_eq!(speaker.hear_json().await["data"], text);
}

#[tokio::test]
async fn events_are_the_channels_messages() {
    let door = door().config(CONFIG).start();
    let mut events = Events::open(&door, "/api/ws/kept", &[]).await;
    let mut speaker = connect(&door, "/api/ws/kept").await;
    say(&mut speaker, "two\nlines").await;
    assert_eq!(events.json().await, serde_json::json!({"type": "broadcast", "data": "two\nlines"}));
    assert!(!events.last_id.is_empty());
    assert!((1000..2000).contains(&events.retry), "{}", events.retry);
}

#[tokio::test]
async fn the_last_event_id_resumes_where_the_client_was() {
    let door = door().config(CONFIG).start();
    let mut speaker = connect(&door, "/api/ws/kept").await;
    let mut events = Events::open(&door, "/api/ws/kept", &[]).await;
    say(&mut speaker, "a").await;
    events.json().await;
    let last = events.last_id.clone();
    drop(events);
    say(&mut speaker, "b").await;
    say(&mut speaker, "c").await;
    let mut back = Events::open(&door, "/api/ws/kept", &[("last-event-id", &last)]).await;
    let told = back.json().await;
    assert_eq!((&told["recovered"], &told["missed"]), (&true.into(), &2.into()), "{told}");
    assert_eq!(back.json().await["data"], "b");
    assert_eq!(back.json().await["data"], "c");
    say(&mut speaker, "d").await;
    assert_eq!(back.json().await["data"], "d");
}

#[tokio::test]
async fn a_client_that_has_heard_nothing_yet_can_come_back_too() {
    let door = door().config(CONFIG).start();
    let mut speaker = connect(&door, "/api/ws/kept").await;
    say(&mut speaker, "before").await;
    let mut events = Events::open(&door, "/api/ws/kept", &[]).await;
    while events.last_id.is_empty() {
        let chunk = events.answer.chunk().await.expect("an id");
        events.text.push_str(std::str::from_utf8(&chunk).unwrap());
        events.parse();
    }
    assert!(events.events.is_empty(), "an id alone is no event");
    let last = events.last_id.clone();
    drop(events);
    say(&mut speaker, "after").await;
    let mut back = Events::open(&door, "/api/ws/kept", &[("last-event-id", &last)]).await;
    assert_eq!(back.json().await["missed"], 1);
    assert_eq!(back.json().await["data"], "after");
}

#[tokio::test]
async fn an_id_that_cannot_be_resumed_is_said_to_be_so() {
    let door = door().config(CONFIG).start();
    for id in ["1-1", "junk", "of another server"] {
        let mut back = Events::open(&door, "/api/ws/kept", &[("last-event-id", id)]).await;
        assert_eq!(back.json().await["recovered"], false, "{id}");
    }
}

#[tokio::test]
async fn history_is_read_as_json() {
    let door = door().config(CONFIG).start();
    let json = |answer: Answer| async move {
        assert_eq!((answer.status, answer.header("content-type").as_str()), (200, "application/json"));
        serde_json::from_slice::<Value>(&answer.bytes().await).unwrap()
    };
    let read = |path: &str| {
        let path = path.to_owned();
        let address = door.http();
        async move { get(address, &path, &[("accept", "application/json")]).await }
    };
    assert_eq!(json(read("/api/ws/kept").await).await["messages"], Value::Array(Vec::new()));
    let mut speaker = connect(&door, "/api/ws/kept").await;
    for text in ["a", "b", "c", "d", "e", "f"] {
        say(&mut speaker, text).await;
    }
    let texts = |json: &Value| {
        let messages = json["messages"].as_array().unwrap().iter();
        messages.map(|message| message["data"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = json(read("/api/ws/kept").await).await;
    assert_eq!(texts(&all), ["b", "c", "d", "e", "f"]);
    assert_eq!(all["id"], all["messages"][4]["id"]);
    assert_eq!(texts(&json(read("/api/ws/kept?limit=2").await).await), ["e", "f"]);
    let position = all["messages"][2]["id"].as_str().unwrap();
    assert_eq!(texts(&json(read(&format!("/api/ws/kept?since={position}")).await).await), ["e", "f"]);
    assert_eq!(texts(&json(read(&format!("/api/ws/kept?since={position}&limit=1")).await).await), ["e"]);
    let before = json(read(&format!("/api/ws/kept?before={position}&limit=1")).await).await;
    assert_eq!((texts(&before), &before["more"]), (vec!["c".to_owned()], &Value::Bool(true)), "the latest before it");
    let oldest = before["messages"][0]["id"].as_str().unwrap();
    let first = json(read(&format!("/api/ws/kept?before={oldest}")).await).await;
    assert_eq!((texts(&first), &first["more"]), (vec!["b".to_owned()], &Value::Null));
    assert_eq!(read(&format!("/api/ws/kept?before={position}&since={position}")).await.status, 400);
    assert_eq!(read("/api/ws/kept?before=1-1").await.status, 410);
    assert_eq!(read("/api/ws/kept?before=junk").await.status, 400);
    assert_eq!(read("/api/ws/kept?since=1-1").await.status, 410);
    assert_eq!(read("/api/ws/kept?since=junk").await.status, 400);
    assert_eq!(read("/api/ws/kept?limit=-1").await.status, 400);
    let head = ask(door.http(), "HEAD", "/api/ws/kept", &[("accept", "application/json")], "").await;
    assert_eq!((head.status, head.bytes().await.len()), (200, 0));
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read() {
    let door = door().config(format!("{CONFIG}[realtime]\norigins = [\"https://friend.test\"]\n")).start();
    for accept in ["application/json", "text/event-stream"] {
        let answer = get(door.http(), "/api/ws/kept", &[("accept", accept), ("origin", "https://friend.test")]).await;
        assert_eq!(answer.header("access-control-allow-origin"), "https://friend.test");
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        let answer = get(door.http(), "/api/ws/kept", &[("accept", accept)]).await;
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn a_stream_is_kept_alive_and_counted_as_gone_when_it_is() {
    let door = door().config(CONFIG.replace("echo", "ping_interval = \"100ms\"\necho")).start();
    let mut answer = get(door.http(), "/api/ws/kept", &[("accept", "text/event-stream")]).await;
    let mut text = String::new();
    while !text.contains(": ping\n\n: ping\n\n") {
        text.push_str(std::str::from_utf8(&answer.chunk().await.expect("pings")).unwrap());
    }
    drop(answer);
    let is_gone = || async { door.log().iter().any(|line| line["message"] == "socket closed") };
    eventually("it is gone", is_gone).await;
    assert_eq!(door.wait_for_log(|line| line["message"] == "socket closed")["reason"], "lost");
}
