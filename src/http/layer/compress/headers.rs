//! What the headers of an answer say before and after it is coded.

use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, VARY};
use http::{HeaderMap, HeaderValue};

use crate::http::encoding::Encoding;

/// A representation's digest would no longer be true of what is sent.
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// Headers that fix the very bytes of the content. One look at all of them: each look-up would be a hash.
pub fn are_settled(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == CONTENT_ENCODING || *name == CONTENT_RANGE || DIGESTS.contains(&name.as_str()))
}

/// RFC 9111 section 5.2: `no-transform`, in a request or an answer.
pub fn forbids_transforming(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|directive| directive.trim().eq_ignore_ascii_case("no-transform"))
}

/// The headers of the coded form.
pub fn describe(headers: &mut HeaderMap, encoding: Encoding) {
    headers.remove(CONTENT_LENGTH);
    // A range of the coded form could not be had again: it is made anew each time.
    headers.remove(ACCEPT_RANGES);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.token()));
    if let Some(tag) = headers.get(ETAG).and_then(weak) {
        headers.insert(ETAG, tag);
    }
}

/// RFC 9110 section 8.8.1: two codings of one answer are not the same bytes, so a strong tag becomes a weak one.
fn weak(tag: &HeaderValue) -> Option<HeaderValue> {
    if tag.as_bytes().starts_with(b"W/") {
        return None;
    }
    HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok()
}

/// A 304 must name what the client holds: the weak form, if that is what the door gave it.
pub fn weaken_as_known(headers: &mut HeaderMap, known: Option<&HeaderValue>) {
    let Some((known, tag)) = known.zip(headers.get(ETAG).and_then(weak)) else { return };
    let held = known.as_bytes().split(|byte| *byte == b',').any(|item| item.trim_ascii() == tag.as_bytes());
    if held {
        headers.insert(ETAG, tag);
    }
}

/// Whether the answer says that it depends on `Accept-Encoding`.
pub fn varies_on_encoding(headers: &HeaderMap) -> bool {
    headers.get_all(VARY).iter().any(|line| {
        let mut names = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"))
    })
}

/// Says that the answer depends on `Accept-Encoding`, in one line with whatever else it depends on.
pub fn vary_on_encoding(headers: &mut HeaderMap) {
    if varies_on_encoding(headers) {
        return;
    }
    let lines: Vec<&[u8]> = headers.get_all(VARY).iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        return;
    }
    let merged = [lines.join(&b", "[..]).as_slice(), b", accept-encoding"].concat();
    if let Ok(merged) = HeaderValue::from_bytes(&merged) {
        headers.insert(VARY, merged);
    }
}
