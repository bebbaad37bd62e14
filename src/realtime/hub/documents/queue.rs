//! What waits to be written of a room, and what is told of it then.

use std::collections::VecDeque;

use tokio::sync::watch;

use crate::documents::Row;
use crate::realtime::vocabulary::{ConnectionId, Event, Refusal};

/// What may wait to be written of one room: a change beyond is refused, as where nothing can be written.
const MOST_BYTES: usize = 64 << 20;
const MOST_CHANGES: usize = 10_000;

/// Changes that go together are no more than this, unless it is one.
const BATCH_BYTES: usize = 1 << 20;

/// What is told once that which it says is kept.
pub enum Telling {
    /// All who edit there, but one.
    All(Event, Option<ConnectionId>),
    One(ConnectionId, Event),
    /// Who watches the hub.
    Edited {
        is_tree: bool,
    },
    /// Editors' numbers are given away up to this one.
    Reserved(u64),
}

impl Telling {
    /// How much it holds beside rows, roughly: whole documents, as somebody has asked for one.
    fn bytes(&self) -> usize {
        match self {
            Telling::All(Event::Document(state), _) | Telling::One(_, Event::Document(state)) => state.content.bytes(),
            _ => 0,
        }
    }
}

/// What waits to be written of a room.
pub struct Writing {
    /// Has what waits written, until nothing does. False where nobody is there to do it.
    start: Box<dyn Fn() -> bool + Send + Sync>,
    waiting: VecDeque<Unwritten>,
    bytes: usize,
    /// Changes so far, written or not.
    changes: u64,
    /// Somebody sees to it that they are written.
    is_going_on: bool,
    progress: watch::Sender<Progress>,
}

/// Rows, and what is told of them.
pub struct Unwritten {
    pub rows: Vec<Row>,
    pub tellings: Vec<Telling>,
    bytes: usize,
}

impl Unwritten {
    fn new(rows: Vec<Row>, tellings: Vec<Telling>) -> Unwritten {
        let of_row = |(key, value): &Row| key.len() + value.as_ref().map_or(0, Vec::len);
        let bytes = rows.iter().map(of_row).sum::<usize>() + tellings.iter().map(Telling::bytes).sum::<usize>();
        Unwritten { rows, tellings, bytes }
    }
}

/// How far it got.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    written: u64,
    /// Nothing more is written.
    is_over: bool,
}

impl Writing {
    pub fn new(start: impl Fn() -> bool + Send + Sync + 'static) -> Writing {
        Writing {
            start: Box::new(start),
            waiting: VecDeque::new(),
            bytes: 0,
            changes: 0,
            is_going_on: false,
            progress: watch::Sender::new(Progress::default()),
        }
    }

    pub fn has_room(&self) -> bool {
        self.bytes < MOST_BYTES && self.waiting.len() < MOST_CHANGES
    }

    /// Puts a change behind those that wait. One without rows asks whether this door may write there still.
    pub fn push(&mut self, rows: Vec<Row>, tellings: Vec<Telling>) {
        let change = Unwritten::new(rows, tellings);
        self.bytes += change.bytes;
        self.changes += 1;
        self.waiting.push_back(change);
        self.is_going_on = self.is_going_on || (self.start)();
    }

    /// Resolves when all that was pushed so far is written.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: it is not, and never will be.
    pub fn written(&self) -> impl Future<Output = Result<(), Refusal>> + Send + use<> {
        let (all, mut progress) = (self.changes, self.progress.subscribe());
        async move {
            let there = progress.wait_for(|progress| progress.is_over || progress.written >= all).await;
            there.ok().filter(|progress| progress.written >= all).map(|_| ()).ok_or(Refusal::Unavailable)
        }
    }

    pub fn is_over(&self) -> bool {
        self.progress.borrow().is_over
    }

    /// Nothing more is written.
    pub fn end(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
        self.progress.send_modify(|progress| progress.is_over = true);
    }

    /// Nothing waits, nor is being written.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.is_going_on
    }

    /// What is written next. Nothing: then whoever wrote is to do so no more.
    pub fn batch(&mut self) -> Vec<Unwritten> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(change) = self.waiting.front() {
            bytes += change.bytes;
            if !batch.is_empty() && bytes > BATCH_BYTES {
                break;
            }
            batch.extend(self.waiting.pop_front());
        }
        self.bytes -= batch.iter().map(|change| change.bytes).sum::<usize>();
        self.is_going_on = !batch.is_empty();
        batch
    }

    /// So many more are written.
    pub fn have_written(&self, changes: u64) {
        self.progress.send_modify(|progress| progress.written += changes);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::*;
    use crate::realtime::document::ydoc::Coding;
    use crate::realtime::vocabulary::{Channel, DocumentContent, DocumentState, SnapshotHashes, YUpdate};

    fn writing() -> Writing {
        Writing::new(|| true)
    }

    fn row(bytes: usize) -> Vec<Row> {
        vec![(Vec::new(), Some(vec![0; bytes]))]
    }

    #[test]
    fn what_goes_together_is_bounded_and_in_order() {
        let mut writing = writing();
        for bytes in [BATCH_BYTES / 2, BATCH_BYTES / 2, 1, 2 * BATCH_BYTES, 0] {
            writing.push(row(bytes), Vec::new());
        }
        let sizes = |batch: Vec<Unwritten>| batch.iter().map(|change| change.bytes).collect::<Vec<_>>();
        assert_eq!(sizes(writing.batch()), [BATCH_BYTES / 2, BATCH_BYTES / 2]);
        assert_eq!(sizes(writing.batch()), [1]);
        assert_eq!(sizes(writing.batch()), [2 * BATCH_BYTES], "one that is larger goes alone");
        assert!(!writing.is_idle());
        assert_eq!(sizes(writing.batch()), [0]);
        assert!(!writing.is_idle(), "the last is being written");
        assert!(writing.batch().is_empty() && writing.is_idle() && writing.bytes == 0);
    }

    #[test]
    fn what_waits_has_a_bound() {
        let mut writing = writing();
        for _ in 0..MOST_CHANGES {
            assert!(writing.has_room());
            writing.push(Vec::new(), Vec::new());
        }
        assert!(!writing.has_room());
        writing.batch();
        assert!(writing.has_room());
        writing.push(row(MOST_BYTES), Vec::new());
        assert!(!writing.has_room());
    }

    #[test]
    fn documents_that_were_asked_for_count() {
        let mut writing = writing();
        let update = Bytes::from(vec![0; MOST_BYTES / 4]);
        for _ in 0..4 {
            assert!(writing.has_room());
            let lacking =
                YUpdate { name: None, update: update.clone(), coding: Coding::V1, hashes: SnapshotHashes::default() };
            let content = DocumentContent::Yjs { lacking, vector: Bytes::new() };
            let channel = Channel::new("a").unwrap();
            let told = Event::Document(Box::new(DocumentState { channel, content }));
            writing.push(Vec::new(), vec![Telling::One(ConnectionId(1), told)]);
        }
        assert!(!writing.has_room());
        writing.batch();
        assert!(writing.has_room());
    }

    #[test]
    fn who_waits_hears_when_it_is_written_or_never_will_be() {
        let mut writing = writing();
        writing.push(row(1), Vec::new());
        let first = writing.written();
        writing.push(row(1), Vec::new());
        let mut second = Box::pin(writing.written());
        writing.have_written(1);
        assert_eq!(first.now_or_never(), Some(Ok(())));
        assert_eq!((&mut second).now_or_never(), None);
        writing.end();
        assert_eq!(second.now_or_never(), Some(Err(Refusal::Unavailable)));
        assert!(writing.is_over() && writing.batch().is_empty());
        let nobody = Writing::new(|| true);
        let late = nobody.written();
        drop(nobody);
        assert_eq!(late.now_or_never(), Some(Ok(())), "nothing waited");
    }
}
