//! Where other doors ask: whoever is no living door hears nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "what is asked here holds guards of its own; the listener ends with the door"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, StatusCode};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use super::card::thumbprint;
use super::directory::{LivingDoors, PeerDirectory};
use super::forwarding::RESUMES;
use super::holding::holding;
use super::pool::{CONNECTION_WINDOW, MOST_STREAMS, PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW};
use super::{Metrics, Peers, passing};
use crate::drain::Signal;
use crate::http::failure::ErrorContext;
use crate::http::{Body, Failure, Request, Response, ResponseFuture};

/// Those who have not yet shown who they are, and those who have.
const MOST_HANDSHAKES: usize = 64;
const MOST_CONNECTIONS: usize = 1024;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two attempts to listen where somebody else does.
const PAUSE: Duration = Duration::from_secs(1);

/// The head of a request: the client's, which was bounded when it came, and what is said of it.
const HEAD_SIZE: u32 = 256 * 1024;

/// What another door asks for, besides that a request be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// It has a client of this door's, and forwards its request.
    Answer,
    /// It has a request of the app's server, which may ask.
    AnswerApp,
    /// It has a client that comes back with this key.
    Resume(u128),
}

/// Whether a request was forwarded by another door: it goes no further.
pub fn is_from_peer(request: &http::request::Parts) -> bool {
    is_asked(&request.extensions)
}

/// The same of what is known of one.
pub fn is_asked(known: &Extensions) -> bool {
    known.get::<Ask>().is_some()
}

/// Answers what other doors forward.
pub type Answers = Arc<dyn Fn(Request) -> ResponseFuture + Send + Sync>;

/// What a connection of another door needs.
#[derive(Clone)]
struct PeerServer {
    directory: Arc<PeerDirectory>,
    acceptor: TlsAcceptor,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    answers: Answers,
    drain: Signal,
    metrics: Metrics,
}

impl Peers {
    /// Listens at `address` until the door ends, and tells the others where that is.
    ///
    /// # Errors
    /// This door's certificate is of no use.
    pub fn listen(self: &Arc<Self>, address: SocketAddr, answers: Answers) -> Result<(), String> {
        let config = self.identity.server().map_err(|error| error.to_string())?;
        let server = PeerServer {
            directory: Arc::clone(&self.directory),
            acceptor: TlsAcceptor::from(config),
            handshakes: Arc::new(Semaphore::new(MOST_HANDSHAKES)),
            connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            answers,
            drain: self.drain.clone(),
            metrics: self.metrics.clone(),
        };
        let (peers, mut drain) = (Arc::clone(self), self.drain.clone());
        tokio::spawn(async move {
            let serving = async {
                let listener = peers.bind(address).await;
                tokio::join!(peers.describe(&listener), server.serve(&listener));
            };
            tokio::select! {
                () = serving => {}
                () = drain.ended() => {}
            }
        });
        Ok(())
    }

    /// Tries until it listens: a door that is going may be there still.
    async fn bind(&self, address: SocketAddr) -> TcpListener {
        let mut is_said = false;
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    *self.trouble.lock() = None;
                    return listener;
                }
                Err(error) => {
                    let what = format!("realtime.redis.peer: cannot listen on {address}: {error}");
                    if !std::mem::replace(&mut is_said, true) {
                        warn!("{what}; this door's sessions that poll cannot be reached from the others yet");
                    }
                    *self.trouble.lock() = Some(what);
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Peers {
    /// Tells the others where this door is.
    async fn describe(&self, listener: &TcpListener) {
        let Ok(local) = listener.local_addr() else { return };
        info!(kind = "peer", address = %local, "listening");
        let mut card = self.identity.card().clone();
        if card.address.port == 0 {
            card.address.port = local.port();
        }
        while let Err(error) = self.broker.describe(&card.to_string()).await {
            debug!(%error, "the other doors cannot be told yet where this one is");
            sleep(PAUSE).await;
        }
        info!(peer = %card.address, "the other doors can reach this one");
    }
}

impl PeerServer {
    async fn serve(self, listener: &TcpListener) {
        loop {
            // Neither is ever closed.
            let Ok(handshake) = Arc::clone(&self.handshakes).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "cannot accept on the listener for other doors");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let server = self.clone();
            tokio::spawn(async move {
                let Some(stream) = server.let_in(stream).await else { return };
                let Ok(_place) = Arc::clone(&server.connections).try_acquire_owned() else { return };
                drop(handshake);
                server.connection(stream).await;
            });
        }
    }

    /// Lets a living door in, and nobody else.
    async fn let_in(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let shown = async {
            stream.set_nodelay(true).ok()?;
            let stream = self.acceptor.accept(stream).await.ok()?;
            let shown = thumbprint(stream.get_ref().1.peer_certificates()?.first()?);
            let is_it =
                |doors: &LivingDoors| doors.values().flatten().any(|card| card.certificate == shown).then_some(());
            self.directory.find(is_it).await.ok()??;
            Some(stream)
        };
        let shown = timeout(HANDSHAKE_TIMEOUT, shown).await.ok().flatten();
        if shown.is_none() {
            self.metrics.refused.inc();
            debug!("somebody who is no living door came to the listener for those");
        }
        shown
    }

    async fn connection(&self, stream: TlsStream<TcpStream>) {
        let service = service_fn(|request: http::Request<Incoming>| {
            let answers = Arc::clone(&self.answers);
            let metrics = self.metrics.clone();
            // Until all of it is said.
            let guard = self.drain.guard();
            async move {
                let answer = answer(request.map(Body::Incoming), &answers, &metrics).await;
                Ok::<_, Infallible>(answer.map(|body| holding(body, guard)))
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .enable_connect_protocol()
            .max_concurrent_streams(MOST_STREAMS as u32)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(STREAM_WINDOW as usize)
            .max_header_list_size(HEAD_SIZE)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let mut drain = self.drain.clone();
        tokio::select! {
            ended = builder.serve_connection(TokioIo::new(stream), service) => {
                if let Err(error) = ended {
                    debug!(%error, "a connection of another door ended");
                }
            }
            () = drain.ended() => {}
        }
    }
}

/// Answers a request of another door.
async fn answer(mut request: Request, answers: &Answers, metrics: &Metrics) -> Response {
    let kind = request.headers_mut().remove(passing::KIND);
    if kind == Some(passing::HELLO) {
        return bare(StatusCode::NO_CONTENT);
    }
    let resumes = request.headers_mut().remove(passing::RESUME);
    let Some(facts) = passing::read(request.headers_mut()) else { return bare(StatusCode::BAD_REQUEST) };
    let is_resume = request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == RESUMES);
    let ask = match resumes {
        Some(key) if is_resume => match key.to_str().ok().and_then(|key| u128::from_str_radix(key, 16).ok()) {
            Some(key) => Ask::Resume(key),
            None => return bare(StatusCode::BAD_REQUEST),
        },
        _ if kind == Some(passing::FROM_APP) => Ask::AnswerApp,
        _ => Ask::Answer,
    };
    metrics.answered.inc();
    request.extensions_mut().insert(ask);
    request.extensions_mut().insert(facts);
    let context = ErrorContext::of(&request);
    answers(request).await.unwrap_or_else(|failure| told(failure, &context))
}

/// A failure, as the client is told it.
fn told(failure: Failure, context: &ErrorContext) -> Response {
    if let Some(detail) = &failure.detail {
        debug!(reason = %failure.reason, %detail, "what another door forwarded failed");
    }
    failure.into_response(context)
}

fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}
