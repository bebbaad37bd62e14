//! The hub's share in what several doors have together, where `[realtime.redis]` says so.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use super::broker::redis::{self, RedisLink, RedisState};
use super::broker::{BrokerListener, NodeId};
use super::hub::Hub;
use super::peer::{self, Answers, Peers};
use crate::documents::Store;
use crate::drain::Signal;
use crate::telemetry::Registry;

/// How long the door takes its leave of the others when it stops.
const PARTING: Duration = Duration::from_secs(2);

/// What is wrong for so long is said.
const MOMENT: Duration = Duration::from_secs(1);

/// The link of this door's hub with those of others.
pub struct Sharing {
    link: RedisLink,
    peers: Option<Arc<Peers>>,
}

impl Sharing {
    /// The hub shares its channels from now on.
    pub fn start(config: &redis::Config, hub: &Arc<Hub>, drain: &Signal, registry: &mut Registry) -> Sharing {
        let node = NodeId(fastrand::u64(..));
        let listener = Arc::clone(hub) as Arc<dyn BrokerListener>;
        let link = RedisLink::open(config.clone(), node, listener, redis::Metrics::new(registry));
        hub.share(Arc::new(link.clone()));
        info!(%node, redis = %config.url, "channels are shared with the other doors of this Redis");
        tokio::spawn(Arc::clone(hub).keep_shared(drain.clone()));
        tokio::spawn(Arc::clone(hub).answer_doors(drain.clone()));
        tokio::spawn(tell(link.clone(), drain.clone()));
        let peers = config.peer.as_ref().and_then(|address| {
            let peers = Peers::new(Arc::new(link.clone()), address, drain, peer::Metrics::new(registry));
            let peers = peers.inspect_err(|error| warn!(%error, "this door has no certificate for the others"));
            peers.ok().map(Arc::new)
        });
        Sharing { link, peers }
    }

    /// What the doors keep documents in together.
    pub fn documents(&self) -> Store {
        Store::shared(Arc::new(self.link.clone()))
    }

    /// The other doors, where this one and they forward to each other.
    pub fn peers(&self) -> Option<&Arc<Peers>> {
        self.peers.as_ref()
    }

    /// Answers what other doors forward from now on, where the config says that they may.
    pub fn serve(&self, config: &redis::Config, answers: Answers) {
        let (Some(peers), Some(address)) = (&self.peers, &config.peer) else { return };
        let address = config.peer_listen.unwrap_or_else(|| address.listen());
        if let Err(error) = peers.listen(address, answers) {
            warn!(%error, "this door does not listen for the others");
        }
    }

    /// Why this door does not hear the others, or is not reached by them, if so.
    pub fn trouble(&self) -> Option<String> {
        match &*self.link.state().borrow() {
            RedisState::Up => self.peers.as_ref()?.trouble(),
            RedisState::Deaf => Some("it does not hear itself".to_owned()),
            RedisState::Down(trouble) => Some(trouble.to_string()),
        }
    }

    /// This door is going: what it has put into rosters goes at once.
    pub async fn close(&self) {
        if !matches!(timeout(PARTING, self.link.close()).await, Ok(Ok(()))) {
            warn!("the other doors could not be told that this one goes; they find out by realtime.redis.node_timeout");
        }
    }
}

/// Says it in the log when the link goes and comes.
async fn tell(link: RedisLink, mut drain: Signal) {
    let mut state = link.state();
    loop {
        let now = state.borrow_and_update().clone();
        // What is over in a moment, as a start is, is no news.
        if now != RedisState::Up && timeout(MOMENT, state.changed()).await.is_ok_and(|changed| changed.is_ok()) {
            continue;
        }
        match now {
            RedisState::Up => info!("this door hears the others by Redis"),
            RedisState::Deaf => warn!("this door does not hear the others: Redis does not give back its beat"),
            RedisState::Down(trouble) => warn!(%trouble, "this door does not hear the others: Redis is away"),
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            _ = drain.ended() => return,
        }
    }
}
