//! A fast app behind every contender: it answers each request with the same bytes, on the load's processor.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Serves until the runtime ends. `GET` is answered with `length` bytes; a body of any other method is read and counted.
pub async fn start(length: usize) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answer = answer(length);
    tokio::task::spawn_local(serve(listener, move |_| Rc::clone(&answer)));
    Ok(address)
}

/// The same where `/bytes/N` is so many bytes long, and everything else two.
pub async fn serve_as_asked(listener: TcpListener) {
    let length = |head: &str| head.strip_prefix("get /bytes/")?.split(' ').next()?.parse().ok();
    serve(listener, move |head| answer(length(head).unwrap_or(2))).await;
}

/// The same with a page that every cache may keep.
pub async fn start_page() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let line = |number: usize| format!("<li class=\"entry\"><a href=\"/blog/{number}\">Entry {number}</a></li>\n");
    let page: String = (0..100).map(line).collect();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: s-maxage=600\r\nETag: \"page\"\r\n\
         Vary: rsc, next-router-state-tree, next-router-prefetch, next-router-segment-prefetch\r\nContent-Length: {}\r\n\r\n",
        page.len()
    );
    let answer: Rc<[u8]> = (head + &page).into_bytes().into();
    tokio::task::spawn_local(serve(listener, move |_| Rc::clone(&answer)));
    Ok(address)
}

fn answer(length: usize) -> Rc<[u8]> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer.into()
}

/// `answer` is given heads in lower case.
async fn serve(listener: TcpListener, answer: impl Fn(&str) -> Rc<[u8]> + Clone + 'static) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = answer.clone();
        let _ = stream.set_nodelay(true);
        tokio::task::spawn_local(async move {
            let mut buffer = vec![0; 64 * 1024];
            let mut have = 0;
            loop {
                match stream.read(&mut buffer[have..]).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => have += read,
                }
                while let Some(end) = memchr::memmem::find(&buffer[..have], b"\r\n\r\n") {
                    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
                    let mut body = Body::of(&head);
                    let rest = buffer[end + 4..have].to_vec();
                    let mut left = body.take(&rest);
                    while left.is_none() {
                        match stream.read(&mut buffer).await {
                            Ok(0) | Err(_) => return,
                            Ok(read) => left = body.take(&buffer[..read]),
                        }
                    }
                    let left = left.unwrap_or_default();
                    buffer[..left.len()].copy_from_slice(&left);
                    have = left.len();
                    if stream.write_all(&answer(&head)).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

enum Body {
    Length(usize),
    /// Up to the last chunk; the bytes of bodies here are never those.
    Chunked(Vec<u8>),
}

impl Body {
    fn of(head: &str) -> Body {
        if head.contains("transfer-encoding: chunked") {
            return Body::Chunked(Vec::new());
        }
        let length =
            head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.trim().parse().ok());
        Body::Length(length.unwrap_or(0))
    }

    /// What is left of `bytes` once the body is whole.
    fn take(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self {
            Body::Length(missing) if bytes.len() >= *missing => Some(bytes[*missing..].to_vec()),
            Body::Length(missing) => {
                *missing -= bytes.len();
                None
            }
            Body::Chunked(tail) => {
                tail.extend_from_slice(bytes);
                let end = memchr::memmem::find(tail, b"0\r\n\r\n").map(|at| tail[at + 5..].to_vec());
                let keep = tail.len().saturating_sub(8);
                tail.drain(..keep);
                end
            }
        }
    }
}
