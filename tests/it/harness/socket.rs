//! A WebSocket client that reads like prose, on an independent implementation.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use http::Request;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::door::{Door, PATIENCE};
use super::wire;

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
    open(stream, request).await
}

/// Opens a socket that takes little before it is read.
pub async fn connect_narrow(door: &Door, path: &str) -> Socket {
    let request = format!("ws://{}{path}", door.http()).into_client_request().expect("a request");
    let stream = wire::narrow(door.http(), 128 * 1024).await;
    open(stream, request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn open(stream: TcpStream, request: Request<()>) -> Result<Socket, Error> {
    stream.set_nodelay(true).expect("an option");
    // By default each client holds 128 KiB to read into.
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let opening = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
    let opened = timeout(PATIENCE, opening).await.expect("an answer");
    opened.map(|(socket, _)| Socket(socket))
}

impl Socket {
    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Says it, if the other side still takes it.
    pub async fn try_say(&mut self, text: &str) -> Result<(), Error> {
        self.0.send(Message::text(text)).await
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

    /// Nothing has come that was published before this. A pong may overtake what is about to be written, a second one
    /// cannot.
    pub async fn is_quiet(&mut self) {
        for payload in ["one", "two"] {
            self.send(Message::Ping(Bytes::from_static(payload.as_bytes()))).await;
            loop {
                match self.frame().await {
                    Some(Ok(Message::Pong(answer))) if answer == payload => break,
                    Some(Ok(Message::Ping(_))) => {}
                    other => panic!("not quiet: {other:?}"),
                }
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
