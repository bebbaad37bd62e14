//! Connections whose clients come to another door: the one that knows a connection gives it up, and the other goes on with
//! it. What its channels have is at every door already.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::connections::{CarriedConnection, Claimant, Connections, Represented, another_s, not_represented};
use super::machine::DISPLACED;
use super::wire::error::AblyError;
use super::wire::message::AblyMessage;
use crate::realtime::hub::{DOORS_PATIENCE, DoorQuestion, Hub};
use crate::realtime::vocabulary::{ConnectionId, DisconnectReason, Text};

/// Clients for which other doors are asked at once. Others wait for their turn.
const AT_ONCE: usize = 256;

/// Of whom a client has come with a key that is none of this door's.
#[derive(Debug, Serialize, Deserialize)]
struct CarryQuestion {
    key: String,
    app: Arc<str>,
    client: Option<Arc<str>>,
    key_name: Arc<str>,
}

#[derive(Debug, Serialize, Deserialize)]
enum CarryAnswer {
    Unknown,
    /// It is known, and another's.
    Refused,
    Carried(CarriedConnection),
}

/// Which connection a message is said for.
#[derive(Debug, Serialize, Deserialize)]
struct RepresentedQuestion {
    key: String,
    app: Arc<str>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RepresentedAnswer {
    id: Arc<str>,
    client: Option<Arc<str>>,
    connection: Option<u64>,
}

impl DoorQuestion for CarryQuestion {
    const KIND: &'static str = "ably.carry";
    type Answer = CarryAnswer;

    fn is_enough(answer: &CarryAnswer) -> bool {
        !matches!(answer, CarryAnswer::Unknown)
    }
}

impl DoorQuestion for RepresentedQuestion {
    const KIND: &'static str = "ably.represented";
    type Answer = Option<RepresentedAnswer>;

    fn is_enough(answer: &Option<RepresentedAnswer>) -> bool {
        answer.is_some()
    }
}

/// What the doors know of each other's connections.
pub struct Carrying {
    hub: Arc<Hub>,
    connections: Arc<Connections>,
    turns: Semaphore,
}

impl Carrying {
    /// Answers other doors from now on, where there are some.
    pub fn start(hub: &Arc<Hub>, connections: &Arc<Connections>) -> Arc<Carrying> {
        let giving = Arc::clone(connections);
        hub.answer_doors_by(move |_, CarryQuestion { key, app, client, key_name }| {
            let claimant = Claimant { app, client, key_name };
            std::future::ready(match giving.hand_over(&key, &claimant, Instant::now()) {
                None => CarryAnswer::Unknown,
                Some(Err(_)) => CarryAnswer::Refused,
                Some(Ok(carried)) => CarryAnswer::Carried(carried),
            })
        });
        let knowing = Arc::clone(connections);
        hub.answer_doors_by(move |_, RepresentedQuestion { key, app }| {
            let known = knowing.of_key(&key, &app);
            std::future::ready(known.map(|Represented { id, client, connection }| RepresentedAnswer {
                id,
                client,
                connection: connection.map(|connection| connection.0),
            }))
        });
        let (hub, connections) = (Arc::clone(hub), Arc::clone(connections));
        Arc::new(Carrying { hub, connections, turns: Semaphore::new(AT_ONCE) })
    }

    /// Has this door know the connection that `key` is of, where another one does.
    ///
    /// # Errors
    /// 40102: another one does, and it is not the claimant's.
    pub async fn carry_here(self: &Arc<Self>, key: &str, claimant: &Claimant) -> Result<(), AblyError> {
        if !self.hub.is_shared() || !Connections::is_key(key) || self.connections.knows(key) {
            return Ok(());
        }
        let Claimant { app, client, key_name } = claimant.clone();
        let question = CarryQuestion { key: key.to_owned(), app, client, key_name };
        let carrying = Arc::clone(self);
        // What another door has given up is here, whether or not its client still waits.
        let carried = tokio::spawn(async move {
            let _turn = carrying.turns.acquire().await;
            let replies = carrying.hub.ask_doors(&question, DOORS_PATIENCE).await;
            for answer in replies.given {
                match answer {
                    CarryAnswer::Unknown => {}
                    CarryAnswer::Refused => return Err(another_s()),
                    CarryAnswer::Carried(carried) => carrying.connections.take_in(carried, Instant::now()),
                }
            }
            Ok(())
        });
        carried.await.unwrap_or(Ok(()))
    }

    /// Ends a link of whatever door, as its connection goes on over another.
    pub fn displace(&self, link: ConnectionId) {
        let (code, reason) = (Some(DISPLACED), Text::from("The connection was resumed elsewhere"));
        if self.hub.disconnect(link, DisconnectReason::Kicked { code, reason: reason.clone() }) || !self.hub.is_shared()
        {
            return;
        }
        let hub = Arc::clone(&self.hub);
        tokio::spawn(async move {
            // One that is gone has ended.
            let _ = hub.end_connection(link, code, &reason).await;
        });
    }

    /// The connections of `app` for which messages are said, by the keys that they name.
    ///
    /// # Errors
    /// 40006: no door knows it.
    pub async fn represented(
        &self,
        app: &Arc<str>,
        messages: &[AblyMessage],
    ) -> Result<HashMap<String, Represented>, AblyError> {
        let mut all = HashMap::new();
        for key in messages.iter().filter_map(|message| message.connection_key.as_ref()) {
            if !all.contains_key(key) {
                let meant = match self.connections.of_key(key, app) {
                    Some(known) => Some(known),
                    None => self.represented_elsewhere(key, app).await,
                };
                all.insert(key.clone(), meant.ok_or_else(not_represented)?);
            }
        }
        Ok(all)
    }

    async fn represented_elsewhere(&self, key: &str, app: &Arc<str>) -> Option<Represented> {
        if !Connections::is_key(key) {
            return None;
        }
        let question = RepresentedQuestion { key: key.to_owned(), app: Arc::clone(app) };
        let replies = self.hub.ask_doors(&question, DOORS_PATIENCE).await;
        let RepresentedAnswer { id, client, connection } = replies.given.into_iter().flatten().next()?;
        Some(Represented { id, client, connection: connection.map(ConnectionId) })
    }
}
