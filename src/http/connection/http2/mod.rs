//! HTTP/2 on one connection: hyper, with a meter beneath it.

mod budget;
mod frames;
mod greeting;
mod heads;
mod io;
mod pings;
mod streams;
mod windows;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};

pub use budget::{Budget, Spent};
pub use frames::{Frame, Walk};
pub use streams::handed_over;

use super::{Connected, Serves};
use crate::drain::Signal;
use crate::listen::{Stream, TcpInfo};
use io::Metered;
use streams::Streams;
use windows::Windows;

/// What is held of an answer for one stream whose window is full.
const SEND_BUFFER: usize = 64 * 1024;
/// For a client to answer the ping that comes with a GOAWAY (RFC 9113 section 6.8), once its streams have ended.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer to a ping that takes so long has been given up before.
const LONG_AFTER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Streams that the client opened and reset before they were looked at.
const RESETS_UNSEEN: usize = 64;
/// Streams that the client made us reset, by errors of its own.
const RESETS_FOR_ERRORS: usize = 256;

/// How many times the limit of a head the library may take of one, so that who sends somewhat too much (a browser with too
/// many cookies) is refused as over HTTP/1.1, with a page and a line in the log. Beyond it the library says 431 by
/// itself, and four times beyond that the connection ends.
const HEADS: u64 = 8;

/// Serves until the connection ends or the door drains.
pub async fn serve<S: Serves + 'static>(mut stream: Stream, connected: Arc<Connected>, service: S, mut drain: Signal) {
    let config = &connected.settings.http;
    stream.share();
    let streams = Streams::new(config.write_timeout, drain.clone());
    let round_trip = TcpInfo::of(stream.tcp()).map(|info| info.round_trip).unwrap_or_default();
    let windows = Windows::for_way(round_trip, config);
    let idle = config.idle_timeout;
    // The size of a field in the list is 32 more than its bytes (RFC 9113 section 10.5.1).
    let max_list = HEADS * (config.max_head.0 + 32 * config.max_headers as u64);
    let mut builder = hyper::server::conn::http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        // What lasts takes no request's place.
        .max_concurrent_streams(config.h2_max_streams.saturating_add(config.h2_max_live_streams))
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(max_list).unwrap_or(i32::MAX as u32))
        .max_pending_accept_reset_streams(RESETS_UNSEEN)
        .max_local_error_reset_streams(RESETS_FOR_ERRORS)
        .keep_alive_interval(config.h2_ping_interval)
        // The meter knows better how long that may take.
        .keep_alive_timeout(LONG_AFTER);
    let io = TokioIo::new(Metered::new(stream, &connected, max_list));
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    // Whoever holds back its answers learns when there is room.
    let turns = &connected.turns;
    let open = streams.open();
    let is_busy = || open.load(Ordering::Relaxed) > 0;
    let idle = idle_for(idle, is_busy, &connected);
    tokio::select! {
        biased;
        () = turns.resting(connection.as_mut()) => return,
        _ = drain.draining() => {}
        () = idle => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        () = turns.resting(connection) => {}
        _ = drain.ended() => {}
        () = empty_for(GOAWAY_TIMEOUT, is_busy) => {}
    }
}

/// Resolves when no stream has been open at two looks in a row, `timeout` apart.
async fn empty_for(timeout: Duration, is_busy: impl Fn() -> bool) {
    let mut quiet = 0;
    while quiet < 2 {
        tokio::time::sleep(timeout / 2).await;
        quiet = if is_busy() { 0 } else { quiet + 1 };
    }
}

/// Resolves when no stream was open for `timeout`, give or take half of it.
async fn idle_for(timeout: Duration, is_busy: impl Fn() -> bool, connected: &Connected) {
    let mut quiet = 0;
    let mut asked = connected.answered();
    while quiet < 2 {
        tokio::time::sleep(timeout / 2).await;
        let now = connected.answered();
        quiet = if is_busy() || now != asked { 0 } else { quiet + 1 };
        asked = now;
    }
}
