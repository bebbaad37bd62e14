//! The files most in demand, in memory; what is not there is read from disk.

use std::sync::Arc;
use std::time::Instant;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::debug;

use super::FRESH_MILLIS;
use super::builds::Builds;
use super::entry::Entry;
use super::site::{FileLocation, Site};
use crate::settings::Size;

/// Files read at the same time. Requests beyond it wait; there are no more of them than connections.
const MAX_READERS: usize = 8;
/// The memory is in so many parts, and a file must fit into one together with its compressed forms.
const SHARDS: u64 = 4;

/// Bounded: what is least in demand leaves when it is full.
#[derive(Debug)]
pub struct Store {
    memory: Cache<String, Arc<Entry>, Weigh>,
    readers: Semaphore,
    epoch: Instant,
}

/// No such file.
#[derive(Debug)]
pub struct Missing;

/// An entry, and whether the disk was left alone.
pub type Hit = (Arc<Entry>, bool);

#[derive(Debug, Clone)]
struct Weigh;

impl Weighter<String, Arc<Entry>> for Weigh {
    fn weight(&self, _url: &String, entry: &Arc<Entry>) -> u64 {
        entry.weight()
    }
}

impl Store {
    pub fn new(capacity: Size) -> Store {
        let options = OptionsBuilder::new()
            .shards(SHARDS as usize)
            .estimated_items_capacity(1024)
            .weight_capacity(capacity.0)
            .build()
            .expect("both capacities are given");
        Store {
            memory: Cache::with_options(options, Weigh, DefaultHashBuilder::default(), DefaultLifecycle::default()),
            readers: Semaphore::new(MAX_READERS),
            epoch: Instant::now(),
        }
    }

    /// Takes another capacity; what is too much leaves.
    pub fn reload(&self, capacity: Size) {
        self.memory.set_capacity(capacity.0);
    }

    /// Bytes held.
    pub fn weight(&self) -> u64 {
        self.memory.weight()
    }

    /// The file at `location` where it is in memory, and need not be compared with the disk yet.
    pub fn peek(&self, site: &Arc<Site>, location: &FileLocation<'_>) -> Option<Arc<Entry>> {
        let entry = self.memory.get(location.key().as_ref())?;
        (entry.is_of(site) && !entry.is_old(self.now(), FRESH_MILLIS)).then_some(entry)
    }

    /// The file at `location`: at most [`FRESH_MILLIS`] ms old, read once for all who want it now.
    ///
    /// # Errors
    /// [`Missing`] where there is none, or none that can be read.
    pub async fn get(
        &self,
        builds: &Arc<Builds>,
        site: &Arc<Site>,
        location: &FileLocation<'_>,
    ) -> Result<Hit, Missing> {
        let (now, key) = (self.now(), location.key());
        if let Some(entry) = self.memory.get(key.as_ref()) {
            let is_ours = entry.is_of(site);
            if is_ours && !entry.is_due(now, FRESH_MILLIS) {
                return Ok((entry, true));
            }
            let looked_at = Arc::clone(&entry);
            if is_ours && blocking(move || looked_at.is_current()).await.unwrap_or(false) {
                return Ok((entry, false));
            }
            self.memory.remove(key.as_ref());
        }
        let load = self.load(builds, site, location, now);
        Ok((self.memory.get_or_insert_async(key.as_ref(), load).await?, false))
    }

    async fn load(
        &self,
        builds: &Arc<Builds>,
        site: &Arc<Site>,
        location: &FileLocation<'_>,
        now: u64,
    ) -> Result<Arc<Entry>, Missing> {
        let Ok(rules) = site.rules.headers(&location.url) else { return Err(Missing) };
        let _reader = self.readers.acquire().await.map_err(|_closed| Missing)?;
        let held = self.memory.capacity() / SHARDS / 2;
        let (builds, site, kind, name) =
            (Arc::clone(builds), Arc::clone(site), location.kind, location.name.to_string());
        let kept = location.kept.clone();
        let loaded = blocking(move || {
            let found = builds.find(&site, kind, &name, kept.as_deref())?;
            match Entry::load(&site, kind, found, rules, held, now) {
                Ok(entry) => Some(Arc::new(entry)),
                Err(error) => {
                    debug!(%error, name, "left to the app");
                    None
                }
            }
        });
        loaded.await.flatten().ok_or(Missing)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn_blocking(work).await.ok()
}
