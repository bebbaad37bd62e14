//! Conditional requests (RFC 9110 section 13): what the client holds, against what there is.

use std::time::{Duration, SystemTime};

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};

/// What the conditions of a GET or HEAD come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition<'a> {
    Proceed,
    /// 304: the client holds it, under this tag.
    NotModified(&'a str),
    /// 412.
    Failed,
}

/// False where [`evaluate`] can only say [`Precondition::Proceed`].
pub fn has_any(headers: &HeaderMap) -> bool {
    [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_MATCH, IF_UNMODIFIED_SINCE].iter().any(|name| headers.contains_key(name))
}

/// Evaluates in the order of section 13.2.2. The first of `known` is the strong tag of what would be sent; the others are
/// those of codings that the client would take as well: holding one of them it holds what it needs. `modified` is in
/// whole seconds.
pub fn evaluate<'a>(headers: &HeaderMap, known: &[&'a str], modified: SystemTime) -> Precondition<'a> {
    let to_send = known.first().copied().unwrap_or_default();
    let named = |held: &str| if held == "*" { Some(to_send) } else { known.iter().copied().find(|tag| *tag == held) };
    if headers.contains_key(IF_MATCH) {
        if tags(headers, IF_MATCH).find_map(named).is_none() {
            return Precondition::Failed;
        }
    } else if date(headers, IF_UNMODIFIED_SINCE).is_some_and(|date| modified > date) {
        return Precondition::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        // Weak comparison: the compression layer hands out W/ forms of the same tags.
        let mut held = tags(headers, IF_NONE_MATCH).map(|held| held.strip_prefix("W/").unwrap_or(held));
        return held.find_map(named).map_or(Precondition::Proceed, Precondition::NotModified);
    }
    if date(headers, IF_MODIFIED_SINCE).is_some_and(|date| modified <= date) {
        return Precondition::NotModified(to_send);
    }
    Precondition::Proceed
}

/// Whether `Range` counts (section 13.1.5): there is no `If-Range`, or it names exactly what there is.
pub fn range_counts(headers: &HeaderMap, tag: &str, modified: SystemTime, now: SystemTime) -> bool {
    let mut lines = headers.get_all(IF_RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return !headers.contains_key(IF_RANGE) };
    let Ok(line) = line.to_str() else { return false };
    if line.starts_with('"') || line.starts_with("W/") {
        return line == tag;
    }
    // Section 8.8.2.2: a date is a strong validator only when a second change within its second can be ruled out.
    let is_strong = now.duration_since(modified).is_ok_and(|age| age >= Duration::from_secs(1));
    is_strong && httpdate::parse_http_date(line).is_ok_and(|date| date == modified)
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// The members of a list of tags. A comma within a tag splits it, and neither half then equals any tag of ours.
fn tags(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const TAG: &str = "\"abc\"";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn then() -> SystemTime {
        httpdate::parse_http_date(THEN).unwrap()
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn conditions_are_evaluated_in_order() {
        use Precondition::{Failed, NotModified, Proceed};
        for (pairs, expected) in [
            (vec![], Proceed),
            (vec![(IF_NONE_MATCH, TAG)], NotModified(TAG)),
            (vec![(IF_NONE_MATCH, "W/\"abc\"")], NotModified(TAG)),
            (vec![(IF_NONE_MATCH, "\"abc-br\"")], NotModified("\"abc-br\"")),
            (vec![(IF_NONE_MATCH, "\"x\", \"abc\"")], NotModified(TAG)),
            (vec![(IF_NONE_MATCH, "*")], NotModified(TAG)),
            (vec![(IF_NONE_MATCH, "\"x\"")], Proceed),
            (vec![(IF_NONE_MATCH, "abc")], Proceed),
            (vec![(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, THEN)], Proceed),
            (vec![(IF_MODIFIED_SINCE, THEN)], NotModified(TAG)),
            (vec![(IF_MODIFIED_SINCE, EARLIER)], Proceed),
            (vec![(IF_MODIFIED_SINCE, "yesterday")], Proceed),
            (vec![(IF_MATCH, TAG)], Proceed),
            (vec![(IF_MATCH, "*")], Proceed),
            (vec![(IF_MATCH, "\"x\"")], Failed),
            (vec![(IF_MATCH, "W/\"abc\"")], Failed),
            (vec![(IF_MATCH, TAG), (IF_UNMODIFIED_SINCE, EARLIER)], Proceed),
            (vec![(IF_UNMODIFIED_SINCE, EARLIER)], Failed),
            (vec![(IF_UNMODIFIED_SINCE, THEN)], Proceed),
            (vec![(IF_MATCH, "\"x\""), (IF_NONE_MATCH, TAG)], Failed),
        ] {
            assert_eq!(evaluate(&headers(&pairs), &[TAG, "\"abc-br\""], then()), expected, "{pairs:?}");
            assert!(expected == Proceed || has_any(&headers(&pairs)), "{pairs:?}");
        }
    }

    #[test]
    fn if_range_needs_the_very_same_bytes() {
        let now = then() + Duration::from_secs(60);
        for (pairs, expected) in [
            (vec![], true),
            (vec![(IF_RANGE, TAG)], true),
            (vec![(IF_RANGE, "W/\"abc\"")], false),
            (vec![(IF_RANGE, "\"x\"")], false),
            (vec![(IF_RANGE, THEN)], true),
            (vec![(IF_RANGE, EARLIER)], false),
            (vec![(IF_RANGE, "")], false),
        ] {
            assert_eq!(range_counts(&headers(&pairs), TAG, then(), now), expected, "{pairs:?}");
        }
        assert!(!range_counts(&headers(&[(IF_RANGE, THEN)]), TAG, then(), then()), "written this very second");
    }
}
