//! Who is connected to any door.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::realtime::hub::Hub;
use crate::realtime::hub::cluster::{DOORS_PATIENCE, DoorQuestion, WirePayload};
use crate::realtime::vocabulary::{Channel, ConnectionId, Identity, Payload, Refusal};

/// Users of one door that are told from those of others, at most; of more it is taken that each is at one door.
const MAX_TOLD_APART: usize = 400_000;

/// Connections of a user that one door tells, at most.
const MAX_LISTED: usize = 100_000;

/// A connection of any door.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionFound {
    /// Whom it is known as.
    pub user: Option<Arc<str>>,
    pub identity: Option<Arc<Identity>>,
    /// It subscribes to the channel that was asked about.
    pub hears: bool,
}

#[derive(Serialize, Deserialize)]
struct CensusQuestion {}

#[derive(Serialize, Deserialize)]
struct CensusAnswer {
    connections: usize,
    /// A number of eight bytes for each user, the same on all doors.
    users: Bytes,
    /// Users beyond those.
    further: usize,
}

#[derive(Serialize, Deserialize)]
struct UserQuestion {
    user: Arc<str>,
}

#[derive(Serialize, Deserialize)]
struct ConnectionQuestion {
    connection: u64,
    channel: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
struct ConnectionAnswer {
    user: Option<Arc<str>>,
    identity: Option<(Arc<str>, Option<WirePayload>)>,
    hears: bool,
}

impl DoorQuestion for CensusQuestion {
    const KIND: &'static str = "census";
    type Answer = CensusAnswer;
}

impl DoorQuestion for UserQuestion {
    const KIND: &'static str = "user";
    type Answer = Vec<u64>;
}

impl DoorQuestion for ConnectionQuestion {
    const KIND: &'static str = "connection";
    type Answer = Option<ConnectionAnswer>;

    fn is_enough(answer: &Option<ConnectionAnswer>) -> bool {
        answer.is_some()
    }
}

impl Hub {
    /// The number of connections of all doors, and of the users behind those that have one. A door that does not answer
    /// is left out.
    pub async fn census_everywhere(&self) -> (usize, usize) {
        if !self.is_shared() {
            return self.census();
        }
        let replies = self.ask_doors(&CensusQuestion {}, DOORS_PATIENCE).await;
        let mut known = HashSet::new();
        let (mut connections, mut further) = (0, 0);
        for answer in replies.given.into_iter().chain([self.own_census()]) {
            connections += answer.connections;
            further += answer.further;
            known.extend(answer.users.chunks_exact(8).filter_map(|number| <[u8; 8]>::try_from(number).ok()));
        }
        (connections, known.len() + further)
    }

    fn own_census(&self) -> CensusAnswer {
        let (connections, all) = self.census();
        let known = self.known.users.lock();
        let mut users = BytesMut::with_capacity(8 * known.len().min(MAX_TOLD_APART));
        known.keys().take(MAX_TOLD_APART).for_each(|user| users.put_u64(number_of(user)));
        drop(known);
        CensusAnswer { connections, further: all.saturating_sub(users.len() / 8), users: users.freeze() }
    }

    /// The connections of a user on all doors. A door that does not answer is left out.
    pub async fn connections_everywhere(&self, user: &str) -> Vec<ConnectionId> {
        let mut connections = self.connections_of(user);
        let replies = self.ask_doors(&UserQuestion { user: user.into() }, DOORS_PATIENCE).await;
        connections.extend(replies.given.into_iter().flatten().map(ConnectionId));
        connections
    }

    /// A connection of any door, and whether it hears `channel`.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where no door knows it and not all have answered.
    pub async fn find_connection(
        &self,
        id: ConnectionId,
        channel: Option<&Channel>,
    ) -> Result<Option<ConnectionFound>, Refusal> {
        if let Some(found) = self.connection_here(id, channel) {
            return Ok(Some(found));
        }
        let channel = channel.map(|channel| channel.as_str().into());
        let replies = self.ask_doors(&ConnectionQuestion { connection: id.0, channel }, DOORS_PATIENCE).await;
        let is_whole = replies.is_whole();
        match replies.given.into_iter().flatten().next() {
            Some(ConnectionAnswer { user, identity, hears }) => {
                let identity = identity.map(|(user, info)| {
                    let info = info.map(Payload::from);
                    Arc::new(Identity { user, info })
                });
                Ok(Some(ConnectionFound { user, identity, hears }))
            }
            None if is_whole => Ok(None),
            None => Err(Refusal::Unavailable),
        }
    }

    fn connection_here(&self, id: ConnectionId, channel: Option<&Channel>) -> Option<ConnectionFound> {
        self.is_connected(id).then(|| ConnectionFound {
            user: self.user_of(id),
            identity: self.identity_of(id),
            hears: channel.is_some_and(|channel| self.hears(id, channel)),
        })
    }

    pub(super) fn answer_whereabouts(&self) {
        self.answer_doors_by(|hub, _: CensusQuestion| async move { hub.own_census() });
        self.answer_doors_by(|hub, UserQuestion { user }| async move {
            hub.connections_of(&user).iter().take(MAX_LISTED).map(|id| id.0).collect()
        });
        self.answer_doors_by(|hub, question: ConnectionQuestion| async move {
            let channel = question.channel.and_then(|name| Channel::new(&name).ok());
            let found = hub.connection_here(ConnectionId(question.connection), channel.as_ref())?;
            let identity =
                found.identity.map(|identity| (Arc::clone(&identity.user), identity.info.as_ref().map(Into::into)));
            Some(ConnectionAnswer { user: found.user, identity, hears: found.hears })
        });
    }
}

/// The same on all doors: FNV-1a. Whoever finds two names of one number makes one user of two, in a count.
fn number_of(user: &str) -> u64 {
    user.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |number, byte| (number ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_one_number_on_all_doors() {
        // From the algorithm's own test vectors.
        assert_eq!(number_of(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(number_of("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(number_of("foobar"), 0x8594_4171_f739_67e8);
    }
}
