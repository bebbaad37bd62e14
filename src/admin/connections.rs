//! The operator's connections: whoever comes always finds a place, also while others hold theirs and say nothing, and
//! while the process has no descriptor left.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Connections at once. One more takes the place of the one that has been silent for longest; where all are being
/// answered, it waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;

/// Descriptors kept back for connections to this listener.
const SPARE_DESCRIPTORS: usize = 4;

/// The places for connections, and who has them.
pub struct AdminConnections {
    free: Arc<Semaphore>,
    /// The silent for longest first.
    taken: Mutex<VecDeque<Arc<ConnectionState>>>,
    spare: Mutex<Vec<File>>,
}

/// One connection, as the others see it.
#[derive(Default)]
pub struct ConnectionState {
    is_answering: AtomicBool,
    given_up: Notify,
}

/// A place that is held until this is dropped.
pub struct ConnectionGuard {
    connections: Arc<AdminConnections>,
    state: Arc<ConnectionState>,
    _permit: OwnedSemaphorePermit,
}

/// Where operators connect: a port, or a file that only its owner may open.
pub trait Accept: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// A connection, and whose it is.
    fn accept_one(&self) -> impl Future<Output = io::Result<(Self::Stream, IpAddr)>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept_one(&self) -> io::Result<(TcpStream, IpAddr)> {
        let (stream, client) = self.accept().await?;
        Ok((stream, client.ip()))
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept_one(&self) -> io::Result<(UnixStream, IpAddr)> {
        Ok((self.accept().await?.0, Ipv4Addr::LOCALHOST.into()))
    }
}

impl AdminConnections {
    pub fn new() -> Arc<AdminConnections> {
        let connections = AdminConnections {
            free: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            taken: Mutex::default(),
            spare: Mutex::new(Vec::with_capacity(SPARE_DESCRIPTORS)),
        };
        connections.refill();
        Arc::new(connections)
    }

    /// The next connection, whose it is, and its place.
    ///
    /// # Errors
    /// The system's, when it cannot accept.
    pub async fn accept<S: Accept>(self: &Arc<Self>, socket: &S) -> io::Result<(S::Stream, IpAddr, ConnectionGuard)> {
        let (stream, client) = match socket.accept_one().await {
            Err(error) if is_out_of_descriptors(&error) && self.spare.lock().pop().is_some() => {
                socket.accept_one().await?
            }
            accepted => accepted?,
        };
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.give_up_one();
                Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)?
            }
        };
        let state = Arc::<ConnectionState>::default();
        self.taken.lock().push_back(Arc::clone(&state));
        Ok((stream, client, ConnectionGuard { connections: Arc::clone(self), state, _permit: permit }))
    }

    fn give_up_one(&self) {
        let mut taken = self.taken.lock();
        let silent = taken.iter().position(|place| !place.is_answering.load(Ordering::Relaxed));
        if let Some(place) = silent.and_then(|index| taken.remove(index)) {
            place.given_up.notify_one();
        }
    }

    /// Takes descriptors back for the next time there are none.
    fn refill(&self) {
        let mut spare = self.spare.lock();
        while spare.len() < SPARE_DESCRIPTORS {
            let Ok(file) = File::open("/dev/null") else { return };
            spare.push(file);
        }
    }
}

impl ConnectionGuard {
    /// Done when the place is wanted for another connection.
    pub async fn given_up(&self) {
        self.state.given_up.notified().await;
    }

    /// To tell of requests.
    pub fn state(&self) -> Arc<ConnectionState> {
        Arc::clone(&self.state)
    }
}

impl ConnectionState {
    /// A request is being answered, or no longer is.
    pub fn set_answering(&self, is_answering: bool) {
        self.is_answering.store(is_answering, Ordering::Relaxed);
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.taken.lock().retain(|place| !Arc::ptr_eq(place, &self.state));
        self.connections.refill();
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(Errno::MFILE.raw_os_error()) || code == Some(Errno::NFILE.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn one_more(connections: &Arc<AdminConnections>, listener: &TcpListener) -> (TcpStream, ConnectionGuard) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_, _, guard) = connections.accept(listener).await.unwrap();
        (client, guard)
    }

    #[tokio::test]
    async fn who_is_silent_gives_way_and_who_is_answered_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connections = AdminConnections::new();
        let mut held = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let (client, guard) = one_more(&connections, &listener).await;
            guard.state().set_answering(true);
            held.push((client, guard));
        }
        // Not the first that came, but the first that is silent.
        held[7].1.state().set_answering(false);
        let (place, newcomer) = (held.remove(7), one_more(&connections, &listener));
        tokio::pin!(newcomer);
        tokio::select! {
            () = place.1.given_up() => {}
            _ = &mut newcomer => panic!("there was no place"),
        }
        drop(place);
        let newcomer = newcomer.await;
        newcomer.1.state().set_answering(true);
        // All are being answered: nobody is cut, and the next waits.
        let waits = timeout(Duration::from_millis(50), one_more(&connections, &listener)).await;
        assert!(waits.is_err());
        assert_eq!(connections.taken.lock().len(), MAX_CONNECTIONS);
    }
}
