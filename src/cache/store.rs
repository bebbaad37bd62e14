//! The answers that are kept, in memory: heads by their key, and bodies by their hash, so that one body under many keys is
//! there once. Bounded in bytes; what is least in demand leaves when it is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::freshness::{Freshness, Standing};
use super::purges::{Origin, Purges};
use crate::http::layer::compress::{KeptBody, MediaKind, covered, essence};
use crate::settings::Size;

/// The memory is in so many parts, and an answer must fit into one.
const SHARDS: u64 = 4;
/// What a head takes besides its text, in bytes, roughly.
const HEAD_OVERHEAD: usize = 400;
/// What each of its fields takes besides its text.
const FIELD_OVERHEAD: usize = 128;
/// What a body takes besides its bytes, and those of its compressed forms.
const BODY_OVERHEAD: usize = 320;

/// What a request has in common with all that may have the same answer: see the file `key`.
pub type Key = Arc<[u8]>;
/// SHA-256 of a body.
pub type BodyHash = [u8; 32];

/// The head of an answer, and which body belongs to it.
#[derive(Debug)]
pub struct Stored {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The app's own, or made of the body's hash.
    pub tag: HeaderValue,
    pub is_tag_the_apps: bool,
    pub leaves_browsers_guessing: bool,
    /// What it says, or when it came.
    pub modified: SystemTime,
    pub freshness: Freshness,
    pub origin: Origin,
    /// For people.
    pub tags: Box<[Box<str>]>,
    pub body: BodyHash,
    pub length: usize,
    pub hits: AtomicU64,
    /// Not before this is the app asked again in vain.
    pub retry_at: AtomicU64,
}

/// What is known under a key.
#[derive(Debug, Clone)]
pub enum Slot {
    Answer(Arc<Stored>),
    /// Answers are below this key, by these headers.
    Varies(Arc<[HeaderName]>),
    /// What looked as if it could be kept, and could not; until then nobody tries again.
    Refused {
        until: u64,
    },
}

/// An answer with its body.
#[derive(Debug, Clone)]
pub struct Hit {
    pub stored: Arc<Stored>,
    pub body: Arc<KeptBody>,
    pub standing: Standing,
}

/// What became of looking for an answer.
#[derive(Debug, Clone)]
pub enum Found {
    Hit(Hit),
    /// There was one, which is of no use any more: what comes in its place may very likely be kept.
    Gone,
    Refused,
    Nothing,
}

/// All that is kept.
#[derive(Debug)]
pub struct Store {
    heads: Cache<Key, Slot, WeighHead>,
    bodies: Cache<BodyHash, Arc<KeptBody>, WeighBody>,
}

#[derive(Debug, Clone)]
struct WeighHead;

impl Weighter<Key, Slot> for WeighHead {
    fn weight(&self, key: &Key, slot: &Slot) -> u64 {
        let text = match slot {
            Slot::Answer(stored) => {
                let fields =
                    stored.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
                let tags = stored.tags.iter().map(|tag| tag.len() + 24);
                fields.chain(tags).sum()
            }
            Slot::Varies(names) => names.len() * 40,
            Slot::Refused { .. } => 0,
        };
        (key.len() + text + HEAD_OVERHEAD) as u64
    }
}

#[derive(Debug, Clone)]
struct WeighBody;

impl Weighter<BodyHash, Arc<KeptBody>> for WeighBody {
    fn weight(&self, _hash: &BodyHash, body: &Arc<KeptBody>) -> u64 {
        (body.weight() + BODY_OVERHEAD) as u64
    }
}

/// Of all memory, what is for heads and what for bodies.
fn shares(memory: Size) -> (u64, u64) {
    (memory.0 / 4, memory.0 - memory.0 / 4)
}

impl Store {
    pub fn new(memory: Size) -> Store {
        let options = |capacity| {
            OptionsBuilder::new()
                .shards(SHARDS as usize)
                .estimated_items_capacity(1024)
                .weight_capacity(capacity)
                .build()
                .expect("both capacities are given")
        };
        let (heads, bodies) = shares(memory);
        let (hash, life) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Store {
            heads: Cache::with_options(options(heads), WeighHead, hash.clone(), life),
            bodies: Cache::with_options(options(bodies), WeighBody, hash, DefaultLifecycle::default()),
        }
    }

    /// Takes another capacity; what is too much leaves.
    pub fn resize(&self, memory: Size) {
        let (heads, bodies) = shares(memory);
        self.heads.set_capacity(heads);
        self.bodies.set_capacity(bodies);
    }

    /// The longest body that is kept, in bytes.
    pub fn longest(memory: Size) -> usize {
        usize::try_from(memory.0 / 16).unwrap_or(usize::MAX)
    }

    /// Bytes held.
    pub fn weight(&self) -> u64 {
        self.heads.weight() + self.bodies.weight()
    }

    pub fn len(&self) -> usize {
        self.heads.len()
    }

    pub fn slot(&self, key: &[u8]) -> Option<Slot> {
        self.heads.get(key)
    }

    /// What `slot`, found under `key`, is good for now. `generation` is that of the app that would be asked.
    pub fn judge(&self, slot: Option<Slot>, purges: &Purges, generation: u64, now: u64) -> Found {
        let stored = match slot {
            Some(Slot::Answer(stored)) => stored,
            Some(Slot::Refused { until }) if now < until => return Found::Refused,
            Some(Slot::Varies(_) | Slot::Refused { .. }) | None => return Found::Nothing,
        };
        let standing = stored.freshness.standing(now);
        if standing == Standing::Expired || stored.origin.generation != generation || !purges.spares(&stored.origin) {
            return Found::Gone;
        }
        match self.bodies.get(&stored.body) {
            Some(body) => Found::Hit(Hit { stored, body, standing }),
            None => Found::Gone,
        }
    }

    /// Keeps an answer. How often the one before it was given out counts on: for as long as the same app is asked, else by
    /// half.
    pub fn keep(&self, key: Key, stored: Stored, body: Bytes) {
        if let Some(Slot::Answer(before)) = self.heads.peek(&*key) {
            let parts = if before.origin.generation == stored.origin.generation { 1 } else { 2 };
            stored.hits.fetch_add(before.hits().div_ceil(parts), Ordering::Relaxed);
        }
        // The same body again keeps its compressed forms.
        let known = self.bodies.peek(&stored.body);
        let kept = known.unwrap_or_else(|| {
            let kind = stored.headers.get(CONTENT_TYPE);
            Arc::new(KeptBody::new(body, kind.is_some_and(|kind| covered(&MediaKind::common(), essence(kind)))))
        });
        self.bodies.insert(stored.body, kept);
        self.heads.insert(key, Slot::Answer(Arc::new(stored)));
    }

    /// Answers of `base` are chosen by `names`.
    pub fn keep_names(&self, base: Key, names: Vec<HeaderName>) {
        let is_known = matches!(self.heads.peek(&*base), Some(Slot::Varies(known)) if *known == *names);
        if !is_known {
            self.heads.insert(base, Slot::Varies(names.into()));
        }
    }

    pub fn refuse(&self, key: Key, until: u64) {
        self.heads.insert(key, Slot::Refused { until });
    }

    pub fn clear(&self) {
        self.heads.clear();
        self.bodies.clear();
    }

    /// All answers, in no order.
    pub fn answers(&self) -> impl Iterator<Item = (Key, Arc<Stored>)> {
        self.heads.iter().filter_map(|(key, slot)| match slot {
            Slot::Answer(stored) => Some((key, stored)),
            _ => None,
        })
    }
}

/// By what a body is known.
pub fn hash(body: &[u8]) -> BodyHash {
    digest(&SHA256, body).as_ref().try_into().unwrap_or_default()
}

impl Stored {
    /// How often it was given out.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// True where it may be tried again to have another; says so to one asker alone until `then`.
    pub fn may_retry(&self, now: u64, then: u64) -> bool {
        let at = self.retry_at.load(Ordering::Relaxed);
        at <= now && self.retry_at.compare_exchange(at, then, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::freshness::{Bounds, Exchanged, Freshness};
    use super::super::making;
    use super::*;

    /// An answer as its fetch would keep it.
    fn answer(purges: &Purges, path: &str, body: &Bytes) -> Stored {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/html"));
        headers.insert("cache-control", HeaderValue::from_static("s-maxage=600"));
        let exchanged = Exchanged { asked: 0, received: 0, wall: SystemTime::UNIX_EPOCH };
        let bounds = Bounds { stale: 0, stale_if_error: 0, not_found: 0 };
        let directives = super::super::directives::Directives::of(&headers);
        let freshness = Freshness::new(&headers, &directives, 600, false, &exchanged, &bounds);
        let origin = Origin { asked: 0, generation: 0, path: purges.place(path), tags: Box::default() };
        making::stored(StatusCode::OK, headers, body, freshness, origin, Box::default(), exchanged.wall)
    }

    /// Who asks for any number of addresses neither fills memory nor takes others' pages out of it.
    #[test]
    fn a_scan_of_many_addresses_leaves_what_is_in_demand() {
        const SCANNED: usize = 100_000;
        let memory = Size::mib(2);
        let (store, purges) = (Store::new(memory), Purges::default());
        let key = |path: &str| -> Key { Arc::from(path.as_bytes()) };
        let hot: Vec<String> = (0..20).map(|number| format!("/hot/{number}")).collect();
        let look = |path: &str| store.judge(store.slot(path.as_bytes()), &purges, 0, 0);
        for path in &hot {
            let body = Bytes::from(path.repeat(400));
            store.keep(key(path), answer(&purges, path, &body), body);
            assert!(matches!(look(path), Found::Hit(_)), "{path}");
        }
        let mut missed = 0;
        for number in 0..SCANNED {
            let path = format!("/scan/{number}");
            let body = Bytes::from(path.clone());
            store.keep(key(&path), answer(&purges, &path, &body), body);
            if number % 50 == 0 {
                // Visitors of the site, meanwhile; what is missed is fetched anew.
                for path in &hot {
                    if !matches!(look(path), Found::Hit(_)) {
                        missed += 1;
                        let body = Bytes::from(path.repeat(400));
                        store.keep(key(path), answer(&purges, path, &body), body);
                    }
                }
            }
            if number % 1000 == 0 {
                assert!(store.weight() <= memory.0, "{} bytes", store.weight());
            }
        }
        let looks = hot.len() * SCANNED / 50;
        assert!(missed * 1000 < looks, "{missed} of {looks} looks at pages in demand found nothing");
    }
}
