//! How old an answer is, and for how long it may be given out (RFC 9111 sections 4.2 and 5.2, RFC 5861). Times are in
//! milliseconds of the cache's own clock, which only moves forward.
//!
//! Not the crate http-cache-semantics: it keeps answers with `Set-Cookie`, guesses lifetimes, has hits made stale by a
//! client's `no-cache`, and knows neither `stale-while-revalidate` nor `CDN-Cache-Control`.

use std::time::{Duration, SystemTime};

use http::header::{AGE, DATE, EXPIRES};
use http::{HeaderMap, HeaderName};

use super::directives::Directives;

/// When a request went to the app and when its answer had come.
#[derive(Debug, Clone, Copy)]
pub struct Exchanged {
    pub asked: u64,
    pub received: u64,
    /// The time of day of `received`.
    pub wall: SystemTime,
}

/// The times of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    pub received: u64,
    /// How old it was when it came.
    initial_age: u64,
    lifetime: u64,
    /// How long past that it may be given out while another is fetched, and while none can be had.
    while_revalidate: u64,
    if_error: u64,
}

/// The bounds that the config sets, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub stale: u64,
    pub stale_if_error: u64,
    pub not_found: u64,
}

/// What an answer may be used for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Fresh,
    /// While another is fetched.
    WhileRevalidate,
    /// While the app gives no proper one.
    IfError,
    Expired,
}

/// The lifetime that an answer gives itself, in seconds; `None` where it does not say that a shared cache may keep it.
/// There are no guesses (RFC 9111 section 4.2.2).
pub fn lifetime(headers: &HeaderMap, directives: &Directives) -> Option<u64> {
    if directives.forbids {
        return None;
    }
    if let Some(seconds) = directives.s_maxage {
        return Some(seconds);
    }
    if !directives.public && !directives.is_targeted {
        return None;
    }
    if let Some(seconds) = directives.max_age {
        return Some(seconds);
    }
    let mut lines = headers.get_all(EXPIRES).iter().filter(|_| !directives.is_targeted);
    match (lines.next(), lines.next()) {
        (None, _) => None,
        (Some(_), Some(_)) => Some(0),
        (Some(line), None) => {
            let expires = line.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok());
            let left = expires.zip(date(headers, &DATE)).and_then(|(end, start)| end.duration_since(start).ok());
            Some(left.map_or(0, |left| left.as_secs()))
        }
    }
}

impl Freshness {
    /// Of an answer with this `lifetime` in seconds; one that says that something is not there has `is_not_found`.
    pub fn new(
        headers: &HeaderMap,
        directives: &Directives,
        lifetime: u64,
        is_not_found: bool,
        exchanged: &Exchanged,
        bounds: &Bounds,
    ) -> Freshness {
        let millis = |seconds: Option<u64>| seconds.unwrap_or(0).saturating_mul(1000);
        let initial_age = initial_age(headers, exchanged);
        // It counts from when the app said so last: a page that says it may be as old as the build.
        let longest = if is_not_found { initial_age.saturating_add(bounds.not_found) } else { u64::MAX };
        let lifetime = millis(Some(lifetime)).min(longest);
        let may_be_stale = !directives.must_revalidate && !is_not_found;
        // `s-maxage` alone is a `proxy-revalidate` too (RFC 9111 section 5.2.2.10): only leave that is given counts.
        let while_revalidate = if may_be_stale { millis(directives.stale_while_revalidate) } else { 0 };
        let if_error = if may_be_stale { millis(directives.stale_if_error) } else { 0 };
        Freshness {
            received: exchanged.received,
            initial_age,
            lifetime,
            while_revalidate: while_revalidate.min(bounds.stale),
            if_error: while_revalidate.max(if_error).min(bounds.stale_if_error),
        }
    }

    pub fn age(&self, now: u64) -> u64 {
        self.initial_age.saturating_add(now.saturating_sub(self.received))
    }

    /// What is left of its freshness; negative once there is none.
    pub fn left(&self, now: u64) -> i64 {
        let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        signed(self.lifetime).saturating_sub(signed(self.age(now)))
    }

    pub fn standing(&self, now: u64) -> Standing {
        let Some(stale) = self.age(now).checked_sub(self.lifetime) else { return Standing::Fresh };
        match () {
            () if stale < self.while_revalidate => Standing::WhileRevalidate,
            () if stale < self.if_error => Standing::IfError,
            () => Standing::Expired,
        }
    }

    /// True where it can never be given out.
    pub fn is_useless(&self) -> bool {
        self.standing(self.received) == Standing::Expired
    }
}

/// Its age when it came, by its `Date` and by its `Age`, and counting the way here (RFC 9111 section 4.2.3).
fn initial_age(headers: &HeaderMap, exchanged: &Exchanged) -> u64 {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let by_date = date(headers, &DATE).and_then(|date| exchanged.wall.duration_since(date).ok());
    // `Date` has whole seconds: what is within one of them is no age.
    let by_date = by_date.map_or(0, |age| millis(age).saturating_sub(1000));
    let said = headers.get_all(AGE).iter().map(|line| line.to_str().ok().and_then(|text| text.trim().parse().ok()));
    let said = said.map(|age: Option<u64>| age.unwrap_or(u64::MAX)).max().unwrap_or(0).saturating_mul(1000);
    by_date.max(said.saturating_add(exchanged.received.saturating_sub(exchanged.asked)))
}

/// A date of a field that is there once.
pub fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut lines = headers.get_all(name).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    httpdate::parse_http_date(line.to_str().ok()?).ok()
}
