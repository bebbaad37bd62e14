//! The limit of fan-out: a loop of `send()` calls and nothing else. No framework, no rooms, no limits, no log.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};

/// The answer to the key that the load sends, the one of RFC 6455 section 1.3.
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The load's messages have 64 bytes behind a header of 6; all of them are answered alike.
const ASKED: usize = 70;

type Sockets = Rc<RefCell<Vec<Rc<TcpStream>>>>;

/// Serves until it is killed.
pub fn serve(address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async move {
        let listener = TcpListener::bind(address).await?;
        let sockets = Sockets::default();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(client(stream, Rc::clone(&sockets)));
        }
    }))
}

async fn client(mut stream: TcpStream, sockets: Sockets) {
    let mut buffer = vec![0; 4096];
    let mut head = 0;
    while !buffer[..head].ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer[head..]).await {
            Ok(read @ 1..) => head += read,
            _ => return,
        }
    }
    if stream.write_all(UPGRADED).await.is_err() {
        return;
    }
    let stream = Rc::new(stream);
    sockets.borrow_mut().push(Rc::clone(&stream));
    let text = format!("{{\"type\":\"broadcast\",\"data\":\"{}\"}}", "m".repeat(64));
    let mut message = vec![0x81, u8::try_from(text.len()).expect("a short message")];
    message.extend_from_slice(text.as_bytes());
    let mut rest = 0;
    while stream.ready(Interest::READABLE).await.is_ok() {
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                let messages = (rest + read) / ASKED;
                rest = (rest + read) % ASKED;
                let output = message.repeat(messages);
                for other in sockets.borrow().iter().filter(|_| messages > 0) {
                    let _ = other.try_write(&output);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
