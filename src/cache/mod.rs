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
mod bypass;
mod change;
mod config;
mod directives;
mod elsewhere;
mod expectations;
mod explanation;
mod fetch;
mod fetches;
mod forwarding;
mod freshness;
mod heard;
mod key;
mod listing;
mod making;
mod metrics;
mod pages;
mod purges;
mod reply;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod variants;
mod warming;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};

pub use config::Config;

use crate::drain::Signal;
use crate::http::{Failure, Request, Response, RoomAnswer, at_once, in_time};
use crate::settings::Live;
use crate::telemetry::Registry;
use crate::upstream::{Heard, Upstream};
pub use announcements::{Announcement, Announcements};
pub use elsewhere::PurgeBatch;

use asked::Draft;
use bypass::Bypass;
use elsewhere::Elsewhere;
use expectations::Expectations;
use fetch::since;
use fetches::Fetches;
use forwarding::Demand;
use freshness::Standing;
use key::KeyBytes;
use metrics::{Metrics, Outcome};
use pages::Pages;
use purges::Purges;
use reply::reply;
use status::{CacheStatus, say};
use store::{Found, Hit, Slot, Store};
use variants::Variants;

/// The cache of one app.
pub struct Cache {
    config: Live<Config>,
    /// Whether anything may be kept: all that a request costs where nothing is.
    is_on: AtomicBool,
    store: Arc<Store>,
    purges: Arc<Purges>,
    fetches: Fetches,
    variants: Variants,
    expectations: Expectations,
    upstream: Arc<Upstream>,
    metrics: Metrics,
    announcements: Arc<Announcements>,
    /// The other doors.
    elsewhere: Arc<Elsewhere>,
    pages: Pages,
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
        let noted = (Arc::clone(&purges), metrics.clone());
        let told = (live.clone(), Arc::clone(&announcements));
        let elsewhere = Arc::new(Elsewhere::default());
        let others = Arc::clone(&elsewhere);
        upstream.hear(move |Heard { old, lag }| {
            heard::note(&noted.0, &old);
            noted.1.heard(lag);
            others.add_heard(&old);
            if told.0.get().tell {
                heard::announce(&told.1, &old);
            }
        });
        upstream.want_heard(config.is_to_be_heard());
        Cache {
            config: live,
            is_on: AtomicBool::new(config.is_on()),
            store,
            purges,
            fetches: Fetches::default(),
            variants: Variants::default(),
            expectations: Expectations::default(),
            upstream,
            metrics,
            announcements,
            elsewhere,
            pages: Pages::default(),
            epoch: Instant::now(),
        }
    }

    /// Takes over another section of the config (SIGHUP). What is kept is dropped where it changes at all: it was let in
    /// by other rules.
    pub fn reload(&self, config: &Config) {
        if *self.config.get() == *config {
            return;
        }
        self.is_on.store(config.is_on(), Ordering::Relaxed);
        self.upstream.want_heard(config.is_to_be_heard());
        self.config.set(config.clone());
        self.purges.everything();
        self.store.clear();
        self.store.resize(config.memory);
    }

    /// Learns of each build of the app which of its pages are everybody's, until the door drains.
    pub fn start(self: &Arc<Self>, mut drain: Signal) {
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = cache.pages.watch(&cache.upstream) => {}
                () = drain.ended() => {}
            }
        });
    }

    /// True for a path whose requests are for [`Cache::answer`].
    pub fn concerns(&self, path: &str) -> bool {
        if !self.is_on.load(Ordering::Relaxed) {
            return false;
        }
        let config = self.config.get();
        config.covers(path) || (config.pages && self.upstream.is_heard())
    }

    /// The app, past the cache.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Asks the app, past the cache; what the app declared old before it answered, the other doors know then.
    ///
    /// # Errors
    /// As for [`Upstream::send`].
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        let answered = self.upstream.send(request).await;
        self.settled().await;
        answered
    }

    /// Answers from memory, or asks the app.
    ///
    /// # Errors
    /// As for [`Upstream::send`]; 416 for a range that there is not, 504 where only a kept answer is wanted.
    pub fn answer(self: Arc<Self>, request: Request) -> RoomAnswer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return in_time(async move { self.change(request).await });
        }
        if self.upstream.is_for_previous(&request) {
            return in_time(async move { self.pass(request, Bypass::EarlierBuild).await });
        }
        let base = match asked::key(&request) {
            Ok(base) => base,
            Err(reason) => return in_time(async move { self.pass(request, reason).await }),
        };
        let now = self.now();
        let look = self.look(&base, request.headers(), now);
        match &look.found {
            Found::Hit(hit) if hit.standing == Standing::Fresh => at_once(self.hit(hit, &request, now, Outcome::Hit)),
            _ => in_time(self.renew_or_ask(request, base, look, now)),
        }
    }

    /// What is kept is not fresh, if there is any.
    async fn renew_or_ask(
        self: Arc<Self>,
        request: Request,
        base: KeyBytes,
        look: Look,
        now: u64,
    ) -> Result<Response, Failure> {
        let is_vouched = self.config.get().covers(request.uri().path());
        if let Found::Hit(hit) = &look.found
            && hit.standing == Standing::WhileRevalidate
        {
            let draft = Draft::of(&request, &base, is_vouched);
            self.renew(draft, look.names.as_deref(), hit, now);
            return self.hit(hit, &request, now, Outcome::Stale);
        }
        let build = self.pages.of(&self.upstream);
        if !is_vouched {
            match &build {
                Err(_) => return self.send(request).await,
                Ok(build) => {
                    if let Some(onlooker) = build.onlooker(request.uri().path()) {
                        return self.pass(request, onlooker.into()).await;
                    }
                }
            }
        }
        let is_whole = !asked::leads_to_none(&request);
        let path = request.uri().path();
        let is_likely = is_vouched && self.expectations.has(path);
        let is_expected = is_whole && (is_likely || build.is_ok_and(|build| build.has(path)));
        let names = look.names;
        let wanted = match look.found {
            Found::Hit(hit) => Demand { names, old: Some(hit), is_vouched, is_known: true },
            Found::Gone => Demand { names, old: None, is_vouched, is_known: true },
            Found::Nothing if is_expected && self.may_expect(&request) => {
                Demand { names, old: None, is_vouched, is_known: false }
            }
            Found::Refused | Found::Nothing => {
                let is_tried = matches!(look.found, Found::Nothing) && is_whole;
                let draft = if is_tried { Draft::of(&request, &base, is_vouched) } else { None };
                return self.ask(request, is_vouched, draft, None, CacheStatus::Miss).await;
            }
        };
        self.fetch_or_ask(request, base, wanted).await
    }

    /// Asks the app, as the cache does not concern itself with such a request.
    async fn pass(&self, request: Request, reason: Bypass) -> Result<Response, Failure> {
        self.metrics.request(Outcome::Bypass(reason));
        marked(self.send(request).await, CacheStatus::Bypass(reason))
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
