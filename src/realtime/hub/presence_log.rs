//! What became of a channel's members lately: for who reads it back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::realtime::broker::memory::Keep;
use crate::realtime::vocabulary::{Member, Presence};

/// Changes remembered, at most.
const MAX_CHANGES: usize = 1_000;

/// One change of a channel's presence.
#[derive(Debug, Clone, PartialEq)]
pub struct PresenceChange {
    pub change: Presence,
    pub member: Arc<Member>,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// The latest changes, oldest first. Kept where the channel keeps messages for those who come back, for as long.
#[derive(Debug, Default)]
pub struct PresenceLog {
    changes: VecDeque<(PresenceChange, Instant)>,
    bytes: usize,
}

impl PresenceLog {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// One more, within `room` bytes for all of them: the oldest give way.
    pub fn push(&mut self, change: PresenceChange, room: usize, now: Instant) {
        let size = size(&change);
        while !self.changes.is_empty() && (self.changes.len() == MAX_CHANGES || self.bytes + size > room) {
            self.forget();
        }
        if size <= room {
            self.bytes += size;
            self.changes.push_back((change, now));
        }
    }

    /// Forgets what `keep` does not cover.
    pub fn trim(&mut self, keep: Option<Keep>, now: Instant) {
        let is_kept = |at: Instant| keep.is_some_and(|keep| now.saturating_duration_since(at) < keep.age);
        while self.changes.front().is_some_and(|(_, at)| !is_kept(*at)) {
            self.forget();
        }
        if self.changes.is_empty() {
            self.changes.shrink_to_fit();
        }
    }

    fn forget(&mut self) {
        if let Some((change, _)) = self.changes.pop_front() {
            self.bytes -= size(&change);
        }
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &PresenceChange> {
        self.changes.iter().map(|(change, _)| change)
    }
}

fn size(change: &PresenceChange) -> usize {
    let Member { key, info, extras, .. } = &*change.member;
    size_of::<(PresenceChange, Instant)>()
        + size_of::<Member>()
        + key.len()
        + info.as_ref().map_or(0, |info| info.len())
        + extras.size()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn as_many_as_fit_and_no_older_than_asked() {
        let now = Instant::now();
        let mut log = PresenceLog::default();
        let came =
            |key: &str| PresenceChange { change: Presence::Joined, member: Arc::new(Member::new(key)), unix_ms: 1 };
        log.push(came("a"), usize::MAX, now);
        let one = log.bytes();
        log.push(came("b"), 2 * one, now);
        log.push(came("c"), 2 * one, now);
        let keys = |log: &PresenceLog| log.iter().map(|change| change.member.key.to_string()).collect::<String>();
        assert_eq!((keys(&log), log.bytes()), ("bc".into(), 2 * one));
        log.push(came("d"), one / 2, now);
        assert_eq!((log.is_empty(), log.bytes()), (true, 0));
        (0..2 * MAX_CHANGES).for_each(|_| log.push(came("e"), usize::MAX, now));
        assert_eq!(log.iter().count(), MAX_CHANGES);
        let keep = Keep { messages: 1, age: Duration::from_secs(60) };
        log.trim(Some(keep), now + Duration::from_secs(59));
        assert!(!log.is_empty());
        log.trim(Some(keep), now + Duration::from_secs(60));
        assert_eq!((log.is_empty(), log.bytes()), (true, 0));
    }
}
