//! What only one door may do at a time, and what came of it, for all of them.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tracing::warn;

use super::wire;
use crate::realtime::hub::Hub;
use crate::realtime::vocabulary::Refusal;

/// What is claimed goes after this where its door says nothing more: it died.
const CLAIM_AGE: Duration = Duration::from_secs(300);

/// How long a rate that all doors have together waits for the broker: after it, each door has its own.
const TAKE_PATIENCE: Duration = Duration::from_millis(500);

/// Whether something is this door's to do.
pub enum Claimed<T> {
    /// It is: what came of it is to be said.
    Ours(DoorClaim),
    /// It is another's, or was done before.
    Theirs(T),
}

/// Something that only this door does. Dropped before it is settled, it is anybody's again.
pub struct DoorClaim {
    hub: Arc<Hub>,
    name: String,
    is_settled: bool,
}

impl Hub {
    /// Claims `name` for this door; `None` where there is no other. `value` is what others find, another for each claim.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: it cannot be known whether others do it.
    pub async fn claim<T: Serialize + DeserializeOwned>(
        self: &Arc<Self>,
        name: String,
        value: &T,
    ) -> Result<Option<Claimed<T>>, Refusal> {
        let Some(cluster) = self.cluster() else { return Ok(None) };
        let there = cluster.broker.claim(&name, wire::encode(value), CLAIM_AGE).await;
        match there.map_err(|_| Refusal::Unavailable)? {
            None => Ok(Some(Claimed::Ours(DoorClaim { hub: Arc::clone(self), name, is_settled: false }))),
            Some(there) => {
                let there = wire::decode(&there).map_err(|error| {
                    warn!(name, %error, "what another door has claimed");
                    Refusal::Unavailable
                })?;
                Ok(Some(Claimed::Theirs(there)))
            }
        }
    }

    /// Takes so much of what all doors together may have of `name` in a second: `None` where there is no other door, or it
    /// cannot be known what the others take. The error is how long until there is enough.
    pub async fn take_of_all(&self, name: &str, amount: usize, rate: u32) -> Option<Result<(), Duration>> {
        let cluster = self.cluster().filter(|_| rate > 0)?;
        let taken = timeout(TAKE_PATIENCE, cluster.broker.take(name, amount as u64, u64::from(rate))).await;
        Some(taken.ok()?.ok()?.map_or(Ok(()), Err))
    }
}

impl DoorClaim {
    /// Says what came of it, for so long.
    pub async fn settle(mut self, value: &impl Serialize, age: Duration) {
        self.is_settled = true;
        let Some(cluster) = self.hub.cluster() else { return };
        if let Err(error) = cluster.broker.settle(&self.name, Some(wire::encode(value)), age).await {
            warn!(%error, "what was done could not be told to the other doors");
        }
    }

    /// Nothing came of it: it is anybody's again.
    pub async fn release(mut self) {
        self.is_settled = true;
        if let Some(cluster) = self.hub.cluster() {
            // Where that does not reach the broker, it goes with its time.
            let _ = cluster.broker.settle(&self.name, None, Duration::ZERO).await;
        }
    }
}

impl Drop for DoorClaim {
    fn drop(&mut self) {
        if let Some(cluster) = self.hub.cluster().filter(|_| !self.is_settled)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(cluster.broker.settle(&self.name, None, Duration::ZERO));
        }
    }
}
