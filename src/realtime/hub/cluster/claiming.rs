//! What only one door may do at a time, and what came of it, for all of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::wire;
use crate::realtime::hub::Hub;
use crate::realtime::vocabulary::Refusal;

/// What is claimed is anybody's after this, where its door does not renew it: it died, or does not reach the broker.
const CLAIM_AGE: Duration = Duration::from_secs(10);

/// Between two attempts at telling the broker what became of a claim.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// How long whoever made a claim waits until the broker knows what became of it.
const SETTLE_PATIENCE: Duration = Duration::from_millis(500);

/// How long a rate that all doors have together waits for the broker: after it, each door has its own.
const TAKE_PATIENCE: Duration = Duration::from_millis(500);

/// Whether something is this door's to do.
pub enum Claimed<T> {
    /// It is: what came of it is to be said.
    Ours(DoorClaim),
    /// It is another's, or was done before.
    Theirs(T),
}

/// Something that only this door does, as long as it is held. Dropped before it is settled, it is anybody's again.
pub struct DoorClaim {
    hub: Arc<Hub>,
    name: String,
    claimed: Bytes,
    /// Renews it.
    renewing: JoinHandle<()>,
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
        let claimed = wire::encode(value);
        // Where no answer comes, it may be claimed all the same: then it is let go.
        let claim = DoorClaim::new(self, name, claimed.clone());
        let there = cluster.broker.claim(&claim.name, claimed, CLAIM_AGE).await;
        match there.map_err(|_| Refusal::Unavailable)? {
            None => Ok(Some(Claimed::Ours(claim))),
            Some(there) => {
                let there = wire::decode(&there).map_err(|error| {
                    warn!(name = claim.name, %error, "what another door has claimed");
                    Refusal::Unavailable
                })?;
                Ok(Some(Claimed::Theirs(there)))
            }
        }
    }

    /// What all doors keep under a name; `None` too where there is no other.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: that cannot be known now.
    pub async fn kept_for_all(&self, name: &str) -> Result<Option<Bytes>, Refusal> {
        let Some(cluster) = self.cluster() else { return Ok(None) };
        cluster.broker.read(name).await.map_err(|_| Refusal::Unavailable)
    }

    /// Keeps something for all doors, for so long. Of two that do so at once, one counts.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: it may be kept or not.
    pub async fn keep_for_all(&self, name: &str, value: Bytes, age: Duration) -> Result<(), Refusal> {
        let Some(cluster) = self.cluster() else { return Ok(()) };
        let there = self.kept_for_all(name).await?.unwrap_or_default();
        cluster.broker.settle(name, there, Some(value), age).await.map_err(|_| Refusal::Unavailable)
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
    fn new(hub: &Arc<Hub>, name: String, claimed: Bytes) -> DoorClaim {
        let (renewed, own, held) = (name.clone(), claimed.clone(), Arc::clone(hub));
        let renewing = tokio::spawn(async move {
            let Some(cluster) = held.cluster() else { return };
            loop {
                sleep(CLAIM_AGE / 3).await;
                let _ = cluster.broker.settle(&renewed, own.clone(), Some(own.clone()), CLAIM_AGE).await;
            }
        });
        DoorClaim { hub: Arc::clone(hub), name, claimed, renewing, is_settled: false }
    }

    /// Says what came of it, for so long.
    pub async fn settle(mut self, value: &impl Serialize, age: Duration) {
        let _ = timeout(SETTLE_PATIENCE, self.end(Some(wire::encode(value)), age)).await;
    }

    /// Nothing came of it: it is anybody's again.
    pub async fn release(mut self) {
        let _ = timeout(SETTLE_PATIENCE, self.end(None, CLAIM_AGE)).await;
    }

    /// Tells the broker, and again until it knows it or would have forgotten the claim by itself.
    fn end(&mut self, value: Option<Bytes>, age: Duration) -> JoinHandle<()> {
        self.is_settled = true;
        self.renewing.abort();
        let (hub, name, claimed) = (Arc::clone(&self.hub), self.name.clone(), self.claimed.clone());
        tokio::spawn(async move {
            let Some(cluster) = hub.cluster() else { return };
            let until = Instant::now() + 2 * CLAIM_AGE;
            while let Err(error) = cluster.broker.settle(&name, claimed.clone(), value.clone(), age).await {
                if Instant::now() >= until {
                    return warn!(%error, "what was done could not be told to the other doors");
                }
                sleep(RETRY_INTERVAL).await;
            }
        })
    }
}

impl Drop for DoorClaim {
    fn drop(&mut self) {
        if !self.is_settled && Handle::try_current().is_ok() {
            self.end(None, CLAIM_AGE);
        }
    }
}
