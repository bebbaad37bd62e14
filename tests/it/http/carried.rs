//! Promise: a long body that nobody looks into goes from socket to socket within the kernel, and that is all the difference:
//! the same bytes, the same line in the log, the same numbers, the same limits as where it is copied (`zero_copy = false`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::raw::{RawApp, eventually, ok};
use crate::harness::{Door, Kept, access, door, numbers, same, wire};

const LONG: usize = 3 * 1024 * 1024 + 17;
const HUGE: usize = 40 * 1024 * 1024;

/// Bytes of which no piece is like another.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = fastrand::Rng::with_seed(7);
    let mut bytes = vec![0; HUGE];
    random.fill(&mut bytes);
    bytes
});

fn bytes(length: usize) -> Vec<u8> {
    BYTES[..length].to_vec()
}

/// Letters that a compressor can do something with.
fn text(length: usize) -> String {
    let mut text: String = (0..length / 8).map(|number| format!("{number:07}\n")).collect();
    text.truncate(length);
    text
}

fn head(length: usize, more: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{more}Content-Length: {length}\r\n\r\n")
}

async fn app() -> RawApp {
    RawApp::start(|mut asked| async move {
        let (target, length) = (asked.target().to_owned(), asked.header("content-length").parse().unwrap_or(0));
        let (path, number) = target[1..].split_once('/').unwrap_or((&target[1..], ""));
        let number = number.parse().unwrap_or(LONG);
        match path {
            "down" => {
                asked.send(head(number, "")).await;
                asked.send(bytes(number)).await;
            }
            "with-its-head" => asked.send([head(number, "").into_bytes(), bytes(number)].concat()).await,
            "pieces" => {
                asked.send(head(number, "")).await;
                for piece in bytes(number).chunks(7001) {
                    asked.send(piece).await;
                    tokio::task::yield_now().await;
                }
            }
            "text" => asked.send(head(number, "Content-Type: text/plain\r\n") + &text(number)).await,
            "short" => {
                asked.send(head(number, "")).await;
                asked.send(&bytes(number)[..number / 2]).await;
                return None;
            }
            "up" | "both" => {
                let body = asked.body(length).await;
                if body.len() < length {
                    return None;
                }
                let is_right = body == bytes(length);
                match path {
                    "up" => asked.send(ok(&format!("{length} {is_right}"))).await,
                    _ => asked.send([head(length, "").into_bytes(), body].concat()).await,
                }
            }
            // It answers before it has read anything.
            _ => {
                asked.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
                asked.closed().await;
                return None;
            }
        }
        Some(asked)
    })
    .await
}

/// A door that carries bodies, and one that copies them.
fn doors(app: &RawApp, http: &str) -> [Door; 2] {
    [true, false].map(|is_on| door().config(format!("{}[http]\nzero_copy = {is_on}\n{http}", app.config())).start())
}

fn get(target: &str, lines: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n").into_bytes()
}

fn post(target: &str, length: usize) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: site.test\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), bytes(length)].concat()
}

/// What is said on one connection, and what each answer must hold.
fn conversation() -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let is_right = |length: usize| Some(format!("\r\n\r\n{length} true").into_bytes());
    vec![
        (get("/down/100", ""), Some(bytes(100))),
        (get("/down/65536", ""), Some(bytes(65536))),
        (get("/down/200001", ""), Some(bytes(200_001))),
        (get("/down", ""), Some(bytes(LONG))),
        (get("/down", "Connection: keep-alive, keep-alive\r\n"), Some(bytes(LONG))),
        (get("/with-its-head/70000", ""), Some(bytes(70_000))),
        (get("/with-its-head", ""), Some(bytes(LONG))),
        (get("/pieces/400000", ""), Some(bytes(400_000))),
        (get("/text/500000", ""), Some(text(500_000).into_bytes())),
        (get("/text/500000", "Accept-Encoding: gzip\r\n"), None),
        (post("/up", 100), is_right(100)),
        (post("/up", 65536), is_right(65536)),
        (post("/up", LONG), is_right(LONG)),
        (get("/down/300000", ""), Some(bytes(300_000))),
        (post("/both", LONG), Some(bytes(LONG))),
        (post("/both", 70_000), Some(bytes(70_000))),
    ]
}

/// Asks on one connection; what comes last breaks off.
async fn talk(door: &Door) -> Vec<Vec<u8>> {
    let (reader, writer) = TcpStream::connect(door.http()).await.unwrap().into_split();
    let (mut reader, mut writer) = (Kept::of(reader), writer);
    let mut answers = Vec::new();
    for (request, holds) in conversation() {
        let sent = async { writer.write_all(&request).await.unwrap() };
        let ((), answer) = tokio::join!(sent, reader.read(false));
        let line = String::from_utf8_lossy(&request[..30]).into_owned();
        if let Some(holds) = holds {
            assert!(answer.ends_with(&holds), "{line}: {}", String::from_utf8_lossy(&answer[..300.min(answer.len())]));
        }
        answers.push(answer);
    }
    // Each by itself in one piece: a request behind a body, and another behind that.
    let all = [post("/up", 200_000), post("/up", 150_000), get("/down/150000", "")].concat();
    let sent = async { writer.write_all(&all).await.unwrap() };
    let read = async { [reader.read(false).await, reader.read(false).await, reader.read(false).await] };
    let ((), more) = tokio::join!(sent, read);
    assert!(more[0].ends_with(b"200000 true") && more[1].ends_with(b"150000 true"));
    answers.extend(more);
    writer.write_all(&get("/short", "")).await.unwrap();
    let mut rest = Vec::new();
    let _ = reader.0.read_to_end(&mut rest).await;
    assert!(rest.ends_with(&bytes(LONG)[..LONG / 2]), "what came of it is there: {} bytes", rest.len());
    answers.push(rest);
    answers
}

/// A client that takes little at a time is far behind when the app breaks off, and gets all the same what there was.
#[tokio::test]
async fn what_came_before_an_answer_broke_off_reaches_a_slow_client() {
    let app = app().await;
    for door in doors(&app, "") {
        for _ in 0..5 {
            let mut stream = wire::narrow(door.http(), 16 * 1024).await;
            stream.write_all(&get("/short", "")).await.unwrap();
            let mut rest = Vec::new();
            while stream.read_buf(&mut rest).await.is_ok_and(|length| length > 0) {
                tokio::task::yield_now().await;
            }
            assert!(rest.ends_with(&bytes(LONG)[..LONG / 2]), "{} bytes of {}", rest.len(), LONG / 2);
        }
    }
}

#[tokio::test]
async fn both_ways_are_one_to_client_log_and_numbers() {
    let app = app().await;
    let mut seen = Vec::new();
    for door in doors(&app, "") {
        let answers: Vec<String> = talk(&door).await.iter().map(|answer| same(answer)).collect();
        let is_logged = || access(&door).len() == answers.len();
        eventually("every request has its line", is_logged).await;
        let cut = door.metric("upstream_failures_total{kind=\"cut_short\"}").await;
        seen.push((answers, access(&door), numbers(&door).await, cut));
    }
    let (copied, carried) = (seen.pop().unwrap(), seen.pop().unwrap());
    for (carried, copied) in carried.0.iter().zip(&copied.0) {
        assert_eq!(carried.len(), copied.len());
        assert!(carried == copied, "{}", &copied[..300.min(copied.len())]);
    }
    assert_eq!(carried.1, copied.1);
    assert_eq!(carried.1.last().unwrap()["ending"], "broken");
    assert_eq!(carried.1.last().unwrap()["bytes_out"], Value::from(LONG / 2));
    assert_eq!(carried.2, copied.2);
    assert_eq!((carried.3, copied.3), (1.0, 1.0));
}

#[tokio::test]
async fn it_lies_in_a_pipe_that_is_gone_when_it_is_over() {
    let app = app().await;
    for (door, used) in doors(&app, "").into_iter().zip([2, 0]) {
        Kept::to(&door).await.ask("GET /down/100 HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        let before = door.pipes();
        let mut client = TcpStream::connect(door.http()).await.unwrap();
        client.write_all(&get(&format!("/down/{HUGE}"), "")).await.unwrap();
        let mut part = vec![0; HUGE / 4];
        client.read_exact(&mut part).await.unwrap();
        assert_eq!(door.pipes(), before + used, "of an answer");
        let mut sender = TcpStream::connect(door.http()).await.unwrap();
        sender.write_all(&post("/up", HUGE)[..HUGE / 2]).await.unwrap();
        assert_eq!(door.pipes(), before + 2 * used, "and of a request beside it");
        // What is in them goes with them; else somebody else would get it.
        drop((client, sender));
        eventually("nobody holds them", || door.pipes() <= before + 2 * used && access(&door).len() == 3).await;
        let before = before + 2 * used;
        let mut open = Vec::new();
        for _ in 0..5 {
            let (reader, mut writer) = TcpStream::connect(door.http()).await.unwrap().into_split();
            let mut kept = Kept::of(reader);
            for (request, holds) in [(get("/down", ""), bytes(LONG)), (post("/both", LONG), bytes(LONG))] {
                let (sent, answer) = tokio::join!(writer.write_all(&request), kept.read(false));
                sent.unwrap();
                assert!(answer.ends_with(&holds));
            }
            open.push((kept, writer));
        }
        eventually("who waits for his next request holds none", || door.pipes() <= before).await;
    }
}

#[tokio::test]
async fn more_than_can_be_carried_are_copied() {
    const CROWD: usize = 150;
    let app = app().await;
    let [door, _] = doors(&app, "");
    Kept::to(&door).await.ask("GET /down/100 HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    let before = door.pipes();
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut client = TcpStream::connect(door.http()).await.unwrap();
        client.write_all(&get("/down", "")).await.unwrap();
        let mut part = vec![0; 4096];
        client.read_exact(&mut part).await.unwrap();
        crowd.push((client, part));
    }
    eventually("as many as may be are carried", || door.pipes() == before + 256).await;
    for (mut client, mut part) in crowd {
        while part.windows(4).position(|end| end == b"\r\n\r\n").is_none_or(|end| part.len() < end + 4 + LONG) {
            let length = part.len();
            part.resize(length + 256 * 1024, 0);
            let read = client.read(&mut part[length..]).await.unwrap();
            assert!(read > 0, "cut short at {length}");
            part.truncate(length + read);
        }
        assert!(part.ends_with(&bytes(LONG)));
    }
    eventually("some are kept for others", || door.pipes() <= before + 64).await;
}

#[tokio::test]
async fn limits_hold_whichever_way_it_goes() {
    let app = app().await;
    let limits = "body_timeout = \"400ms\"\nwrite_timeout = \"400ms\"\nmax_body = \"4MiB\"\n";
    for door in doors(&app, limits) {
        // A client that stops in the midst of its body, when much of it is with the app.
        let mut client = TcpStream::connect(door.http()).await.unwrap();
        client.write_all(&post("/up", LONG)[..LONG - 1000]).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(wire::status(&answer), 408, "{answer}");
        // One that leaves then.
        let requests = app.requests();
        let mut client = TcpStream::connect(door.http()).await.unwrap();
        client.write_all(&post("/up", LONG)[..LONG - 1000]).await.unwrap();
        eventually("the app is asked", || app.requests() == requests + 1).await;
        drop(client);
        let is_logged = || access(&door).iter().any(|line| line["ending"] == "abandoned" || line["status"] == 400);
        eventually("it is missed", is_logged).await;
        // One that takes nothing of its answer.
        let mut client = TcpStream::connect(door.http()).await.unwrap();
        socket2::SockRef::from(&client).set_recv_buffer_size(16 * 1024).unwrap();
        client.write_all(&get("/down/30000000", "")).await.unwrap();
        let is_cut =
            || access(&door).iter().any(|line| line["path"] == "/down/30000000" && line["ending"] == "abandoned");
        eventually("it is cut off", is_cut).await;
        // One whose app wants nothing of what it sends.
        let (mut reader, mut writer) = TcpStream::connect(door.http()).await.unwrap().into_split();
        let sending = tokio::spawn(async move {
            let _ = writer.write_all(&post("/refuse", LONG)).await;
            writer
        });
        let mut answer = vec![0; 12];
        reader.read_exact(&mut answer).await.unwrap();
        assert_eq!(wire::status(&String::from_utf8_lossy(&answer)), 403);
        drop(sending.await.unwrap());
        let answer = wire::exchange(door.http(), &post("/up", 5 * 1024 * 1024)[..200]).await;
        assert_eq!(wire::status(&answer), 413, "{answer}");
    }
}

#[tokio::test]
async fn a_path_in_the_file_system_is_no_other_app() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut read = Vec::new();
                loop {
                    let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") else {
                        if matches!(stream.read_buf(&mut read).await, Ok(0) | Err(_)) {
                            return;
                        }
                        continue;
                    };
                    let text = String::from_utf8_lossy(&read[..end]).to_lowercase();
                    let said = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                    let length: usize = said.map_or(0, |said| said.parse().unwrap());
                    while read.len() < end + 4 + length {
                        if matches!(stream.read_buf(&mut read).await, Ok(0) | Err(_)) {
                            return;
                        }
                    }
                    let body: Vec<u8> = read.drain(..end + 4 + length).skip(end + 4).collect();
                    counted.fetch_add(1, Ordering::SeqCst);
                    let _ = stream.write_all(&[head(body.len(), "").into_bytes(), body].concat()).await;
                }
            });
        }
    });
    let door = door().config(format!("[app]\nurl = \"unix:{}\"\n", path.display())).start();
    for _ in 0..2 {
        let (reader, mut writer) = TcpStream::connect(door.http()).await.unwrap().into_split();
        let mut reader = Kept::of(reader);
        let request = post("/both", LONG);
        let (sent, answer) = tokio::join!(writer.write_all(&request), reader.read(false));
        sent.unwrap();
        assert!(answer.ends_with(&bytes(LONG)));
    }
    assert!(asked.load(Ordering::SeqCst) >= 2);
}
