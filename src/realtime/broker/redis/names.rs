//! The names of keys and channels in Redis. All that belongs to one channel, or to one door, has one hash tag, and so lies
//! in one slot of a cluster.

use std::fmt::Write;
use std::sync::Arc;

use crate::realtime::broker::NodeId;
use crate::realtime::vocabulary::Channel;

/// Makes names.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: Arc<str>,
}

/// The names of one channel.
#[derive(Debug, Clone)]
pub(super) struct ChannelNames {
    tag: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Names {
        Names { prefix: prefix.into() }
    }

    pub(super) fn channel(&self, channel: &Channel) -> ChannelNames {
        self.named(channel.as_str())
    }

    /// Those of a channel that Redis has the name of.
    pub(super) fn named(&self, channel: &str) -> ChannelNames {
        ChannelNames { tag: self.tag(channel) }
    }

    /// `dw:{CHANNEL}`. A brace in the channel's name would end the tag early.
    fn tag(&self, channel: &str) -> String {
        let mut tag = String::with_capacity(self.prefix.len() + channel.len() + 3);
        let _ = write!(tag, "{}:{{", self.prefix);
        for char in channel.chars() {
            match char {
                '{' => tag.push_str("%7B"),
                '}' => tag.push_str("%7D"),
                '%' => tag.push_str("%25"),
                char => tag.push(char),
            }
        }
        tag.push('}');
        tag
    }

    /// The set of all doors.
    pub(super) fn nodes(&self) -> String {
        format!("{}:nodes", self.prefix)
    }

    /// What doors left behind, for one of the others to tell of.
    pub(super) fn left(&self) -> String {
        format!("{}:left", self.prefix)
    }

    /// What one door has claimed.
    pub(super) fn claim(&self, name: &str) -> String {
        format!("{}:claim:{name}", self.prefix)
    }

    /// What all doors together have left of a rate.
    pub(super) fn rate(&self, name: &str) -> String {
        format!("{}:rate:{name}", self.prefix)
    }

    /// The names of all rooms that have documents.
    pub(super) fn rooms(&self) -> String {
        format!("{}:rooms", self.prefix)
    }

    /// Written to see whether that can be done.
    pub(super) fn probe(&self) -> String {
        format!("{}:probe", self.prefix)
    }

    /// Where all doors hear.
    pub(super) fn all(&self) -> String {
        format!("{}:all", self.prefix)
    }

    fn node(&self, node: NodeId, what: &str) -> String {
        format!("{}:node:{{{node}}}:{what}", self.prefix)
    }

    /// Where one door hears.
    pub(super) fn inbox(&self, node: NodeId) -> String {
        self.node(node, "inbox")
    }

    /// Where a door hears itself.
    pub(super) fn beat(&self, node: NodeId) -> String {
        self.node(node, "beat")
    }

    /// The same at one server of a cluster, where `tag` lies in a slot of its own.
    pub(super) fn beat_at(&self, tag: &str, node: NodeId) -> String {
        format!("{}:beat:{{{tag}}}:{node}", self.prefix)
    }

    /// There while the door lives.
    pub(super) fn lease(&self, node: NodeId) -> String {
        self.node(node, "lease")
    }

    /// The channels in whose rosters it has something.
    pub(super) fn channels(&self, node: NodeId) -> String {
        self.node(node, "channels")
    }

    /// Held by whoever sweeps behind it.
    pub(super) fn sweep(&self, node: NodeId) -> String {
        self.node(node, "sweep")
    }
}

impl ChannelNames {
    /// Those that every script is given.
    pub(super) fn keys(&self) -> [String; 3] {
        ["top", "log", "roster"].map(|what| format!("{}:{what}", self.tag))
    }

    /// A message that has a name of its own.
    pub(super) fn id(&self, id: &str) -> String {
        format!("{}:id:{id}", self.tag)
    }

    /// One that has none: the request, for as long as it may be asked again.
    pub(super) fn request(&self, request: &str) -> String {
        format!("{}:request:{request}", self.tag)
    }

    /// Who has its documents.
    pub(super) fn owner(&self) -> String {
        format!("{}:owner", self.tag)
    }

    /// Counts those who had them.
    pub(super) fn tenures(&self) -> String {
        format!("{}:tenures", self.tag)
    }

    /// The rows of its documents.
    pub(super) fn rows(&self) -> String {
        format!("{}:rows", self.tag)
    }

    /// Written before replicas are waited for.
    pub(super) fn written(&self) -> String {
        format!("{}:written", self.tag)
    }

    /// What a door left behind there, where it does not lie with what was left elsewhere.
    pub(super) fn left(&self) -> String {
        format!("{}:left", self.tag)
    }

    /// Where its events are published.
    pub(super) fn events(&self) -> String {
        format!("{}:events", self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_ends_where_the_channels_name_ends() {
        let names = Names::new("dw");
        let events = |channel: &str| names.channel(&Channel::new(channel).unwrap()).events();
        assert_eq!(events("room"), "dw:{room}:events");
        assert_eq!(events("a}b{c%7D"), "dw:{a%7Db%7Bc%257D}:events");
        assert_ne!(events("}"), events("%7D"));
        let reserved = names.channel(&Channel::reserved("sio", "x")).keys();
        assert_eq!(reserved[0], "dw:{\u{1f}sio\u{1f}x}:top");
    }
}
