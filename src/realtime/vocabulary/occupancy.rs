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
