//! Answers to pages of another build than the one that answers: what keeps them from being taken for the newest one's,
//! and what makes the page load anew where nobody of its own build is left.

use http::header::{CACHE_CONTROL, COOKIE, EXPIRES, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::path;
use crate::upstream::deployment::{in_query, named};

/// What Next.js answers with where it knows no such Server Action (read in 15.5 and 16.4).
const ACTION_NOT_FOUND: HeaderName = HeaderName::from_static("x-nextjs-action-not-found");
/// Where the client of Next.js goes after a Server Action; without the data of that page it loads it whole.
const ACTION_REDIRECT: HeaderName = HeaderName::from_static("x-action-redirect");
/// By which a page is known that was sent to load itself anew just now: it is not sent again, lest it go on for ever where
/// a cache keeps an old page.
const RELOADED: &str = "doorway-reloaded";
/// How long that is remembered, in s.
const RELOADED_FOR: u32 = 30;

/// Of the app that was kept: nothing but what names its build in its address may be stored, since a cache gives what it
/// stored to pages of the newest build too.
pub fn of_previous(headers: &mut HeaderMap, request: &Parts) {
    if in_query(request.uri.query().unwrap_or_default()).is_none() {
        headers
            .insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache, no-store, max-age=0, must-revalidate"));
        headers.remove(EXPIRES);
        headers.remove("cdn-cache-control");
        headers.remove("surrogate-control");
    }
}

/// Of the newest app, of the build `deployment`: says whether the page that asked is told to load itself anew, since it
/// names another build whose Server Action is gone. Else the app's own client throws, and the page breaks.
pub fn reload_stale(headers: &mut HeaderMap, request: &Parts, deployment: Option<&str>) -> bool {
    if !headers.contains_key(ACTION_NOT_FOUND) {
        return false;
    }
    let Some((named, deployment)) = named(&request.uri, &request.headers).zip(deployment) else { return false };
    let cookies = request.headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut cookies = cookies.flat_map(|cookies| cookies.split(';')).map(|cookie| cookie.trim().split('=').next());
    if named == deployment || cookies.any(|name| name == Some(RELOADED)) {
        return false;
    }
    let target = path::resolved_target(&request.uri, &request.extensions);
    // The browser takes two slashes for another host.
    let Ok(page) = HeaderValue::from_str(&format!("/{};replace", target.trim_start_matches('/'))) else { return false };
    let Ok(said) =
        HeaderValue::from_str(&format!("{RELOADED}=1; Path=/; Max-Age={RELOADED_FOR}; HttpOnly; SameSite=Lax"))
    else {
        return false;
    };
    headers.remove(ACTION_NOT_FOUND);
    headers.insert(ACTION_REDIRECT, page);
    headers.append(SET_COOKIE, said);
    true
}
