//! The hub's share in what several doors have together, where `[realtime.redis]` says so.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use super::broker::redis::{self, RedisLink, RedisState};
use super::broker::{BrokerListener, NodeId};
use super::hub::Hub;
use crate::drain::Signal;
use crate::telemetry::Registry;

/// How long the door takes its leave of the others when it stops.
const PARTING: Duration = Duration::from_secs(2);

/// What is wrong for so long is said.
const MOMENT: Duration = Duration::from_secs(1);

/// The link of this door's hub with those of others.
pub struct Sharing(RedisLink);

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
        Sharing(link)
    }

    /// Why this door does not hear the others, if it does not.
    pub fn trouble(&self) -> Option<String> {
        match &*self.0.state().borrow() {
            RedisState::Up => None,
            RedisState::Deaf => Some("it does not hear itself".to_owned()),
            RedisState::Down(trouble) => Some(trouble.to_string()),
        }
    }

    /// This door is going: what it has put into rosters goes at once.
    pub async fn close(&self) {
        if !matches!(timeout(PARTING, self.0.close()).await, Ok(Ok(()))) {
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
