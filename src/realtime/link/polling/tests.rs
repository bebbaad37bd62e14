//! What requests and session owe each other.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::task::yield_now;

use super::*;

fn exchange() -> Arc<Exchange> {
    Arc::default()
}

async fn posted(exchange: &Exchange) -> Result<Bytes, ExchangeFault> {
    poll_fn(|context| exchange.poll_posted(context)).await
}

async fn has_reader(exchange: &Exchange) {
    poll_fn(|context| if exchange.has_reader(context) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[tokio::test]
async fn what_is_answered_is_read_once_and_in_order() {
    let exchange = exchange();
    for text in ["one", "two"] {
        let reading = tokio::spawn(exchange.read().unwrap().only());
        has_reader(&exchange).await;
        exchange.answer(Bytes::from_static(text.as_bytes()));
        assert_eq!(reading.await.unwrap().unwrap(), text);
    }
    exchange.answer(Bytes::from_static(b"nobody hears this"));
    assert!(!poll_fn(|context| Poll::Ready(exchange.has_reader(context))).await);
}

#[tokio::test]
async fn a_reader_may_go_on() {
    let exchange = exchange();
    let mut reader = exchange.read().unwrap();
    for text in ["one", "two"] {
        exchange.answer(Bytes::from_static(text.as_bytes()));
        assert_eq!(poll_fn(|context| reader.poll_chunk(context)).await.unwrap(), text);
        has_reader(&exchange).await;
    }
    reader.finish();
    assert!(exchange.read().is_ok(), "the next may read");
}

#[tokio::test]
async fn a_post_is_answered_when_it_is_used_up() {
    let exchange = exchange();
    let posting = tokio::spawn(exchange.post().unwrap().give(Bytes::from_static(b"body")));
    assert_eq!(posted(&exchange).await.unwrap(), "body");
    yield_now().await;
    assert!(!posting.is_finished());
    exchange.used();
    assert_eq!(posting.await.unwrap(), Ok(()));
    assert!(exchange.post().is_ok(), "the next may write");
}

#[tokio::test]
async fn two_of_a_kind_at_the_same_time_end_the_session() {
    let one = exchange();
    let _reader = one.read().unwrap();
    assert_eq!(one.read().unwrap_err(), Denied::Overlap);
    assert_eq!(posted(&one).await, Err(ExchangeFault::Overlap));
    let other = exchange();
    let _post = other.post().unwrap();
    assert_eq!(other.post().unwrap_err(), Denied::Overlap);
    assert_eq!(posted(&other).await, Err(ExchangeFault::Overlap));
}

#[tokio::test]
async fn a_request_that_breaks_off_ends_the_session() {
    let one = exchange();
    drop(one.read().unwrap());
    assert_eq!(posted(&one).await, Err(ExchangeFault::BrokenOff));
    let other = exchange();
    drop(other.post().unwrap());
    assert_eq!(posted(&other).await, Err(ExchangeFault::BrokenOff));
    let third = exchange();
    third.post().unwrap().withdraw();
    assert!(third.post().is_ok(), "one that was withdrawn does not");
}

#[tokio::test]
async fn whoever_comes_after_a_fault_comes_too_late() {
    // The session's task has not run since.
    let exchange = exchange();
    exchange.fail(ExchangeFault::Content);
    assert_eq!(exchange.read().unwrap_err(), Denied::Over);
    assert_eq!(exchange.post().unwrap_err(), Denied::Over);
}

#[tokio::test]
async fn the_end_reaches_everybody() {
    let exchange = exchange();
    let reading = tokio::spawn(exchange.read().unwrap().only());
    let post = exchange.post().unwrap();
    let posting = tokio::spawn(async move { post.receive(std::future::pending::<()>()).await });
    yield_now().await;
    exchange.end();
    assert_eq!(reading.await.unwrap(), None);
    assert_eq!(posting.await.unwrap(), Err(Denied::Over));
    assert_eq!(exchange.read().unwrap_err(), Denied::Over);
    assert_eq!(exchange.post().unwrap_err(), Denied::Over);
}

#[tokio::test]
async fn what_was_answered_before_the_end_is_read_after_it() {
    let exchange = exchange();
    let reader = exchange.read().unwrap();
    exchange.answer(Bytes::from_static(b"last"));
    exchange.end();
    assert_eq!(reader.only().await.unwrap(), "last");
}
