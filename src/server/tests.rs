//! How often memory is asked for, for each request: an allocation more in the layers, or a box around an answer, comes to
//! light here.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test that panics says so")]

use std::net::SocketAddr;
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
const ROUNDS: usize = 12;
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

/// A door whose rooms are all there, for as many clients as come.
async fn door(folder: &tempfile::TempDir, drain: &Drain) -> SocketAddr {
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
    let (local, drained) = (listener.local_addr().unwrap(), drain.signal());
    tokio::spawn(async move {
        while let Ok((stream, address)) = listener.accept().await {
            let peer = Peer { address, local, tls: None };
            let (stack, http) = (stack.clone(), services.http.get());
            tokio::spawn(connection::serve(Stream::from(stream), peer, stack, http, drained.clone()));
        }
    });
    local
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

/// What has been asked on a connection before what is counted.
#[derive(Debug, Clone, Copy)]
enum Before {
    /// Nothing that needs hyper.
    Nothing,
    /// Something for which a connection of hyper's was made.
    Library,
}

fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: site.test\r\nAccept: */*\r\nUser-Agent: test\r\n{lines}\r\n")
}

/// How many allocations a request for `path` takes, and how many bytes they are.
fn cost((path, before): (&str, Before)) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (folder, drain) = (build(), Arc::new(Drain::default()));
    let address = runtime.block_on(door(&folder, &drain));
    let request = get(path, "");
    let round = |_| {
        let mut client = runtime.block_on(async {
            let mut first = TcpStream::connect(address).await.unwrap();
            ask(&mut first, request.as_bytes(), 100).await;
            let mut client = TcpStream::connect(address).await.unwrap();
            if matches!(before, Before::Library) {
                // Not plain: it may ask for anything.
                ask(&mut client, get("/page", "Connection: keep-alive, keep-alive\r\n").as_bytes(), 1).await;
            }
            ask(&mut client, request.as_bytes(), 1).await;
            client
        });
        measure(|| runtime.block_on(ask(&mut client, request.as_bytes(), REQUESTS)))
    };
    let mut costs: Vec<_> = (0..ROUNDS)
        .map(round)
        .map(|counted| (counted.count_total / REQUESTS, counted.bytes_total / REQUESTS))
        .collect();
    // What is done by the clock is in few rounds: the one in the middle has none of it.
    costs.sort_unstable();
    costs[ROUNDS / 2]
}

/// So often they asked for it when this was written, and none of it is for a layer: one more has a reason, or is taken out.
const KNOWN: [(&str, Before, u64); 4] = [
    (FILE, Before::Nothing, 16),
    (FILE, Before::Library, 16),
    ("/page", Before::Nothing, 22),
    ("/page", Before::Library, 22),
];

#[test]
fn a_request_asks_for_memory_as_seldom_as_ever() {
    let costs = KNOWN.map(|(path, before, _)| cost((path, before)));
    for ((_, _, most), (count, _)) in KNOWN.into_iter().zip(costs) {
        assert!(count <= most, "a file and a page, without a connection of hyper's and with one: {costs:?}");
    }
}
