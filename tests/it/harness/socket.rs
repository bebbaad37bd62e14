//! A WebSocket client that reads like prose, on an independent implementation.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::door::{Door, PATIENCE};

/// An open socket. Dropped, it is gone without a close.
pub struct Socket(WebSocketStream<TcpStream>);

/// Opens a socket on `path` of `door`.
pub async fn connect(door: &Door, path: &str) -> Socket {
    connect_to(door.http(), path, &[]).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The status of the answer to an upgrade that is refused.
pub async fn refused(door: &Door, path: &str, headers: &[(&'static str, &str)]) -> u16 {
    match connect_to(door.http(), path, headers).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("let in"),
    }
}

/// Asks for a socket.
pub async fn connect_to(address: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket, Error> {
    let mut request = format!("ws://{address}{path}").into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().expect("a header value"));
    }
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let opened = timeout(PATIENCE, tokio_tungstenite::client_async(request, stream)).await.expect("an answer");
    opened.map(|(socket, _)| Socket(socket))
}

impl Socket {
    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub async fn send(&mut self, message: Message) {
        self.0.send(message).await.expect("it can be sent");
    }

    /// The next frame, whatever it is.
    pub async fn frame(&mut self) -> Option<Result<Message, Error>> {
        timeout(PATIENCE, self.0.next()).await.expect("something in time")
    }

    /// The next message, past pings and pongs.
    pub async fn message(&mut self) -> Message {
        loop {
            match self.frame().await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return message,
                other => panic!("instead of a message: {other:?}"),
            }
        }
    }

    /// The next text.
    pub async fn hear(&mut self) -> String {
        match self.message().await {
            Message::Text(text) => text.to_string(),
            other => panic!("instead of a text: {other:?}"),
        }
    }

    pub async fn hear_json(&mut self) -> Value {
        let text = self.hear().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Nothing waits: a pong comes before anything else. What was published before by whom this socket has heard since
    /// would have come first.
    pub async fn is_quiet(&mut self) {
        self.send(Message::Ping(Bytes::from_static(b"quiet?"))).await;
        loop {
            match self.frame().await {
                Some(Ok(Message::Pong(payload))) if payload == "quiet?" => return,
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("not quiet: {other:?}"),
            }
        }
    }

    /// Waits for the close; its code and reason. Answers it.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.frame().await {
                Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                    while let Some(Ok(_)) = self.frame().await {}
                    return (code.into(), reason.to_string());
                }
                Some(Ok(Message::Close(None))) => panic!("closed without a code"),
                Some(Ok(_)) => {}
                other => panic!("instead of a close: {other:?}"),
            }
        }
    }

    /// Closes and waits for the answer.
    pub async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        self.0.close(Some(frame)).await.expect("it can be closed");
        while let Some(Ok(_)) = self.frame().await {}
    }
}
