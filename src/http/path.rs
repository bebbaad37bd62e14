//! A path gets one spelling, by which every room decides: `//api/ws`, `/api/%77s` and `/x/../api/ws` are `/api/ws`.
//! What goes to the app is resolved likewise, so that no router behind the door finds another path in it than the door
//! did; what an app may read for itself stays as the client wrote it: empty segments, and which reserved characters are
//! percent-encoded.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode;

use crate::http::{Refusal, Request, target};

/// The target as it is sent on; in the extensions of a request where it is not the one that rooms decide by.
#[derive(Debug, Clone)]
struct Resolved(PathAndQuery);

/// The path as the client spelt it; in the extensions of a request where rooms decide by another spelling.
#[derive(Debug, Clone)]
struct Sent(String);

/// The path of a request byte by byte as the client sent it: for what was signed over that.
pub fn sent_path<'a>(uri: &'a Uri, extensions: &'a http::Extensions) -> &'a str {
    extensions.get::<Sent>().map_or(uri.path(), |Sent(path)| path)
}

/// The target of a request in the spelling that is sent on: to the app, and in redirects to the client itself.
pub fn resolved_target<'a>(uri: &'a Uri, extensions: &'a http::Extensions) -> &'a str {
    let resolved = extensions.get::<Resolved>().map(|Resolved(target)| target);
    resolved.or(uri.path_and_query()).map_or("/", PathAndQuery::as_str)
}

/// Gives the target of `request` its one spelling, and keeps the one that is sent on beside it.
///
/// # Errors
/// As [`canonical`] and [`resolved`].
pub(super) fn respell(request: &mut Request) -> Result<(), Refusal> {
    let uri = request.uri();
    let Cow::Owned(spelling) = canonical(uri.path())? else { return Ok(()) };
    let resolved = resolved(uri.path())?;
    let with_query = |path: String| {
        let target = uri.query().map_or(path.clone(), |query| format!("{path}?{query}"));
        PathAndQuery::try_from(target).map_err(|_| Refusal::Target)
    };
    let sent = Sent(uri.path().to_owned());
    let resolved = if resolved == spelling { None } else { Some(with_query(resolved)?) };
    *request.uri_mut() = Uri::from(with_query(spelling)?);
    request.extensions_mut().insert(sent);
    if let Some(resolved) = resolved {
        request.extensions_mut().insert(Resolved(resolved));
    }
    Ok(())
}

/// `path`, an absolute one, as it is sent on: `.` and `..` are resolved, letters, digits and `-._~` stand as they are
/// (RFC 3986 section 6.2.2.2), and a `%` that encodes nothing is encoded. All else keeps its spelling: a reader of
/// `%2F` or `%5B` is given these, and one of `//` both slashes (Next.js redirects it).
///
/// # Errors
/// [`Refusal::Target`] where a `..` would take away an empty segment, which some readers do not see.
pub fn resolved(path: &str) -> Result<String, Refusal> {
    let path = respelt(path, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'));
    let mut segments: Vec<&str> = Vec::new();
    let mut is_folder = false;
    for segment in path.split('/').skip(1) {
        is_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." if segments.pop() == Some("") => return Err(Refusal::Target),
            ".." => {}
            name => segments.push(name),
        }
    }
    if is_folder || segments.is_empty() {
        segments.push("");
    }
    Ok(segments.iter().flat_map(|segment| ["/", segment]).collect())
}

/// The one spelling of `path`, an absolute one: what need not be percent-encoded is not, empty segments are merged, and
/// `.` and `..` resolved (RFC 3986 section 6.2.2). An encoded slash stays one. Borrowed where `path` is spelt so.
///
/// # Errors
/// [`Refusal::Target`] where it depends on the reader which segment a `..` takes away: `/a//../b`, `/a%2Fb/../c`.
pub fn canonical(path: &str) -> Result<Cow<'_, str>, Refusal> {
    if path.is_ascii() && !path.contains('%') && !path.contains("//") && !path.contains("/.") {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = respelt(path, target::is_plain);
    let mut segments: Vec<&str> = Vec::new();
    let mut is_folder = false;
    let mut after_nothing = false;
    for segment in decoded.split('/').skip(1) {
        is_folder = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." if after_nothing => return Err(Refusal::Target),
            ".." if segments.pop().is_some_and(may_be_several) => return Err(Refusal::Target),
            ".." => {}
            name => segments.push(name),
        }
        after_nothing = segment.is_empty() || (after_nothing && segment == ".");
    }
    let mut spelling = String::with_capacity(decoded.len());
    for segment in &segments {
        spelling.push('/');
        spelling.push_str(segment);
    }
    if is_folder || segments.is_empty() {
        spelling.push('/');
    }
    Ok(if spelling == path { Cow::Borrowed(path) } else { Cow::Owned(spelling) })
}

/// A segment in which some readers see slashes.
fn may_be_several(segment: &str) -> bool {
    ["%2F", "%5C", "%25"].iter().any(|encoded| segment.contains(encoded))
}

/// `path` with everything decoded that `may_stand` as it is, and encoded what may not stand in a path at all.
fn respelt(path: &str, may_stand: impl Fn(u8) -> bool) -> String {
    let bytes = path.as_bytes();
    let mut respelt = String::with_capacity(bytes.len() + 2);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
        let encoded = digit(at + 1).zip(digit(at + 2)).filter(|_| byte == b'%');
        match encoded.map(|(high, low)| (high * 16 + low) as u8) {
            Some(meant) if may_stand(meant) => respelt.push(char::from(meant)),
            Some(meant) => {
                let _ = write!(respelt, "%{meant:02X}");
            }
            None if target::is_plain(byte) || byte == b'/' => respelt.push(char::from(byte)),
            // A `%` that encodes nothing is encoded too: it must not begin to.
            None => {
                let _ = write!(respelt, "%{byte:02X}");
            }
        }
        at += if encoded.is_some() { 3 } else { 1 };
    }
    respelt
}

/// How a path of the config must be written, where it is written in a way that no request's path is compared with.
pub fn misspelt(path: &str) -> Option<String> {
    match canonical(path) {
        Ok(Cow::Owned(spelling)) => Some(spelling),
        _ => None,
    }
}

/// True when any reader could take `path` for `other`, however often it is encoded, in whatever case, with slashes of
/// any kind. For what nobody outside may reach: it says yes too often rather than too seldom.
pub fn may_mean(path: &str, other: &str) -> bool {
    segments(path) == segments(other)
}

/// The segments of `path`, fully decoded, in lower case, without empty ones and dots.
pub(super) fn segments(path: &str) -> Vec<String> {
    let mut path = path.as_bytes().to_vec();
    // Each round is shorter.
    while let Cow::Owned(decoded) = Cow::from(percent_decode(&path)) {
        path = decoded;
    }
    let path = String::from_utf8_lossy(&path);
    let mut segments: Vec<String> = Vec::new();
    for segment in path.split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name.trim().to_lowercase()),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_path_has_one_spelling() {
        for (path, expected) in [
            ("/", "/"),
            ("/api/ws", "/api/ws"),
            ("/api/ws/", "/api/ws/"),
            ("//api//ws", "/api/ws"),
            ("/api/./ws", "/api/ws"),
            ("/x/./../api/ws", "/api/ws"),
            ("//x/../api/ws", "/api/ws"),
            ("/x/../api/ws", "/api/ws"),
            ("/../../api/ws", "/api/ws"),
            ("/api/%77s", "/api/ws"),
            ("/%2e/api/%2E%2e/api/ws", "/api/ws"),
            ("/api/ws/.", "/api/ws/"),
            ("/api/ws/x/..", "/api/ws/"),
            ("/..", "/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/...", "/a/..."),
            ("/a%2fb%5c", "/a%2Fb%5C"),
            ("/%5Bslug%5D/caf%c3%a9", "/[slug]/caf%C3%A9"),
            ("/100%", "/100%25"),
            ("/%2541", "/%2541"),
            ("/%%34%31", "/%2541"),
            ("/a%3fb%23%20", "/a%3Fb%23%20"),
            ("/é", "/%C3%A9"),
        ] {
            assert_eq!(canonical(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn a_path_of_the_config_is_to_be_spelt_as_requests_are_compared() {
        for path in ["/", "/api/ws", "/.well-known/x", "/a%2Fb", "/caf%C3%A9/"] {
            assert_eq!(misspelt(path), None, "{path}");
        }
        for (path, spelling) in
            [("//api/ws", "/api/ws"), ("/api/%77s", "/api/ws"), ("/a%2fb", "/a%2Fb"), ("/é", "/%C3%A9")]
        {
            assert_eq!(misspelt(path).as_deref(), Some(spelling), "{path}");
        }
    }

    #[test]
    fn what_two_readers_would_resolve_otherwise_is_refused() {
        for path in
            ["/api/ws//..", "//..", "/a//%2e%2e/b", "/a//./../b", "/api%2fx/../ws", "/a%5cb/..", "/a%252fb/../c"]
        {
            assert_eq!(canonical(path), Err(Refusal::Target), "{path}");
        }
    }

    #[test]
    fn whatever_could_mean_a_path_may_mean_it() {
        for path in [
            "/api/ws",
            "/api/ws/",
            "//API//Ws",
            "/api%2fws",
            "/api%5Cws",
            "/api%255cws",
            "/x%2f..%2fapi%2fws",
            "/api/%2577s",
            "/api/%252577s",
            "/api/ws%20",
            "/api/ws%0a",
        ] {
            assert!(may_mean(path, "/api/ws"), "{path}");
        }
        for path in ["/api/wsx", "/api", "/api/ws/room", "/api/w", "/"] {
            assert!(!may_mean(path, "/api/ws"), "{path}");
        }
    }

    #[test]
    fn what_is_sent_on_is_resolved_and_otherwise_as_it_was_written() {
        for (path, expected) in [
            ("/", "/"),
            ("//evil/x", "//evil/x"),
            ("/a//b//", "/a//b//"),
            ("/en/./api/ws", "/en/api/ws"),
            ("/a/../b/.", "/b/"),
            ("/a/x/%2e%2E", "/a/"),
            ("/../..", "/"),
            ("/%61pi/%77s%7Eu", "/api/ws~u"),
            ("/a%2fb%5cc%2B+", "/a%2Fb%5Cc%2B+"),
            ("/%5Bslug%5D/[slug]/caf%c3%a9", "/%5Bslug%5D/[slug]/caf%C3%A9"),
            ("/100%/%%34%31", "/100%25/%2541"),
            ("/a//b/..", "/a//"),
        ] {
            assert_eq!(resolved(path).as_deref(), Ok(expected), "{path}");
        }
        assert_eq!(resolved("/a//b/../.."), Err(Refusal::Target));
    }

    proptest! {
        #[test]
        fn what_is_sent_on_means_what_was_decided_by(path in "/([a-c./%+]|%2[ef0-9]|%41|%5b|%c3%a9){0,16}") {
            if let (Ok(spelling), Ok(resolved)) = (canonical(&path), resolved(&path)) {
                prop_assert_eq!(canonical(&resolved), Ok(spelling));
                prop_assert_eq!(super::resolved(&resolved), Ok(resolved.clone()));
                prop_assert!(resolved.split('/').all(|segment| segment != "." && segment != ".."));
            }
        }

        #[test]
        fn a_spelling_is_its_own(path in "/([a-c./%]|%2[ef0-9]|%41|%c3%a9){0,16}") {
            if let Ok(spelling) = canonical(&path) {
                prop_assert_eq!(canonical(&spelling), Ok(Cow::Borrowed(spelling.as_ref())));
                prop_assert!(target::is_origin_form(spelling.as_bytes()) || path.contains("%00"));
                prop_assert!(spelling.split('/').all(|segment| segment != "." && segment != ".."));
                prop_assert!(may_mean(&path, &spelling));
            }
        }

        #[test]
        fn what_is_already_so_is_borrowed(path in "(/[a-z]{1,5}){1,4}/?") {
            prop_assert!(matches!(canonical(&path), Ok(Cow::Borrowed(_))));
        }
    }
}
