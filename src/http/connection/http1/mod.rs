//! HTTP/1.0 and HTTP/1.1 on one connection: hyper, with a guard beneath it.

mod aside;
mod early;
mod head;
mod held;
mod io;
mod request_validator;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

pub use head::{Framing, Head, Limits, respelt};
pub use io::{Guarded, Promised};
pub use request_validator::{Inspection, Next, RequestValidator, refusal_line};

use super::{Answers, Connected};
use crate::drain::Signal;
use crate::http::Body;
use crate::listen::Stream;
use early::{Early, Handover};

/// How much hyper reads ahead of a body, and holds of an answer before it waits for the client.
const MAX_BUFFER: usize = 64 * 1024;
/// The same without TLS, whose reads are never longer than a record: here a body that comes fast is read in pieces so
/// long that its sender and the app are woken a third as often.
const PLAIN_BUFFER: usize = 192 * 1024;

/// Serves until the connection ends, is upgraded, or the door drains.
pub async fn serve(stream: Stream, connected: Arc<Connected>, answers: Arc<dyn Answers>, drain: Signal) {
    let handover = Handover::default();
    let early = Early::new(Arc::clone(&answers), Arc::clone(&handover));
    drive(stream, connected, answers, (early, handover), drain).await;
}

/// The same, by what is begun beneath hyper.
async fn drive(
    stream: Stream,
    connected: Arc<Connected>,
    answers: Arc<dyn Answers>,
    (early, handover): (Early, Handover),
    mut drain: Signal,
) {
    let guarded = Box::new(Guarded::new(stream, Arc::clone(&connected), early));
    let Some(guarded) = io::serve(guarded, &answers, &handover, &mut drain).await else { return };
    // Apart: a connection without hyper is to have no room for one.
    Box::pin(with_library(guarded, connected, answers, handover, drain)).await;
}

async fn with_library(
    guarded: Box<Guarded>,
    connected: Arc<Connected>,
    answers: Arc<dyn Answers>,
    handover: Handover,
    mut drain: Signal,
) {
    let mut builder = hyper::server::conn::http1::Builder::new();
    let config = &connected.settings.http;
    let buffer = if connected.peer.tls.is_some() { MAX_BUFFER } else { PLAIN_BUFFER };
    // Time-outs are the guard's: it knows what the client is awaited for.
    builder.header_read_timeout(None).max_buf_size(buffer.max(2 * config.max_head.bytes()));
    if config.max_headers > 100 {
        builder.max_headers(config.max_headers);
    }
    let service = service_fn(move |request: http::Request<Incoming>| {
        // What was begun already, whatever hyper has been shown of it.
        let begun = handover.lock().take();
        begun.unwrap_or_else(|| answers.begin(request.map(Body::Incoming)))
    });
    let io = TokioIo::new(guarded);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service).with_upgrades());
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        _ = drain.draining() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        biased;
        _ = connection => {}
        _ = drain.ended() => {}
    }
}
