//! Under what an answer is kept: all of a request by which the app may choose it. Two requests with one key can have one
//! answer, and what is not in the key is not sent when an answer is fetched for keeping.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, Scheme};
use smallvec::SmallVec;

/// By these Next.js chooses between a page and payloads of React: in every key, whatever `Vary` says.
static NEXT: [HeaderName; 5] = [
    HeaderName::from_static("rsc"),
    HeaderName::from_static("next-router-prefetch"),
    HeaderName::from_static("next-router-segment-prefetch"),
    HeaderName::from_static("next-router-state-tree"),
    HeaderName::from_static("next-url"),
];

/// Names in `Vary` that every key covers. Of codings the door asks for none, and codes by itself.
pub const KEYED: [&str; 7] = [
    "rsc",
    "next-router-prefetch",
    "next-router-segment-prefetch",
    "next-router-state-tree",
    "next-url",
    "accept-encoding",
    "host",
];

/// Bytes of a key: the rest is a request that nobody repeats.
pub const MAX_KEY: usize = 4096;

/// A key in the making; nearly all fit without another place in memory.
pub type KeyBytes = SmallVec<[u8; 256]>;

/// Headers that are part of a key, as they are sent to the app.
pub type Selected = Vec<(HeaderName, HeaderValue)>;

/// The key of a request for `target`, as it is sent to the app; `None` for one that is too long or too odd.
pub fn base(scheme: &Scheme, authority: &Authority, target: &str, headers: &HeaderMap) -> Option<KeyBytes> {
    let mut key = KeyBytes::new();
    for part in [scheme.as_str(), "\0", authority.as_str(), "\0", target] {
        key.extend_from_slice(part.as_bytes());
    }
    for (at, name) in (0_u8..).zip(&NEXT) {
        let mut lines = headers.get_all(name).iter();
        let Some(value) = lines.next() else { continue };
        // Any other value than "1" makes a page in some versions of Next.js and a payload in others.
        if lines.next().is_some() || (at == 0 && value.as_bytes() != b"1") {
            return None;
        }
        key.extend_from_slice(&[0, at + 1]);
        key.extend_from_slice(value.as_bytes());
    }
    (key.len() <= MAX_KEY).then_some(key)
}

/// The key below `base` for an answer that was chosen by `names`; `None` where the values are too long.
pub fn varied(base: &[u8], names: &[HeaderName], headers: &HeaderMap) -> Option<KeyBytes> {
    let mut key = KeyBytes::from_slice(base);
    key.extend_from_slice(&[0, 0]);
    for name in names {
        key.extend_from_slice(name.as_str().as_bytes());
        for value in headers.get_all(name) {
            key.push(1);
            key.extend_from_slice(value.as_bytes());
        }
        key.push(0);
    }
    (key.len() <= MAX_KEY).then_some(key)
}

/// The headers of a request that its key has: Next's, and `names`.
pub fn selected(names: &[HeaderName], headers: &HeaderMap) -> Selected {
    let values = |name: &HeaderName| headers.get_all(name).iter().cloned().collect::<Vec<_>>();
    let names = NEXT.iter().chain(names);
    names.flat_map(|name| values(name).into_iter().map(|value| (name.clone(), value))).collect()
}

/// True for a request for the payload of React.
pub fn is_rsc(headers: &HeaderMap) -> bool {
    headers.get(&NEXT[0]).is_some_and(|value| value.as_bytes() == b"1")
}

/// True for a key that has nothing of a client's headers: that of a page.
pub fn is_plain(key: &[u8]) -> bool {
    memchr::memchr_iter(0, key).count() == 2
}

/// Scheme, host and target of a key, for people.
pub fn told(key: &[u8]) -> (String, String) {
    let mut parts = key.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let mut next = || parts.next().unwrap_or_default().into_owned();
    (format!("{}://{}", next(), next()), next())
}
