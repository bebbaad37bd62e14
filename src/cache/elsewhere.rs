//! What is declared old here is declared so on other doors too, before whoever caused it knows that it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::Cache;
use super::heard;
use crate::drain::Signal;
use crate::upstream::Old;

/// How long an answer waits for the other doors, at most.
const PATIENCE: Duration = Duration::from_millis(50);

/// What waits to be told, at most; beyond it everything is said to be old.
const MAX_WAITING: usize = 1_000;

/// Batches on their way at once, at most.
const AT_ONCE: usize = 64;

/// What doors tell each other to be old.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgeBatch {
    pub paths: BTreeSet<Box<str>>,
    pub tags: BTreeSet<Box<str>>,
    /// Tags as Next.js has them.
    pub app_tags: BTreeSet<Box<str>>,
    pub everything: bool,
}

type Telling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells the other doors; over when they have answered, or have had their time.
type Teller = Box<dyn Fn(PurgeBatch) -> Telling + Send + Sync>;

/// The way to the other doors, where there are any.
#[derive(Default)]
pub struct Elsewhere {
    teller: OnceLock<Teller>,
    waiting: Mutex<PurgeBatch>,
    /// How much was declared old so far, and how much of that the others know.
    said: AtomicU64,
    known: watch::Sender<u64>,
    came: Notify,
}

impl PurgeBatch {
    fn is_empty(&self) -> bool {
        *self == PurgeBatch::default()
    }

    fn trim(&mut self) {
        if self.paths.len() + self.tags.len() + self.app_tags.len() > MAX_WAITING {
            self.everything = true;
        }
        if self.everything {
            *self = PurgeBatch { everything: true, ..PurgeBatch::default() };
        }
    }
}

impl Elsewhere {
    /// Something is old. Costs nothing where there are no other doors.
    pub fn add(&self, add: impl FnOnce(&mut PurgeBatch)) {
        if self.teller.get().is_none() {
            return;
        }
        let mut waiting = self.waiting.lock();
        add(&mut waiting);
        waiting.trim();
        self.said.fetch_add(1, Ordering::SeqCst);
        drop(waiting);
        self.came.notify_one();
    }

    /// The same, as the app said it.
    pub fn add_heard(&self, old: &Old) {
        self.add(|waiting| match old {
            Old::Everything => waiting.everything = true,
            Old::Tag(tag) => {
                waiting.app_tags.insert(tag.as_str().into());
            }
        });
    }

    /// Waits until the others know what was declared old so far, but not for long.
    pub async fn settled(&self) {
        let said = self.said.load(Ordering::SeqCst);
        if *self.known.borrow() < said {
            let mut known = self.known.subscribe();
            let _ = timeout(PATIENCE, known.wait_for(|known| *known >= said)).await;
        }
    }

    fn take(&self) -> Option<(PurgeBatch, u64)> {
        let mut waiting = self.waiting.lock();
        let batch = std::mem::take(&mut *waiting);
        (!batch.is_empty()).then(|| (batch, self.said.load(Ordering::SeqCst)))
    }

    /// Tells what waits, for ever.
    async fn tell(&self, teller: &Teller) {
        let mut running = FuturesUnordered::new();
        // Batches on their way, by the last of each: what the others know before it.
        let mut on_their_way: BTreeMap<u64, u64> = BTreeMap::new();
        let mut last = 0;
        loop {
            while running.len() < AT_ONCE
                && let Some((batch, upto)) = self.take()
            {
                on_their_way.insert(upto, last);
                last = upto;
                let told = teller(batch);
                running.push(async move {
                    told.await;
                    upto
                });
            }
            tokio::select! {
                () = self.came.notified(), if running.len() < AT_ONCE => {}
                Some(upto) = running.next(), if !running.is_empty() => {
                    on_their_way.remove(&upto);
                    let known = on_their_way.first_key_value().map_or(last, |(_, before)| *before);
                    self.known.send_if_modified(|was| std::mem::replace(was, known) < known);
                }
            }
        }
    }
}

impl Cache {
    /// Has other doors told from now on, by `teller`, until the door drains.
    pub fn share(self: &Arc<Self>, teller: impl Fn(PurgeBatch) -> Telling + Send + Sync + 'static, mut drain: Signal) {
        let _ = self.elsewhere.teller.set(Box::new(teller));
        let elsewhere = Arc::clone(&self.elsewhere);
        tokio::spawn(async move {
            let Some(teller) = elsewhere.teller.get() else { return };
            tokio::select! {
                () = elsewhere.tell(teller) => {}
                _ = drain.ended() => {}
            }
        });
    }

    /// Waits until the other doors know what was declared old here so far; where one does not say so, for 50 ms.
    pub async fn settled(&self) {
        self.elsewhere.settled().await;
    }

    /// Takes what another door has declared old.
    pub fn take_purges(&self, batch: &PurgeBatch) {
        if batch.everything {
            self.metrics.purges.inc();
            self.purges.everything();
            self.store.clear();
        }
        for path in &batch.paths {
            self.metrics.purges.inc();
            self.purges.path(path);
        }
        for tag in &batch.tags {
            self.metrics.purges.inc();
            self.purges.tag(tag);
        }
        for tag in &batch.app_tags {
            heard::note(&self.purges, &Old::Tag(tag.as_ref().to_owned()));
        }
    }

    /// What other doors have declared old may have been lost on its way: all is.
    pub fn doubt_everything(&self) {
        self.take_purges(&PurgeBatch { everything: true, ..PurgeBatch::default() });
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};
    use tokio::time::Instant;

    use super::*;

    fn elsewhere() -> (Arc<Elsewhere>, mpsc::UnboundedReceiver<(PurgeBatch, oneshot::Sender<()>)>) {
        let elsewhere = Arc::new(Elsewhere::default());
        let (told, came) = mpsc::unbounded_channel();
        let teller: Teller = Box::new(move |batch| {
            let (done, is_done) = oneshot::channel();
            told.send((batch, done)).expect("the test listens");
            Box::pin(async move { is_done.await.unwrap_or_default() })
        });
        assert!(elsewhere.teller.set(teller).is_ok());
        let telling = Arc::clone(&elsewhere);
        tokio::spawn(async move { telling.tell(telling.teller.get().expect("set")).await });
        (elsewhere, came)
    }

    fn path(elsewhere: &Elsewhere, path: &str) {
        elsewhere.add(|waiting| {
            waiting.paths.insert(path.into());
        });
    }

    #[tokio::test(start_paused = true)]
    async fn answers_wait_for_others_but_not_for_long() {
        let (elsewhere, mut came) = elsewhere();
        elsewhere.settled().await;
        path(&elsewhere, "/a");
        let (first, first_done) = came.recv().await.unwrap();
        assert!(first.paths.contains("/a"));
        path(&elsewhere, "/b");
        let (_, second_done) = came.recv().await.unwrap();
        // One that is known before an earlier one is not all of it.
        second_done.send(()).unwrap();
        let begun = Instant::now();
        elsewhere.settled().await;
        assert_eq!(begun.elapsed().as_millis(), 50);
        first_done.send(()).unwrap();
        elsewhere.settled().await;
        let begun = Instant::now();
        elsewhere.settled().await;
        assert!(begun.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_has_a_bound() {
        let (elsewhere, mut came) = elsewhere();
        for number in 0..=MAX_WAITING {
            path(&elsewhere, &number.to_string());
        }
        elsewhere.add_heard(&Old::Tag("posts".into()));
        let (batch, _done) = came.recv().await.unwrap();
        assert_eq!(batch, PurgeBatch { everything: true, ..PurgeBatch::default() });
    }

    #[tokio::test]
    async fn alone_it_costs_nothing() {
        let elsewhere = Elsewhere::default();
        path(&elsewhere, "/a");
        assert!(elsewhere.waiting.lock().is_empty());
        elsewhere.settled().await;
    }
}
