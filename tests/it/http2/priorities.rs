//! Promise: what is urgent does not wait behind what is not (RFC 9218), and nothing is forgotten for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::frames::{Connection, DATA, END_STREAM, GET, HEADERS, RST_STREAM, Site, WINDOW_UPDATE};
use crate::harness::raw::{Asked, RawApp};

const BLOCK: usize = 16 * 1024;
const DOWNLOADS: u32 = 8;
/// SETTINGS_INITIAL_WINDOW_SIZE: nothing here waits for a window.
const WIDE: &[(u16, u32)] = &[(4, 1 << 30)];

/// `/download` is long, `/page` and `/file` have 60 KB; both say how much of the downloads is off their hands.
async fn app(taken: &Arc<AtomicUsize>) -> RawApp {
    let taken = Arc::clone(taken);
    RawApp::start(move |mut asked: Asked| {
        let taken = Arc::clone(&taken);
        async move {
            let (length, kind) = match asked.target() {
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
            asked.send(head).await;
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
    let mut connection = site.connect(WIDE).await;
    connection.send(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()).await;
    for number in 0..DOWNLOADS {
        connection.request(2 * number + 1, &fields("/download", priority)).await;
    }
    let (mut last, mut looks) = (0, 0);
    while looks < 40 || last == 0 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        let now = taken.load(Ordering::SeqCst);
        looks = if now == last { looks + 1 } else { 0 };
        last = now;
    }
    connection
}

/// How much of other answers comes between the head of `stream` and its end.
async fn others_before_the_end(connection: &mut Connection, stream: u32) -> usize {
    let (mut has_begun, mut others) = (false, 0);
    loop {
        let frame = connection.next().await.expect("the connection goes on");
        match frame.kind {
            HEADERS if frame.stream == stream => has_begun = true,
            DATA if frame.stream == stream && frame.flags & END_STREAM != 0 => return others,
            DATA if frame.stream != stream && has_begun => others += frame.payload.len(),
            _ => {}
        }
    }
}

/// Asks for `path` behind a crowd of downloads.
async fn overtakes(crowd: &[(&str, &str)], path: &str, priority: &[(&str, &str)]) -> usize {
    let taken = Arc::default();
    let app = app(&taken).await;
    let site = Site::new(&(app.config() + "[compress]\nenabled = false\n"));
    let mut connection = crowded(&site, &taken, crowd).await;
    let stream = 2 * DOWNLOADS + 1;
    connection.request(stream, &fields(path, priority)).await;
    // The door has it before the client takes anything.
    site.door.wait_for_metric("upstream_answer_seconds_count", f64::from(DOWNLOADS + 1)).await;
    others_before_the_end(&mut connection, stream).await
}

/// What was under way already when it began.
const UNDER_WAY: usize = 256 * 1024;

/// Whether it overtakes the crowd; a machine that stands still at the wrong moment may spoil a try.
async fn is_urgent(crowd: &[(&str, &str)], path: &str, priority: &[(&str, &str)]) {
    let mut before = Vec::new();
    for _ in 0..3 {
        before.push(overtakes(crowd, path, priority).await);
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
