//! Doorway: the front door of a self-hosted Next.js app.
//!
//! Two rivers share their first half, part at `doorway::dispatch`, and never braid again:
//!
//! ```text
//! HTTP request       listen → tls → http (one connection) → the onion of layers → dispatch → upstream | files
//! WebSocket message  dispatch → realtime::upgrade → session ( link ↔ dialect ↔ hub ) → broker → fan-out → outbox → link
//! ```
//!
//! The rooms, from the roof down. A room imports only rooms below it; `tests/architecture.rs` holds the order.
//!
//! Invariants:
//! 1. Dialects translate into the vocabulary; none of them *is* it. A fix needed in two of them belongs in session or hub.
//! 2. A message is encoded once per encoding, not once per client. Fan-out hands out references.
//! 3. Every queue is bounded and says at its definition what happens when it is full.
//! 4. Every task holds a drain guard. hyper's connection future ends at the upgrade: sockets are drained by the hub.
//! 5. Errors name who is at fault (client, app, us); one layer turns them into answers.
//! 6. Rooms own their state and their section of the config; the roof hands each its part.
//! 7. No behaviour behind cargo features: one binary, one behaviour, chosen in `proxy.toml`.
//! 8. Nothing of what a client sends is trusted upstream: forwarding headers are set, internal ones are stripped.
//!
//! Deliberately absent: an `AppState`, a `utils`, a `manager`. A helper lives with its only user until it has a noun.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "the tasks of a test end with it"))]

/// The roof, the only room that knows every other: bind, run, drain; the onion; which room answers.
pub mod doorway;
/// `proxy.toml`: one section a room, and the checks across sections.
pub mod config;
/// The operator's door: health and metrics.
pub mod admin;
/// River 2: WebSockets and their kin, from the upgrade to the hub.
pub mod realtime;
/// Answers on disk.
pub mod files;
/// Questions we ask the Next.js app: may this client in? what happened?
pub mod callbacks;
/// The app as a server: process, pool, health, retry, rewrite, tunnel.
pub mod upstream;
/// One request: connection, body, failure, and a file a layer.
pub mod http;
/// Sockets to connections: bind, accept, PROXY protocol, permits, inherited sockets.
pub mod listen;
/// Connections to secure ones: handshake and certificates.
pub mod tls;
/// Who holds how much of what is bounded: no client alone can take it all.
pub mod shares;
/// A build of the app on disk: which one it is, and whether it is whole.
pub mod build;
/// Logs and metrics: the mechanisms; each room declares its own numbers.
pub mod telemetry;
/// Stopping as a value.
pub mod drain;
/// How a room reads its section of `proxy.toml`.
pub mod settings;
