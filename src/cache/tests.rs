//! The cache against a slow model that forgets nothing: whatever is given out, the model would have given too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use proptest::prelude::*;

use super::admission::{Wanted, admit};
use super::freshness::{Bounds, Exchanged, Standing};
use super::key;
use super::making;
use super::purges::{Origin, Purges};
use super::store::{Found, Slot, Store};
use crate::settings::Size;

const BOUNDS: Bounds = Bounds { stale: 30_000, stale_if_error: 90_000, not_found: 10_000 };
const PATHS: [&str; 3] = ["/", "/a", "/b"];
const TAGS: [&str; 3] = ["one", "two", "three"];
const HOSTS: [&str; 2] = ["one.test", "two.test"];
const LANGUAGES: [&str; 3] = ["", "de", "en"];

/// A request as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asking {
    host: usize,
    path: usize,
    query: bool,
    rsc: bool,
    language: usize,
}

/// What an app says about its answer.
#[derive(Debug, Clone)]
struct Saying {
    control: &'static str,
    status: u16,
    tags: Vec<usize>,
    varies: bool,
    cookie: bool,
    age: u64,
    /// What it sends as a payload is one.
    is_right_kind: bool,
}

#[derive(Debug, Clone)]
enum Event {
    /// Somebody asks; what there is must be what the model would give.
    Ask(Asking),
    /// The door begins to fetch, and is answered so after some other events.
    Begin(Asking),
    End(usize, Saying),
    PurgePath(usize),
    PurgeTag(usize),
    PurgeAll,
    NewBuild,
    Wait(u64),
}

/// A fetch that is under way.
struct Fetch {
    asking: Asking,
    asked: u64,
    number: u64,
    generation: u64,
    at_event: usize,
}

/// What the model knows of an answer: the whole history is looked through each time.
struct Known {
    asking: Asking,
    saying: Saying,
    body: Bytes,
    /// When the app was asked: as an event, and in the cache's time.
    at_event: usize,
    received: u64,
    asked: u64,
}

fn headers(asking: &Asking) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if asking.rsc {
        headers.insert("rsc", "1".parse().unwrap());
    }
    if !LANGUAGES[asking.language].is_empty() {
        headers.insert("accept-language", LANGUAGES[asking.language].parse().unwrap());
    }
    headers
}

fn base(asking: &Asking) -> key::KeyBytes {
    let target = format!("{}{}", PATHS[asking.path], if asking.query { "?q" } else { "" });
    let authority = HOSTS[asking.host].parse().unwrap();
    key::base(&http::uri::Scheme::HTTPS, &authority, &target, &headers(asking)).unwrap()
}

fn head(saying: &Saying, asking: &Asking) -> HeaderMap {
    let mut head = HeaderMap::new();
    let media = if saying.is_right_kind == asking.rsc { "text/x-component" } else { "text/html; charset=utf-8" };
    head.insert("content-type", media.parse().unwrap());
    if !saying.control.is_empty() {
        head.insert("cache-control", saying.control.parse().unwrap());
    }
    for tag in &saying.tags {
        head.append("cache-tag", TAGS[*tag].parse().unwrap());
    }
    if saying.varies {
        head.insert("vary", "Accept-Encoding, RSC, Accept-Language".parse().unwrap());
    }
    if saying.cookie {
        head.insert("set-cookie", "a=b".parse().unwrap());
    }
    if saying.age > 0 {
        head.insert("age", saying.age.into());
    }
    head
}

/// The lifetimes that each of the controls gives, in seconds, by hand: fresh, and stale at most (none: not kept).
const CONTROLS: [(&str, Option<(u64, u64)>); 9] = [
    ("s-maxage=20", Some((20, 0))),
    ("s-maxage=20, stale-while-revalidate=15", Some((20, 15))),
    ("s-maxage=20, stale-while-revalidate=1000", Some((20, 90))),
    ("s-maxage=20, stale-while-revalidate=15, must-revalidate", Some((20, 0))),
    ("public, max-age=40", Some((40, 0))),
    ("max-age=40", None),
    ("private, s-maxage=20", None),
    ("no-store", None),
    ("", None),
];

/// Whether the model would give `known` to `asking` now.
fn allows(known: &Known, asking: &Asking, now: u64, events: &[(usize, Event)]) -> bool {
    let saying = &known.saying;
    let Some((fresh, stale)) = CONTROLS.iter().find(|(text, _)| *text == saying.control).unwrap().1 else {
        return false;
    };
    let initial_age = saying.age * 1000 + (known.received - known.asked);
    let (fresh, stale) = (fresh * 1000, stale * 1000);
    let (fresh, stale) = if saying.status == 404 { (fresh.min(initial_age + 10_000), 0) } else { (fresh, stale) };
    let age = initial_age + (now - known.received);
    let is_same = Asking { language: 0, ..known.asking } == Asking { language: 0, ..*asking }
        && (!saying.varies || known.asking.language == asking.language);
    let is_spared = events.iter().filter(|(at, _)| *at > known.at_event).all(|(_, event)| match event {
        Event::PurgePath(path) => *path != asking.path,
        Event::PurgeTag(tag) => !saying.tags.contains(tag),
        Event::PurgeAll | Event::NewBuild => false,
        _ => true,
    });
    let is_kept = matches!(saying.status, 200 | 404 | 307)
        && !saying.cookie
        && (saying.is_right_kind || (saying.status != 200 && asking.rsc));
    is_same && is_spared && is_kept && age < fresh + stale
}

fn asking() -> impl Strategy<Value = Asking> {
    (0..2_usize, 0..3_usize, any::<bool>(), any::<bool>(), 0..3_usize)
        .prop_map(|(host, path, query, rsc, language)| Asking { host, path, query, rsc, language })
}

fn saying() -> impl Strategy<Value = Saying> {
    let status =
        prop_oneof![6 => Just(200), 1 => Just(404), 1 => Just(307), 1 => Just(204), 1 => Just(206), 1 => Just(500)];
    let age = prop_oneof![4 => Just(0), 1 => 1..30_u64];
    let flags = (prop::bool::weighted(0.4), prop::bool::weighted(0.1), prop::bool::weighted(0.9));
    (0..CONTROLS.len(), status, prop::collection::vec(0..3_usize, 0..3), flags, age).prop_map(
        |(control, status, tags, (varies, cookie, is_right_kind), age)| Saying {
            control: CONTROLS[control].0,
            status,
            tags,
            varies,
            cookie,
            age,
            is_right_kind,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => asking().prop_map(Event::Ask),
        8 => asking().prop_map(Event::Begin),
        8 => (0..4_usize, saying()).prop_map(|(which, saying)| Event::End(which, saying)),
        1 => (0..3_usize).prop_map(Event::PurgePath),
        1 => (0..3_usize).prop_map(Event::PurgeTag),
        1 => prop_oneof![Just(Event::PurgeAll), Just(Event::NewBuild)],
        4 => (1..25_000_u64).prop_map(Event::Wait),
    ]
}

/// The cache's own parts, put together as the room puts them.
#[derive(Default)]
struct Run {
    purges: Purges,
    generation: u64,
    now: u64,
    under_way: Vec<Fetch>,
    history: Vec<Known>,
    hits: usize,
}

impl Run {
    fn end(&mut self, store: &Store, fetch: Fetch, saying: Saying) {
        let (asking, wall) = (fetch.asking, UNIX_EPOCH + Duration::from_millis(self.now));
        let body = Bytes::from(format!("{} {}", self.history.len(), saying.status));
        let exchanged = Exchanged { asked: fetch.asked, received: self.now, wall };
        let (status, head) = (StatusCode::from_u16(saying.status).unwrap(), head(&saying, &asking));
        let is_same_app = self.generation == fetch.generation;
        let wanted = Wanted::of(PATHS[asking.path], asking.rsc);
        if let (true, Ok(admission)) = (is_same_app, admit(wanted, status, &head, &exchanged, &BOUNDS)) {
            self.keep(store, &fetch, (status, head, body.clone(), wall), admission);
        }
        let (received, asked) = (self.now, fetch.asked);
        self.history.push(Known { asking, saying, body, at_event: fetch.at_event, received, asked });
    }

    fn keep(
        &self,
        store: &Store,
        fetch: &Fetch,
        (status, head, body, wall): (StatusCode, HeaderMap, Bytes, SystemTime),
        admission: super::admission::Admission,
    ) {
        let names: Vec<HeaderName> = admission.vary;
        let tags = making::tags(&head).unwrap();
        let origin = Origin {
            asked: fetch.number,
            generation: fetch.generation,
            path: self.purges.place(PATHS[fetch.asking.path]),
            tags: making::places(&tags, &self.purges),
        };
        let base = base(&fetch.asking);
        let stored = making::stored(status, head, &body, admission.freshness, origin, tags, wall);
        if names.is_empty() {
            store.keep(base.as_slice().into(), stored, body);
        } else {
            let varied = key::varied(&base, &names, &headers(&fetch.asking)).unwrap();
            store.keep_names(base.as_slice().into(), names);
            store.keep(varied.as_slice().into(), stored, body);
        }
    }

    fn ask(&self, store: &Store, asking: &Asking) -> Found {
        let base = base(asking);
        let mut slot = store.slot(&base);
        if let Some(Slot::Varies(names)) = slot {
            slot = store.slot(&key::varied(&base, &names, &headers(asking)).unwrap());
        }
        store.judge(slot, &self.purges, self.generation, self.now)
    }
}

/// Plays `events`; how often something was given out.
fn play(events: Vec<Event>) -> usize {
    let store = Store::new(Size::mib(4));
    let mut run = Run::default();
    let mut past: Vec<(usize, Event)> = Vec::new();
    for (at, event) in events.into_iter().enumerate() {
        match &event {
            Event::Begin(asking) => run.under_way.push(Fetch {
                asking: *asking,
                asked: run.now,
                number: run.purges.last(),
                generation: run.generation,
                at_event: at,
            }),
            Event::End(which, saying) if *which < run.under_way.len() => {
                let fetch = run.under_way.remove(*which);
                run.end(&store, fetch, saying.clone());
            }
            Event::End(..) => {}
            Event::Ask(asking) => {
                if let Found::Hit(hit) = run.ask(&store, asking) {
                    run.hits += 1;
                    let known = run.history.iter().find(|known| known.body == hit.body.plain()).unwrap();
                    assert!(
                        allows(known, asking, run.now, &past),
                        "{asking:?} got {:?} of {:?}",
                        known.saying,
                        known.asking
                    );
                    assert_ne!(hit.standing, Standing::Expired);
                }
            }
            Event::PurgePath(path) => run.purges.path(PATHS[*path]),
            Event::PurgeTag(tag) => run.purges.tag(TAGS[*tag]),
            Event::PurgeAll => run.purges.everything(),
            Event::NewBuild => run.generation += 1,
            Event::Wait(millis) => run.now += millis,
        }
        past.push((at, event));
    }
    run.hits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn nothing_is_given_that_the_model_would_not(events in prop::collection::vec(event(), 1..120)) {
        play(events);
    }
}

#[test]
fn what_is_kept_is_given_out() {
    let asking = Asking { host: 0, path: 1, query: false, rsc: true, language: 1 };
    let saying = Saying {
        control: "s-maxage=20, stale-while-revalidate=15",
        status: 200,
        tags: vec![1],
        varies: true,
        cookie: false,
        age: 0,
        is_right_kind: true,
    };
    let kept = [Event::Begin(asking), Event::End(0, saying)];
    let then = |events: &[Event]| play([&kept, events].concat());
    let ask = Event::Ask(asking);
    assert_eq!(then(&[ask.clone(), Event::Wait(19_999), ask.clone(), Event::Wait(15_000), ask.clone()]), 3);
    assert_eq!(then(&[Event::Wait(35_000), ask.clone()]), 0, "too old");
    assert_eq!(then(&[Event::PurgeTag(0), Event::PurgePath(0), ask.clone()]), 1, "others");
    for old in [Event::PurgeTag(1), Event::PurgePath(1), Event::PurgeAll, Event::NewBuild] {
        assert_eq!(then(&[old.clone(), ask.clone()]), 0, "{old:?}");
    }
    for other in [
        Asking { host: 1, ..asking },
        Asking { query: true, ..asking },
        Asking { rsc: false, ..asking },
        Asking { language: 0, ..asking },
    ] {
        assert_eq!(then(&[Event::Ask(other)]), 0, "{other:?}");
    }
}
