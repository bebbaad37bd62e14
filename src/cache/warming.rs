//! After another app has taken over, nothing that is kept is good any more: the pages that were asked for most are fetched
//! from it before visitors ask.
#![expect(clippy::disallowed_methods, reason = "it serves nobody that a drain should wait for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::{Authority, Scheme};
use tokio::time::{sleep, timeout};
use tracing::info;

use super::Cache;
use super::fetch::Errand;
use super::key::{is_plain, told};
use super::store::{Found, Key, Slot};
use crate::build::Prerendered;
use crate::drain::Signal;
use crate::http::path;

/// Pages that are fetched after one change, at most.
const MAX_PAGES: usize = 64;
/// The longest that one is waited for, and the longest pause behind one.
const MAX_WAIT: Duration = Duration::from_secs(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The path of `target`, in its canonical spelling.
fn path_of(target: &str) -> Option<String> {
    Some(path::canonical(target.split('?').next().unwrap_or_default()).ok()?.into_owned())
}

impl Cache {
    /// Fetches anew what was in demand, whenever another build, or an app at another address, is asked.
    pub fn keep_warm(self: &Arc<Self>, mut drain: Signal) {
        let (cache, mut generations) = (Arc::clone(self), self.upstream.generations());
        tokio::spawn(async move {
            let warming = async {
                while generations.changed().await.is_ok() {
                    // Where yet another takes over, its turn is next.
                    while tokio::select! {
                        () = cache.warm() => false,
                        changed = generations.changed() => changed.is_ok(),
                    } {}
                }
            };
            tokio::select! {
                () = warming => {}
                _ = drain.draining() => {}
            }
        });
    }

    /// One after another, and never for more than half of the time: visitors come first.
    async fn warm(self: &Arc<Self>) {
        let generation = self.upstream.generation();
        let cache = Arc::clone(self);
        let wanted = tokio::task::spawn_blocking(move || cache.in_demand(generation)).await.unwrap_or_default();
        // Only a heard Next.js has pages that the config does not name.
        let is_named = |key: &Key| path_of(&told(key).1).is_some_and(|path| self.config.get().covers(&path));
        let build = if wanted.iter().all(is_named) { None } else { self.build().await };
        let (mut asked, mut warmed) = (0, 0);
        for key in wanted {
            let Some(errand) = self.errand(&key, build.as_deref()) else { continue };
            let began = Instant::now();
            let Some(mut ended) = self.begin(errand) else { continue };
            asked += 1;
            let _ = timeout(MAX_WAIT, ended.wait_for(|ended| *ended)).await;
            if self.is_there(&key, generation) {
                warmed += 1;
                self.metrics.warmed.inc();
            }
            sleep(began.elapsed().min(MAX_PAUSE)).await;
        }
        if asked > 0 {
            info!(asked, kept = warmed, "another app has taken over: the pages in most demand are fetched from it");
        }
    }

    /// The keys of pages of other apps, those that were given out most first.
    fn in_demand(&self, generation: u64) -> Vec<Key> {
        let is_page = |key: &Key, of: u64| of != generation && is_plain(key);
        let answers = self.store.answers().filter(|(key, stored)| is_page(key, stored.origin.generation));
        let mut pages: Vec<_> =
            answers.map(|(key, stored)| (stored.hits(), key)).filter(|(hits, _)| *hits > 0).collect();
        pages.sort_unstable_by(|one, other| other.cmp(one));
        pages.truncate(MAX_PAGES);
        pages.into_iter().map(|(_, key)| key).collect()
    }

    /// What is known of the build that answers now, where that comes soon.
    async fn build(&self) -> Option<Arc<Prerendered>> {
        let known = timeout(MAX_WAIT, self.pages.known(&self.upstream)).await.ok();
        known.filter(|_| self.config.get().pages)
    }

    /// What is to be fetched for `key`; `None` where nothing of its path is kept any more, by the config and by the `build`.
    fn errand(&self, key: &Key, build: Option<&Prerendered>) -> Option<Errand> {
        let (origin, target) = told(key);
        let (scheme, authority) = origin.split_once("://")?;
        let path = path_of(&target)?;
        let is_vouched = self.config.get().covers(&path);
        if !is_vouched && build.is_none_or(|build| build.onlooker(&path).is_some()) {
            return None;
        }
        let origin: (Scheme, Authority) = (scheme.parse().ok()?, authority.parse().ok()?);
        Some(Errand { is_vouched, ..Errand::new(Arc::clone(key), target, path, origin) })
    }

    fn is_there(&self, key: &Key, generation: u64) -> bool {
        let slot = self.store.slot(key).filter(|slot| matches!(slot, Slot::Answer(_)));
        matches!(self.store.judge(slot, &self.purges, generation, self.now()), Found::Hit(_))
    }
}
