//! Promise: a stream that its client is about to drop is given nothing more, and not ended: what comes then is for the next.

use serde_json::json;

use super::app::{enter, pusher, sign, subscribe};
use crate::harness::Door;
use crate::harness::client::{Answer, ask};
use crate::harness::socket::Socket;

/// With more UTF-16 code units than this, all of them read, `pusher-js` drops a request.
const MARK: usize = 262_144;
const SESSION: &str = "/pusher/app/app-key/1/session";

/// A request of the client's, and what it has of its text.
struct Stream {
    answer: Answer,
    bytes: Vec<u8>,
}

impl Stream {
    async fn open(door: &Door) -> Stream {
        let answer = ask(door.http(), "POST", &format!("{SESSION}/xhr_streaming?protocol=7"), &[], "").await;
        assert_eq!(answer.status, 200);
        Stream { answer, bytes: Vec::new() }
    }

    /// Reads until the text has this in it.
    async fn until(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.bytes).contains(text) {
            let chunk = self.answer.chunk().await.expect("it is not ended");
            self.bytes.extend_from_slice(&chunk);
        }
    }

    /// Reads until the client would drop it: past the mark, at the end of a line.
    async fn until_dropped(&mut self) -> String {
        loop {
            let chunk = self.answer.chunk().await.expect("it is not ended");
            self.bytes.extend_from_slice(&chunk);
            if self.bytes.ends_with(b"\n") {
                let text = std::str::from_utf8(&self.bytes).expect("UTF-8");
                if text.encode_utf16().count() > MARK {
                    return text.to_owned();
                }
            }
        }
    }
}

async fn send(door: &Door, message: &str) {
    let body = json!([message]).to_string();
    assert_eq!(ask(door.http(), "POST", &format!("{SESSION}/xhr_send"), &[], body).await.status, 204);
}

/// A speaker in a private channel that the session's client hears too.
async fn speaker(door: &Door, stream: &mut Stream) -> Socket {
    stream.until("socket_id").await;
    let text = String::from_utf8_lossy(&stream.bytes).into_owned();
    let after = text.split("socket_id").nth(1).expect("an id");
    let id: String =
        after.chars().skip_while(|c| !c.is_ascii_digit()).take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let auth = |id: &str| format!("app-key:{}", sign("app-secret", &format!("{id}:private-x")));
    send(door, &subscribe("private-x", &auth(&id))).await;
    stream.until("subscription_succeeded").await;
    let (mut socket, own) = enter(door).await;
    socket.say(&subscribe("private-x", &auth(&own))).await;
    assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    socket
}

async fn say(speaker: &mut Socket, number: usize, filler: &str) {
    let event = json!({ "event": "client-n", "channel": "private-x", "data": format!("<{number}>{filler}") });
    speaker.say(&event.to_string()).await;
}

/// The numbers that were said, as they stand in a text.
fn numbers(text: &str) -> Vec<usize> {
    let numbers = text.split('<').skip(1).filter_map(|rest| rest.split_once('>')?.0.parse().ok());
    numbers.collect()
}

#[tokio::test]
async fn nothing_follows_the_mark_until_the_next_request() {
    // Of one to four bytes; each is one code unit, the last is two.
    for character in ["x", "ü", "€", "🦀"] {
        let door = pusher("client_event_rate = 100000\n");
        let mut stream = Stream::open(&door).await;
        let mut speaker = speaker(&door, &mut stream).await;
        let filler = character.repeat(2000);
        let (mut said, mut heard) = (0, Vec::new());
        for _ in 0..3 {
            // So many that they are past the mark, and some more.
            let enough = said + MARK / filler.encode_utf16().count() + 20;
            while said < enough {
                say(&mut speaker, said, &filler).await;
                said += 1;
            }
            let text = stream.until_dropped().await;
            let last_line = text.trim_end().rfind('\n').expect("a line before") + 1;
            assert!(text[..last_line].encode_utf16().count() <= MARK, "more came after the mark");
            heard.extend(numbers(&text));
            // The old request is dropped when the next one is under way.
            let next = Stream::open(&door).await;
            assert_eq!(stream.answer.chunk().await, None, "nothing more for the old one");
            stream = next;
        }
        say(&mut speaker, said, "").await;
        stream.until(&format!("<{said}>")).await;
        heard.extend(numbers(std::str::from_utf8(&stream.bytes).expect("UTF-8")));
        assert_eq!(heard, (0..=said).collect::<Vec<_>>(), "each once, in order");
    }
}

#[tokio::test]
async fn client_between_two_streams_misses_nothing() {
    let door = pusher("client_event_rate = 100000\n");
    let mut stream = Stream::open(&door).await;
    let mut speaker = speaker(&door, &mut stream).await;
    let filler = "x".repeat(9000);
    let mut heard = Vec::new();
    for number in 0..40 {
        say(&mut speaker, number, &filler).await;
    }
    heard.extend(numbers(&stream.until_dropped().await));
    drop(stream);
    say(&mut speaker, 40, "").await;
    let mut next = Stream::open(&door).await;
    next.until("<40>").await;
    heard.extend(numbers(std::str::from_utf8(&next.bytes).expect("UTF-8")));
    assert_eq!(heard, (0..=40).collect::<Vec<_>>());
}
