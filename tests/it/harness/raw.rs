//! An app that is a script of bytes: what a well-behaved HTTP server cannot be made to say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::door::PATIENCE;

/// What the door asks to know whether the app answers; answered here, so that scripts see requests only.
const PROBE: &str = "HEAD /_next/static/doorway ";

/// Runs until dropped.
pub struct RawApp {
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// A request whose head has come, and the connection that it came on.
pub struct Asked {
    /// The head with its empty line.
    pub head: String,
    /// Which request of this connection it is, from 0.
    pub number: usize,
    /// The door's end of the connection.
    pub peer: SocketAddr,
    stream: TcpStream,
    /// Read, but behind the head.
    rest: Vec<u8>,
}

impl RawApp {
    /// Calls `script` for every request. It gives the request back to keep the connection open for the next.
    pub async fn start<F, A>(script: F) -> RawApp
    where
        F: Fn(Asked) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Option<Asked>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        RawApp::on(listener, script)
    }

    /// The same on a socket of the test's own.
    pub fn on<F, A>(listener: TcpListener, script: F) -> RawApp
    where
        F: Fn(Asked) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Option<Asked>> + Send + 'static,
    {
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, peer)) = listener.accept().await {
                let (script, counter) = (script.clone(), Arc::clone(&counter));
                tasks.spawn(async move {
                    let mut asked = Asked { head: String::new(), number: 0, peer, stream, rest: Vec::new() };
                    while asked.read_head().await {
                        if asked.head.starts_with(PROBE) {
                            asked.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
                            continue;
                        }
                        counter.fetch_add(1, Ordering::SeqCst);
                        let Some(mut kept) = script(asked).await else { return };
                        kept.number += 1;
                        asked = kept;
                    }
                });
            }
        });
        RawApp { address, requests, task }
    }

    /// Answers every request with `bytes`, then waits until the door closes.
    pub async fn saying(bytes: impl Into<Vec<u8>>) -> RawApp {
        let bytes: Arc<[u8]> = bytes.into().into();
        RawApp::start(move |mut asked| {
            let bytes = Arc::clone(&bytes);
            async move {
                asked.send(&*bytes).await;
                asked.closed().await;
                None
            }
        })
        .await
    }

    /// How many requests came, probes apart.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// The section `[app]` that names it.
    pub fn config(&self) -> String {
        format!("[app]\nurl = \"http://{}\"\n", self.address)
    }
}

impl Drop for RawApp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asked {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The door may have closed already; the script's next read tells.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// The next `length` bytes behind the head; fewer when the door closes.
    pub async fn body(&mut self, length: usize) -> Vec<u8> {
        while self.rest.len() < length && self.read().await > 0 {}
        let length = length.min(self.rest.len());
        self.rest.drain(..length).collect()
    }

    /// Everything behind the head until it ends with `end`, or the door closes.
    pub async fn until(&mut self, end: &str) -> String {
        while !self.rest.ends_with(end.as_bytes()) && self.read().await > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned()
    }

    /// What came until the door closed the connection.
    pub async fn closed(&mut self) -> Vec<u8> {
        while self.read().await > 0 {}
        std::mem::take(&mut self.rest)
    }

    /// The value of a header; empty without one.
    pub fn header(&self, name: &str) -> String {
        self.headers(name).join(", ")
    }

    /// Every value of a header.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
    }

    /// The request line's target.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    async fn read_head(&mut self) -> bool {
        loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.rest.drain(..end + 4).collect::<Vec<_>>();
                self.head = String::from_utf8_lossy(&head).into_owned();
                return true;
            }
            if self.read().await == 0 {
                return false;
            }
        }
    }

    async fn read(&mut self) -> usize {
        let mut block = [0; 16 * 1024];
        let read = timeout(PATIENCE * 2, self.stream.read(&mut block)).await;
        let read = read.map_or(0, |read| read.unwrap_or(0));
        self.rest.extend_from_slice(&block[..read]);
        read
    }
}

/// A whole answer of 200.
pub fn ok(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

/// Waits until `holds`; panics with `what` when it never does.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}
