//! What editors show until they change it or leave: where their cursors are.

use std::collections::HashMap;

use crate::realtime::vocabulary::{ConnectionId, Mark, SignalKind};

/// The most that is shown in a room, of all kinds.
const MAX_MARKS: usize = 10_000;
/// The most that one connection shows.
const MAX_MARKS_OF_ONE: usize = 100;

/// The marks of one room. Their size is bounded by that of a frame each.
#[derive(Debug, Default)]
pub struct Marks(HashMap<u64, Shown>);

#[derive(Debug)]
struct Shown {
    kind: SignalKind,
    /// Who showed it first: with its connection it goes.
    owner: ConnectionId,
    mark: Mark,
}

impl Marks {
    /// What is shown of this kind.
    pub fn shown(&self, kind: SignalKind) -> Vec<Mark> {
        self.0.values().filter(|shown| shown.kind == kind).map(|shown| shown.mark.clone()).collect()
    }

    /// Takes over what `owner` says, and gives back what of it is news. `None` where it says more than there may be.
    pub fn show(&mut self, kind: SignalKind, owner: ConnectionId, marks: Vec<Mark>) -> Option<Vec<Mark>> {
        let fresh = marks.iter().filter(|mark| mark.data.is_some() && !self.0.contains_key(&mark.id)).count();
        if fresh > 0 {
            let own = self.0.values().filter(|shown| shown.owner == owner).count();
            if own + fresh > MAX_MARKS_OF_ONE || self.0.len() + fresh > MAX_MARKS {
                return None;
            }
        }
        let mut news = Vec::new();
        for mark in marks {
            match (self.0.get_mut(&mark.id), &mark.data) {
                (Some(shown), None) if mark.version >= shown.mark.version => {
                    self.0.remove(&mark.id);
                }
                (Some(shown), Some(_)) if mark.version > shown.mark.version => shown.mark = mark.clone(),
                (None, Some(_)) => {
                    self.0.insert(mark.id, Shown { kind, owner, mark: mark.clone() });
                }
                _ => continue,
            }
            news.push(mark);
        }
        Some(news)
    }

    /// Takes away what this connection showed, and says so, kind by kind.
    pub fn forget(&mut self, owner: ConnectionId) -> Vec<(SignalKind, Vec<Mark>)> {
        let mut gone: Vec<(SignalKind, Vec<Mark>)> = Vec::new();
        self.0.retain(|_, shown| {
            if shown.owner != owner {
                return true;
            }
            let mark = Mark { data: None, ..shown.mark.clone() };
            match gone.iter_mut().find(|(kind, _)| *kind == shown.kind) {
                Some((_, marks)) => marks.push(mark),
                None => gone.push((shown.kind, vec![mark])),
            }
            false
        });
        gone
    }
}
