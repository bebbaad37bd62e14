//! What a path may come to in Next.js: its router takes prefixes and suffixes off before it compares (read in 16.4:
//! resolve-routes, filesystem, the normalizers of base-server). A rule by path that only looks at the path itself can be
//! led around by them.
//!
//! Where the app is somebody else's process the door knows neither base path nor locales nor the build's name, so any
//! may stand there. What `rewrites()` or a `proxy.ts` make of a path nobody can tell from outside.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

use super::path;

/// How many segments a base path, or the name of a build, may have.
const MAX_SEGMENTS: usize = 8;

/// What Next takes off the end: `.json` of data, the others where a platform's adapter calls it.
const SUFFIXES: [&str; 4] = [".json", ".prefetch.rsc", ".rsc", ".action"];
/// `/page.segments/_tree.segment.rsc` is of `/page`.
const SEGMENTS: &str = ".segments";

/// True when a request for `uri` could run what is at `other` in Next: by its path, in any spelling, behind any base path,
/// locale or build; or as the image that is to be made smaller, which Next asks itself for. It says yes too often rather
/// than too seldom: for what nobody outside may reach.
pub fn may_reach(uri: &Uri, other: &str) -> bool {
    may_lead_to(uri.path(), other) || images(uri).any(|image| may_lead_to(&image, other))
}

/// The path of the picture that `/_next/image?url=…` is to make smaller; whatever the parameter is called.
fn images(uri: &Uri) -> impl Iterator<Item = String> {
    let query = uri.query().filter(|_| uri.path().contains("/_next/image")).unwrap_or_default();
    query.split('&').filter_map(|parameter| {
        let url = percent_decode_str(parameter.split_once('=')?.1).decode_utf8_lossy().into_owned();
        Some(url.split(['?', '#']).next()?.to_owned())
    })
}

fn may_lead_to(path: &str, other: &str) -> bool {
    // Nearly every path ends here: the last segment is there in no spelling.
    let last = other.rsplit('/').find(|segment| !segment.is_empty()).unwrap_or_default();
    if !path.contains('%') && !contains(path.as_bytes(), last.as_bytes()) {
        return false;
    }
    let other = path::segments(other);
    readings(path).any(|reading| reading.iter().eq(&other))
}

/// True when `path`, or what Next could make of it, begins with `prefix`.
pub fn may_begin_with(path: &str, prefix: &str) -> bool {
    let prefix = prefix.to_ascii_lowercase();
    readings(path).any(|reading| format!("/{}", reading.join("/")).starts_with(&prefix))
}

/// True for the address of a page's data (`/_next/data/BUILD/page.json`), behind any base path.
pub fn is_data(path: &str) -> bool {
    path.contains("/_next/data/")
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    word.is_empty() || text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// All that `path` may come to, as segments; at most some hundreds.
fn readings(path: &str) -> impl Iterator<Item = Vec<String>> {
    let whole = path::segments(path);
    let mut found = Vec::new();
    if let Some(shorter) = without_suffix(&whole) {
        unpack(shorter, &mut found);
    }
    unpack(whole, &mut found);
    found.into_iter()
}

/// `whole`, and what is left of it without a locale, or without what stands before a page's data, behind any base path.
fn unpack(whole: Vec<String>, found: &mut Vec<Vec<String>>) {
    for base in 0..whole.len().min(MAX_SEGMENTS + 1) {
        let below = without_locale(&whole, base);
        let is_data = below.get(base..base + 2).is_some_and(|start| start == ["_next", "data"]);
        // Behind the name of the build, which has one segment or more; `index` before a page's name means nothing.
        let starts = if is_data { base + 3..below.len().min(base + 3 + MAX_SEGMENTS) } else { 0..0 };
        for start in starts {
            let page = [&below[..base], &below[start..]].concat();
            found.push(without_locale(&page, base).into_owned());
            found.push(page);
        }
        if let Cow::Owned(below) = below {
            found.push(below);
        }
    }
    found.push(whole);
}

/// `whole` without what Next takes off its end, if it does.
fn without_suffix(whole: &[String]) -> Option<Vec<String>> {
    let of_segments = whole.iter().position(|segment| segment.ends_with(SEGMENTS));
    let mut shorter = whole[..of_segments.map_or(whole.len(), |place| place + 1)].to_vec();
    let last = shorter.last_mut()?;
    let suffix = SUFFIXES.iter().chain([&SEGMENTS]).find(|suffix| last.ends_with(**suffix))?;
    last.truncate(last.len() - suffix.len());
    Some(shorter)
}

/// `segments` without the locale that may stand at `place`.
fn without_locale(segments: &[String], place: usize) -> Cow<'_, [String]> {
    match segments.get(place) {
        Some(segment) if is_locale(segment) => Cow::Owned([&segments[..place], &segments[place + 1..]].concat()),
        _ => Cow::Borrowed(segments),
    }
}

/// By its form, as in `de`, `pt-br`, `zh-hant-tw` (RFC 5646); and `default`, by which Next's guide names the one that
/// is none. A language of three letters counts only with a region, or every `/app` would be one.
fn is_locale(segment: &str) -> bool {
    let mut parts = segment.split('-');
    let language = parts.next().unwrap_or_default();
    let has_region = segment.len() > language.len();
    let is_language = language.len() == 2 || (language.len() == 3 && has_region);
    let is_fine = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    segment == "default"
        || (is_language && language.bytes().all(|byte| byte.is_ascii_alphabetic()) && parts.all(is_fine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_next_takes_off_leads_nowhere_else() {
        for path in [
            "/api/ws",
            "/API/%77s/",
            "/api%2fws",
            "/_next/data/BUILD/api/ws.json",
            "/_next/data/a/b/api/ws.json",
            "/_next/data/BUILD/index/api/ws.json",
            "/_next/data/BUILD/en/api/ws.json",
            "/_next/data/BUILD/api%2Fws.json",
            "/%5fnext/data/BUILD/api/ws%2ejson",
            "/_next/data/BUILD/api/ws",
            "/en/api/ws",
            "/pt-BR/api/ws/",
            "/default/api/ws",
            "/de/_next/data/BUILD/api/ws.json",
            "/api/ws.rsc",
            "/api/ws.prefetch.rsc",
            "/api/ws.segments/_tree.segment.rsc",
        ] {
            assert!(may_lead_to(path, "/api/ws"), "{path}");
        }
        for path in [
            "/docs/api/ws",
            "/docs/_next/data/BUILD/api/ws.json",
            "/docs/de/api/ws",
            "/docs/_next/data/BUILD/de/api/ws.json",
        ] {
            assert!(may_lead_to(path, "/docs/api/ws"), "{path}");
        }
        assert!(may_lead_to("/api/hook.json", "/api/hook.json"));
        assert!(may_lead_to("/_next/data/B/api/hook.json.json", "/api/hook.json"));
        for path in [
            "/",
            "/api",
            "/api/wsx",
            "/blog/api/ws",
            "/app/api/ws",
            "/v1/api/ws",
            "/api/ws/room",
            "/a%20b",
            "/_next/data/ws",
        ] {
            assert!(!may_lead_to(path, "/api/ws"), "{path}");
        }
    }

    #[test]
    fn next_asks_itself_for_images() {
        for (uri, expected) in [
            ("/_next/image?url=%2Fapi%2Fws&w=64&q=75", true),
            ("/docs/_next/image?w=64&url=%2Fdocs%2F_next%2Fdata%2FB%2Fapi%2Fws.json%3Fx", true),
            ("/_next/image?url=%2Flogo.png&w=64&q=75", false),
            ("/image?url=%2Fapi%2Fws", false),
        ] {
            let uri: Uri = uri.parse().unwrap();
            let other = if uri.path().starts_with("/docs") { "/docs/api/ws" } else { "/api/ws" };
            assert_eq!(may_reach(&uri, other), expected, "{uri}");
        }
    }

    #[test]
    fn prefixes_are_found_behind_the_same() {
        for path in ["/account", "/Account/x", "/de/account", "/_next/data/BUILD/account/keys.json", "/x/../account"] {
            assert!(may_begin_with(path, "/account"), "{path}");
        }
        assert!(may_begin_with("/docs/_next/data/B/account.json", "/docs/account"));
        for path in ["/", "/blog/account", "/_next/data/BUILD/blog.json"] {
            assert!(!may_begin_with(path, "/account"), "{path}");
        }
    }

    #[test]
    fn long_paths_have_few_readings() {
        for path in ["/en".repeat(2000), "/_next/data".repeat(700), "/a".repeat(4000)] {
            assert!(readings(&path).count() <= 200, "{}", readings(&path).count());
        }
    }
}
