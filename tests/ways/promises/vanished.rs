//! Promise: who vanishes in a black hole is no member for long, however it listens.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use ways::Conditions;
use ways::visitor::{Version, Visitor, Wrong, some};

use crate::Test;
use crate::harness::PATIENCE;
use crate::site::Site;

pub const TESTS: &[Test] = &[
    ("vanished::event_streams_by_http1", || is_noticed(|visitor| Box::pin(events(visitor, Version::Http1)))),
    ("vanished::event_streams_by_http2", || is_noticed(|visitor| Box::pin(events(visitor, Version::Http2)))),
    ("vanished::sockets", || is_noticed(|visitor| Box::pin(socket(visitor)))),
];

/// What the guide goes by, shortened.
const CONFIG: &str = "[http]\nwrite_timeout = \"2s\"\nh2_ping_interval = \"1s\"\nh2_ping_timeout = \"1s\"\n\
     [realtime.plain]\nping_interval = \"1s\"\nping_timeout = \"1s\"\n\
     [[realtime.channel]]\nmatch = \"room\"\npresence = \"all\"\npresence_grace = \"0s\"\n";

/// What a client holds on to.
type Held = Box<dyn std::any::Any + Send>;
type Coming = std::pin::Pin<Box<dyn Future<Output = Result<Held, Wrong>> + Send>>;

fn is_noticed(come: fn(Visitor) -> Coming) {
    let site = Site::open(Conditions::long(Duration::from_millis(40), 100_000_000), CONFIG);
    let held = site.visit(come);
    site.wait_for_metric("hub_members", 1.0);
    site.way.black_hole(true);
    site.wait_for_metric("hub_members", 0.0);
    drop(held);
}

async fn events(visitor: Visitor, version: Version) -> Result<Held, Wrong> {
    let mut connection = visitor.connect(version).await?;
    let mut body = connection.get("/api/ws/room", &[("accept", "text/event-stream")]).await?;
    some(&mut body, 1).await?;
    Ok(Box::new((connection, body)))
}

async fn socket(visitor: Visitor) -> Result<Held, Wrong> {
    let mut stream = visitor.silent(Version::Http1).await?;
    let headers = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    stream.write_all(format!("GET /api/ws/room HTTP/1.1\r\nHost: site.test\r\n{headers}\r\n").as_bytes()).await?;
    stream.flush().await?;
    let mut answer = [0; 1024];
    let read = timeout(PATIENCE, stream.read(&mut answer)).await??;
    assert!(answer[..read].starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer[..read]));
    Ok(Box::new(stream))
}
