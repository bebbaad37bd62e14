//! What the app is asked where nothing that is kept will do: once for all who want it, or for one visitor alone.
#![expect(
    clippy::disallowed_methods,
    reason = "what is fetched for keeping serves nobody: whoever waits for it has a guard"
)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderName, StatusCode};
use tokio::time::timeout;
use tracing::debug;

use super::admission::{NotKept, is_nexts_own, looks_shareable};
use super::asked::{self, Draft};
use super::directives::{FOR_BROWSERS, leaves_browsers_guessing};
use super::fetch::{Errand, Fetched, Fetching};
use super::fetches::Turn;
use super::freshness::{Bounds, Standing};
use super::key::KeyBytes;
use super::metrics::{FetchOutcome, Outcome};
use super::reply::reply;
use super::status::CacheStatus;
use super::store::{Found, Hit, Slot, Store};
use super::{Cache, Config, marked, millis};
use crate::http::{Failure, Request, Response};

/// How long what looked as if it could be kept, and could not, is not tried again.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// How long the app is left alone after it gave nothing of use in place of an old answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is wanted in place of what there is.
pub struct Demand {
    /// By which headers the answers of this address are chosen.
    pub names: Option<Arc<[HeaderName]>>,
    /// What there was, if it is of some use yet.
    pub old: Option<Hit>,
    pub is_vouched: bool,
    /// There was one; else the build says that it is everybody's, or others beside it were.
    pub is_known: bool,
}

impl Cache {
    /// Has another fetched in place of one that is given out meanwhile.
    pub(super) fn renew(self: &Arc<Self>, draft: Option<Draft>, names: Option<&[HeaderName]>, hit: &Hit, now: u64) {
        if !hit.stored.may_retry(now, now + millis(RETRY_AFTER)) {
            return;
        }
        let errand = draft.and_then(|draft| draft.errand(names.unwrap_or_default()));
        if let Some(errand) = errand {
            self.begin(errand.renewing(hit.clone()));
        }
    }

    /// Waits for one that is fetched for all who want it now: there was one, or the build says that there is. In time, or
    /// where it is not for everybody, the app is asked for this request alone.
    pub(super) async fn fetch_or_ask(
        self: Arc<Self>,
        request: Request,
        base: KeyBytes,
        wanted: Demand,
    ) -> Result<Response, Failure> {
        let Demand { names, old, is_vouched, is_known } = wanted;
        let names = names.as_deref().unwrap_or_default();
        let (fetched, asked) = if is_known {
            (CacheStatus::Collapsed, CacheStatus::Stale)
        } else {
            (CacheStatus::Stored, CacheStatus::Miss)
        };
        if let Some(hit) = old.as_ref().filter(|_| !self.upstream.is_ready()) {
            return self.kept(hit, &request);
        }
        let is_put_off = |old: &Hit| old.stored.retry_at.load(Ordering::Relaxed) > self.now();
        if asked::wants_only_kept(request.headers()) || old.as_ref().is_some_and(is_put_off) {
            return self.ask(request, is_vouched, None, old, asked).await;
        }
        let wait = self.config.get().wait;
        // Twice: the first may have been asked for before it was declared old.
        for _ in 0..2 {
            let Some(errand) = Draft::of(&request, &base, is_vouched).and_then(|draft| draft.errand(names)) else {
                break;
            };
            let errand = Errand { previous: old.clone(), is_expected: !is_known, ..errand };
            if !is_known && !self.may_have(&errand) {
                break;
            }
            let Some(mut ended) = self.begin(errand) else { break };
            if timeout(wait, ended.wait_for(|ended| *ended)).await.is_err() {
                break;
            }
            let now = self.now();
            match self.look(&base, request.headers(), now).found {
                Found::Hit(hit) if hit.standing == Standing::Fresh => {
                    self.metrics.request(if is_known { Outcome::Collapsed } else { Outcome::Miss });
                    hit.stored.hits.fetch_add(1, Ordering::Relaxed);
                    return reply(&hit, request.method(), request.headers(), now, fetched);
                }
                Found::Gone => {}
                _ => break,
            }
        }
        let draft = if is_known { None } else { Draft::of(&request, &base, is_vouched) };
        self.ask(request, is_vouched, draft, old, asked).await
    }

    /// Asks the app for this request alone; with a `draft`, an answer like it is fetched for keeping where that is for
    /// everybody. Where the app fails, `old` is given.
    pub(super) async fn ask(
        self: Arc<Self>,
        request: Request,
        is_vouched: bool,
        draft: Option<Draft>,
        old: Option<Hit>,
        status: CacheStatus,
    ) -> Result<Response, Failure> {
        if asked::wants_only_kept(request.headers()) {
            let reason = "There is no kept answer, and no other is wanted (only-if-cached).";
            return Err(Failure::client(StatusCode::GATEWAY_TIMEOUT, reason));
        }
        let again = old.map(|old| (old, request.method().clone(), request.headers().clone()));
        let mut answered = self.send(request).await;
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
        let Ok(response) = &mut answered else { return answered };
        if is_vouched || is_nexts_own(response.extensions().get(), response.headers()) {
            if let Some(draft) = draft
                && let Some(names) = looks_shareable(response.status(), response.headers())
                && let Some(errand) = draft.errand(&names)
                && self.may_have(&errand)
            {
                self.begin(errand);
            }
            if leaves_browsers_guessing(response.headers()) {
                response.headers_mut().insert(CACHE_CONTROL, FOR_BROWSERS);
            }
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
    pub(super) fn begin(self: &Arc<Self>, errand: Errand) -> Option<tokio::sync::watch::Receiver<bool>> {
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

    pub(super) fn fetching(&self, config: &Config) -> Fetching<'_> {
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
        let (config, begun) = (self.config.get(), self.now());
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
            // It is chosen by headers that only an answer to a visitor names.
            Fetched::Refused(NotKept::Vary) if is_wanted && errand.is_expected => {
                self.expect_nothing(&errand.path, REFUSED_FOR);
                FetchOutcome::Refused
            }
            Fetched::Refused(reason) if is_wanted => {
                debug!(target = errand.target, ?reason, "not kept, though it looked as if it could be");
                self.store.refuse(errand.key(), self.now() + millis(REFUSED_FOR));
                if errand.is_expected && errand.selected.is_empty() {
                    self.expect_nothing(&errand.path, REFUSED_FOR);
                }
                FetchOutcome::Refused
            }
            _ => {
                self.put_off(&errand);
                FetchOutcome::Failed
            }
        };
        self.metrics.fetched(outcome);
        let is_quick = self.now() - begun < millis(config.wait);
        let is_kept = matches!(outcome, FetchOutcome::Kept) && errand.names.is_empty() && is_quick;
        self.expectations.note(&errand.path, is_kept);
    }

    /// Whether its address may have one more answer, where that is chosen by a client's headers.
    fn may_have(&self, errand: &Errand) -> bool {
        errand.selected.is_empty() || self.variants.admits(errand.address(), self.now())
    }

    /// Whether a page of `request`'s path may be fetched before anybody was answered, as the build says that it is
    /// everybody's, or others beside it were.
    pub(super) fn may_expect(&self, request: &Request) -> bool {
        let slot = self.store.slot(request.uri().path().as_bytes());
        !matches!(slot, Some(Slot::Refused { until }) if self.now() < until)
    }

    /// It turned out that it is not: addresses with any query are asked for once alone. A path is no other key.
    fn expect_nothing(&self, path: &str, span: Duration) {
        self.store.refuse(path.as_bytes().into(), self.now() + millis(span));
    }

    /// The app gave nothing of use: it is left alone for a moment, and visitors' own requests go to it meanwhile.
    fn put_off(&self, errand: &Errand) {
        let until = self.now() + millis(RETRY_AFTER);
        match &errand.previous {
            Some(old) => old.stored.retry_at.store(until, Ordering::Relaxed),
            None => self.store.refuse(errand.key(), until),
        }
        if errand.is_expected {
            self.expect_nothing(&errand.path, RETRY_AFTER);
        }
    }
}
