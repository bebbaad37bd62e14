//! tokio-tungstenite as the client.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::*;

async fn client(stream: TcpStream) -> WebSocketStream<TcpStream> {
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

#[tokio::test]
async fn messages_of_every_length_are_echoed() {
    let (link, stream) = pair().await;
    let server = tokio::spawn(echo(link));
    let mut client = client(stream).await;
    for length in [0, 1, 7, 8, 125, 126, 127, 128, 2_047, 2_048, 2_049, 65_535, 65_536, 65_537, 1 << 20] {
        let text = Message::text("é".repeat(length / 2) + &"x".repeat(length % 2));
        client.send(text.clone()).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), text);
        let binary = Message::binary((0..length).map(|n| n as u8).collect::<Vec<_>>());
        client.send(binary.clone()).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), binary);
    }
    client.close(None).await.unwrap();
    while let Some(Ok(_)) = client.next().await {}
    drop(client);
    let traffic = server.await.unwrap().traffic();
    assert_eq!((traffic.messages_in, traffic.messages_out), (30, 30));
    assert!(traffic.bytes_in > traffic.bytes_out, "masks are four bytes each");
}

#[tokio::test]
async fn many_messages_in_one_read_are_all_there_in_order() {
    let (link, stream) = pair().await;
    let server = tokio::spawn(echo(link));
    let mut client = client(stream).await;
    for number in 0..10_000 {
        client.feed(Message::text(number.to_string())).await.unwrap();
        if number % 100 == 99 {
            client.flush().await.unwrap();
            for expected in number - 99..=number {
                assert_eq!(client.next().await.unwrap().unwrap(), Message::text(expected.to_string()));
            }
        }
    }
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn a_close_of_the_client_is_answered_with_its_code() {
    let (link, stream) = pair().await;
    let server = tokio::spawn(echo(link));
    let mut client = client(stream).await;
    let why = CloseFrame { code: 4321.into(), reason: "enough".into() };
    client.close(Some(why)).await.unwrap();
    let Message::Close(Some(answer)) = client.next().await.unwrap().unwrap() else { panic!("no close frame") };
    assert_eq!(u16::from(answer.code), 4321);
    assert!(client.next().await.is_none());
    drop(client);
    server.await.unwrap();
}

#[tokio::test]
async fn pings_are_answered_between_messages() {
    let (link, stream) = pair().await;
    let server = tokio::spawn(echo(link));
    let mut client = client(stream).await;
    client.feed(Message::text("one")).await.unwrap();
    client.feed(Message::Ping("two".into())).await.unwrap();
    client.feed(Message::text("three")).await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("one"));
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("two".into()));
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("three"));
    drop(client);
    server.await.unwrap();
}
