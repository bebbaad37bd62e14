//! Those who wait for a share: holders take turns, and each holder's own come first in, first out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::{Holder, Share, Shares};

/// Everything is found by number, so that whoever leaves leaves nothing behind.
#[derive(Debug, Default)]
pub struct Line {
    next: u64,
    length: usize,
    /// Whose turn it is, the lowest number first.
    turns: BTreeMap<u64, Holder>,
    waiting: HashMap<Holder, Group>,
}

#[derive(Debug)]
struct Group {
    turn: u64,
    members: BTreeMap<u64, oneshot::Sender<Share>>,
}

/// A place in the line, until dropped.
#[derive(Debug)]
pub struct QueueSlot<'a> {
    shares: &'a Shares,
    holder: Holder,
    number: u64,
    turn: oneshot::Receiver<Share>,
}

/// Takes the last place among those of `holder`.
pub fn stand(shares: &Arc<Shares>, holder: Holder) -> QueueSlot<'_> {
    let (sender, turn) = oneshot::channel();
    let mut line = shares.line.lock();
    let number = line.push(holder, sender);
    shares.waiting.store(line.len(), Ordering::SeqCst);
    QueueSlot { shares, holder, number, turn }
}

impl QueueSlot<'_> {
    pub async fn turn(&mut self) -> Share {
        match (&mut self.turn).await {
            Ok(share) => share,
            // The line, which has the other end until it sends, lives as long as this does.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for QueueSlot<'_> {
    fn drop(&mut self) {
        let mut line = self.shares.line.lock();
        line.remove(self.holder, self.number);
        self.shares.waiting.store(line.len(), Ordering::SeqCst);
    }
}

impl Line {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn holders(&self) -> usize {
        self.turns.len()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn push(&mut self, holder: Holder, sender: oneshot::Sender<Share>) -> u64 {
        let number = self.number();
        let turns = &mut self.turns;
        let group = self.waiting.entry(holder).or_insert_with(|| {
            turns.insert(number, holder);
            Group { turn: number, members: BTreeMap::new() }
        });
        group.members.insert(number, sender);
        self.length += 1;
        number
    }

    fn remove(&mut self, holder: Holder, number: u64) {
        let Some(group) = self.waiting.get_mut(&holder) else { return };
        if group.members.remove(&number).is_some() {
            self.length -= 1;
        }
        if group.members.is_empty() {
            self.turns.remove(&group.turn);
            self.waiting.remove(&holder);
        }
    }

    /// Whose turn it is; the next time it is another one's.
    pub fn next_holder(&mut self) -> Option<Holder> {
        let (_, holder) = self.turns.pop_first()?;
        let turn = self.number();
        self.turns.insert(turn, holder);
        if let Some(group) = self.waiting.get_mut(&holder) {
            group.turn = turn;
        }
        Some(holder)
    }

    /// The first of `holder`, who no longer waits.
    pub fn next_of(&mut self, holder: Holder) -> Option<oneshot::Sender<Share>> {
        let group = self.waiting.get_mut(&holder)?;
        let (number, _) = group.members.first_key_value()?;
        let number = *number;
        let sender = group.members.remove(&number);
        self.length -= 1;
        self.remove(holder, number);
        sender
    }
}
