//! The channels that there are on any door.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::realtime::hub::cluster::{DOORS_PATIENCE, DoorQuestion};
use crate::realtime::hub::{ChannelOverview, Hub};
use crate::realtime::vocabulary::{Channel, Epoch, Occupancy, Position, users};

/// Which channels are listed, in the order of their names.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ChannelQuery {
    pub prefix: String,
    /// Those after this name.
    pub after: Option<String>,
    pub most: usize,
    /// The users among members are counted too.
    pub with_users: bool,
}

/// A channel of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedChannel {
    pub overview: ChannelOverview,
    /// The users among its members; 0 where nobody asked.
    pub users: usize,
}

impl DoorQuestion for ChannelQuery {
    const KIND: &'static str = "channels";
    type Answer = ChannelsAnswer;
}

/// What one door knows of.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChannelsAnswer {
    channels: Vec<WireChannel>,
    /// There are more after the last.
    goes_on: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireChannel {
    name: Arc<str>,
    subscribers: usize,
    members: usize,
    users: usize,
    /// By kind: connections, publishers, subscribers; in presence: connections, members, subscribers.
    counts: [usize; 6],
    epoch: u64,
    offset: u64,
}

impl From<&ListedChannel> for WireChannel {
    fn from(listed: &ListedChannel) -> WireChannel {
        let ListedChannel { overview, users } = listed;
        let counts = &overview.occupancy;
        WireChannel {
            name: overview.name.as_str().into(),
            subscribers: overview.subscribers,
            members: overview.members,
            users: *users,
            counts: [
                counts.connections,
                counts.publishers,
                counts.subscribers,
                counts.presence_connections,
                counts.presence_members,
                counts.presence_subscribers,
            ],
            epoch: overview.top.epoch.0,
            offset: overview.top.offset,
        }
    }
}

impl WireChannel {
    /// `None` for a name that no channel has.
    fn listed(self) -> Option<ListedChannel> {
        let WireChannel { name, subscribers, members, users, counts, epoch, offset } = self;
        let [connections, publishers, hearing, presence_connections, presence_members, presence_subscribers] = counts;
        let occupancy = Occupancy {
            connections,
            publishers,
            subscribers: hearing,
            presence_connections,
            presence_members,
            presence_subscribers,
        };
        let (name, top) = (Channel::new(&name).ok()?, Position { epoch: Epoch(epoch), offset });
        Some(ListedChannel { overview: ChannelOverview { name, subscribers, members, occupancy, top }, users })
    }
}

impl Hub {
    /// The channels of all doors that a query is for; and after which name it goes on, if it does. Reserved ones are left
    /// out. A door that does not answer is left out too.
    pub async fn list_channels(&self, query: &ChannelQuery) -> (Vec<ListedChannel>, Option<Channel>) {
        let (own, next) = self.own_channels(query);
        if !self.is_shared() {
            return (own, next);
        }
        let replies = self.ask_doors(query, DOORS_PATIENCE).await;
        // Whoever has more to say knows of all up to its last.
        let mut upto = next.clone();
        let mut goes_on = next.is_some();
        let mut all: BTreeMap<Channel, ListedChannel> = BTreeMap::new();
        for answer in replies.given {
            let channels: Vec<_> = answer.channels.into_iter().filter_map(WireChannel::listed).collect();
            if let Some(last) = channels.last().filter(|_| answer.goes_on) {
                goes_on = true;
                let last = &last.overview.name;
                if upto.as_ref().is_none_or(|upto| last < upto) {
                    upto = Some(last.clone());
                }
            }
            for listed in channels {
                let known = all.get(&listed.overview.name).map_or(0, |known| known.overview.occupancy.connections);
                if known <= listed.overview.occupancy.connections {
                    all.insert(listed.overview.name.clone(), listed);
                }
            }
        }
        for listed in own {
            let name = listed.overview.name.clone();
            // What is mirrored here is known here as well as anywhere.
            if self.is_mirrored(&name) || !all.contains_key(&name) {
                all.insert(name, listed);
            }
        }
        let mut known =
            all.into_values().filter(|listed| upto.as_ref().is_none_or(|upto| listed.overview.name <= *upto));
        let listed: Vec<_> = known.by_ref().take(query.most).collect();
        goes_on |= known.next().is_some();
        let next = listed.last().filter(|_| goes_on).map(|listed| listed.overview.name.clone());
        (listed, next)
    }

    fn own_channels(&self, query: &ChannelQuery) -> (Vec<ListedChannel>, Option<Channel>) {
        let (channels, next) = self.standings(&query.prefix, query.after.as_deref(), query.most);
        let listed = |overview: ChannelOverview| {
            let users = if query.with_users { users(&self.members(&overview.name)).len() } else { 0 };
            ListedChannel { overview, users }
        };
        (channels.into_iter().map(listed).collect(), next)
    }

    pub(super) fn answer_lists(&self) {
        self.answer_doors_by(|hub, query: ChannelQuery| async move {
            let (channels, next) = hub.own_channels(&query);
            ChannelsAnswer { channels: channels.iter().map(WireChannel::from).collect(), goes_on: next.is_some() }
        });
    }
}
