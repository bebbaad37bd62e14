//! How cases read, in the order in which they are printed.

use serde::Serialize;

/// How a case reads.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Caption {
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub less_is_better: bool,
    /// Only run where it is named, or where all are asked for: it has no peer, or differs little from another.
    pub rare: bool,
}

impl Caption {
    const fn new(name: &'static str, title: &'static str, unit: &'static str) -> Caption {
        Caption { name, title, unit, less_is_better: false, rare: false }
    }

    const fn less(self) -> Caption {
        Caption { less_is_better: true, ..self }
    }

    const fn rare(self) -> Caption {
        Caption { rare: true, ..self }
    }

    /// Whether it is memory of something that is compared.
    pub fn is_memory(&self) -> bool {
        self.less_is_better && self.unit.starts_with("bytes per ")
    }

    /// The one of that name.
    pub fn of(name: &str) -> Option<&'static Caption> {
        CAPTIONS.iter().find(|caption| caption.name == name)
    }
}

const REQUESTS: &str = "requests per CPU-second";
const HANDSHAKES: &str = "handshakes per CPU-second";
const BYTES: &str = "bytes per CPU-second";
const DELIVERIES: &str = "deliveries per CPU-second";
const OF_ALL: &str = "deliveries per CPU-second of all";
const A_CLIENT: &str = "bytes per client";

const fn new(name: &'static str, title: &'static str, unit: &'static str) -> Caption {
    Caption::new(name, title, unit)
}

pub const CAPTIONS: &[Caption] = &[
    new("http1", "HTTP/1.1, 1 KB, 64 connections", REQUESTS),
    new("https1", "HTTP/1.1 over TLS 1.3", REQUESTS),
    new("https2", "HTTP/2 over TLS 1.3", REQUESTS),
    new("handshake", "TLS handshakes, full", HANDSHAKES),
    new("resume", "TLS handshakes, resumed", HANDSHAKES),
    new("download", "10 MB down", BYTES),
    new("upload", "10 MB up", BYTES),
    new("static", "/_next/static, 229 KB", REQUESTS),
    new("static-gzip", "/_next/static, 229 KB, gzip", REQUESTS),
    new("cached", "A page that is kept, 5 KB", REQUESTS),
    new("cached-gzip", "The same, gzip", REQUESTS),
    new("cached-mix", "The same, one of 20 is new", REQUESTS),
    new("cached-new", "The same, each is new", REQUESTS),
    new("uncached", "The same where nothing is kept", REQUESTS),
    new("kept-page", "A page that Next.js keeps, its app counted too", REQUESTS),
    new("page", "A page made by Next.js, its app counted too", REQUESTS),
    new("echo", "WebSocket echo, 64 clients", "echoes per CPU-second"),
    new("fanout", "Fan-out to 1,000, 1 in flight", DELIVERIES),
    new("fanout4", "Fan-out to 1,000, 4 in flight", DELIVERIES),
    new("rooms", "10,000 clients in 1,000 rooms", DELIVERIES),
    new("idle", "10,000 idle sockets", "bytes per socket").less(),
    new("idle-tls", "4,000 idle sockets over TLS", "bytes per socket").less(),
    new("admit", "Admitting 10,000 sockets", "sockets per CPU-second"),
    new("socketio-echo", "Socket.IO echo, 64 clients", "echoes per CPU-second"),
    new("socketio-fanout", "Socket.IO, one event to 1,000", DELIVERIES),
    new("socketio-idle", "5,000 idle Socket.IO clients", A_CLIENT).less(),
    new("socketio-admit", "Admitting 5,000 Socket.IO clients", "clients per CPU-second"),
    new("pusher-rest", "Pusher, REST event to 1,000", DELIVERIES),
    new("pusher-client-event", "Pusher, client event to 999", DELIVERIES),
    new("pusher-idle", "5,000 idle Pusher clients", A_CLIENT).less(),
    new("yjs-updates", "Yjs, eight write, one reads", "updates per CPU-second"),
    new("yjs-readers", "Yjs, eight write, 100 read", DELIVERIES),
    new("cluster-fanout", "Socket.IO, one event to 1,000 at two servers and a Redis", OF_ALL),
    new("cluster-rooms", "Socket.IO, 2,000 in 200 rooms at two servers and a Redis", OF_ALL),
    new("cluster-one", "The event to 1,000 at one server and a Redis", OF_ALL).rare(),
    new("cluster-four", "The event to 1,000 at four servers and a Redis", OF_ALL).rare(),
    new("ably-json", "Ably, REST message to 1,000, JSON", DELIVERIES).rare(),
    new("ably-msgpack", "Ably, REST message to 1,000, MessagePack", DELIVERIES).rare(),
    new("ably-idle", "5,000 idle Ably clients", A_CLIENT).less().rare(),
    new("ably-idle-users", "5,000 idle Ably clients, each a user by a token", A_CLIENT).less().rare(),
    new("ably-resume", "Ably, 2,000 that resume at once", "resumes per CPU-second").rare(),
    new("documents-list", "Liveblocks, two edit a list", "changes per CPU-second").rare(),
    new("documents-cursors", "Liveblocks, 100 cursors ten times a second", "percent of a processor").less().rare(),
    new("documents-load", "Liveblocks, a document of 5 MB", BYTES).rare(),
    new("documents-open", "The same from the disk", "milliseconds of CPU").less().rare(),
    new("documents-rooms", "900 rooms, each with a client and a list", "bytes per room").less().rare(),
];

/// What the project's README prints: the words of a line, and its cases.
pub const FRONT: &[(&str, &[&str])] = &[
    ("HTTP/1.1; over TLS; HTTP/2 over TLS", &["http1", "https1", "https2"]),
    ("10 MB down; up", &["download", "upload"]),
    ("static files, plain; gzip", &["static", "static-gzip"]),
    ("a page that is kept; one that Next.js makes", &["cached", "page"]),
    ("WebSocket: echo; one message to 1,000; admission", &["echo", "fanout", "admit"]),
    ("bytes of an idle socket", &["idle"]),
    ("Socket.IO: echo; event to 1,000; admission", &["socketio-echo", "socketio-fanout", "socketio-admit"]),
    ("Pusher: REST event to 1,000; client event", &["pusher-rest", "pusher-client-event"]),
];

/// Kinds that it prints.
pub const FRONT_KINDS: &[&str] = &[KINDS[0], KINDS[1], KINDS[2], KINDS[3], KINDS[6], KINDS[7]];

/// Requests whose instructions are counted without the host's help, in the order in which they are printed.
pub const KINDS: &[&str] = &[
    "a file of 1 KB",
    "an answer of the app of 1 KB",
    "the same over TLS 1.3",
    "the same over HTTP/2 and TLS 1.3",
    "an answer of the app beside 4,000 open connections",
    "a TLS handshake with one request",
    "a socket let in",
    "a message and its echo",
    "a message to 100, for each of them",
    "a message to 5,000, for each of them",
    "a Socket.IO client let in",
    "a Socket.IO message and its echo",
    "a Pusher event by REST to 100",
];
