//! What an answer says of its keeping: `Cache-Control` (RFC 9111 section 5.2.2), and `CDN-Cache-Control` in its place
//! (RFC 9213). What is said twice, or cannot be read, is taken in the way that keeps less.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};

/// What browsers are told in place of that: to keep it, and to ask each time whether it still holds, which is answered
/// from memory by 304.
pub const FOR_BROWSERS: HeaderValue = HeaderValue::from_static("public, max-age=0, must-revalidate");

const TARGETED: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Longer than this is for ever, in seconds (RFC 9111 section 1.2.2).
const FOR_EVER: u64 = 1 << 31;

/// The directives that matter to a shared cache. Times are in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directives {
    /// `no-store`, `private` or `no-cache`, with or without the names of fields.
    pub forbids: bool,
    pub public: bool,
    /// `must-revalidate` or `proxy-revalidate`.
    pub must_revalidate: bool,
    pub max_age: Option<u64>,
    pub s_maxage: Option<u64>,
    pub stale_while_revalidate: Option<u64>,
    pub stale_if_error: Option<u64>,
    /// Said to caches like this one alone: then a lifetime is leave enough.
    pub is_targeted: bool,
}

impl Directives {
    pub fn of(headers: &HeaderMap) -> Directives {
        if let Some(targeted) = targeted(headers) {
            return targeted;
        }
        Directives::general(headers)
    }

    /// Those of `Cache-Control`, for every cache.
    fn general(headers: &HeaderMap) -> Directives {
        let mut directives = Directives::default();
        for line in headers.get_all(CACHE_CONTROL) {
            // A field that is no text says nothing that could be trusted.
            let Ok(line) = line.to_str() else { return Directives { forbids: true, ..Directives::default() } };
            for member in members(line) {
                let (name, value) = member.split_once('=').unwrap_or((member, ""));
                directives.note(&name.trim().to_ascii_lowercase(), unquoted(value.trim()));
            }
        }
        directives
    }

    fn note(&mut self, name: &str, value: &str) {
        let seconds = |known: Option<u64>| {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let said = if digits { value.parse().unwrap_or(FOR_EVER).min(FOR_EVER) } else { 0 };
            Some(known.map_or(said, |known| known.min(said)))
        };
        match name {
            "no-store" | "private" | "no-cache" => self.forbids = true,
            "public" => self.public = true,
            "must-revalidate" | "proxy-revalidate" => self.must_revalidate = true,
            "max-age" => self.max_age = seconds(self.max_age),
            "s-maxage" => self.s_maxage = seconds(self.s_maxage),
            // Next.js 14 wrote it without a number, which is no leave at all.
            "stale-while-revalidate" => self.stale_while_revalidate = seconds(self.stale_while_revalidate),
            "stale-if-error" => self.stale_if_error = seconds(self.stale_if_error),
            _ => {}
        }
    }
}

/// True where `Cache-Control` gives shared caches a lifetime and browsers none: left as it is, they would guess one
/// (RFC 9111 section 4.2.2).
pub fn leaves_browsers_guessing(headers: &HeaderMap) -> bool {
    let directives = Directives::general(headers);
    directives.s_maxage.is_some() && directives.max_age.is_none() && !directives.forbids
}

/// The targeted field, a dictionary of RFC 8941. One that cannot be read as such counts as absent.
fn targeted(headers: &HeaderMap) -> Option<Directives> {
    let mut directives = Directives { is_targeted: true, ..Directives::default() };
    let mut is_there = false;
    for line in headers.get_all(TARGETED) {
        for member in members(line.to_str().ok()?) {
            let item = member.split(';').next()?.trim();
            let (name, value) = item.split_once('=').unwrap_or((item, "?1"));
            let is_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_key) {
                return None;
            }
            match value {
                "?0" => {}
                "?1" => directives.note(name, ""),
                number => directives.note(name, number.parse::<u64>().is_ok().then_some(number)?),
            }
            is_there = true;
        }
    }
    is_there.then_some(directives)
}

/// The members of a list, where commas within quotes part nothing. A quote that does not end takes all that follows.
pub fn members(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (mut is_quoted, mut is_escaped) = (false, false);
            let end = rest.bytes().position(|byte| {
                let ends = byte == b',' && !is_quoted;
                (is_quoted, is_escaped) = match byte {
                    _ if is_escaped => (is_quoted, false),
                    b'\\' if is_quoted => (true, true),
                    b'"' => (!is_quoted, false),
                    _ => (is_quoted, false),
                };
                ends
            });
            let (member, after) = end.map_or((rest, ""), |end| (&rest[..end], &rest[end + 1..]));
            rest = after;
            if !member.trim().is_empty() {
                return Some(member.trim());
            }
        }
    })
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[(&'static str, &str)]) -> Directives {
        let lines = lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Directives::of(&lines.collect())
    }

    #[test]
    fn what_forbids_is_heard_in_any_form() {
        for value in [
            "no-store",
            "private",
            "no-cache",
            "PRIVATE",
            "public, s-maxage=60, private",
            "s-maxage=60,no-cache=\"set-cookie\"",
            "private=\"a, b\", public, s-maxage=60",
            "s-maxage=60, , ,no-store",
            "x=\"a, \\\" no, store\", no-store",
        ] {
            assert!(said(&[("cache-control", value)]).forbids, "{value}");
        }
        for value in ["s-maxage=60", "x=\"no-store\", s-maxage=60", "no-storex", "x=\"a, no-store, b\""] {
            assert!(!said(&[("cache-control", value)]).forbids, "{value}");
        }
        assert!(said(&[("cache-control", "s-maxage=60"), ("cache-control", "private")]).forbids, "two lines");
    }

    #[test]
    fn the_shorter_of_two_times_counts_and_nonsense_is_none() {
        for (value, expected) in [
            ("s-maxage=60", Some(60)),
            ("S-MaxAge=\"60\"", Some(60)),
            ("s-maxage = 60", Some(60)),
            ("s-maxage=60, s-maxage=5", Some(5)),
            ("s-maxage=60, s-maxage=x", Some(0)),
            ("s-maxage", Some(0)),
            ("s-maxage=-1", Some(0)),
            ("s-maxage=1.5", Some(0)),
            ("s-maxage=99999999999999999999", Some(1 << 31)),
            ("max-age=60", None),
        ] {
            assert_eq!(said(&[("cache-control", value)]).s_maxage, expected, "{value}");
        }
        assert_eq!(said(&[("cache-control", "s-maxage=1, stale-while-revalidate")]).stale_while_revalidate, Some(0));
    }

    #[test]
    fn what_is_targeted_stands_in_place_of_the_rest() {
        let both = said(&[("cache-control", "private"), ("cdn-cache-control", "max-age=60, must-revalidate")]);
        assert!(!both.forbids && both.is_targeted && both.must_revalidate);
        assert_eq!(both.max_age, Some(60));
        assert!(said(&[("cache-control", "public, s-maxage=9"), ("cdn-cache-control", "no-store")]).forbids);
        assert!(!said(&[("cdn-cache-control", "max-age=60;x=1, no-store=?0")]).forbids);
        for unreadable in ["max-age=x", "Max-Age=60", "max-age=60, =", "max-age=\"60\"", ""] {
            let fallen_back = said(&[("cache-control", "s-maxage=5"), ("cdn-cache-control", unreadable)]);
            assert!(!fallen_back.is_targeted && fallen_back.s_maxage == Some(5), "{unreadable}");
        }
    }
}
