//! Accepting, one task a connection, until the door drains.

use std::time::Duration;

use tracing::warn;

use super::{Listener, Peer, Stream};
use crate::drain::Signal;

/// Accepts until draining begins; every connection is served by `serve` in a task of its own that holds a guard.
pub async fn accept<F, S>(listener: Listener, mut drain: Signal, serve: F)
where
    F: Fn(Stream, Peer) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            _ = drain.draining() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the client left at once: neither is a reason to spin or to stop.
                warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(local) = stream.local_addr() else { continue };
        let _ = stream.set_nodelay(true);
        let guard = drain.guard();
        let served = serve(Stream::Plain(stream), Peer { address, local, tls: None });
        tokio::spawn(async move {
            served.await;
            drop(guard);
        });
    }
}
