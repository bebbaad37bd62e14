//! Answers of the app that everybody may have, kept in memory (RFC 9111).
//!
#![doc = include_str!("README.md")]
#![expect(
    clippy::disallowed_methods,
    reason = "what is fetched for keeping serves nobody: whoever waits for it has a guard"
)]

mod admission;
mod announcements;
mod asked;
mod change;
mod config;
mod directives;
mod explanation;
mod fetch;
mod fetches;
mod freshness;
mod heard;
mod key;
mod listing;
mod making;
mod metrics;
mod purges;
mod reply;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod variants;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::header::CACHE_CONTROL;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::timeout;
use tracing::debug;

pub use config::Config;

use crate::http::{Failure, Request, Response};
use crate::settings::Live;
use crate::telemetry::Registry;
use crate::upstream::Upstream;
use admission::looks_shareable;
pub use announcements::{Announcement, Announcements};
use asked::Draft;
use directives::{FOR_BROWSERS, leaves_browsers_guessing};
use fetch::{Errand, Fetched, Fetching, since};
use fetches::{Fetches, Turn};
use freshness::{Bounds, Standing};
use key::KeyBytes;
use metrics::{FetchOutcome, Metrics, Outcome};
use purges::Purges;
use reply::reply;
use status::{CacheStatus, say};
use store::{Found, Hit, Slot, Store};
use variants::Variants;

/// How long what looked as if it could be kept, and could not, is not tried again.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// How long the app is left alone after it gave nothing of use in place of an old answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The cache of one app.
pub struct Cache {
    config: Live<Config>,
    /// Whether there is any path: all that a request costs where there is none.
    is_on: AtomicBool,
    store: Arc<Store>,
    purges: Arc<Purges>,
    fetches: Fetches,
    variants: Variants,
    upstream: Arc<Upstream>,
    metrics: Metrics,
    announcements: Arc<Announcements>,
    epoch: Instant,
}

/// What is found under a key, and by which headers.
struct Look {
    names: Option<Arc<[http::HeaderName]>>,
    found: Found,
}

impl Cache {
    pub fn new(config: &Config, upstream: Arc<Upstream>, registry: &mut Registry) -> Cache {
        let store = Arc::new(Store::new(config.memory));
        let metrics = Metrics::new(registry, Arc::clone(&store));
        let purges = Arc::new(Purges::default());
        let (live, announcements) = (Live::new(config.clone()), Arc::new(Announcements::default()));
        let noted = (Arc::clone(&purges), metrics.purges.clone());
        let told = (live.clone(), Arc::clone(&announcements));
        upstream.hear(move |old| {
            noted.1.inc();
            heard::note(&noted.0, &old);
            if told.0.get().tell {
                heard::announce(&told.1, &old);
            }
        });
        upstream.want_heard(config.is_to_be_heard());
        Cache {
            config: live,
            is_on: AtomicBool::new(!config.paths.is_empty()),
            store,
            purges,
            fetches: Fetches::default(),
            variants: Variants::default(),
            upstream,
            metrics,
            announcements,
            epoch: Instant::now(),
        }
    }

    /// Takes over another section of the config (SIGHUP). What is kept is dropped where it changes at all: it was let in
    /// by other rules.
    pub fn reload(&self, config: &Config) {
        if *self.config.get() == *config {
            return;
        }
        self.is_on.store(!config.paths.is_empty(), Ordering::Relaxed);
        self.upstream.want_heard(config.is_to_be_heard());
        self.config.set(config.clone());
        self.purges.everything();
        self.store.clear();
        self.store.resize(config.memory);
    }

    /// True for a path whose requests are for [`Cache::answer`].
    pub fn concerns(&self, path: &str) -> bool {
        self.is_on.load(Ordering::Relaxed) && self.config.get().covers(path)
    }

    /// The app, past the cache.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Answers from memory, or asks the app.
    ///
    /// # Errors
    /// As for [`Upstream::send`]; 416 for a range that there is not, 504 where only a kept answer is wanted.
    pub async fn answer(self: Arc<Self>, request: Request) -> Result<Response, Failure> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return self.change(request).await;
        }
        if self.upstream.is_for_previous(&request) {
            self.metrics.request(Outcome::Bypass);
            return marked(self.upstream.send(request).await, CacheStatus::Bypass("earlier-build"));
        }
        let base = match asked::key(&request) {
            Ok(base) => base,
            Err(reason) => {
                self.metrics.request(Outcome::Bypass);
                return marked(self.upstream.send(request).await, CacheStatus::Bypass(reason));
            }
        };
        let now = self.now();
        let look = self.look(&base, request.headers(), now);
        match look.found {
            Found::Hit(hit) if hit.standing == Standing::Fresh => self.hit(&hit, &request, now, Outcome::Hit),
            Found::Hit(hit) if hit.standing == Standing::WhileRevalidate => {
                self.renew(&request, &base, look.names.as_deref(), &hit, now);
                self.hit(&hit, &request, now, Outcome::Stale)
            }
            Found::Hit(hit) => self.fetch_or_ask(request, base, look.names, Some(hit)).await,
            Found::Gone => self.fetch_or_ask(request, base, look.names, None).await,
            Found::Refused | Found::Nothing => {
                let is_tried = matches!(look.found, Found::Nothing);
                let draft = (is_tried && !asked::leads_to_none(&request)).then(|| Draft::of(&request, &base));
                self.ask(request, draft.flatten(), None, CacheStatus::Miss).await
            }
        }
    }

    fn now(&self) -> u64 {
        since(self.epoch)
    }

    fn look(&self, base: &[u8], headers: &HeaderMap, now: u64) -> Look {
        let mut slot = self.store.slot(base);
        let mut names = None;
        if let Some(Slot::Varies(by)) = slot {
            slot = match key::varied(base, &by, headers) {
                Some(varied) => self.store.slot(&varied),
                None => None,
            };
            names = Some(by);
        }
        let found = self.store.judge(slot, &self.purges, self.upstream.generation(), now);
        Look { names, found }
    }

    fn hit(&self, hit: &Hit, request: &Request, now: u64, outcome: Outcome) -> Result<Response, Failure> {
        hit.stored.hits.fetch_add(1, Ordering::Relaxed);
        self.metrics.request(outcome);
        let left = hit.stored.freshness.left(now);
        let response = reply(hit, request.method(), request.headers(), now, CacheStatus::Hit { left })?;
        let is_whole = response.status() == hit.stored.status && request.method() == Method::GET;
        self.metrics.bytes.inc_by(if is_whole { hit.body.plain().len() as u64 } else { 0 });
        Ok(response)
    }

    /// Has another fetched in place of one that is given out meanwhile.
    fn renew(
        self: &Arc<Self>,
        request: &Request,
        base: &[u8],
        names: Option<&[http::HeaderName]>,
        hit: &Hit,
        now: u64,
    ) {
        if !hit.stored.may_retry(now, now + millis(RETRY_AFTER)) {
            return;
        }
        let errand = Draft::of(request, base).and_then(|draft| draft.errand(names.unwrap_or_default()));
        if let Some(errand) = errand {
            self.begin(errand.renewing(hit.clone()));
        }
    }

    /// Waits for one that is fetched for all who want it now: there was one, so there will be. In time, or where it is not
    /// for everybody any more, the app is asked for this request alone.
    async fn fetch_or_ask(
        self: Arc<Self>,
        request: Request,
        base: KeyBytes,
        names: Option<Arc<[http::HeaderName]>>,
        old: Option<Hit>,
    ) -> Result<Response, Failure> {
        let names = names.as_deref().unwrap_or_default();
        if let Some(hit) = old.as_ref().filter(|_| !self.upstream.is_ready()) {
            return self.kept(hit, &request);
        }
        if asked::wants_only_kept(request.headers()) {
            return self.ask(request, None, old, CacheStatus::Stale).await;
        }
        if old.as_ref().is_some_and(|old| old.stored.retry_at.load(Ordering::Relaxed) > self.now()) {
            return self.ask(request, None, old, CacheStatus::Stale).await;
        }
        let wait = self.config.get().wait;
        // Twice: the first may have been asked for before it was declared old.
        for _ in 0..2 {
            let errand = Draft::of(&request, &base).and_then(|draft| draft.errand(names));
            let Some(errand) = errand else { break };
            let errand = match &old {
                Some(old) => errand.renewing(old.clone()),
                None => errand,
            };
            let Some(mut ended) = self.begin(errand) else { break };
            if timeout(wait, ended.wait_for(|ended| *ended)).await.is_err() {
                break;
            }
            let now = self.now();
            match self.look(&base, request.headers(), now).found {
                Found::Hit(hit) if hit.standing == Standing::Fresh => {
                    self.metrics.request(Outcome::Collapsed);
                    hit.stored.hits.fetch_add(1, Ordering::Relaxed);
                    return reply(&hit, request.method(), request.headers(), now, CacheStatus::Collapsed);
                }
                Found::Gone => {}
                _ => break,
            }
        }
        self.ask(request, None, old, CacheStatus::Stale).await
    }

    /// Asks the app for this request alone; with a `draft`, an answer like it is fetched for keeping where that is for
    /// everybody. Where the app fails, `old` is given.
    async fn ask(
        self: Arc<Self>,
        request: Request,
        draft: Option<Draft>,
        old: Option<Hit>,
        status: CacheStatus,
    ) -> Result<Response, Failure> {
        if asked::wants_only_kept(request.headers()) {
            let reason = "There is no kept answer, and no other is wanted (only-if-cached).";
            return Err(Failure::client(StatusCode::GATEWAY_TIMEOUT, reason));
        }
        let again = old.map(|old| (old, request.method().clone(), request.headers().clone()));
        let mut answered = self.upstream.send(request).await;
        let is_failed = match &answered {
            Ok(response) => matches!(response.status().as_u16(), 500 | 502 | 503 | 504),
            Err(failure) => failure.status.is_server_error(),
        };
        let now = self.now();
        if let Some((old, method, headers)) = again.filter(|(old, ..)| is_failed && self.is_good(old, now)) {
            self.metrics.request(Outcome::Stale);
            let left = old.stored.freshness.left(now);
            return reply(&old, &method, &headers, now, CacheStatus::Kept { left });
        }
        self.metrics.request(Outcome::Miss);
        if let (Some(draft), Ok(response)) = (draft, &answered)
            && let Some(names) = looks_shareable(response.status(), response.headers())
            && let Some(errand) = draft.errand(&names)
            && (errand.selected.is_empty() || self.variants.admits(errand.address(), now))
        {
            self.begin(errand);
        }
        if let Ok(response) = &mut answered
            && leaves_browsers_guessing(response.headers())
        {
            response.headers_mut().insert(CACHE_CONTROL, FOR_BROWSERS);
        }
        marked(answered, status)
    }

    /// An old answer, while the app is away.
    fn kept(&self, hit: &Hit, request: &Request) -> Result<Response, Failure> {
        let now = self.now();
        self.metrics.request(Outcome::Stale);
        let left = hit.stored.freshness.left(now);
        reply(hit, request.method(), request.headers(), now, CacheStatus::Kept { left })
    }

    /// True while an old answer may be given out where the app fails.
    fn is_good(&self, hit: &Hit, now: u64) -> bool {
        hit.stored.freshness.standing(now) != Standing::Expired
            && hit.stored.origin.generation == self.upstream.generation()
            && self.purges.spares(&hit.stored.origin)
    }

    /// Fetches an answer for keeping, unless it is being fetched; tells when that has ended. `None` where too much is
    /// under way.
    fn begin(self: &Arc<Self>, errand: Errand) -> Option<tokio::sync::watch::Receiver<bool>> {
        let begun = match self.fetches.begin(&errand.key()) {
            Turn::Mine(begun) => begun,
            Turn::Others(ended) => return Some(ended),
            Turn::Nobodys => return None,
        };
        let ended = begun.waiting();
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            cache.fetch(errand).await;
            drop(begun);
        });
        Some(ended)
    }

    fn fetching(&self, config: &Config) -> Fetching<'_> {
        let bounds = Bounds {
            stale: millis(config.stale),
            stale_if_error: millis(config.stale_if_error),
            not_found: millis(config.max_not_found),
        };
        let longest = Store::longest(config.memory);
        Fetching { upstream: &self.upstream, purges: &self.purges, bounds, longest, epoch: self.epoch }
    }

    async fn fetch(&self, errand: Errand) {
        // The one before may have ended between the asker's look and his turn.
        let (slot, generation) = (self.store.slot(&errand.key), self.upstream.generation());
        let known = self.store.judge(slot, &self.purges, generation, self.now());
        if matches!(known, Found::Hit(hit) if hit.standing == Standing::Fresh) {
            return;
        }
        let config = self.config.get();
        let fetched = self.fetching(&config).fetch(&errand).await;
        // Another config may have come: what it does not name is not kept.
        let is_wanted = Arc::ptr_eq(&config, &self.config.get());
        let outcome = match fetched {
            Fetched::Kept(stored, body) if is_wanted => {
                if !errand.names.is_empty() {
                    self.store.keep_names(Arc::clone(&errand.base), errand.names.clone());
                }
                self.store.keep(errand.key(), *stored, body);
                FetchOutcome::Kept
            }
            Fetched::Refused(reason) if is_wanted => {
                debug!(target = errand.target, ?reason, "not kept, though it looked as if it could be");
                self.store.refuse(errand.key(), self.now() + millis(REFUSED_FOR));
                FetchOutcome::Refused
            }
            _ => {
                self.put_off(&errand);
                FetchOutcome::Failed
            }
        };
        self.metrics.fetched(outcome);
    }

    /// The app gave nothing of use: it is left alone for a moment, and visitors' own requests go to it meanwhile.
    fn put_off(&self, errand: &Errand) {
        let until = self.now() + millis(RETRY_AFTER);
        match &errand.previous {
            Some(old) => old.stored.retry_at.store(until, Ordering::Relaxed),
            None => self.store.refuse(errand.key(), until),
        }
    }
}

/// An answer of the app, with what the cache did about it.
fn marked(answered: Result<Response, Failure>, status: CacheStatus) -> Result<Response, Failure> {
    answered.map(|mut response| {
        say(response.headers_mut(), status);
        response
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
