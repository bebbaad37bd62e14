//! Promise: a client of HTTP/2 that makes work and moves nothing is sent away, and others do not notice.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::harness::frames::{
    self, CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GET, HEADERS, Outcome, PING,
    PRIORITY, PRIORITY_UPDATE, RST_STREAM, SETTINGS, Site, WINDOW_UPDATE,
};
use crate::harness::{App, PATIENCE, response, streamed};

async fn site(config: &str) -> (App, Site) {
    let app = App::saying("yes").await;
    let site = Site::new(&(app.config() + config));
    (app, site)
}

/// Sends `bytes` again and again. Gives the code of the GOAWAY that ends it; a reset connection may swallow that.
async fn flood(mut connection: Connection, bytes: Vec<u8>) -> Option<u32> {
    let block = bytes.repeat((16 * 1024 / bytes.len()).max(1));
    let sending = async {
        for _ in 0..20_000 {
            if !connection.write(&block).await {
                return;
            }
        }
        panic!("the flood was never stopped");
    };
    timeout(PATIENCE, sending).await.expect("stopped in time");
    connection.end_unattended().await
}

async fn is_stopped(site: &Site, frame: Vec<u8>) {
    let connection = site.connect(&[]).await;
    let code = flood(connection, frame).await;
    assert!(matches!(code, None | Some(0) | Some(ENHANCE_YOUR_CALM)), "{code:?}");
    let mut next = site.connect(&[]).await;
    next.request(1, GET).await;
    assert_eq!(next.outcome(1).await, Outcome::Status(200), "the next client is served");
}

#[tokio::test]
async fn pings() {
    let (_app, site) = site("").await;
    is_stopped(&site, frames::frame(PING, 0, 0, &[0; 8])).await;
}

#[tokio::test]
async fn settings() {
    let (_app, site) = site("").await;
    is_stopped(&site, frames::frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])).await;
}

#[tokio::test]
async fn priorities_windows_and_unknown_frames() {
    let (_app, site) = site("").await;
    is_stopped(&site, frames::frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])).await;
    is_stopped(&site, frames::frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1")).await;
    is_stopped(&site, frames::frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await;
    is_stopped(&site, frames::frame(0xee, 0, 0, b"")).await;
}

#[tokio::test]
async fn empty_data() {
    let (_app, site) = site("").await;
    let mut connection = site.connect(&[]).await;
    let mut fields = GET.to_vec();
    fields[0].1 = "POST";
    connection.send(HEADERS, END_HEADERS, 1, &frames::block(&fields)).await;
    let code = flood(connection, frames::frame(DATA, 0, 1, b"")).await;
    assert!(matches!(code, None | Some(0) | Some(ENHANCE_YOUR_CALM)), "{code:?}");
}

#[tokio::test]
async fn rapid_reset() {
    let (_app, site) = site("").await;
    let mut connection = site.connect(&[]).await;
    let get = frames::block(GET);
    let mut stopped = false;
    for number in 0..20_000 {
        let stream = 2 * number + 1;
        let mut bytes = frames::frame(HEADERS, END_HEADERS | END_STREAM, stream, &get);
        bytes.extend(frames::frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        if !connection.write(&bytes).await {
            stopped = true;
            break;
        }
    }
    assert!(stopped, "twenty thousand resets were taken");
}

#[tokio::test]
async fn continuation_without_end() {
    let (_app, site) = site("").await;
    let mut connection = site.connect(&[]).await;
    connection.send(HEADERS, END_STREAM, 1, &frames::block(GET)).await;
    let code = flood(connection, frames::frame(CONTINUATION, 0, 1, &frames::block(&[("x", "y")]))).await;
    assert!(code.is_none_or(|code| code != 0), "{code:?}");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let (_app, site) = site("[http]\nhead_timeout = \"400ms\"\n").await;
    let mut open = site.connect(&[]).await;
    open.send(HEADERS, END_STREAM, 1, &frames::block(GET)).await;
    open.end().await;
    let mut half = site.connect(&[]).await;
    let whole = frames::frame(HEADERS, END_STREAM | END_HEADERS, 1, &frames::block(GET));
    half.write(&whole[..whole.len() - 5]).await;
    half.end().await;
    let mut silent = site.silent().await;
    let mut rest = Vec::new();
    // Whatever it says, it ends.
    let _ = timeout(PATIENCE, silent.read_to_end(&mut rest)).await.expect("closed in time");
}

#[tokio::test]
async fn a_bomb_of_headers_is_bounded() {
    let (_app, site) = site("").await;
    // One large field goes into the table, then thousands of references of one byte each stand for it.
    let mut connection = site.connect(&[]).await;
    let large = "x".repeat(3000);
    let mut bomb = frames::block(GET);
    bomb.push(0x40);
    bomb.extend([1, b'x', 127]);
    let mut length = large.len() - 127;
    while length >= 128 {
        bomb.push((length % 128 + 128) as u8);
        length /= 128;
    }
    bomb.push(length as u8);
    bomb.extend_from_slice(large.as_bytes());
    bomb.extend(vec![0x80 | 62; 12_000]);
    let before = site.door.resident();
    connection.send(HEADERS, END_STREAM | END_HEADERS, 1, &bomb).await;
    let outcome = connection.outcome(1).await;
    assert!(matches!(outcome, Outcome::Status(431) | Outcome::Gone(_) | Outcome::Reset(_)), "{outcome}");
    let grown = site.door.resident().saturating_sub(before);
    assert!(grown < 8 << 20, "36 MB unfolded would show: {grown}");
}

#[tokio::test]
async fn a_window_that_stays_shut_ends_the_stream_only() {
    let app = App::start(|request| async move {
        if request.uri().path() == "/" {
            return response(200, "yes");
        }
        let (answer, mut feed) = streamed(200);
        tokio::spawn(async move { while feed.send_data(bytes::Bytes::from(vec![b'x'; 16 * 1024])).await.is_ok() {} });
        answer
    })
    .await;
    let site = Site::new(&(app.config() + "[http]\nwrite_timeout = \"500ms\"\n"));
    // SETTINGS_INITIAL_WINDOW_SIZE: ten bytes a stream.
    let mut connection = site.connect(&[(4, 10)]).await;
    let mut fields = GET.to_vec();
    fields[3].1 = "/large";
    connection.request(1, &fields).await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(200));
    assert!(matches!(connection.outcome(1).await, Outcome::Reset(_)), "a stream that takes nothing is reset");
    connection.request(3, GET).await;
    assert_eq!(connection.outcome(3).await, Outcome::Status(200), "the connection goes on");
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go() {
    let (_app, site) = site("[http]\nidle_timeout = \"400ms\"\n").await;
    let mut connection = site.connect(&[]).await;
    connection.request(1, GET).await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(200));
    assert_eq!(connection.end().await, Some(0));
    // Nor can a client stay by leaving the ping unanswered that comes with the GOAWAY.
    let mut deaf = site.connect(&[]).await;
    assert_eq!(deaf.end_unattended().await, Some(0));
}

#[tokio::test]
async fn a_slow_app_does_not_make_a_connection_idle() {
    let app = App::start(|_| async {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        response(200, "at last")
    })
    .await;
    let site = Site::new(&(app.config() + "[http]\nidle_timeout = \"200ms\"\nhead_timeout = \"200ms\"\n"));
    let mut connection = site.connect(&[]).await;
    connection.request(1, GET).await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(200));
}

#[tokio::test]
async fn a_busy_browser_is_not_a_flood() {
    let (_app, site) = site("").await;
    let mut connection = site.connect(&[]).await;
    // A page of many small files, half of which are cancelled, with a window update and a ping each.
    for number in 0..150 {
        let stream = 2 * number + 1;
        connection.request(stream, GET).await;
        connection.send(WINDOW_UPDATE, 0, 0, &1000u32.to_be_bytes()).await;
        connection.send(PING, 0, 0, &[0; 8]).await;
        if number % 2 == 0 {
            connection.send(RST_STREAM, 0, stream, &8u32.to_be_bytes()).await;
        } else {
            assert_eq!(connection.outcome(stream).await, Outcome::Status(200), "stream {stream}");
        }
    }
}

// It waits for the process, and the app must go on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn draining_says_goaway_and_finishes_streams() {
    let app = App::start(|_| async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        response(200, "yes")
    })
    .await;
    let mut site = Site::new(&app.config());
    let mut connection = site.connect(&[]).await;
    connection.request(1, GET).await;
    while app.connections() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    site.door.signal("TERM");
    assert_eq!(connection.outcome(1).await, Outcome::Status(200));
    assert_eq!(connection.end().await, Some(0));
    assert!(site.door.wait().success());
}
