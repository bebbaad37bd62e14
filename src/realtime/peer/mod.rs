//! What belongs to another door: its requests are forwarded there, and clients that come back are brought to it.
//!
//! Sessions that come by requests live on the door where they began, and a client that lost its link has its session where
//! it was. Doors that share a broker and have an address for each other (`realtime.redis.peer`) speak HTTP/2 over TLS, in
//! which each knows the other by the very certificate that it has put beside its lease: nobody else gets in, and there is
//! no secret in the config. What the entrance has found out about a client travels in headers, which are believed here alone.

mod card;
mod codec;
mod directory;
mod documents;
mod forwarding;
mod holding;
mod identity;
mod link;
mod listening;
mod metrics;
mod passing;
mod pool;
mod request_head;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;

pub use codec::{FrameStream, PeerFrame};
pub use documents::{DocumentOwner, forward};
pub use forwarding::Way;
pub use link::PeerLink;
pub use listening::{Answers, Ask, is_asked, is_from_peer};
pub use metrics::Metrics;
pub use request_head::RequestHead;

use self::directory::PeerDirectory;
use self::identity::PeerIdentity;
use self::pool::{Leased, Pool};
use super::broker::redis::PeerAddress;
use super::broker::{Broker, BrokerError, NodeId};
use crate::drain::Signal;
use crate::http::Failure;

/// Claims of one session by doors that turn out to be gone, at most.
const MAX_TRIES: usize = 3;

/// How long what is claimed is this door's without a further word, and how often that is said.
const CLAIMED: Duration = Duration::from_secs(90);
const CLAIM_AGAIN: Duration = Duration::from_secs(30);

/// Why another door is not reached.
#[derive(Debug, Clone)]
pub enum PeerError {
    /// It is dead, or there is no way to it: what it had is gone.
    Gone,
    /// It lives, and does not answer, or nobody knows: for the log.
    Away(String),
}

impl PeerError {
    fn away(error: impl std::fmt::Display) -> PeerError {
        PeerError::Away(error.to_string())
    }

    /// For a client whose session may be there still.
    pub fn failure(detail: &str) -> Failure {
        let reason = "The door that has this session does not answer just now: try again.";
        Failure::us(StatusCode::SERVICE_UNAVAILABLE, reason).retry_after(Duration::from_secs(1)).detail(detail)
    }
}

impl From<BrokerError> for PeerError {
    fn from(error: BrokerError) -> PeerError {
        PeerError::away(error)
    }
}

/// For a client, where the broker does not say whose its session is.
fn unknown(error: BrokerError) -> Failure {
    PeerError::failure(&error.to_string())
}

/// Whose a session is that clients name themselves.
pub enum SessionOwner {
    /// This door's.
    Here,
    /// Nobody's.
    Nobody,
    /// Another's, and the way there.
    There(Way),
}

/// The other doors, as far as this one forwards to them and they to it.
pub struct Peers {
    broker: Arc<dyn Broker>,
    directory: Arc<PeerDirectory>,
    identity: Arc<PeerIdentity>,
    /// As many as there were doors.
    pools: Mutex<HashMap<NodeId, Arc<Pool>>>,
    drain: Signal,
    metrics: Metrics,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Peers {
    /// Makes this door's certificate. `address` is what the others are told.
    ///
    /// # Errors
    /// Why there is no certificate.
    pub fn new(
        broker: Arc<dyn Broker>,
        address: &PeerAddress,
        drain: &Signal,
        metrics: Metrics,
    ) -> Result<Peers, String> {
        let identity = PeerIdentity::new(address.clone())?;
        Ok(Peers {
            directory: Arc::new(PeerDirectory::new(Arc::clone(&broker))),
            broker,
            identity: Arc::new(identity),
            pools: Mutex::default(),
            drain: drain.clone(),
            metrics,
            trouble: Arc::default(),
        })
    }

    /// This door.
    pub fn node(&self) -> NodeId {
        self.broker.node()
    }

    /// Why the others do not reach this door.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// The way to another door. One that answers on a connection lives, whatever is known at the broker.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn reach(&self, node: NodeId) -> Result<Way, PeerError> {
        let open = self.pools.lock().get(&node).and_then(|pool| Some((pool.free()?, Arc::clone(pool))));
        if let Some((leased, pool)) = open {
            return Ok(self.way(leased, pool));
        }
        let card = self.directory.find(|doors| doors.get(&node).cloned()).await?.flatten().ok_or(PeerError::Gone)?;
        let pool = {
            let mut pools = self.pools.lock();
            if !pools.contains_key(&node) {
                pools.retain(|_, pool| pool.is_open());
            }
            Arc::clone(pools.entry(node).or_insert_with(|| Arc::new(Pool::new(card))))
        };
        let leased = pool.take(&self.identity).await.inspect_err(|_| {
            self.metrics.unreachable.inc();
        })?;
        Ok(self.way(leased, pool))
    }

    fn way(&self, leased: Leased, pool: Arc<Pool>) -> Way {
        let identity = Arc::clone(&self.identity);
        let (drain, metrics) = (self.drain.clone(), self.metrics.clone());
        Way { leased, pool, identity, drain, metrics, kind: passing::REQUEST }
    }

    /// Whose the session is that a client calls `name`; this door's from now on, if it `opens` one and nobody has it.
    ///
    /// # Errors
    /// 503 where that cannot be known, or its door not be reached.
    pub async fn owner(&self, name: &str, opens: bool) -> Result<SessionOwner, Failure> {
        for _ in 0..MAX_TRIES {
            let claimed = self.broker.claim(name, self.claim(), CLAIMED).await.map_err(unknown)?;
            let Some(claim) = claimed else {
                if opens {
                    return Ok(SessionOwner::Here);
                }
                // Nobody's, so not this door's either.
                self.broker.settle(name, self.claim(), None, CLAIMED).await.map_err(unknown)?;
                return Ok(SessionOwner::Nobody);
            };
            let owner = std::str::from_utf8(&claim).ok().and_then(NodeId::read);
            let reached = match owner {
                Some(owner) => self.reach(owner).await,
                None => Err(PeerError::Gone),
            };
            match reached {
                Ok(way) => return Ok(SessionOwner::There(way)),
                // Of those who find out that its door is gone, the first to claim it has it.
                Err(PeerError::Gone) if opens => {
                    self.broker.settle(name, claim, None, CLAIMED).await.map_err(unknown)?;
                }
                Err(PeerError::Gone) => return Ok(SessionOwner::Nobody),
                Err(PeerError::Away(detail)) => return Err(PeerError::failure(&detail)),
            }
        }
        Err(PeerError::failure("the session's door changes all the time"))
    }

    /// What is put where this door claims something.
    fn claim(&self) -> Bytes {
        self.node().to_string().into()
    }

    /// What a session is called among doors, of what tells it from others of its kind. Whoever reads that learns nothing.
    pub fn name(kind: &str, of: &[&str]) -> String {
        let mut context = Context::new(&SHA256);
        for part in [kind].iter().chain(of) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        format!("session:{}", URL_SAFE_NO_PAD.encode(context.finish()))
    }

    /// Runs a session that was claimed, or that need not be: there are no other doors.
    pub async fn held(claimed: Option<(Arc<Peers>, String)>, session: impl Future<Output = ()>) {
        match claimed {
            Some((peers, name)) => peers.holding(&name, session).await,
            None => session.await,
        }
    }

    /// Keeps `name` this door's until `session` is over.
    async fn holding(&self, name: &str, session: impl Future<Output = ()>) {
        let holding = async {
            loop {
                tokio::time::sleep(CLAIM_AGAIN).await;
                // What cannot be said now is said the next time, which is soon enough.
                let _ = self.broker.settle(name, self.claim(), Some(self.claim()), CLAIMED).await;
            }
        };
        tokio::select! {
            () = session => {}
            () = holding => {}
        }
    }
}
