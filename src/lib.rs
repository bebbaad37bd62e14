//! Doorway: the front door of a self-hosted Next.js app.
//!
//! Two rivers share their first half, part at `server::dispatch`, and never braid again:
//!
//! ```text
//! HTTP request       listen → tls → http (one connection) → the onion of layers → dispatch → upstream | files | cache
//! WebSocket message  dispatch → a door of realtime → session ( link ↔ dialect ↔ hub ) → broker → fan-out → outbox → link
//! ```
//!
//! The rooms stand below, from the roof down. A room imports only rooms below it; `tests/architecture.rs` holds the order.
//! What a user sees of a room is in its guide, a `README.md` in its folder, which is part of its page here.
//!
//! # The life of a request
//!
//! In the order of what is called; `tests/map.rs` checks that each is there.
//!
//! 1. `listen::accept::accept`: while there is a place, a connection is accepted, and gets a task with a drain guard.
//! 2. `listen::connection_setup::ConnectionSetup::receive`: its PROXY header, and by `tls::acceptor::Acceptor::accept` its TLS handshake.
//! 3. `http::connection::serve`: one connection; `http::connection::http1::serve` behind a validator that reads the bytes before hyper
//!    sees them, or `http::connection::http2::serve`. A plain request the validator hands to the layers itself: what they
//!    have at hand is written at once, and hyper only waits for all else (`http::connection::http1::early::Early::take`).
//! 4. `server::stack::build`: the layers, outermost first, a reason a line: the log, failures, upgrades, uploads, the one
//!    canonical meaning of a request, https, compression. Each is a file of `http::layer`.
//! 5. `http::layer::canonical::canonicalise`: what has two meanings is refused here.
//! 6. `server::dispatch::Dispatch::call`: who answers: the API, a door of the hub, nobody (callbacks are ours alone), a
//!    tunnel, else:
//! 7. `files::Files::answer`: what is on disk, and `cache::Cache::answer`: what is kept in memory, without waking Node.
//! 8. `upstream::Upstream::send`, and in it `upstream::send::journey`: `upstream::availability::Availability::acquire` waits while the app is
//!    away, `upstream::rewrite::request::head` writes the request anew, `upstream::pool::Pool::connect` finds a connection,
//!    `upstream::exchange::ask` asks; what cannot have been heard is asked again.
//! 9. `upstream::rewrite::response::response`: the answer with its headers rewritten, whether it came by `upstream::send::send` or
//!    is the 101 of `upstream::tunnel::open`.
//! 10. `http::layer::compress::Settings::apply`, then `http::layer::rescue::Rescue::answer` where it failed, and `http::layer::access::Access::before`
//!     writes a line when its last byte is gone.
//!
//! # The life of a message
//!
//! A plain socket's; what is below `realtime::plain` is each protocol's own.
//!
//! 1. `realtime::Realtime::find` asks `realtime::door::Doors::find` whose the upgrade is; `realtime::plain::PlainDoor::find` takes it.
//! 2. `realtime::plain::socket::PlainDoor::upgrade`: `realtime::link::websocket::handshake::Offer::read`,
//!    `realtime::entrance::Entrance::check_origin`, `realtime::entrance::Entrance::admit` (a place, the token, the app's word).
//! 3. `realtime::session::open::Sessions::begin`, then `realtime::session::open::Session::open` when the connection is the
//!    WebSocket's, and `realtime::session::Session::run`: one task, polled by hand.
//! 4. `realtime::session::Session::talk` is a turn: `realtime::session::Session::read` takes a frame from
//!    `realtime::link::websocket::WebSocket::poll_receive`.
//! 5. `realtime::plain::machine::Machine::receive`: the frame becomes a command.
//! 6. `realtime::session::commands::Session::command`: where the authorizer (`realtime::app_authorizer::AppAuthorizer::authorize`,
//!    which asks `callbacks::App::ask`) has a say, its decision is waited for, and what comes behind waits too; then
//!    `realtime::session::commands::Session::carry_out`.
//! 7. `realtime::hub::client::publishing::Client::publish` holds it against the channel's policy.
//! 8. `realtime::hub::publish::Hub::publish_in`: under the channel's lock it gets its position from
//!    `realtime::broker::memory::Log::append`, and `realtime::hub::fanout::FanOut::fan_out` encodes it once an encoding and
//!    puts it into outboxes by `realtime::hub::mailboxes::Mailboxes::push`.
//! 9. `realtime::hub::flusher::Hub::poll_flush`: who sleeps is written to at once, by
//!    `realtime::session::direct_write::SharedLink::write_queued`; who is awake takes it by
//!    `realtime::hub::client::inbox::Client::poll_fill`, and `realtime::session::Session::hand_on` gives it to the link.
//! 10. `realtime::link::websocket::WebSocket::poll_flush`: as few writes as there can be.
//!
//! # Which room reads which section of `proxy.toml`
//!
//! | section | room |
//! |---|---|
//! | `[listen]` | [`listen`] |
//! | `[tls]` | [`tls`] |
//! | `[http]` | [`http`] |
//! | `[compress]` | [`http::layer::compress`] |
//! | `[https]` | [`http::layer::redirect`] |
//! | `[app]` | [`upstream`] |
//! | `[releases]` | [`releases`] |
//! | `[files]` | [`files`] |
//! | `[cache]` | [`cache`] |
//! | `[realtime]` | [`realtime::entrance`], [`realtime::hub`], and `restarts` [`realtime`] itself |
//! | `[[realtime.channel]]`, `[realtime.outbox]` | [`realtime::hub`] |
//! | `[realtime.websocket]` | [`realtime::link::websocket`] |
//! | `[realtime.tokens]` | [`realtime::entrance::token`] |
//! | `[realtime.plain]` | [`realtime::plain`] |
//! | `[[realtime.socketio]]` | [`realtime::socketio`] |
//! | `[[realtime.pusher]]` | [`realtime::pusher`] |
//! | `[[realtime.ably]]` | [`realtime::ably`] |
//! | `[realtime.liveblocks]` | [`realtime::liveblocks`] |
//! | `[realtime.yjs]` | [`realtime::yjs`] |
//! | `[realtime.documents]` | [`realtime::hub`] |
//! | `[documents]` | [`documents`] |
//! | `[callbacks]` | [`callbacks`] |
//! | `[api]` | [`realtime::api`] |
//! | `[admin]` | [`admin`] |
//! | `[log]` | [`telemetry`] |
//! | `[telemetry]` | [`telemetry::trace`] |
//! | `[drain]` | [`drain`] |
//!
//! # How to add …
//!
//! - **a key**: in its room's `config.rs` a field with doc, unit and default, a line in `Default` and one in `read`; in
//!   `proxy.toml` at its place. `tests/it/config.rs` fails until both agree. What only a restart changes is named in the
//!   room's `needs_restart`.
//! - **a metric**: in its room's `metrics.rs` a field and a `register` with its help; names come without `doorway_`.
//! - **a layer**: a file in `http/layer` like `bodiless.rs`, and in `server::stack::build` a line with the reason for its place. What is
//!   for the app's answers alone is a line in `upstream::rewrite`.
//! - **a protocol**: a folder in `realtime`; [the steps](realtime/index.html#how-to-add-a-protocol).
//!
//! # Invariants
//!
//! 1. Dialects translate into the vocabulary; none of them *is* it. A fix needed in two of them belongs in session or hub.
//! 2. A message is encoded once per encoding, not once per client. Fan-out hands out references.
//! 3. Every queue is bounded and says at its definition what happens when it is full.
//! 4. Every task that serves somebody holds a drain guard ([`drain::Signal::guard`]), so that a drain waits for it. hyper's
//!    connection future ends at the upgrade: sockets are drained by the hub. Exceptions: who tells others of what was done
//!    (callbacks of a disconnect, webhooks) holds a late guard ([`drain::Signal::late_guard`]) and is waited for after all others;
//!    the hub's sweeper, the flushers, and whoever watches files, the app or the clock hold none: they serve nobody.
//! 5. Errors name who is at fault (client, app, us); one layer turns them into answers.
//! 6. Rooms own their state and their section of the config; the roof hands each its part.
//! 7. No behaviour behind cargo features: one binary, one behaviour, chosen in `proxy.toml`.
//! 8. Nothing of what a client sends is trusted upstream: forwarding headers are set, internal ones are stripped.
//!
//! Deliberately absent: an `AppState`, a `utils`, a `manager`. A helper lives with its only user until it has a noun.
//!
//! # Words
//!
//! The field's own words mean here what they mean elsewhere. These are ours:
//!
//! | word | |
//! |---|---|
//! | room | a top-level module: owns its state and its section of the config |
//! | roof | the room that knows all others |
//! | door | all of Doorway; in `realtime`, the way in of one protocol ([`realtime::door`]) |
//! | entrance | what everybody passes: connections in `listen`, clients in `realtime` |
//! | app | the server behind the door, and whoever wrote it |
//! | hub | who hears what: channels and their subscribers |
//! | dialect, machine | how one client's protocol is spoken: a state machine without socket, clock or runtime |
//! | link | how one client's frames travel |
//! | session | the one place that holds a client's link, dialect and hub together |
//! | vocabulary | the words that all dialects are translated into |
//! | step | what a machine wants done, in order |
//! | ref | a machine's own number for a command, by which it knows the answer |
//! | scope | a part of a client's connection that it can leave alone: a namespace |
//! | moment | an instant and the time of day, taken together |
//! | holder, share | who counts as one where something is bounded, and how much of it he may have |
//! | facts | what was found out about a request: client, scheme, host, id |
//! | failure | an error on its way to the one layer that answers it |
//! | drain, guard, late_guard | stopping; what is waited for; what is waited for last |
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "the tasks of a test end with it"))]

/// The roof, the only room that knows every other: bind, run, drain; the onion; which room answers.
pub mod server;
/// `proxy.toml`: one section a room, and the checks across sections.
pub mod config;
/// The operator's door: health and metrics.
pub mod admin;
/// Releases of the app on disk: made, put in place, gone back to.
pub mod releases;
/// River 2: WebSockets and their kin, from the upgrade to the hub.
pub mod realtime;
/// Answers of the app that everybody may have, kept in memory.
pub mod cache;
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
/// Logs, metrics and traces: the mechanisms; each room declares its own numbers.
pub mod telemetry;
/// Stopping as a value.
pub mod drain;
pub mod documents;
/// A file that is written whole or not at all.
pub mod disk;
/// JSON as JavaScript writes it.
pub mod json;
/// How a room reads its section of `proxy.toml`.
pub mod settings;
