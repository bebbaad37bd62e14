//! What was heard, on its way to the hub: bounded queues, a task each, one channel always in the same.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tracing::warn;

use super::{Metrics, wire};
use crate::realtime::broker::BrokerListener;
use crate::realtime::vocabulary::Channel;
use crate::telemetry::LogThrottle;

/// Queues at most, and what one holds.
const MOST_QUEUES: usize = 8;
const MOST_EVENTS: usize = 4_096;
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// All of them.
#[derive(Clone)]
pub(super) struct Queues {
    queues: Arc<[Queue]>,
    hasher: RandomState,
    metrics: Metrics,
}

struct Queue {
    heard: mpsc::Sender<Heard>,
    waiting: Arc<Waiting>,
}

/// What a queue and its task share.
#[derive(Default)]
struct Waiting {
    bytes: AtomicUsize,
    /// Of these channels something may be missing. At most those that are subscribed.
    behind: Mutex<HashSet<Channel>>,
    is_behind: Notify,
    /// Words of other doors may be missing.
    has_lost_words: AtomicBool,
}

enum Heard {
    Event(Channel, Bytes),
    Word(Bytes),
}

impl Heard {
    fn size(&self) -> usize {
        match self {
            Heard::Event(_, said) | Heard::Word(said) => said.len(),
        }
    }
}

impl Queues {
    /// Their tasks go into `tasks`.
    pub(super) fn start(listener: &Arc<dyn BrokerListener>, metrics: &Metrics, tasks: &mut JoinSet<()>) -> Queues {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let queues = (0..threads.min(MOST_QUEUES)).map(|_| {
            let (heard, queue) = mpsc::channel(MOST_EVENTS);
            let waiting = Arc::new(Waiting::default());
            tasks.spawn(hand_on(queue, Arc::clone(&waiting), Arc::clone(listener)));
            Queue { heard, waiting }
        });
        Queues { queues: queues.collect(), hasher: RandomState::new(), metrics: metrics.clone() }
    }

    fn of(&self, channel: &Channel) -> &Queue {
        let hash = usize::try_from(self.hasher.hash_one(channel) >> 1).unwrap_or_default();
        &self.queues[hash % self.queues.len()]
    }

    /// Takes an event, or notes that one is missing. Never waits.
    pub(super) fn event(&self, channel: &Channel, said: Bytes) {
        if !self.of(channel).take(Heard::Event(channel.clone(), said)) {
            self.behind(channel);
        }
    }

    /// Takes what another door said. What finds no room is lost, which is said: questions have a time-out.
    pub(super) fn word(&self, said: Bytes) {
        static SAID: LogThrottle = LogThrottle::new();
        if self.queues[0].take(Heard::Word(said)) {
            return;
        }
        self.words_lost();
        if SAID.may() {
            warn!("words of other doors are lost: this one does not keep up with them");
        }
    }

    /// Words of other doors may be missing.
    pub(super) fn words_lost(&self) {
        let waiting = &self.queues[0].waiting;
        waiting.has_lost_words.store(true, Ordering::Release);
        waiting.is_behind.notify_one();
    }

    /// Something of this channel may be missing.
    pub(super) fn behind(&self, channel: &Channel) {
        let waiting = &self.of(channel).waiting;
        if waiting.behind.lock().insert(channel.clone()) {
            self.metrics.behind.inc();
            waiting.is_behind.notify_one();
        }
    }
}

impl Queue {
    fn take(&self, heard: Heard) -> bool {
        let size = heard.size();
        // One event of any size is taken by a queue that is empty.
        let before = self.waiting.bytes.fetch_add(size, Ordering::Relaxed);
        let has_room = before == 0 || before + size <= MOST_BYTES;
        if has_room && self.heard.try_send(heard).is_ok() {
            return true;
        }
        self.waiting.bytes.fetch_sub(size, Ordering::Relaxed);
        false
    }
}

async fn hand_on(mut queue: mpsc::Receiver<Heard>, waiting: Arc<Waiting>, listener: Arc<dyn BrokerListener>) {
    loop {
        tokio::select! {
            biased;
            () = waiting.is_behind.notified() => {
                if waiting.has_lost_words.swap(false, Ordering::AcqRel) {
                    listener.on_words_lost();
                }
                let behind = std::mem::take(&mut *waiting.behind.lock());
                for channel in behind {
                    listener.on_gap(&channel);
                    tokio::task::coop::consume_budget().await;
                }
            }
            heard = queue.recv() => {
                let Some(heard) = heard else { return };
                waiting.bytes.fetch_sub(heard.size(), Ordering::Relaxed);
                match heard {
                    Heard::Word(said) => listener.on_word(said),
                    Heard::Event(channel, said) => match wire::read(&said) {
                        Some(event) => listener.on_event(&channel, event),
                        // A newer door's, say.
                        None => listener.on_gap(&channel),
                    },
                }
            }
        }
    }
}
