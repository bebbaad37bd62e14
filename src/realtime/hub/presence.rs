//! Who is in a channel: members, the connections behind them, and the grace in which a reload is silent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::realtime::vocabulary::{ConnectionId, Member, Presence};

/// The members of one channel. As many as connections entered: their number is bounded by those.
#[derive(Debug, Default)]
pub struct Members(HashMap<Arc<str>, Present>);

#[derive(Debug)]
struct Present {
    member: Arc<Member>,
    /// Never empty, but while it is leaving.
    connections: Vec<ConnectionId>,
    leaving: Option<Instant>,
}

impl Members {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Whether a member beside the one of this key is the same user.
    pub fn has_other(&self, member: &Member) -> bool {
        let Some(user) = &member.user else { return false };
        self.0.values().any(|present| present.member.key != member.key && present.member.user.as_ref() == Some(user))
    }

    /// What the member shows as it goes.
    pub fn amend(&mut self, member: Member) {
        if let Some(present) = self.0.get_mut(&member.key) {
            present.member = Arc::new(member);
        }
    }

    /// The info that this member shows.
    pub fn of(&self, key: &str) -> Option<&Arc<Member>> {
        self.0.get(key).map(|present| &present.member)
    }

    pub fn all(&self) -> Vec<Arc<Member>> {
        self.0.values().map(|present| Arc::clone(&present.member)).collect()
    }

    /// `connection` stands behind `member` from now on. Says what others are to hear of it.
    pub fn enter(&mut self, member: Member, connection: ConnectionId) -> Option<(Presence, Arc<Member>)> {
        let Some(present) = self.0.get_mut(&member.key) else {
            let member = Arc::new(member);
            let present = Present { member: Arc::clone(&member), connections: vec![connection], leaving: None };
            self.0.insert(Arc::clone(&member.key), present);
            return Some((Presence::Joined, member));
        };
        present.leaving = None;
        if !present.connections.contains(&connection) {
            present.connections.push(connection);
        }
        if present.member.shows_the_same(&member) {
            return None;
        }
        present.member = Arc::new(member);
        Some((Presence::Updated, Arc::clone(&present.member)))
    }

    /// `connection` no longer stands behind the member. Where it was the last, the member has left, or will when
    /// `grace` is over: then say so by [`Members::sweep`].
    pub fn leave(&mut self, key: &str, connection: ConnectionId, grace: Duration, now: Instant) -> Option<Arc<Member>> {
        let present = self.0.get_mut(key)?;
        let place = present.connections.iter().position(|known| *known == connection)?;
        present.connections.swap_remove(place);
        if !present.connections.is_empty() {
            return None;
        }
        if grace.is_zero() {
            return self.0.remove(key).map(|present| present.member);
        }
        present.leaving = Some(now + grace);
        None
    }

    /// `connection` stands behind the member no more, wherever it is. It has left with the last, unless it `stays` for
    /// another that may come back.
    pub fn forget(&mut self, key: &str, connection: ConnectionId, stays: bool) -> Option<Arc<Member>> {
        let present = self.0.get_mut(key)?;
        present.connections.retain(|known| *known != connection);
        if !present.connections.is_empty() || stays {
            return None;
        }
        self.0.remove(key).map(|present| present.member)
    }

    /// Nobody waits any longer for a member that no connection stands behind.
    pub fn end_grace(&mut self, key: &str, now: Instant) {
        if let Some(present) = self.0.get_mut(key).filter(|present| present.connections.is_empty()) {
            present.leaving = Some(now);
        }
    }

    /// None of `connections` stands behind anybody any more. Gives those who have left with them, without grace.
    pub fn take_out(&mut self, connections: &[ConnectionId]) -> Vec<Arc<Member>> {
        let mut left = Vec::new();
        self.0.retain(|_, present| {
            let before = present.connections.len();
            present.connections.retain(|known| !connections.contains(known));
            let stays = present.connections.len() == before || !present.connections.is_empty();
            if !stays {
                left.push(Arc::clone(&present.member));
            }
            stays
        });
        left
    }

    /// Those whose grace is over by `now`: they have left.
    pub fn sweep(&mut self, now: Instant) -> Vec<Arc<Member>> {
        let mut left = Vec::new();
        self.0.retain(|_, present| {
            let stays = present.leaving.is_none_or(|until| until > now);
            if !stays {
                left.push(Arc::clone(&present.member));
            }
            stays
        });
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::Payload;

    const GRACE: Duration = Duration::from_secs(5);
    const A: ConnectionId = ConnectionId(1);
    const B: ConnectionId = ConnectionId(2);

    fn ann(info: &str) -> Member {
        Member { info: Some(Payload::Text(info.into())), ..Member::new("ann") }
    }

    fn change(told: Option<(Presence, Arc<Member>)>) -> Option<Presence> {
        told.map(|(presence, _)| presence)
    }

    #[test]
    fn a_reload_is_silent() {
        let now = Instant::now();
        let mut members = Members::default();
        assert_eq!(change(members.enter(ann("1"), A)), Some(Presence::Joined));
        assert_eq!(members.leave("ann", A, GRACE, now), None);
        assert_eq!(members.len(), 1, "still there in its grace");
        assert_eq!(change(members.enter(ann("1"), B)), None);
        assert!(members.sweep(now + 2 * GRACE).is_empty());
    }

    #[test]
    fn member_leaves_after_the_grace_of_its_last_connection() {
        let now = Instant::now();
        let mut members = Members::default();
        members.enter(ann("1"), A);
        assert_eq!(change(members.enter(ann("1"), B)), None);
        assert_eq!(members.leave("ann", A, GRACE, now), None);
        assert!(members.sweep(now + 2 * GRACE).is_empty(), "B is still there");
        assert_eq!(members.leave("ann", B, GRACE, now), None);
        assert_eq!(members.leave("ann", B, GRACE, now + GRACE), None, "a second time changes nothing");
        assert!(members.sweep(now + GRACE / 2).is_empty());
        assert_eq!(members.sweep(now + GRACE).len(), 1);
        assert!(members.is_empty() && members.sweep(now + GRACE).is_empty());
    }

    #[test]
    fn what_a_member_shows_may_change() {
        let mut members = Members::default();
        members.enter(ann("1"), A);
        assert_eq!(change(members.enter(ann("2"), A)), Some(Presence::Updated));
        assert_eq!(members.all()[0].info, Some(Payload::Text("2".into())));
    }

    #[test]
    fn who_is_taken_out_has_left_unless_another_stands_for_it() {
        let now = Instant::now();
        let mut members = Members::default();
        members.enter(ann("1"), A);
        members.enter(Member::new("bob"), A);
        members.enter(Member::new("bob"), B);
        members.enter(Member::new("in its grace"), ConnectionId(3));
        members.leave("in its grace", ConnectionId(3), GRACE, now);
        let left: Vec<_> = members.take_out(&[A]).iter().map(|member| member.key.to_string()).collect();
        assert_eq!(left, ["ann"]);
        assert_eq!(members.len(), 2);
        assert!(members.leave("ann", A, Duration::ZERO, now).is_none(), "it says so once");
    }

    #[test]
    fn without_grace_it_is_said_at_once() {
        let mut members = Members::default();
        members.enter(ann("1"), A);
        assert!(members.leave("ann", A, Duration::ZERO, Instant::now()).is_some());
        assert!(members.leave("ann", A, Duration::ZERO, Instant::now()).is_none());
        assert!(members.leave("bob", A, Duration::ZERO, Instant::now()).is_none());
    }
}
