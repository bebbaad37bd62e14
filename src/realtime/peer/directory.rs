//! The doors that live, and where: looked up at the broker, seldom however often it is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, sleep_until};

use super::card::PeerCard;
use crate::realtime::broker::{Broker, BrokerError, NodeId};

/// What was looked up so lately is believed of a door that is in it.
const FRESH: Duration = Duration::from_secs(1);

/// Between two looks: whoever names doors that are not there has the broker asked no more often.
const PAUSE: Duration = Duration::from_millis(50);

/// All doors that live; a card where it can be reached.
pub type LivingDoors = HashMap<NodeId, Option<PeerCard>>;

/// Who lives.
pub struct PeerDirectory {
    broker: Arc<dyn Broker>,
    known: Mutex<Known>,
    turn: Turn<()>,
}

#[derive(Default)]
struct Known {
    /// When the broker was last asked.
    at: Option<Instant>,
    /// As it last said.
    doors: LivingDoors,
    /// It did not say the last time.
    failed: Option<BrokerError>,
}

impl PeerDirectory {
    pub fn new(broker: Arc<dyn Broker>) -> PeerDirectory {
        PeerDirectory { broker, known: Mutex::default(), turn: Turn::default() }
    }

    /// What `find` finds among the doors that live now. While the broker is away, among those that lived when it was
    /// last heard.
    ///
    /// # Errors
    /// It is away, and nothing was found.
    pub async fn find<T>(&self, find: impl Fn(&LivingDoors) -> Option<T>) -> Result<Option<T>, BrokerError> {
        let asked = Instant::now();
        if let Some(found) = self.since(asked.checked_sub(FRESH), &find).filter(Option::is_some) {
            return Ok(found);
        }
        let _turn = self.turn.lock().await;
        // Whoever had its turn before may have looked in this one's place.
        if self.since(Some(asked), &find).is_none() {
            let last = self.known.lock().at;
            if let Some(last) = last {
                sleep_until(last + PAUSE).await;
            }
            let at = Instant::now();
            let cards = self.broker.cards().await;
            let mut known = self.known.lock();
            known.at = Some(at);
            match cards {
                Ok(cards) => {
                    known.doors = cards.into_iter().map(|(node, card)| (node, PeerCard::read(&card))).collect();
                    known.failed = None;
                }
                Err(error) => known.failed = Some(error),
            }
        }
        let known = self.known.lock();
        match (find(&known.doors), &known.failed) {
            (None, Some(error)) => Err(error.clone()),
            (found, _) => Ok(found),
        }
    }

    /// What is found in what was asked for at that time or later.
    fn since<T>(&self, time: Option<Instant>, find: impl Fn(&LivingDoors) -> Option<T>) -> Option<Option<T>> {
        let known = self.known.lock();
        known.at.filter(|at| Some(*at) >= time).map(|_| find(&known.doors))
    }
}
