//! Ends: ours, theirs, and what a client gets to hear when it breaks a rule.

use super::*;
use crate::realtime::vocabulary::Breach;

/// What the client reads after it sent `bytes` and the server closed for them.
async fn answer(bytes: &[u8]) -> Vec<u8> {
    let (link, mut client) = pair().await;
    let server = tokio::spawn(echo(link));
    client.write_all(bytes).await.unwrap();
    let answer = read_all(&mut client).await;
    drop(client);
    server.await.unwrap();
    answer
}

#[tokio::test]
async fn a_violation_is_told_and_the_connection_closed() {
    let answer = answer(&[0x81, 0x01, b'x']).await;
    assert_eq!(&answer[..4], [0x88, answer.len() as u8 - 2, 0x03, 0xea], "1002");
}

#[tokio::test]
async fn the_close_frame_survives_what_the_client_still_sends() {
    // More than the system buffers: the client writes on while it is told.
    let (link, mut client) = pair().await;
    let server = tokio::spawn(echo(link));
    client.write_all(&masked(0xc1, b"reserved bit")).await.unwrap();
    for _ in 0..200 {
        client.write_all(&masked(0x82, &[0; 60_000])).await.unwrap();
    }
    client.shutdown().await.unwrap();
    let answer = read_all(&mut client).await;
    assert_eq!(&answer[2..4], 1002_u16.to_be_bytes());
    server.await.unwrap();
}

#[tokio::test]
async fn our_close_waits_for_theirs_and_nothing_follows_it() {
    let (mut link, mut client) = pair().await;
    link.push(Frame::text("last words"));
    link.push(Frame::Close(Some(CloseFrame::new(1001, "going away"))));
    link.push(Frame::text("never said"));
    link.push_encoded(Frame::text("never said either").into());
    let closing = tokio::spawn(async move { close(&mut link).await });
    let mut heard = vec![0; 12 + 14];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard[..12], b"\x81\x0alast words");
    assert_eq!(&heard[12..], b"\x88\x0c\x03\xe9going away");
    // A message that crosses our close is not answered, nor is a ping.
    client.write_all(&masked(0x81, b"crossing")).await.unwrap();
    client.write_all(&masked(0x89, b"ping")).await.unwrap();
    assert!(!closing.is_finished());
    client.write_all(&masked(0x88, &1001_u16.to_be_bytes())).await.unwrap();
    assert_eq!(read_all(&mut client).await, b"");
    drop(client);
    closing.await.unwrap().unwrap();
}

#[tokio::test]
async fn after_their_close_nothing_is_read() {
    let (mut link, mut client) = pair().await;
    client.write_all(&masked(0x88, &[])).await.unwrap();
    client.write_all(&masked(0x81, b"late")).await.unwrap();
    assert_eq!(receive(&mut link).await.unwrap().unwrap(), Frame::Close(None));
    assert!(receive(&mut link).await.is_none());
    client.shutdown().await.unwrap();
    close(&mut link).await.unwrap();
    assert_eq!(read_all(&mut client).await, [0x88, 0x00]);
}

#[tokio::test]
async fn a_client_that_just_leaves_is_gone() {
    let (mut link, client) = pair().await;
    drop(client);
    assert!(receive(&mut link).await.is_none());
    close(&mut link).await.unwrap();
}

#[tokio::test]
async fn violations_carry_their_kind() {
    let (mut link, mut client) = pair().await;
    client.write_all(&masked(0x81, b"\xff")).await.unwrap();
    let Some(Err(LinkError::Violation(violation))) = receive(&mut link).await else { panic!("no violation") };
    assert_eq!(violation.breach, Breach::NotUtf8);
    assert!(receive(&mut link).await.is_none());
}

#[tokio::test]
async fn a_long_reason_is_cut_between_characters() {
    let (mut link, mut client) = pair().await;
    link.push(Frame::Close(Some(CloseFrame::new(4000, "ä".repeat(100)))));
    flush(&mut link).await;
    let mut head = [0; 4];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(head, [0x88, 124, 0x0f, 0xa0]);
    let mut reason = [0; 122];
    client.read_exact(&mut reason).await.unwrap();
    assert_eq!(std::str::from_utf8(&reason).unwrap(), "ä".repeat(61));
}
