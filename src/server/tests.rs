//! How often memory is asked for, for each request: an allocation more in the layers, or a box around an answer, comes to
//! light here.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test that panics says so")]

use std::sync::Arc;

use allocation_counter::measure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::services::Services;
use super::stack;
use crate::config::Config;
use crate::drain::Drain;
use crate::http::connection;
use crate::http::layer::certification::Certification;
use crate::http::layer::redirect::Redirect;
use crate::listen::{ConnectionSetup, Peer, Stream};
use crate::telemetry::registry;

/// So many requests are counted at a time.
const REQUESTS: u64 = 400;
/// And so often.
const ROUNDS: usize = 20;
const FILE: &str = "/_next/static/chunks/a.js";

/// An app that says the same to everybody, and asks for no memory to do so.
async fn app(listener: TcpListener) {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nhello";
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut read = [0; 4096];
            while stream.read(&mut read).await.is_ok_and(|length| length > 0) {
                stream.write_all(answer).await.unwrap();
            }
        });
    }
}

/// A folder as `next build` leaves it, with one file.
fn build() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dist = folder.path().join(".next");
    std::fs::create_dir_all(dist.join("static/chunks")).unwrap();
    std::fs::write(dist.join("BUILD_ID"), "one").unwrap();
    std::fs::write(dist.join("static/chunks/a.js"), "export {}").unwrap();
    folder
}

/// A client of a door whose rooms are all there.
async fn client(folder: &tempfile::TempDir, drain: &Drain) -> TcpStream {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "[app]\nurl = \"http://{}\"\n[files]\ndir = {:?}\nkeep_previous = \"0s\"\n",
        upstream.local_addr().unwrap(),
        folder.path()
    );
    tokio::spawn(app(upstream));
    let config = Config::parse("proxy.toml", &text).unwrap();
    let mut registry = registry();
    let setup = ConnectionSetup::new(&config.listen, None, &mut registry);
    let services = Services::build(&config, setup, None, None, &drain.signal(), &mut registry);
    services.upstream.launch().await.unwrap();
    let layers = &services.layers;
    let stack = stack::build(
        services.dispatch(),
        layers.access.clone(),
        layers.rescue.clone(),
        Certification::new(None),
        Redirect::new(layers.https.clone(), None),
        layers.compress.clone(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, address) = listener.accept().await.unwrap();
    let peer = Peer { address, local: listener.local_addr().unwrap(), tls: None };
    tokio::spawn(connection::serve(Stream::from(stream), peer, stack, services.http.get(), drain.signal()));
    client
}

/// Asks so often; each answer comes in one piece, and is short.
async fn ask(client: &mut TcpStream, request: &[u8], times: u64) {
    let mut read = [0; 4096];
    for _ in 0..times {
        client.write_all(request).await.unwrap();
        let mut length = 0;
        while !read[..length].ends_with(b"hello") && !read[..length].ends_with(b"export {}") {
            length += client.read(&mut read[length..]).await.unwrap();
            assert!(read.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&read[..length]));
        }
    }
}

/// How many allocations a request for `path` takes, and how many bytes they are.
fn cost(path: &str) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (folder, drain) = (build(), Arc::new(Drain::default()));
    let mut client = runtime.block_on(client(&folder, &drain));
    let request = format!("GET {path} HTTP/1.1\r\nHost: site.test\r\nAccept: */*\r\nUser-Agent: test\r\n\r\n");
    runtime.block_on(ask(&mut client, request.as_bytes(), 100));
    // What is done by the clock is none of theirs: the fewest of some rounds are.
    let rounds = (0..ROUNDS).map(|_| measure(|| runtime.block_on(ask(&mut client, request.as_bytes(), REQUESTS))));
    let costs = rounds.map(|counted| (counted.count_total / REQUESTS, counted.bytes_total / REQUESTS));
    costs.min().unwrap_or_default()
}

/// So often they asked for it when this was written, and none of it is for a layer: one more has a reason, or is taken out.
const FILE_MOST: u64 = 16;
const PAGE_MOST: u64 = 22;

#[test]
fn a_request_asks_for_memory_as_seldom_as_ever() {
    let costs = [FILE, "/page"].map(cost);
    let counts = costs.map(|(count, _)| count);
    assert!(counts[0] <= FILE_MOST && counts[1] <= PAGE_MOST, "a file, a page of the app: {costs:?}");
}
