//! Apps that share the hub: which channels are whose, so that none takes all of them.

use std::sync::Arc;

use tracing::warn;

use crate::realtime::vocabulary::Channel;
use crate::shares::{Count, Counts, may_take};
use crate::telemetry::LogThrottle;

/// The channels of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The prefix of their names; those that begin with no other part's belong to the empty one.
    pub prefix: Arc<str>,
    /// Of its reserved channels.
    pub owner: Arc<str>,
}

/// Whose `channel` is; the longest prefix counts.
pub fn part_of<'a>(parts: &'a [Part], channel: &Channel) -> Option<&'a Part> {
    if channel.is_reserved() {
        return parts.iter().find(|part| channel.reserved_name(&part.owner).is_some());
    }
    let fits = |part: &&Part| channel.as_str().starts_with(&*part.prefix);
    parts.iter().filter(fits).max_by_key(|part| part.prefix.len())
}

/// The number of channels of each part.
#[derive(Default)]
pub struct Parts {
    held: Counts<Arc<str>>,
    said: LogThrottle,
}

impl Parts {
    /// One more for `part` where `free` are left; `None` when it has its share.
    pub fn take(&self, part: &Part, free: usize) -> Option<Count<Arc<str>>> {
        // Who has none may ask: whether there is one left at all is not said here.
        let taken = self.held.take_where(Arc::clone(&part.owner), |held| held == 0 || may_take(held, free));
        if taken.is_none() && self.said.may() {
            warn!(app = %part.owner, bound = "realtime.max_channels", "an app has its share");
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_belongs_to_the_longest_prefix_or_its_owner() {
        let part = |prefix: &str, owner: &str| Part { prefix: prefix.into(), owner: owner.into() };
        let parts = [part("", "one"), part("2/", "two"), part("2/x/", "three")];
        let owner = |channel: &Channel| part_of(&parts, channel).map(|part| part.owner.to_string());
        for (name, expected) in [("room", "one"), ("2/room", "two"), ("2/x/room", "three"), ("2", "one")] {
            assert_eq!(owner(&Channel::new(name).unwrap()).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(owner(&Channel::reserved("two", "ada")).as_deref(), Some("two"));
        assert_eq!(owner(&Channel::reserved("none", "ada")), None);
        assert!(part_of(&parts[1..], &Channel::new("room").unwrap()).is_none());
    }

    #[test]
    fn each_part_leaves_as_many_as_it_has() {
        let parts = Parts::default();
        let part = Part { prefix: "".into(), owner: "one".into() };
        let mut held = Vec::new();
        while let Some(one) = parts.take(&part, 20 - held.len()) {
            held.push(one);
        }
        assert_eq!(held.len(), 10);
        let other = Part { owner: "two".into(), ..part };
        assert!(parts.take(&other, 1).is_some());
    }
}
