//! What an answer says of the cache (RFC 9211).

use http::{HeaderMap, HeaderName, HeaderValue};

use super::bypass::Bypass;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What the cache did for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    /// Answered from memory; what is left of its freshness, in milliseconds, negative past it.
    Hit { left: i64 },
    /// The app was asked: there was nothing.
    Miss,
    /// The app was asked: what there was is too old.
    Stale,
    /// The app was asked once for this and other requests.
    Collapsed,
    /// The app was asked and failed: what there was is given all the same.
    Kept { left: i64 },
    /// The app was asked once for this and other requests, as there was nothing.
    Stored,
    /// The cache does not concern itself with such a request.
    Bypass(Bypass),
}

/// Adds it behind what caches nearer to the app have said.
pub fn say(headers: &mut HeaderMap, status: CacheStatus) {
    let seconds = |millis: i64| millis.div_euclid(1000);
    let text = match status {
        CacheStatus::Hit { left } => format!("Doorway; hit; ttl={}", seconds(left)),
        CacheStatus::Miss => "Doorway; fwd=uri-miss".to_owned(),
        CacheStatus::Stale => "Doorway; fwd=stale".to_owned(),
        CacheStatus::Collapsed => "Doorway; fwd=stale; stored; collapsed".to_owned(),
        CacheStatus::Kept { left } => format!("Doorway; hit; ttl={}; detail=stale-if-error", seconds(left)),
        CacheStatus::Stored => "Doorway; fwd=uri-miss; stored".to_owned(),
        CacheStatus::Bypass(Bypass::Method) => "Doorway; fwd=method".to_owned(),
        CacheStatus::Bypass(reason) => format!("Doorway; fwd=bypass; detail={}", reason.label()),
    };
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.append(CACHE_STATUS, value);
    }
}
