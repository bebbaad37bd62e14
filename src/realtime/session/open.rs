//! How a session begins: once a client is let in, whatever it speaks and however its frames travel.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::timeout;

use super::{Metrics, Session, SessionRecord, direct_write};
use crate::drain::Signal;
use crate::http::connection::switch::Switching;
use crate::realtime::dialect::Dialect;
use crate::realtime::entrance::Admitted;
use crate::realtime::hub::Hub;
use crate::realtime::link::websocket::{self, Agreed};
use crate::realtime::vocabulary::Frame;
use crate::telemetry::Registry;

/// Begins sessions. One for all doors.
#[derive(Clone)]
pub struct Sessions {
    metrics: Arc<Metrics>,
    drain: Signal,
}

impl Sessions {
    pub fn new(hub: &Arc<Hub>, drain: &Signal, registry: &mut Registry) -> Sessions {
        let metrics = Arc::new(Metrics::new(registry));
        direct_write::start_flushers(hub, &metrics);
        Sessions { metrics, drain: drain.clone() }
    }

    /// The number of connected clients, by dialect.
    pub fn open(&self) -> BTreeMap<&'static str, i64> {
        self.metrics.sockets()
    }

    /// Begins the conversation of a client that was let in, before there is a link: when this is done, the client is in
    /// its first channels, or the app has said that it may not be.
    pub async fn begin(&self, admitted: Admitted, machine: Box<dyn Dialect>) -> Session {
        let Admitted { client, permit, authorizer, first, arrival } = admitted;
        let record = SessionRecord::new(arrival, permit, Arc::clone(&self.metrics));
        Session::begin(machine, client, authorizer, first, record, self.drain.guard()).await
    }

    /// Says why on the socket of a client that is not let in, and closes it; within the time for a closing handshake.
    pub fn refuse<const N: usize>(
        &self,
        upgrade: Switching,
        agreed: Option<Agreed>,
        frames: [Frame; N],
        config: websocket::Config,
    ) {
        let guard = self.drain.guard();
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let mut link = websocket::open(upgraded, agreed.as_ref(), &config);
            frames.into_iter().for_each(|frame| link.push(frame));
            let closing = std::future::poll_fn(|context| link.poll_close(context));
            // Too slow or gone already: all the same.
            let _ = timeout(config.close_timeout, closing).await;
            drop(guard);
        });
    }
}

impl Session {
    /// Waits until the connection is the WebSocket's, and talks over it.
    pub async fn open(self, upgrade: Switching, agreed: Option<Agreed>, config: websocket::Config) {
        match upgrade.await {
            Ok(upgraded) => {
                let link = websocket::open(upgraded, agreed.as_ref(), &config);
                // A task of its own, which holds nothing but the session.
                tokio::spawn(self.run(link, config.close_timeout));
            }
            Err(_) => self.abandon(),
        }
    }
}
