//! What one door tells for all of them: that a channel has subscribers, or a member, and no longer.

use std::sync::Arc;

use super::wire::{self, RosterMember};
use crate::realtime::broker::{BrokerError, Marked};
use crate::realtime::hub::Hub;
use crate::realtime::hub::mirror::{COUNTS_GROUP, counts_field, member_field, member_group};
use crate::realtime::vocabulary::{Channel, ConnectionId, Member, Occupancy};

/// What there is to tell of a channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told {
    /// It has subscribers.
    Occupied,
    /// This user is a member.
    Member(Arc<str>),
}

/// Who tells that something has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    This,
    /// It was told before.
    Another,
    /// The others do not know of it yet, or no longer.
    Nobody,
}

impl Told {
    /// The fields of the roster by which it is so.
    fn group(&self) -> String {
        match self {
            Told::Occupied => COUNTS_GROUP.into(),
            Told::Member(user) => member_group(user),
        }
    }
}

impl Hub {
    /// Which of the doors that share the hub is to tell it.
    ///
    /// # Errors
    /// [`BrokerError`]: nobody knows.
    pub async fn begin_to_tell(&self, channel: &Channel, told: &Told) -> Result<Teller, BrokerError> {
        let Some(cluster) = self.cluster() else { return Ok(Teller::This) };
        Ok(match cluster.broker.mark(channel, &told.group()).await? {
            Marked::New => Teller::This,
            Marked::Known => Teller::Another,
            Marked::Empty => Teller::Nobody,
        })
    }

    /// Whether it is for this door to tell that it is over. Not while it is still so on any door.
    ///
    /// # Errors
    /// [`BrokerError`]: nobody knows.
    pub async fn end_of_telling(&self, channel: &Channel, told: &Told) -> Result<bool, BrokerError> {
        let Some(cluster) = self.cluster() else { return Ok(true) };
        if let Told::Member(user) = told
            && self.members(channel).iter().any(|member| member.name() == user)
        {
            return Ok(false);
        }
        cluster.broker.unmark(channel, &told.group()).await
    }

    /// Leaves it to another door to tell that it is over, when this one is about to go.
    ///
    /// # Errors
    /// [`BrokerError`]: nobody will.
    pub async fn leave_telling(&self, channel: &Channel, told: &Told) -> Result<(), BrokerError> {
        let Some(cluster) = self.cluster() else { return Ok(()) };
        let node = cluster.broker.node();
        let (field, value) = match told {
            Told::Occupied => (counts_field(node), wire::encode_counts(&Occupancy::default())),
            Told::Member(user) => {
                let (member, connection) = (Member::new(Arc::clone(user)), ConnectionId(0));
                let shown = RosterMember { member, connection, is_away: false, is_parting: false };
                (member_field(node, connection, user), shown.encode())
            }
        };
        cluster.broker.hand_over(channel, &field, value).await
    }
}
