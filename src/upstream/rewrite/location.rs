//! Redirects that name the app's private address are rewritten: clients cannot go there. `request.url` in a `proxy.ts`
//! is `http://localhost:PORT` by design, so apps build such redirects without knowing.

use http::header::{CONTENT_LOCATION, LOCATION, REFRESH};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::Facts;
use crate::upstream::address::Address;

/// Names by which an app knows its own machine.
const OWN_NAMES: &[&str] = &["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::]"];

/// Where a `proxy.ts` has sent a request.
const REWRITE: HeaderName = HeaderName::from_static("x-middleware-rewrite");

/// Puts the public origin where `headers` name the private one.
pub fn rewrite(headers: &mut HeaderMap, app: &Address, facts: &Facts) {
    for name in [LOCATION, CONTENT_LOCATION] {
        if let Some(value) = headers.get_mut(name)
            && let Some(rewritten) = value.to_str().ok().and_then(|url| rewritten(url, app, facts))
        {
            replace(value, &rewritten);
        }
    }
    if let Some(value) = headers.get_mut(REFRESH)
        && let Some(rewritten) = value.to_str().ok().and_then(|text| rewritten_refresh(text, app, facts))
    {
        replace(value, &rewritten);
    }
}

/// True when a rewrite of a `proxy.ts` has gone to the app itself as if to another server: Next names the target with its
/// origin only where it takes that for another one, which it does of itself when it was started with `-H 127.0.0.1`.
pub fn is_taken_for_another(headers: &HeaderMap, app: &Address) -> bool {
    let target = headers.get(REWRITE).and_then(|value| value.to_str().ok());
    target.and_then(origin).is_some_and(|(authority, _)| is_private(authority, app))
}

fn replace(value: &mut HeaderValue, text: &str) {
    if let Ok(rewritten) = HeaderValue::from_str(text) {
        *value = rewritten;
    }
}

/// `5; url=http://localhost:3000/next`, with or without quotes.
fn rewritten_refresh(text: &str, app: &Address, facts: &Facts) -> Option<String> {
    let at = text.to_ascii_lowercase().find("url=")? + "url=".len();
    let (before, url) = text.split_at(at);
    let quote = url.chars().next().filter(|first| matches!(first, '"' | '\''));
    let inner = &url[quote.map_or(0, char::len_utf8)..];
    let rewritten = rewritten(inner, app, facts)?;
    Some(format!("{before}{}{rewritten}", quote.map_or(String::new(), String::from)))
}

/// `url` at the public origin; `None` when it does not name the private one.
fn rewritten(url: &str, app: &Address, facts: &Facts) -> Option<String> {
    let (authority, rest) = origin(url)?;
    if !is_private(authority, app) || rest.starts_with('\\') {
        return None;
    }
    let scheme = if facts.scheme == Scheme::HTTPS { "https" } else { "http" };
    Some(format!("{scheme}://{}{rest}", facts.authority))
}

/// Authority and the rest of an absolute URL of http or https.
fn origin(url: &str) -> Option<(&str, &str)> {
    let colon = url.find("://")?;
    let scheme = &url[..colon];
    if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return None;
    }
    let rest = &url[colon + "://".len()..];
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    Some((authority, rest))
}

fn is_private(authority: &str, app: &Address) -> bool {
    let Address::Tcp { port, .. } = app else { return false };
    if authority.eq_ignore_ascii_case(&app.authority()) {
        return true;
    }
    let bracket = authority.rfind(']').unwrap_or(0);
    let (name, given) = match authority[bracket..].rfind(':') {
        Some(colon) => (&authority[..bracket + colon], &authority[bracket + colon + 1..]),
        None => (authority, ""),
    };
    let has_port = if given.is_empty() { *port == 80 } else { given.parse() == Ok(*port) };
    let is_app = matches!(app, Address::Tcp { host, .. } if name.trim_matches(['[', ']']).eq_ignore_ascii_case(host));
    has_port && (is_app || OWN_NAMES.iter().any(|own| name.eq_ignore_ascii_case(own)))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::http::facts::RequestId;

    fn facts(scheme: Scheme, authority: &'static str) -> Facts {
        Facts {
            client: [127, 0, 0, 1].into(),
            scheme,
            authority: authority.parse().unwrap(),
            forwarded_for: HeaderValue::from_static("127.0.0.1"),
            request_id: RequestId::new(),
            trace: None,
            received: Instant::now(),
        }
    }

    fn location(url: &'static str, app: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static(url));
        rewrite(&mut headers, &app.parse().unwrap(), &facts(Scheme::HTTPS, "example.com:8443"));
        headers[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_private_origin_becomes_the_public_one() {
        let app = "http://127.0.0.1:3000";
        for url in [
            "http://localhost:3000/a?b#c",
            "http://127.0.0.1:3000/a?b#c",
            "https://LOCALHOST:3000/a?b#c",
            "http://[::1]:3000/a?b#c",
            "http://0.0.0.0:3000/a?b#c",
        ] {
            assert_eq!(location(url, app), "https://example.com:8443/a?b#c", "{url}");
        }
        assert_eq!(location("http://localhost:3000", app), "https://example.com:8443");
        assert_eq!(location("http://app.internal/x", "http://app.internal"), "https://example.com:8443/x");
        assert_eq!(location("http://[fd00::1]:3000/x", "http://[fd00::1]:3000"), "https://example.com:8443/x");
    }

    #[test]
    fn everything_else_stays() {
        for url in [
            "/a",
            "a",
            "//localhost:3000/a",
            "http://localhost:3001/a",
            "http://localhost/a",
            "http://example.org:3000/a",
            "http://localhost:3000@evil.example/a",
            "http://localhost:3000.evil.example/a",
            "http://user@localhost:3000/a",
            "http://localhost:3000\\@evil.example",
            "ftp://localhost:3000/a",
            "",
        ] {
            assert_eq!(location(url, "http://127.0.0.1:3000"), url);
        }
    }

    #[test]
    fn refresh_is_mended_too() {
        let app = Address::loopback(3000);
        let facts = facts(Scheme::HTTP, "example.com");
        for (text, expected) in [
            ("5; url=http://localhost:3000/a", Some("5; url=http://example.com/a")),
            ("0;URL='http://localhost:3000/a'", Some("0;URL='http://example.com/a'")),
            ("5; url=/a", None),
            ("5", None),
        ] {
            assert_eq!(rewritten_refresh(text, &app, &facts).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_rewrite_to_itself_by_its_whole_address_is_known() {
        let is_known = |url: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REWRITE, HeaderValue::from_static(url));
            is_taken_for_another(&headers, &Address::loopback(3000))
        };
        assert!(is_known("https://localhost:3000/target") && is_known("http://127.0.0.1:3000/target?x"));
        assert!(!is_known("/target") && !is_known("https://localhost:4000/") && !is_known("https://example.com/"));
        assert!(!is_taken_for_another(&HeaderMap::new(), &Address::loopback(3000)));
    }
}
