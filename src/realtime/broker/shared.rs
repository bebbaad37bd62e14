//! The seam between the hub of one door and what several doors share.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::realtime::vocabulary::{Channel, Position};

/// One door among several, for as long as its process lives. Random at each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Reads what [`fmt::Display`] writes.
    pub fn read(text: &str) -> Option<NodeId> {
        let is_hexadecimal = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hexadecimal.then(|| u64::from_str_radix(text, 16).ok())?.map(NodeId)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// Something that the broker is asked for.
pub type Waiting<T> = Pin<Box<dyn Future<Output = Result<T, BrokerError>> + Send>>;

/// Why the broker does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// It cannot be reached, or not in time: whether it was done is not known.
    #[error("the broker cannot be reached: {0}")]
    Away(Arc<str>),
    /// It answers, and says no.
    #[error("the broker refuses: {0}")]
    Refused(Arc<str>),
}

/// A message for a channel's log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    pub body: Bytes,
    /// The sender's own name for it: known already, it is not said again.
    pub id: Option<Arc<str>>,
    /// So many are kept, this one too; 0: none, but it counts.
    pub messages: usize,
    /// And each for so long.
    pub age: Duration,
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub position: Position,
    /// When it was taken, in milliseconds since the Unix epoch: of one that was known, the first time.
    pub unix_ms: u64,
}

/// A channel at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The latest message.
    pub top: Position,
    /// Where epochs ended that this one goes on from, numbers and all: the broker is another since, and has what it had.
    pub earlier: Vec<Position>,
    /// What is kept, oldest first, without holes. Where the top is not among it, nothing is kept.
    pub entries: Vec<(u64, Bytes)>,
    /// The number of the latest change of the roster.
    pub sequence: u64,
    /// What doors have put there.
    pub roster: Vec<(String, Bytes)>,
}

impl Snapshot {
    /// Whether the message at `known` is the one that has this number here: nothing was lost up to it.
    pub fn goes_on_from(&self, known: Position) -> bool {
        let mut ends = std::iter::once(&self.top).chain(&self.earlier);
        ends.any(|end| end.epoch == known.epoch && known.offset <= end.offset)
    }
}

/// Where a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Top {
    /// The latest message.
    pub position: Position,
    /// The number of the latest change of the roster.
    pub sequence: u64,
}

/// What happens in a channel, as all doors hear it.
#[derive(Debug, Clone, PartialEq)]
pub enum ChannelEvent {
    /// A message, at its place in the log.
    Said { position: Position, body: Bytes },
    /// Something that has no place and is not kept.
    Passed(Bytes),
    /// A change of the roster; `None`: the field is gone.
    Roster { sequence: u64, by: NodeId, field: String, value: Option<Bytes> },
}

/// What came of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    /// It is the asker's to tell.
    New,
    /// Another had told it before.
    Known,
    /// There is nothing to tell of: no field of the roster is in the group.
    Empty,
}

/// Whom a word between doors is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// Every door, the sender too.
    All,
    Node(NodeId),
}

/// What several doors share: an ordered log and a roster for each channel, and words between doors.
///
/// A roster is a set of named values. A name begins with that of the door that put it, so that it goes when the door does.
pub trait Broker: Send + Sync + 'static {
    /// This door's own name.
    fn node(&self) -> NodeId;

    /// Says a message: it has its place before any door hears it.
    fn append(&self, channel: &Channel, entry: LogEntry) -> Waiting<Appended>;

    /// Has the doors in a channel hear something without a place.
    fn pass(&self, channel: &Channel, body: Bytes) -> Waiting<()>;

    /// Puts a value into a channel's roster. The same value again changes nothing.
    fn put(&self, channel: &Channel, field: &str, value: Bytes) -> Waiting<()>;

    /// Takes a value out of it.
    fn remove(&self, channel: &Channel, field: &str) -> Waiting<()>;

    /// Hears a channel from then on, until [`Broker::unsubscribe`].
    fn subscribe(&self, channel: &Channel) -> Waiting<()>;

    fn unsubscribe(&self, channel: &Channel) -> Waiting<()>;

    /// The channel as it is, with what is kept after a position, or the latest `most` where that means nothing.
    fn snapshot(&self, channel: &Channel, after: Option<Position>, most: usize) -> Waiting<Snapshot>;

    /// Where channels are now, in their order, each as if it had been asked for alone. What is asked about stays known for
    /// a while.
    fn tops(&self, channels: &[Channel]) -> Waiting<Vec<Top>>;

    /// Marks as told that a channel's roster has a field in `group`, whose name goes on with that behind the door's own: so
    /// one door tells it for all. Only while it has one.
    fn mark(&self, channel: &Channel, group: &str) -> Waiting<Marked>;

    /// Takes such a mark away, unless the roster still has a field in `group`. True where it was there.
    fn unmark(&self, channel: &Channel, group: &str) -> Waiting<bool>;

    /// Has one of the other doors see to a field as if this door had gone with it, see [`BrokerListener::on_departed`].
    fn hand_over(&self, channel: &Channel, field: &str, value: Bytes) -> Waiting<()>;

    /// Puts a value that only one door may put at a time, for so long; or gives the one that is there. The same value again
    /// is put as it was.
    fn claim(&self, name: &str, value: Bytes, age: Duration) -> Waiting<Option<Bytes>>;

    /// Puts another value in the place of the one that was claimed, for so long, or takes it away; nothing where it is
    /// another's by now.
    fn settle(&self, name: &str, claimed: Bytes, value: Option<Bytes>, age: Duration) -> Waiting<()>;

    /// What is there under a name that is claimed, or was settled.
    fn read(&self, name: &str) -> Waiting<Option<Bytes>>;

    /// Takes so much of what all doors together may have in a second. How long until there is enough, where there is not:
    /// then nothing was taken. What is asked twice may be taken twice.
    fn take(&self, name: &str, amount: u64, rate: u64) -> Waiting<Option<Duration>>;

    /// Says something to other doors.
    fn tell(&self, to: Recipient, body: Bytes) -> Waiting<()>;

    /// The doors that live, this one too.
    fn nodes(&self) -> Waiting<Vec<NodeId>>;

    /// What this door says of itself from now on, for as long as it lives.
    fn describe(&self, card: &str) -> Waiting<()>;

    /// The doors that live, and what each says of itself: nothing, where it says nothing.
    fn cards(&self) -> Waiting<Vec<(NodeId, String)>>;
}

/// A door's side of it: told what happens in the channels it hears, of one channel always in order.
pub trait BrokerListener: Send + Sync + 'static {
    fn on_event(&self, channel: &Channel, event: ChannelEvent);

    /// What another door has said, or this one to all.
    fn on_word(&self, body: Bytes);

    /// Events of a channel may be missing.
    fn on_gap(&self, channel: &Channel);

    /// A door has gone, and took a field of its own with it. One of the others is told so, whether it hears the channel or
    /// not.
    fn on_departed(&self, channel: &Channel, field: &str, value: Bytes);

    /// Words of other doors may be missing.
    fn on_words_lost(&self);

    /// The others took this door for dead: what it had put into rosters is gone.
    fn on_expelled(&self);
}
