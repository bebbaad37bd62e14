//! How many are in a channel, by what they may and want there.

/// Counts of one channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// All connections that are in it, whatever for.
    pub connections: usize,
    /// Those that may publish.
    pub publishers: usize,
    /// Those that hear what is said.
    pub subscribers: usize,
    /// Those that may enter its presence.
    pub presence_connections: usize,
    pub presence_members: usize,
    /// Those that hear who comes and goes.
    pub presence_subscribers: usize,
}

impl Occupancy {
    /// These and those of `others`, but for members, who are the same.
    pub fn with(self, others: Occupancy) -> Occupancy {
        Occupancy {
            connections: self.connections + others.connections,
            publishers: self.publishers + others.publishers,
            subscribers: self.subscribers + others.subscribers,
            presence_connections: self.presence_connections + others.presence_connections,
            presence_members: self.presence_members,
            presence_subscribers: self.presence_subscribers + others.presence_subscribers,
        }
    }
}
