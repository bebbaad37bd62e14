//! Accepting, one task a connection, until the door drains.
#![expect(clippy::disallowed_methods, reason = "each connection holds a guard")]

use tracing::debug;

use super::connection_setup::{ConnectionSetup, canonical};
use super::{Listener, Peer, Stream};
use crate::drain::Signal;

/// Accepts until draining begins; every connection is served by `serve` in a task of its own that holds a guard.
///
/// While every connection is taken nobody is accepted: the kernel keeps new clients waiting in the socket's backlog.
pub async fn accept<F, S>(listener: Listener, entrance: ConnectionSetup, mut drain: Signal, serve: F)
where
    F: Fn(Stream, Peer) -> S + Clone + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let Listener { socket, is_secure } = listener;
    loop {
        let next = async {
            entrance.vacancy().await;
            socket.accept().await
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            _ = drain.draining() => return,
        };
        let (stream, address) = match accepted {
            Ok((stream, address)) => (stream, canonical(address)),
            Err(error) => {
                entrance.catch_breath(&error).await;
                continue;
            }
        };
        let Ok(permit) = entrance.admit(address.ip(), is_secure) else { continue };
        let (entrance, serve, guard) = (entrance.clone(), serve.clone(), drain.guard());
        tokio::spawn(async move {
            match entrance.receive(stream, address, is_secure, permit).await {
                Ok((stream, peer)) => serve(stream, peer).await,
                Err(why) => {
                    entrance.say_port(&why, address.ip());
                    debug!(%address, %why, "a connection came to nothing");
                }
            }
            drop(guard);
        });
    }
}
