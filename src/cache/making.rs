//! From an answer of the app to one that is kept: which headers stay, and what a 304 changes (RFC 9111 sections 3.1, 3.2).

use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED,
    PROXY_AUTHENTICATE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::directives::{leaves_browsers_guessing, members};
use super::freshness::{Freshness, date};
use super::purges::{Origin, Place, Purges};
use super::store::{BodyHash, Stored, hash};

/// Tags that one answer may have; an answer with more is not kept, since it could not be declared old by the others.
pub const MAX_TAGS: usize = 128;
/// What an app, as for Cloudflare, names its answers by so that all of one name can be declared old at once.
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// About one connection, one exchange or the way here: not kept (RFC 9111 section 3.1).
const NOT_KEPT: [HeaderName; 10] = [
    AGE,
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    PROXY_AUTHENTICATE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("cache-status"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("server-timing"),
];

/// What a 304 says of these is not about the body that is kept (RFC 9111 section 3.2).
const NOT_RENEWED: [HeaderName; 4] = [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE];

/// The tags of an answer; `None` where there are too many, or no text.
pub fn tags(headers: &HeaderMap) -> Option<Box<[Box<str>]>> {
    let mut tags = Vec::new();
    for line in headers.get_all(CACHE_TAG) {
        tags.extend(members(line.to_str().ok()?).map(Box::<str>::from));
    }
    (tags.len() <= MAX_TAGS).then(|| tags.into_boxed_slice())
}

/// The places of `tags` in the table of those that are declared old.
pub fn places(tags: &[Box<str>], purges: &Purges) -> Box<[Place]> {
    tags.iter().map(|tag| purges.place(tag)).collect()
}

/// What is kept of an answer that came at `wall`.
pub fn stored(
    status: StatusCode,
    headers: HeaderMap,
    body: &Bytes,
    freshness: Freshness,
    origin: Origin,
    tags: Box<[Box<str>]>,
    wall: SystemTime,
) -> Stored {
    let mut headers = owned(&headers);
    let day = HeaderValue::try_from(httpdate::fmt_http_date(wall));
    if let (false, Ok(day)) = (headers.contains_key(DATE), day) {
        headers.insert(DATE, day);
    }
    let leaves_browsers_guessing = leaves_browsers_guessing(&headers);
    let hash = hash(body);
    let own = headers.get(ETAG).cloned();
    let is_tag_the_apps = own.is_some();
    let tag = own.unwrap_or_else(|| made_tag(&hash));
    headers.insert(ETAG, tag.clone());
    let modified = date(&headers, &LAST_MODIFIED).unwrap_or(wall);
    Stored {
        status,
        headers,
        tag,
        is_tag_the_apps,
        leaves_browsers_guessing,
        modified,
        freshness,
        origin,
        tags,
        body: hash,
        length: body.len(),
        hits: AtomicU64::new(0),
        retry_at: AtomicU64::new(0),
    }
}

/// Those that are kept, in memory of their own: as they come, each is a part of all that was read from the app in one go.
fn owned(headers: &HeaderMap) -> HeaderMap {
    let kept = || headers.iter().filter(|(name, _)| !NOT_KEPT.contains(name));
    let mut text = BytesMut::with_capacity(kept().map(|(_, value)| value.len()).sum());
    // And room for a date and a tag.
    let mut owned = HeaderMap::with_capacity(kept().count() + 2);
    for (name, value) in kept() {
        text.extend_from_slice(value.as_bytes());
        // It was one before.
        if let Ok(value) = HeaderValue::from_maybe_shared(text.split().freeze()) {
            owned.append(name, value);
        }
    }
    owned
}

fn made_tag(hash: &BodyHash) -> HeaderValue {
    // 96 bits: nobody gains anything from two bodies with one tag.
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&hash[..12]));
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The headers of `stored` with what a 304 says in their place; `None` where the 304 is about another answer.
pub fn renewed(stored: &Stored, fresh: &HeaderMap) -> Option<HeaderMap> {
    let weak = |tag: &HeaderValue| tag.as_bytes().strip_prefix(b"W/").unwrap_or(tag.as_bytes()).to_vec();
    if fresh.get(ETAG).is_some_and(|tag| weak(tag) != weak(&stored.tag)) {
        return None;
    }
    let mut headers = stored.headers.clone();
    for name in fresh.keys().filter(|name| !NOT_RENEWED.contains(name)) {
        headers.remove(name);
        for value in fresh.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    Some(headers)
}
