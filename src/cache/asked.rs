//! What of a request bears on the cache: whether it may be answered from it, and by which key.

use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, IF_MATCH, IF_UNMODIFIED_SINCE, RANGE};
use http::{HeaderMap, HeaderName, Method};
use http_body::Body as _;

use super::bypass::Bypass;
use super::directives::members;
use super::fetch::Errand;
use super::key::{self, KeyBytes};
use crate::http::{Facts, Request};
use crate::upstream::sent_target;

/// What only the app can answer: whoever sends these is somebody, or speaks as Next.js itself.
const PERSONAL: [(HeaderName, Bypass); 6] = [
    (AUTHORIZATION, Bypass::Authorization),
    (IF_MATCH, Bypass::Precondition),
    (IF_UNMODIFIED_SINCE, Bypass::Precondition),
    (HeaderName::from_static("x-prerender-revalidate"), Bypass::Revalidation),
    (HeaderName::from_static("x-middleware-prefetch"), Bypass::Prefetch),
    (HeaderName::from_static("next-hmr-refresh"), Bypass::Development),
];

/// Cookies by which Next.js shows drafts, whatever their value.
const PREVIEWS: [&[u8]; 2] = [b"__prerender_bypass", b"__next_preview_data"];

/// The key of a GET or HEAD.
///
/// # Errors
/// Why it goes past the cache.
pub fn key(request: &Request) -> Result<KeyBytes, Bypass> {
    let headers = request.headers();
    if let Some((_, reason)) = PERSONAL.iter().find(|(name, _)| headers.contains_key(name)) {
        return Err(*reason);
    }
    let cookies = headers.get_all(COOKIE).iter().map(|line| line.as_bytes());
    let is_preview = |line: &[u8]| PREVIEWS.iter().any(|name| memchr::memmem::find(line, name).is_some());
    if cookies.into_iter().any(is_preview) {
        return Err(Bypass::Preview);
    }
    if !request.body().is_end_stream() {
        return Err(Bypass::Content);
    }
    let facts = request.extensions().get::<Facts>().ok_or(Bypass::Key)?;
    let target = sent_target(request.uri(), request.extensions());
    key::base(&facts.scheme, &facts.authority, &target, headers).ok_or(Bypass::Key)
}

/// True where nothing may be asked of the app (RFC 9111 section 5.2.1.7).
pub fn wants_only_kept(headers: &HeaderMap) -> bool {
    has(headers, "only-if-cached")
}

/// True where an answer to it may not lead to one that is kept: it is none of a whole, or not to be stored.
pub fn leads_to_none(request: &Request) -> bool {
    request.method() != Method::GET || request.headers().contains_key(RANGE) || has(request.headers(), "no-store")
}

fn has(headers: &HeaderMap, directive: &str) -> bool {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(members).any(|member| member.eq_ignore_ascii_case(directive))
}

/// A request for whose key an answer may be fetched, once it is known by which headers the app chooses.
pub struct Draft {
    errand: Errand,
    headers: HeaderMap,
}

impl Draft {
    /// `is_vouched` where the config names its path.
    pub fn of(request: &Request, base: &[u8], is_vouched: bool) -> Option<Draft> {
        let facts = request.extensions().get::<Facts>()?;
        let headers = request.headers().clone();
        let target = sent_target(request.uri(), request.extensions()).into_owned();
        let origin = (facts.scheme.clone(), facts.authority.clone());
        let errand = Errand::new(base.into(), target, request.uri().path().to_owned(), origin);
        let errand = Errand { is_rsc: key::is_rsc(&headers), is_vouched, ..errand };
        Some(Draft { errand, headers })
    }

    /// The errand for an answer that is chosen by `names`; `None` where the client's values make too long a key.
    pub fn errand(self, names: &[HeaderName]) -> Option<Errand> {
        let Draft { mut errand, headers } = self;
        if !names.is_empty() {
            errand.key = key::varied(&errand.base, names, &headers)?.as_slice().into();
        }
        errand.selected = key::selected(names, &headers);
        errand.names = names.to_vec();
        Some(errand)
    }
}
