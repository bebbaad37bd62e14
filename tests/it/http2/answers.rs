//! Promise: over HTTP/2 an answer says what it says over HTTP/1.1, also where it breaks off.

use crate::harness::frames::{GET, Outcome, Site};
use crate::harness::raw::RawApp;

#[tokio::test]
async fn broken_answer_arrives_before_its_reset() {
    for (answer, data) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst", "first"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n", "first"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\nno chunk", "first"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk", ""),
    ] {
        let app = RawApp::start(move |mut asked| async move {
            asked.send(answer).await;
            None
        })
        .await;
        let site = Site::new(&app.config());
        let mut connection = site.connect(&[(1, 0)]).await;
        for number in 0..25 {
            let stream = 2 * number + 1;
            connection.request(stream, GET).await;
            assert_eq!(connection.outcome(stream).await, Outcome::Status(200), "{answer:?}");
            let mut got = Vec::new();
            while let Some((piece, is_last)) = connection.data(stream).await {
                got.extend(piece);
                assert!(!is_last, "{answer:?} looks whole");
            }
            assert_eq!(String::from_utf8_lossy(&got), data, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_hears_of_the_end_all_the_same() {
    let app = RawApp::start(|mut asked| async move {
        asked.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nmore than the window").await;
        None
    })
    .await;
    let site = Site::new(&app.config());
    // SETTINGS_INITIAL_WINDOW_SIZE
    let mut connection = site.connect(&[(1, 0), (4, 5)]).await;
    connection.request(1, GET).await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(200));
    assert_eq!(connection.data(1).await, Some((b"more ".to_vec(), false)));
    assert_eq!(connection.data(1).await, None);
}
