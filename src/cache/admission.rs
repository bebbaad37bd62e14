//! Whether an answer of the app may be kept and given to others: no unless everything says yes.

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, SET_COOKIE, TRAILER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::directives::{Directives, members};
use super::freshness::{Bounds, Exchanged, Freshness, lifetime};
use super::key::KEYED;
use crate::http::routed;
use crate::upstream::Entry;

/// Names that one `Vary` may have; more is nobody's real selection.
const MAX_VARY: usize = 8;

/// Where Next.js says what it has of a page itself.
const STATE: HeaderName = HeaderName::from_static("x-nextjs-cache");

/// What of a request bears on the kind of answer that it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// `rsc: 1`: the payload of React, not a page.
    pub is_rsc: bool,
    /// `/_next/data/…`
    pub is_data: bool,
}

impl Wanted {
    pub fn of(path: &str, is_rsc: bool) -> Wanted {
        Wanted { is_rsc, is_data: routed::is_data(path) }
    }
}

/// Why an answer is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKept {
    Status,
    /// It does not say that everybody may have it, or says that not everybody may.
    Control,
    Cookie,
    Vary,
    /// Another kind of answer than was asked for.
    Media,
    /// It is coded, though it was not to be.
    Coded,
    /// The app gave out an old one, and makes another.
    Stale,
    /// It is past all use already.
    Expired,
    /// Nobody vouches for its path, and it is none that Next.js keeps itself.
    NotNexts,
}

/// An answer that may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    pub freshness: Freshness,
    /// Headers of the request by which the app chose it, besides those that every key has.
    pub vary: Vec<HeaderName>,
}

/// Looks at the head of an answer.
///
/// # Errors
/// [`NotKept`].
pub fn admit(
    wanted: Wanted,
    status: StatusCode,
    headers: &HeaderMap,
    exchanged: &Exchanged,
    bounds: &Bounds,
) -> Result<Admission, NotKept> {
    if !may_be_kept(status) {
        return Err(NotKept::Status);
    }
    let directives = Directives::of(headers);
    let lifetime = lifetime(headers, &directives).ok_or(NotKept::Control)?;
    if headers.contains_key(SET_COOKIE) || headers.contains_key(WWW_AUTHENTICATE) {
        return Err(NotKept::Cookie);
    }
    if is_stale(headers) {
        return Err(NotKept::Stale);
    }
    let is_coded = |coding: &HeaderValue| !coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().any(is_coded) || headers.contains_key(TRAILER) {
        return Err(NotKept::Coded);
    }
    if !is_of_its_kind(wanted, status, headers) {
        return Err(NotKept::Media);
    }
    let vary = vary(headers).ok_or(NotKept::Vary)?;
    let is_not_found = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
    let freshness = Freshness::new(headers, &directives, lifetime, is_not_found, exchanged, bounds);
    if freshness.is_useless() {
        return Err(NotKept::Expired);
    }
    Ok(Admission { freshness, vary })
}

/// Whether Next.js gave out an old page, and makes another this very moment.
pub fn is_stale(headers: &HeaderMap) -> bool {
    headers.get(STATE).is_some_and(|state| state.as_bytes().eq_ignore_ascii_case(b"STALE"))
}

/// Whether an answer is one that Next.js keeps itself and gives to everybody: by the hook's word (`entry`), as it can
/// be given again, and not because a rule writes so over what Next.js says.
pub fn is_nexts_own(entry: Option<&Entry>, headers: &HeaderMap) -> bool {
    let states: [&[u8]; 3] = [b"HIT", b"MISS", b"REVALIDATED"];
    let is_kept = headers.get(STATE).is_some_and(|state| states.contains(&state.as_bytes()));
    let is_part = headers.get("x-nextjs-postponed").is_some_and(|part| part == "1");
    entry.is_some() && is_kept && !is_part && Directives::of(headers).s_maxage.is_some()
}

/// Final statuses that mean the same to everybody; never one without content of its own (CVE-2025-49826), a part, or a
/// fault of the app.
fn may_be_kept(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 301 | 302 | 307 | 308 | 404 | 410)
}

/// A payload under a page's key, or a page under a payload's, breaks the site for all that follow (CVE-2025-49005).
fn is_of_its_kind(wanted: Wanted, status: StatusCode, headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let is_payload = media == b"text/x-component";
    if status != StatusCode::OK {
        return wanted.is_rsc || !is_payload;
    }
    let is_empty = headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() == b"0");
    is_payload == wanted.is_rsc && !(wanted.is_rsc && is_empty) && !(wanted.is_data && media != b"application/json")
}

/// The names of `Vary`, in order, without what every key has; `None` where no key could say enough.
pub fn vary(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for line in headers.get_all(VARY) {
        for name in members(line.to_str().ok()?) {
            let name = HeaderName::try_from(name).ok().filter(|_| name != "*")?;
            if KEYED.contains(&name.as_str()) || names.contains(&name) {
                continue;
            }
            if is_personal(&name) || names.len() == MAX_VARY {
                return None;
            }
            names.push(name);
        }
    }
    names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    Some(names)
}

/// What tells people apart, and what the door sets itself: the app would choose by another value than the client sent.
fn is_personal(name: &HeaderName) -> bool {
    [COOKIE, AUTHORIZATION].contains(name)
        || ["x-real-ip", "x-request-id", "forwarded"].contains(&name.as_str())
        || name.as_str().starts_with("x-forwarded-")
}

/// Whether an answer that a visitor got looks as if everybody could have one like it: then the door asks for its own. The
/// names by which it was chosen, as for [`Admission`]. A 304 says of a page what the page would.
pub fn looks_shareable(status: StatusCode, headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let is_right = may_be_kept(status) || status == StatusCode::NOT_MODIFIED;
    if !is_right || headers.contains_key(SET_COOKIE) || lifetime(headers, &Directives::of(headers)).is_none() {
        return None;
    }
    vary(headers)
}
