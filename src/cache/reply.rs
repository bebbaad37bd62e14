//! From what is kept to an answer: whole, a part, or 304.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::directives::FOR_BROWSERS;
use super::status::{CacheStatus, say};
use super::store::Hit;
use crate::files::conditional::{self, Precondition};
use crate::files::range::{self, Wanted};
use crate::http::{Body, Failure, Response};

/// The answer to a GET or HEAD with these `headers`.
///
/// # Errors
/// 416, where there is no such range.
pub fn reply(
    hit: &Hit,
    method: &Method,
    headers: &HeaderMap,
    now: u64,
    status: CacheStatus,
) -> Result<Response, Failure> {
    let stored = &hit.stored;
    let mut response = Response::new(Body::from(hit.body.plain().clone()));
    *response.status_mut() = stored.status;
    *response.headers_mut() = stored.headers.clone();
    if stored.status == StatusCode::OK {
        let tag = stored.tag.to_str().unwrap_or_default();
        let opaque = tag.strip_prefix("W/").unwrap_or(tag);
        if conditional::has_any(headers)
            && let Precondition::NotModified(_) = conditional::evaluate(headers, &[opaque], stored.modified)
        {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Body::Empty;
            response.headers_mut().remove(CONTENT_TYPE);
        } else if method == Method::GET {
            cut(&mut response, hit, headers, tag)?;
        }
    }
    if response.status() == stored.status {
        response.extensions_mut().insert(Arc::clone(&hit.body));
    }
    let head = response.headers_mut();
    if stored.leaves_browsers_guessing {
        head.insert(CACHE_CONTROL, FOR_BROWSERS);
    }
    head.insert(AGE, HeaderValue::from(stored.freshness.age(now) / 1000));
    say(head, status);
    Ok(response)
}

/// Takes the part that is asked for.
fn cut(response: &mut Response, hit: &Hit, headers: &HeaderMap, tag: &str) -> Result<(), Failure> {
    // A weak tag says nothing about bytes (RFC 9110 section 13.1.5).
    let tag = if tag.starts_with("W/") { "" } else { tag };
    if !conditional::range_counts(headers, tag, hit.stored.modified, SystemTime::now()) {
        return Ok(());
    }
    let length = hit.body.plain().len() as u64;
    match range::wanted(headers, length) {
        Wanted::Whole => {}
        Wanted::Part(part) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            // What is in memory fits into its addresses.
            *response.body_mut() = Body::from(hit.body.plain().slice(part.start as usize..part.end as usize));
            let head = response.headers_mut();
            head.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
            if let Ok(said) = HeaderValue::try_from(format!("bytes {}-{}/{length}", part.start, part.end - 1)) {
                head.insert(CONTENT_RANGE, said);
            }
        }
        Wanted::Nothing => {
            let reason = "The answer has no such range: Content-Range says how long it is.";
            let failure = Failure::client(StatusCode::RANGE_NOT_SATISFIABLE, reason);
            let said = HeaderValue::try_from(format!("bytes */{length}"));
            return Err(said.into_iter().fold(failure, |failure, said| failure.header(CONTENT_RANGE, said)));
        }
    }
    Ok(())
}
