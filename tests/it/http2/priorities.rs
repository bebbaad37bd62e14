//! Promise: what is urgent does not wait behind what is not (RFC 9218), at first or as a client says later, nothing is
//! forgotten for it, and what has no end starves nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::harness::frames::{
    CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, FRAME_SIZE_ERROR, GET, HEADERS, Outcome, PRIORITY_UPDATE,
    PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, Site, WINDOW_UPDATE, block, frame,
};
use crate::harness::raw::{Asked, RawApp};

const BLOCK: usize = 16 * 1024;
const DOWNLOADS: u32 = 8;
/// Blocks: more than anybody waits for.
const FLOOD: usize = 4096;
/// SETTINGS_INITIAL_WINDOW_SIZE: nothing here waits for a window.
const WIDE: &[(u16, u32)] = &[(4, 1 << 30)];

/// `/download` is long, `/page` and `/file` have 60 KB; both say how much of the downloads is off their hands. `/events`
/// and the sockets below `/socket/` say more and more, but for `/socket/echo`.
async fn app(taken: &Arc<AtomicUsize>) -> RawApp {
    let taken = Arc::clone(taken);
    RawApp::start(move |mut asked: Asked| {
        let taken = Arc::clone(&taken);
        async move {
            if asked.target().starts_with("/socket/") {
                let accept = derive_accept_key(asked.header("sec-websocket-key").as_bytes());
                let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
                asked.send(format!("{switch}Sec-WebSocket-Accept: {accept}\r\n\r\n")).await;
                if asked.target() == "/socket/echo" {
                    let word = asked.body(4).await;
                    asked.send(word).await;
                    taken.fetch_add(1, Ordering::SeqCst);
                    asked.closed().await;
                    return None;
                }
            }
            let (length, kind) = match asked.target() {
                "/events" => (FLOOD * BLOCK, "text/event-stream"),
                target if target.starts_with("/socket/") => (FLOOD * BLOCK, ""),
                "/script" => (60_000, "text/javascript"),
                "/download" => (512 * BLOCK, "application/octet-stream"),
                "/page" => (60_000, "text/html"),
                "/app" => (60_000, "image/png\r\nPriority: u=0"),
                _ => (60_000, "image/png"),
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Type: {kind}\r\n\r\n");
            if length < BLOCK * 4 {
                asked.send([head.as_bytes(), &vec![b'x'; length]].concat()).await;
                return Some(asked);
            }
            if !kind.is_empty() {
                asked.send(head).await;
            }
            for _ in 0..length / BLOCK {
                asked.send(&[b'x'; BLOCK]).await;
                taken.fetch_add(BLOCK, Ordering::SeqCst);
            }
            Some(asked)
        }
    })
    .await
}

fn fields<'a>(path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = GET.to_vec();
    fields[3].1 = path;
    fields.extend(more);
    fields
}

/// A client that has asked for downloads and takes nothing, until no more comes of them.
async fn crowded(site: &Site, taken: &AtomicUsize, priority: &[(&str, &str)]) -> Connection {
    let mut connection = wide(site).await;
    for number in 0..DOWNLOADS {
        connection.request(2 * number + 1, &fields("/download", priority)).await;
    }
    settled(taken).await;
    connection
}

/// A client whose windows hold up nothing.
async fn wide(site: &Site) -> Connection {
    let mut connection = site.connect(WIDE).await;
    connection.send(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()).await;
    connection
}

/// Waits until no more is taken.
async fn settled(taken: &AtomicUsize) {
    let (mut last, mut looks) = (0, 0);
    while looks < 40 || last == 0 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        let now = taken.load(Ordering::SeqCst);
        looks = if now == last { looks + 1 } else { 0 };
        last = now;
    }
}

/// How much of other answers comes between the head of `stream` and its end.
async fn others_before_the_end(connection: &mut Connection, stream: u32) -> usize {
    others_and_resets_before_the_end(connection, stream).await.0
}

/// And the streams that are reset before that end, with their codes.
async fn others_and_resets_before_the_end(connection: &mut Connection, stream: u32) -> (usize, Vec<(u32, u32)>) {
    let (mut has_begun, mut others, mut resets) = (false, 0, Vec::new());
    loop {
        let frame = connection.next().await.expect("the connection goes on");
        match frame.kind {
            HEADERS if frame.stream == stream => has_begun = true,
            DATA if frame.stream == stream && frame.flags & END_STREAM != 0 => return (others, resets),
            RST_STREAM => resets.push((frame.stream, u32::from_be_bytes(frame.payload.try_into().expect("a code")))),
            DATA if frame.stream != stream && has_begun => others += frame.payload.len(),
            _ => {}
        }
    }
}

/// Asks for `path` behind a crowd of downloads.
async fn overtakes(crowd: &[(&str, &str)], path: &str, priority: &[(&str, &str)]) -> usize {
    overtakes_as_said(crowd, path, priority, None, None).await
}

/// The same, where more is said of its priority before the request, or after it.
async fn overtakes_as_said(
    crowd: &[(&str, &str)],
    path: &str,
    priority: &[(&str, &str)],
    before: Option<&str>,
    after: Option<&str>,
) -> usize {
    let taken = Arc::default();
    let app = app(&taken).await;
    let site = Site::new(&(app.config() + "[compress]\nenabled = false\n"));
    let mut connection = crowded(&site, &taken, crowd).await;
    let stream = 2 * DOWNLOADS + 1;
    if let Some(value) = before {
        say(&mut connection, stream, value).await;
    }
    connection.request(stream, &fields(path, priority)).await;
    // The door has it before the client takes anything.
    site.door.wait_for_metric("upstream_answer_seconds_count", f64::from(DOWNLOADS + 1)).await;
    if let Some(value) = after {
        say(&mut connection, stream, value).await;
        // The door has heard it, once it has asked for what came after it.
        connection.request(stream + 2, &fields("/file", &[("priority", "u=7")])).await;
        site.door.wait_for_metric("upstream_answer_seconds_count", f64::from(DOWNLOADS + 2)).await;
    }
    others_before_the_end(&mut connection, stream).await
}

async fn say(connection: &mut Connection, stream: u32, value: &str) {
    connection.send(PRIORITY_UPDATE, 0, 0, &update(stream, value)).await;
}

fn update(stream: u32, value: &str) -> Vec<u8> {
    [&stream.to_be_bytes()[..], value.as_bytes()].concat()
}

/// What was under way already when it began.
const UNDER_WAY: usize = 256 * 1024;
/// What of the downloads may be in the kernel, at the door and at the client.
const KERNEL: usize = 8 * 1024 * 1024;

/// Whether it overtakes the crowd.
async fn is_urgent(crowd: &[(&str, &str)], path: &str, priority: &[(&str, &str)]) {
    is_soon(async || overtakes(crowd, path, priority).await).await;
}

/// Whether little comes before it; a machine that stands still at the wrong moment may spoil a try.
async fn is_soon(measure: impl AsyncFn() -> usize) {
    let mut before = Vec::new();
    for _ in 0..3 {
        before.push(measure().await);
        if before.last().is_some_and(|before| *before < UNDER_WAY) {
            return;
        }
    }
    panic!("so many bytes of what is less urgent came before it: {before:?}");
}

#[tokio::test]
async fn a_client_says_what_is_urgent() {
    is_urgent(&[("priority", "u=4, i")], "/file", &[("priority", "u=1")]).await;
}

#[tokio::test]
async fn a_page_comes_before_downloads_by_itself() {
    is_urgent(&[], "/page", &[]).await;
}

#[tokio::test]
async fn the_app_knows_better() {
    is_urgent(&[("priority", "u=4, i")], "/app", &[("priority", "u=6, i")]).await;
}

#[tokio::test]
async fn who_is_as_urgent_and_shares_gets_a_share() {
    let mut least = usize::MAX;
    for _ in 0..3 {
        let before = overtakes(&[("priority", "u=4, i")], "/file", &[("priority", "u=4, i")]).await;
        assert!(before > UNDER_WAY, "it overtook its equals: {before}");
        least = least.min(before);
    }
    // By turns of 16 KiB each: five for all of it, and what was under way.
    assert!(least < 1024 * 1024, "{least} bytes of its equals came before it");
}

#[tokio::test]
async fn everything_comes_in_the_end() {
    let taken = Arc::default();
    let app = app(&taken).await;
    let site = Site::new(&(app.config() + "[compress]\nenabled = false\n"));
    // Small windows: most answers wait for them now and then, out of turn.
    let mut connection = site.connect(&[(4, 20_000)]).await;
    connection.send(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()).await;
    let count = 60_u32;
    for number in 0..count {
        let priority = format!("u={}{}", number % 8, if number % 3 == 0 { ", i" } else { "" });
        connection.request(2 * number + 1, &fields("/file", &[("priority", &priority)])).await;
    }
    let mut come = vec![0; count as usize];
    let mut open: std::collections::BTreeSet<u32> = (0..count).collect();
    while !open.is_empty() {
        let frame = connection.next().await.expect("the connection goes on");
        let number = frame.stream / 2;
        if frame.kind != DATA || !open.contains(&number) {
            assert_ne!(frame.kind, RST_STREAM);
            continue;
        }
        let come = &mut come[number as usize];
        let half = |come: usize| come / 10_000;
        let before = half(*come);
        *come += frame.payload.len();
        if number % 5 == 0 {
            // Taken back: its turn is another's.
            open.remove(&number);
            connection.send(RST_STREAM, 0, frame.stream, &8_u32.to_be_bytes()).await;
        } else if frame.flags & END_STREAM != 0 {
            open.remove(&number);
        } else if half(*come) > before {
            let window = 10_000 * u32::try_from(half(*come) - before).unwrap();
            connection.send(WINDOW_UPDATE, 0, frame.stream, &window.to_be_bytes()).await;
        }
    }
    let whole = |(number, come): (usize, &usize)| number % 5 == 0 || *come == 60_000;
    assert!(come.iter().enumerate().all(whole), "{come:?}");
}

const LAST: &[(&str, &str)] = &[("priority", "u=6, i")];
const CROWD: &[(&str, &str)] = &[("priority", "u=4, i")];

#[tokio::test]
async fn a_client_says_later_what_has_become_urgent() {
    is_soon(async || overtakes_as_said(CROWD, "/file", LAST, None, Some("u=1")).await).await;
}

#[tokio::test]
async fn it_may_say_so_before_it_asks() {
    is_soon(async || overtakes_as_said(CROWD, "/file", LAST, Some("u=1"), None).await).await;
}

#[tokio::test]
async fn what_is_not_urgent_any_more_waits() {
    let before = overtakes_as_said(CROWD, "/file", &[("priority", "u=1")], None, Some("u=6, i")).await;
    assert!(before > UNDER_WAY, "it overtook what is more urgent: {before}");
}

/// Requests that the library refuses, resets or never hands over stand between those that it does.
#[tokio::test]
async fn what_is_said_is_of_the_stream_that_it_names() {
    let others = async || {
        let taken = Arc::default();
        let app = app(&taken).await;
        let limits = "[http]\nh2_max_streams = 10\nh2_max_live_streams = 1\n[compress]\nenabled = false\n";
        let site = Site::new(&(app.config() + limits));
        let mut connection = crowded(&site, &taken, CROWD).await;
        let ask = |stream, path| frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&fields(path, LAST)));
        let malformed = block(&[(":method", "GET"), (":path", "/file")]);
        let all = [
            ask(17, "/file"),
            ask(19, "/file"),
            frame(RST_STREAM, 0, 19, &8_u32.to_be_bytes()),
            ask(21, "/file"),
            frame(HEADERS, END_STREAM, 23, &block(&fields("/file", LAST))[..20]),
            frame(CONTINUATION, END_HEADERS, 23, &block(&fields("/file", LAST))[20..]),
            // There is no place for these.
            ask(25, "/file"),
            ask(27, "/file"),
            frame(RST_STREAM, 0, 21, &8_u32.to_be_bytes()),
            // This one has a place until its reset is written.
            frame(HEADERS, END_STREAM | END_HEADERS, 29, &malformed),
            frame(RST_STREAM, 0, 17, &8_u32.to_be_bytes()),
            ask(31, "/file"),
            frame(PRIORITY_UPDATE, 0, 0, &update(31, "u=1")),
        ];
        assert!(connection.write(&all.concat()).await);
        let (others, mut resets) = others_and_resets_before_the_end(&mut connection, 31).await;
        if !resets.contains(&(29, PROTOCOL_ERROR)) {
            assert_eq!(connection.outcome(29).await, Outcome::Reset(PROTOCOL_ERROR));
        }
        resets.retain(|(stream, _)| *stream != 29);
        assert_eq!(resets, [(25, REFUSED_STREAM), (27, REFUSED_STREAM)]);
        others
    };
    is_soon(others).await;
}

#[tokio::test]
async fn what_is_no_right_word_of_a_priority_ends_the_connection() {
    let taken = Arc::default();
    let app = app(&taken).await;
    let site = Site::new(&(app.config() + "[http]\nh2_max_streams = 10\nh2_max_live_streams = 1\n"));
    let wrong = [
        (frame(PRIORITY_UPDATE, 0, 1, &update(1, "u=1")), PROTOCOL_ERROR),
        (frame(PRIORITY_UPDATE, 0, 0, &update(0, "u=1")), PROTOCOL_ERROR),
        // Of a stream of ours.
        (frame(PRIORITY_UPDATE, 0, 0, &update(2, "u=1")), PROTOCOL_ERROR),
        (frame(PRIORITY_UPDATE, 0, 0, b"\0\0\x01"), FRAME_SIZE_ERROR),
        // Of more streams than may be open.
        (
            (0..12).flat_map(|number| frame(PRIORITY_UPDATE, 0, 0, &update(2 * number + 1, "u=1"))).collect(),
            PROTOCOL_ERROR,
        ),
    ];
    for (bytes, code) in wrong {
        let mut connection = site.connect(&[]).await;
        connection.write(&bytes).await;
        assert_eq!(connection.end().await, Some(code), "{bytes:?}");
    }
    let mut connection = wide(&site).await;
    for (number, value) in ["", "u=9", "\u{ff}", ",,,", "u=1;x, j, i=?1", &"u=1,".repeat(2000)].iter().enumerate() {
        let stream = 4 * number as u32 + 1;
        say(&mut connection, stream + 2, value).await;
        say(&mut connection, stream, value).await;
        connection.request(stream, &fields("/file", &[])).await;
        assert_eq!(connection.outcome(stream).await, Outcome::Status(200), "{value}");
        while connection.data(stream).await.is_some_and(|(_, is_last)| !is_last) {}
        // It is over: nobody minds.
        say(&mut connection, stream, value).await;
    }
}

/// A client that knows it need not send the priorities of RFC 7540 besides.
#[tokio::test]
async fn the_door_says_that_it_goes_by_these() {
    const NO_RFC7540_PRIORITIES: u16 = 9;
    let site = Site::new("");
    let mut connection = site.connect(&[]).await;
    let settings = connection.settings().await;
    assert!(settings.contains(&(NO_RFC7540_PRIORITIES, 1)) && settings.len() > 3, "{settings:?}");
}

/// The fields of a request for a socket of the app's.
fn socket(path: &str) -> Vec<(&str, &str)> {
    vec![
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "site.test"),
        (":path", path),
        ("sec-websocket-version", "13"),
    ]
}

async fn open(connection: &mut Connection, stream: u32, path: &str) {
    connection.send(HEADERS, END_HEADERS, stream, &block(&socket(path))).await;
    assert_eq!(connection.outcome(stream).await, Outcome::Status(200));
}

const SOCKETS: &str = "tunnel = [\"/socket/*\"]\n[compress]\nenabled = false\n";

/// Asks for `path` behind `flood`, which never ends, and of which the client takes less than comes.
async fn beside_a_flood(flood: &[&str], path: &str, priority: &[(&str, &str)]) -> usize {
    let taken = Arc::default();
    let app = app(&taken).await;
    let site = Site::new(&(app.config() + SOCKETS));
    let mut connection = wide(&site).await;
    for (number, path) in flood.iter().enumerate() {
        let stream = 2 * number as u32 + 1;
        if path.starts_with("/socket/") {
            open(&mut connection, stream, path).await;
        } else {
            connection.request(stream, &fields(path, &[])).await;
        }
    }
    // Little waits in kernels from here on, so that it waits at the door. Less than a segment (64 KiB on loopback) comes
    // slowly, by the sender's timer: too slowly to open many through it.
    SockRef::from(connection.tcp()).set_recv_buffer_size(BLOCK).expect("a smaller buffer");
    settled(&taken).await;
    let stream = 2 * flood.len() as u32 + 1;
    let before = site.door.metric("upstream_answer_seconds_count").await;
    connection.request(stream, &fields(path, priority)).await;
    site.door.wait_for_metric("upstream_answer_seconds_count", before + 1.0).await;
    connection.read_slowly();
    others_before_the_end(&mut connection, stream).await
}

#[tokio::test]
async fn flooded_sockets_starve_no_page_and_no_picture() {
    let flood = ["/socket/a", "/socket/b", "/socket/c"];
    is_soon(async || beside_a_flood(&flood, "/page", &[]).await).await;
    is_soon(async || beside_a_flood(&flood, "/file", &[("priority", "u=6, i")]).await).await;
    is_soon(async || beside_a_flood(&["/socket/many"; 40], "/page", &[]).await).await;
}

#[tokio::test]
async fn flooded_event_streams_starve_no_script() {
    is_soon(async || beside_a_flood(&["/events", "/events"], "/script", &[]).await).await;
}

#[tokio::test]
async fn a_message_of_a_socket_does_not_wait_for_downloads() {
    let overtakes = async || {
        let taken = Arc::default();
        let app = app(&taken).await;
        let site = Site::new(&(app.config() + SOCKETS));
        let mut connection = wide(&site).await;
        open(&mut connection, 1, "/socket/echo").await;
        for number in 1..=DOWNLOADS {
            connection.request(2 * number + 1, &fields("/download", &[("priority", "u=2, i")])).await;
        }
        settled(&taken).await;
        let before = taken.load(Ordering::SeqCst);
        connection.send(DATA, 0, 1, b"word").await;
        // The app has it, and says it back.
        while taken.load(Ordering::SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut others = 0;
        loop {
            let frame = connection.next().await.expect("the connection goes on");
            match frame.kind {
                DATA if frame.stream == 1 => return others,
                DATA => others += frame.payload.len(),
                _ => {}
            }
        }
    };
    // From its very first byte on: what the kernel has is before it.
    let alone = async || overtakes().await.saturating_sub(KERNEL);
    is_soon(alone).await;
}
