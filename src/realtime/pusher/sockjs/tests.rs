//! A session and its client's requests, without HTTP between them.

use http_body_util::BodyExt;

use super::*;
use crate::realtime::vocabulary::CloseFrame;

type Pair = (SockJs<u8>, Arc<SockJsSession>, Arc<SockJsSessions<u8>>);

fn open() -> Pair {
    let sessions = Arc::new(SockJsSessions::default());
    let (link, session) = sessions.open(1).expect("none is there");
    assert!(sessions.open(1).is_none(), "one of a name");
    (link, session, sessions)
}

async fn chunk(body: &mut Listening) -> Option<String> {
    let frame = body.frame().await?.expect("it does not break");
    Some(String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text"))
}

/// Whether all of it is heard.
fn flush(link: &mut SockJs<u8>) -> bool {
    link.hand_on(&Context::from_waker(Waker::noop())) == 0
}

fn has_room(link: &mut SockJs<u8>) -> bool {
    link.poll_flush(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn heard(link: &mut SockJs<u8>) -> Option<Frame> {
    match link.poll_receive(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => Some(frame),
        _ => None,
    }
}

#[tokio::test]
async fn a_stream_goes_on_and_a_poll_ends() {
    let (mut link, session, _sessions) = open();
    let mut stream = session.listen(true);
    assert_eq!(chunk(&mut stream).await.as_deref(), Some("o\n"));
    link.push(Frame::text("a\"b"));
    link.push(Frame::text("c"));
    assert!(!flush(&mut link), "until it is read");
    assert_eq!(chunk(&mut stream).await.as_deref(), Some("a[\"a\\\"b\",\"c\"]\n"));
    assert!(flush(&mut link));
    let mut poll = session.listen(false);
    assert_eq!(chunk(&mut stream).await, None, "another took its place");
    link.push(Frame::text("d"));
    link.push(Frame::Close(Some(CloseFrame::new(4200, "come back"))));
    flush(&mut link);
    assert_eq!(chunk(&mut poll).await.as_deref(), Some("a[\"d\"]\nc[4200,\"come back\"]\n"));
    assert_eq!(chunk(&mut poll).await, None);
}

#[tokio::test]
async fn posts_are_heard_in_order_and_wait_for_room() {
    let (mut link, session, sessions) = open();
    let many = (0..MAX_WAITING + 1).map(|n| n.to_string()).collect();
    let posting = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.post(many).await }
    });
    let mut said = Vec::new();
    while said.len() < MAX_WAITING + 1 {
        match heard(&mut link) {
            Some(Frame::Text(text)) => said.push(text.to_string()),
            _ => tokio::task::yield_now().await,
        }
    }
    assert!(posting.await.unwrap());
    assert_eq!(said, (0..MAX_WAITING + 1).map(|n| n.to_string()).collect::<Vec<_>>());
    drop(link);
    assert!(sessions.find(&1).is_none());
}

#[tokio::test(start_paused = true)]
async fn last_words_wait_for_the_next_poll_not_for_the_gone() {
    let closing = |link: &mut SockJs<u8>| link.poll_close(&mut Context::from_waker(Waker::noop())).is_ready();
    let (mut link, session, _sessions) = open();
    drop(session.listen(false));
    link.push(Frame::Close(Some(CloseFrame::new(4200, "come back"))));
    assert!(!closing(&mut link));
    tokio::time::advance(LINGER_TIMEOUT / 2).await;
    let mut poll = session.listen(false);
    assert!(!closing(&mut link), "one listens, and has not read it yet");
    chunk(&mut poll).await;
    assert!(!closing(&mut link));
    drop(poll);
    let mut poll = session.listen(false);
    assert_eq!(chunk(&mut poll).await.as_deref(), Some("c[4200,\"come back\"]\n"));
    assert!(closing(&mut link));

    let (mut link, session, _sessions) = open();
    drop(session.listen(true));
    link.push(Frame::Close(Some(CloseFrame::new(4200, "come back"))));
    assert!(!closing(&mut link));
    tokio::time::advance(LINGER_TIMEOUT).await;
    assert!(closing(&mut link));
}

#[tokio::test(start_paused = true)]
async fn a_beat_that_nobody_answers_is_the_end() {
    let (mut link, session, _sessions) = open();
    let mut stream = session.listen(true);
    chunk(&mut stream).await;
    assert_eq!(heard(&mut link), Some(Frame::Pong(Bytes::new())));
    link.wake(now() + HEARTBEAT_INTERVAL).expect("it goes on");
    assert_eq!(chunk(&mut stream).await.as_deref(), Some("h\n"));
    session.heartbeat();
    assert!(flush(&mut link), "an answer is not answered");
    link.wake(now() + 3 * HEARTBEAT_INTERVAL).expect("it goes on");
    assert!(link.wake(now() + 3 * HEARTBEAT_INTERVAL + AWAY_TIMEOUT).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_is_answered_and_one_that_is_away_is_gone() {
    let (mut link, session, _sessions) = open();
    let mut poll = session.listen(false);
    chunk(&mut poll).await;
    drop(poll);
    let mut poll = session.listen(false);
    session.heartbeat();
    assert_eq!(chunk(&mut poll).await.as_deref(), Some("h\n"));
    drop(poll);
    assert_eq!(link.next_wake(), Some(now() + AWAY_TIMEOUT));
    assert!(link.wake(now() + AWAY_TIMEOUT / 2).is_ok());
    assert!(link.wake(now() + AWAY_TIMEOUT).is_err());
}

#[tokio::test(start_paused = true)]
async fn one_that_breaks_off_is_gone_soon_if_it_does_not_listen_again() {
    for is_stream in [true, false] {
        let (mut link, session, _sessions) = open();
        chunk(&mut session.listen(true)).await;
        drop(session.listen(is_stream));
        assert_eq!(link.next_wake(), Some(now() + BROKEN_OFF));
        let again = session.listen(is_stream);
        assert!(link.wake(now() + BROKEN_OFF).is_ok(), "it listens");
        drop(again);
        assert!(link.wake(now() + BROKEN_OFF / 2).is_ok());
        assert!(link.wake(now() + BROKEN_OFF).is_err());
    }
}

/// What one request is given before the session has more for it than the client would read.
async fn fill(link: &mut SockJs<u8>, stream: &mut Listening, text: &str) -> String {
    let mut heard = String::new();
    while heard.encode_utf16().count() <= MAX_STREAMED {
        link.push(Frame::text(text));
        let _ = flush(link);
        heard += &chunk(stream).await.expect("it goes on");
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_mark_is_for_the_next_request() {
    // Bytes differ from code units: 1, 2, 3 and 4 for 1, 1, 1 and 2.
    for text in ["a".repeat(1000), "ü".repeat(1000), "€".repeat(1000), "🦀".repeat(1000), "x".repeat(2 * MAX_STREAMED)]
    {
        let (mut link, session, _sessions) = open();
        let mut stream = session.listen(true);
        let heard = fill(&mut link, &mut stream, &text).await;
        assert_eq!(utf16_units(heard.as_bytes()), heard.encode_utf16().count());
        let last = heard.trim_end().rfind('\n').expect("a line before") + 1;
        assert!(heard[..last].encode_utf16().count() <= MAX_STREAMED, "the client reads on until then");
        link.push(Frame::text("after"));
        assert!(has_room(&mut link), "little waits");
        session.heartbeat();
        assert!(futures_util::poll!(stream.frame()).is_pending(), "neither given more nor ended");
        let mut next = session.listen(true);
        assert_eq!(chunk(&mut stream).await, None);
        drop(stream);
        assert_eq!(chunk(&mut next).await.as_deref(), Some("a[\"after\"]\n"));
        assert_eq!(link.next_wake(), Some(now() + HEARTBEAT_INTERVAL), "nothing is asked of it");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_could_listen_anew_and_does_not_is_gone() {
    let (mut link, session, _sessions) = open();
    let mut stream = session.listen(true);
    fill(&mut link, &mut stream, &"a".repeat(1000)).await;
    assert!(link.wake(now() + HEARTBEAT_INTERVAL).is_ok());
    assert!(futures_util::poll!(stream.frame()).is_pending(), "a beat would be lost");
    assert!(link.wake(now() + SUCCESSOR_TIMEOUT).is_err());
    drop(stream);
    assert!(link.wake(now() + AWAY_TIMEOUT / 2).is_ok(), "it is about to");
    assert!(link.wake(now() + AWAY_TIMEOUT).is_err());
}

#[tokio::test]
async fn a_beat_that_waited_is_answered_and_one_that_gave_way_is_not() {
    let (mut link, session, _sessions) = open();
    let mut stream = session.listen(true);
    fill(&mut link, &mut stream, &"a".repeat(1000)).await;
    session.heartbeat();
    let mut next = session.listen(true);
    assert_eq!(chunk(&mut next).await.as_deref(), Some("h\n"));
    session.heartbeat();
    assert!(futures_util::poll!(next.frame()).is_pending(), "that was the answer");
    link.wake(now() + HEARTBEAT_INTERVAL).expect("it goes on");
    link.push(Frame::text("instead"));
    let _ = flush(&mut link);
    assert_eq!(chunk(&mut next).await.as_deref(), Some("a[\"instead\"]\n"));
    assert!(link.wake(now() + AWAY_TIMEOUT * 2).is_ok(), "it was never asked");
}

#[tokio::test]
async fn a_close_is_not_lost_behind_the_mark() {
    for is_stream in [true, false] {
        let (mut link, session, _sessions) = open();
        chunk(&mut session.listen(is_stream)).await;
        let mut first = session.listen(is_stream);
        link.push(Frame::text(&*"x".repeat(MAX_STREAMED)));
        link.push(Frame::Close(Some(CloseFrame::new(4200, "come back"))));
        let _ = flush(&mut link);
        assert!(chunk(&mut first).await.expect("a line").ends_with("]\n"));
        let closing = |link: &mut SockJs<u8>| link.poll_close(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(!closing(&mut link));
        let mut next = session.listen(is_stream);
        assert_eq!(chunk(&mut next).await.as_deref(), Some("c[4200,\"come back\"]\n"));
        assert!(closing(&mut link));
    }
}

#[tokio::test]
async fn a_link_says_that_it_is_full_and_gives_all_of_it_to_the_next() {
    let (mut link, session, _sessions) = open();
    chunk(&mut session.listen(false)).await;
    let text = "x".repeat(10_000);
    let mut pushed = 0;
    while has_room(&mut link) {
        link.push(Frame::text(&*text));
        pushed += 1;
    }
    assert!(pushed * text.len() <= MAX_BETWEEN_POLLS + 2 * text.len(), "{pushed}");
    let mut heard = 0;
    while heard < pushed {
        let mut poll = session.listen(false);
        heard += chunk(&mut poll).await.expect("an answer").matches(&*text).count();
        assert!(has_room(&mut link));
    }
    assert_eq!(heard, pushed);
}

#[tokio::test(start_paused = true)]
async fn the_mark_itself_is_still_read() {
    let (mut link, session, _sessions) = open();
    let mut stream = session.listen(true);
    assert_eq!(chunk(&mut stream).await.as_deref(), Some("o\n"));
    // "o\n", `a["` and `"]` with its end make 8 units: this is the mark itself, and the client goes on reading.
    link.push(Frame::text("\u{1F600}".repeat((MAX_STREAMED - 8) / 2)));
    flush(&mut link);
    chunk(&mut stream).await.expect("up to the mark");
    link.push(Frame::text("over"));
    flush(&mut link);
    assert_eq!(chunk(&mut stream).await.as_deref(), Some("a[\"over\"]\n"));
    link.push(Frame::text("held"));
    assert!(has_room(&mut link), "it is taken, for the next");
    session.heartbeat();
    let held = tokio::time::timeout(Duration::from_secs(1), stream.frame()).await;
    assert!(held.is_err(), "neither told nor ended");
    let mut next = session.listen(true);
    assert!(stream.frame().await.is_none(), "another took its place");
    assert_eq!(chunk(&mut next).await.as_deref(), Some("a[\"held\"]\n"));
}
