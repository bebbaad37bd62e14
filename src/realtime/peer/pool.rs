//! Connections to one other door: few, each with many streams, kept alive and given up when they are silent.
#![expect(clippy::disallowed_methods, reason = "a connection ends with its senders; those who ask by it hold guards")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Mutex as Turn, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::PeerError;
use super::card::PeerCard;
use super::identity::{NAME, PeerIdentity};
use super::passing;
use crate::http::Body;

/// Streams of one connection, and connections to one door.
pub const MOST_STREAMS: usize = 1000;
const MOST_CONNECTIONS: usize = 16;

/// What may wait unread: of one stream, and of all that a connection has, so that those who do not read are not in the
/// way of the others.
pub const STREAM_WINDOW: u32 = 64 * 1024;
pub const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;

/// From the first packet to the first answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A door that was not reached is not asked again for so long.
const REST: Duration = Duration::from_secs(1);

/// How often a connection is asked whether it lives, and how long it may think.
pub const PING_INTERVAL: Duration = Duration::from_secs(3);
pub const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// The connections to one door.
pub struct Pool {
    card: PeerCard,
    connections: Mutex<Vec<PeerConnection>>,
    /// Whoever connects has its turn.
    dials: Turn<()>,
    failed: Mutex<Option<(Instant, PeerError)>>,
}

struct PeerConnection {
    sender: SendRequest<Body>,
    room: Arc<Semaphore>,
}

/// A stream of a connection, to be opened.
pub struct Leased {
    pub sender: SendRequest<Body>,
    pub permit: OwnedSemaphorePermit,
}

impl Pool {
    pub fn new(card: PeerCard) -> Pool {
        Pool { card, connections: Mutex::default(), dials: Turn::default(), failed: Mutex::default() }
    }

    /// Whether there are connections.
    pub fn is_open(&self) -> bool {
        self.connections.lock().iter().any(|connection| !connection.sender.is_closed())
    }

    /// # Errors
    /// [`PeerError`].
    pub async fn take(&self, identity: &PeerIdentity) -> Result<Leased, PeerError> {
        if let Some(leased) = self.free() {
            return Ok(leased);
        }
        self.rested()?;
        let _turn = self.dials.lock().await;
        // Whoever had its turn before may have connected.
        if let Some(leased) = self.free() {
            return Ok(leased);
        }
        self.rested()?;
        if self.connections.lock().len() >= MOST_CONNECTIONS {
            return Err(PeerError::away("too much is forwarded there"));
        }
        let connected = timeout(CONNECT_TIMEOUT, self.connect(identity)).await;
        let connected = connected.unwrap_or_else(|_| Err(PeerError::away("it does not answer in time")));
        match connected {
            Ok(sender) => {
                let room = Arc::new(Semaphore::new(MOST_STREAMS));
                self.connections.lock().push(PeerConnection { sender, room });
                self.free().ok_or_else(|| PeerError::away("it hung up"))
            }
            Err(error) => {
                debug!(address = %self.card.address, ?error, "another door is not reached");
                *self.failed.lock() = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// # Errors
    /// It was not reached a moment ago.
    fn rested(&self) -> Result<(), PeerError> {
        match &*self.failed.lock() {
            Some((at, error)) if at.elapsed() < REST => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// A stream of a connection that is there.
    pub fn free(&self) -> Option<Leased> {
        let mut connections = self.connections.lock();
        connections.retain(|connection| !connection.sender.is_closed());
        connections.iter().find_map(|connection| {
            let permit = Arc::clone(&connection.room).try_acquire_owned().ok()?;
            Some(Leased { sender: connection.sender.clone(), permit })
        })
    }

    async fn connect(&self, identity: &PeerIdentity) -> Result<SendRequest<Body>, PeerError> {
        let address = &self.card.address;
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(|error| {
            // Nobody is there any more, whatever its lease says.
            if error.kind() == io::ErrorKind::ConnectionRefused { PeerError::Gone } else { PeerError::away(error) }
        })?;
        stream.set_nodelay(true).map_err(PeerError::away)?;
        let config = identity.client(self.card.certificate).map_err(PeerError::away)?;
        let name = ServerName::try_from(NAME).map_err(PeerError::away)?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(PeerError::away)?;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(STREAM_WINDOW as usize)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(PeerError::away)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection to another door ended");
            }
        });
        // By its answer it has taken this door for one, and said what it can do.
        let hello = Request::get("https://peer/").header(passing::KIND, passing::HELLO).body(Body::Empty);
        let answer = sender.send_request(hello.map_err(PeerError::away)?).await.map_err(PeerError::away)?;
        if answer.status() != StatusCode::NO_CONTENT {
            return Err(PeerError::away(format!("it says {}", answer.status())));
        }
        Ok(sender)
    }
}
