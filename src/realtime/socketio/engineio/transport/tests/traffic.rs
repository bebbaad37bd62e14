//! Frames by polling.

use bytes::Bytes;

use super::*;
use crate::realtime::link::polling::MAX_BETWEEN_POLLS;

#[tokio::test(start_paused = true)]
async fn what_waits_is_read_together() {
    let client = Client::open(Config::default(), None);
    client.post("4a\u{1e}bAQIDBA==\u{1e}4€").await.unwrap();
    assert_eq!(client.poll().await.as_deref(), Some("4a\u{1e}bAQIDBA==\u{1e}4€"));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_is_answered_at_once() {
    let client = Client::open(Config::default(), None);
    let (read, posted) = tokio::join!(client.poll(), client.post("4a"));
    assert_eq!((read.as_deref(), posted), (Some("4a"), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn only_messages_are_counted() {
    let sessions = Arc::new(PollingSessions::new(Metrics::default(), None));
    let sid = Sid::random().unwrap();
    let wire = client::Wire::default();
    let mut link = Engine::socket(Box::new(wire.clone()), sid, &sessions, &Arc::default(), clock());
    assert!(matches!(sessions.find(sid), Some(Lookup::Socket)));
    assert!(wire.hear().await.unwrap().starts_with("0{"));
    wire.say("3");
    wire.say("4a");
    let received = poll_fn(|context| link.poll_receive(context)).await;
    assert!(matches!(received, Some(Ok(Frame::Text(text))) if &*text == "4a"));
    // The wire in memory counts nothing: what is taken away for packets shows.
    let traffic = link.traffic();
    assert_eq!(traffic.messages_in, 0u64.wrapping_sub(1));
    assert_eq!(traffic.messages_out, 0u64.wrapping_sub(1));
}

#[tokio::test(start_paused = true)]
async fn a_link_holds_little_back_before_it_says_so() {
    let sessions = Arc::new(PollingSessions::new(Metrics::default(), None));
    let (mut link, _) = Engine::polling(Sid::random().unwrap(), &sessions, &Arc::default(), clock());
    link.push(Frame::Binary(Bytes::from(vec![0; 1000])));
    assert!(poll_fn(|context| Poll::Ready(link.poll_flush(context))).await.is_ready());
    link.push(Frame::Binary(Bytes::from(vec![0; MAX_BETWEEN_POLLS])));
    assert!(poll_fn(|context| Poll::Ready(link.poll_flush(context))).await.is_pending());
}

#[test]
fn a_silent_session_costs_little() {
    // Beside the WebSocket itself.
    assert!(size_of::<Engine>() <= 128, "{}", size_of::<Engine>());
}
