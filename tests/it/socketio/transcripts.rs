//! Promise: conversations go as they are written down in `tests/transcripts`: Socket.IO's by polling and by WebSocket,
//! Engine.IO's request by request.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio_tungstenite::tungstenite::Message;

use super::polling::{OPEN, PATH, Polling, open, text};
use crate::harness::client::{ask, get};
use crate::harness::socket::{Socket, connect};
use crate::harness::{Door, door};

const SEPARATOR: char = '\u{1e}';

struct Transcript {
    path: PathBuf,
    config: String,
    /// With their numbers.
    lines: Vec<(usize, String)>,
}

fn transcripts(folder: &str) -> Vec<Transcript> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(folder);
    let mut paths: Vec<_> =
        std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("it").path()).collect();
    paths.sort();
    assert!(paths.len() >= 3, "{folder:?}");
    paths.into_iter().map(Transcript::read).collect()
}

impl Transcript {
    fn read(path: PathBuf) -> Transcript {
        let whole = std::fs::read_to_string(&path).expect("a transcript");
        let config = whole.lines().filter_map(|line| line.strip_prefix("= ")).map(|line| format!("{line}\n")).collect();
        let is_said = |line: &&str| !line.is_empty() && !line.starts_with(['#', '=']);
        let numbered = whole.lines().enumerate().map(|(place, line)| (place + 1, line));
        let lines = numbered.filter(|(_, line)| is_said(line)).map(|(place, line)| (place, line.to_owned())).collect();
        Transcript { path, config, lines }
    }
}

/// `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(before) else { return false };
    loop {
        if fits(rest, text) {
            return true;
        }
        let Some(first) = text.chars().next() else { return false };
        text = &text[first.len_utf8()..];
    }
}

/// One frame either way.
#[derive(Debug, Clone, PartialEq)]
enum Frame {
    Text(String),
    Bytes(Vec<u8>),
    Closed,
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.trim().chars().collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).expect("hexadecimal")).collect()
}

enum Client {
    Socket(Socket),
    Polling(Polling, VecDeque<Frame>),
}

impl Client {
    async fn say(&mut self, frame: Frame) {
        match (self, frame) {
            (Client::Socket(socket), Frame::Text(text)) => socket.say(&text).await,
            (Client::Socket(socket), Frame::Bytes(bytes)) => socket.send(Message::binary(bytes)).await,
            (Client::Polling(session, _), Frame::Text(text)) => session.say(text).await,
            (Client::Polling(session, _), Frame::Bytes(bytes)) => {
                session.say(format!("b{}", STANDARD.encode(bytes))).await
            }
            (_, Frame::Closed) => unreachable!("clients do not say so"),
        }
    }

    async fn hear(&mut self) -> Frame {
        match self {
            Client::Socket(socket) => match socket.frame().await {
                Some(Ok(Message::Text(text))) => Frame::Text(text.as_str().to_owned()),
                Some(Ok(Message::Binary(bytes))) => Frame::Bytes(bytes.to_vec()),
                Some(Ok(Message::Close(_))) | None => Frame::Closed,
                other => panic!("{other:?}"),
            },
            Client::Polling(session, waiting) => {
                while waiting.is_empty() {
                    let body = session.hear().await;
                    waiting.extend(body.split(SEPARATOR).filter(|packet| *packet != "6").map(|packet| {
                        match packet.strip_prefix('b') {
                            Some(text) => Frame::Bytes(STANDARD.decode(text).expect("base64")),
                            None if packet == "1" => Frame::Closed,
                            None => Frame::Text(packet.to_owned()),
                        }
                    }));
                }
                waiting.pop_front().expect("something")
            }
        }
    }

    async fn play(&mut self, transcript: &Transcript) {
        for (number, line) in &transcript.lines {
            let place = format!("{}:{number}", transcript.path.display());
            if let Some(hex) = line.strip_prefix(">b") {
                self.say(Frame::Bytes(bytes(hex))).await;
            } else if let Some(text) = line.strip_prefix("> ") {
                self.say(Frame::Text(text.to_owned())).await;
            } else if let Some(hex) = line.strip_prefix("<b") {
                assert_eq!(self.hear().await, Frame::Bytes(bytes(hex)), "{place}");
            } else if line == "< closed" {
                assert_eq!(self.hear().await, Frame::Closed, "{place}");
            } else {
                let pattern = line.strip_prefix("< ").unwrap_or_else(|| panic!("{place}: {line}"));
                let heard = self.hear().await;
                assert!(matches!(&heard, Frame::Text(text) if fits(pattern, text)), "{place}: {heard:?}");
            }
        }
    }
}

#[tokio::test]
async fn socketio_by_polling() {
    for transcript in transcripts("socketio") {
        let door = door().config(&*transcript.config).start();
        Client::Polling(open(&door).await, VecDeque::new()).play(&transcript).await;
    }
}

#[tokio::test]
async fn socketio_by_websocket() {
    for transcript in transcripts("socketio") {
        let door = door().config(&*transcript.config).start();
        let mut socket = connect(&door, &format!("{PATH}?EIO=4&transport=websocket")).await;
        assert!(socket.hear().await.starts_with("0{"));
        Client::Socket(socket).play(&transcript).await;
    }
}

#[tokio::test]
async fn engine_request_by_request() {
    for transcript in transcripts("engine") {
        let door = door().config(&*transcript.config).start();
        let mut sid = None;
        let mut answered = None;
        for (number, line) in &transcript.lines {
            let place = format!("{}:{number}", transcript.path.display());
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let rest = rest.replace('|', &SEPARATOR.to_string());
            match word {
                "GET" | "POST" => answered = Some(request(&door, word, &sid, rest).await),
                status => {
                    let (found, body) = answered.take().unwrap_or_else(|| panic!("{place}: nothing was asked"));
                    assert_eq!(found.to_string(), status, "{place}: {body}");
                    assert!(fits(&rest, &body), "{place}: {body:?}");
                    if sid.is_none() {
                        sid = body.split('"').nth(3).map(str::to_owned);
                    }
                }
            }
        }
    }
}

async fn request(door: &Door, method: &str, sid: &Option<String>, body: String) -> (u16, String) {
    let session = sid.as_ref().map(|sid| format!("&sid={sid}")).unwrap_or_default();
    let target = format!("{PATH}?{OPEN}{session}");
    let answer = match method {
        "GET" => get(door.http(), &target, &[]).await,
        _ => ask(door.http(), method, &target, &[("content-type", "text/plain;charset=UTF-8")], body).await,
    };
    (answer.status, text(answer).await)
}
