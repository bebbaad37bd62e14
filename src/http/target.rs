//! The characters of a request target: what clients send, in the spelling of RFC 3986, and nothing that two readers
//! could take for two things.

use std::borrow::Cow;

/// In neither part: controls, space, `#` and DEL.
const NOWHERE: u8 = 0;
const PATH: u8 = 1;
const QUERY: u8 = 2;
const EVERYWHERE: u8 = PATH | QUERY;
/// Goes on percent-encoded: curl, webhook senders and old browsers write them as they are.
const ENCODED: u8 = 4;

const CLASS: [u8; 256] = {
    let mut class = [NOWHERE; 256];
    let mut byte = 0x21;
    while byte < 0x100 {
        class[byte] = match byte as u8 {
            b'#' | 0x7f => NOWHERE,
            b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'^' | 0x80.. => EVERYWHERE | ENCODED,
            // Some take a backslash in a path for a slash.
            b'\\' => QUERY,
            _ => EVERYWHERE,
        };
        byte += 1;
    }
    class
};

/// True for what stands for itself in a path, and for nothing more: no slash, and nothing that begins or ends something.
pub fn is_plain(byte: u8) -> bool {
    matches!(CLASS[usize::from(byte)], PATH | EVERYWHERE) && !matches!(byte, b'/' | b'%' | b'?')
}

/// True for an origin-form target (RFC 9112 section 3.2.1) that has one meaning: a path, and perhaps a query.
pub fn is_origin_form(target: &[u8]) -> bool {
    origin_form(target).is_some()
}

/// How many bytes of such a target are sent on [`encoded`]; `None` where it is none.
fn origin_form(target: &[u8]) -> Option<usize> {
    if target.first() != Some(&b'/') {
        return None;
    }
    let (mut allowed, mut odd) = (PATH, 0);
    for (at, byte) in target.iter().enumerate() {
        let class = CLASS[usize::from(*byte)];
        if class & allowed == 0 {
            return None;
        }
        odd += usize::from(class / ENCODED);
        match byte {
            b'?' => allowed = QUERY,
            // A path that ends there for some. A query is decoded by the app alone.
            b'%' if allowed == PATH && target.get(at + 1..at + 3) == Some(b"00") => return None,
            _ => {}
        }
    }
    Some(odd)
}

/// The form of HTTP/1 that `target` has, with the length that it has [`encoded`]; `None` where it has none.
pub fn encoded_length(target: &[u8]) -> Option<usize> {
    let odd = match target {
        [b'/', ..] => origin_form(target)?,
        _ if is_absolute_form(target) => origin_form(after_authority(target)?).unwrap_or(0),
        _ => return None,
    };
    Some(target.len() + 2 * odd)
}

/// `target` in the spelling that is sent on, to hyper too, which takes not all of these bytes: what RFC 3986 gives no
/// place in a URI is percent-encoded, as browsers do.
pub fn encoded(target: &[u8]) -> Cow<'_, [u8]> {
    let is_odd = |byte: &u8| CLASS[usize::from(*byte)] & ENCODED != 0;
    if !target.iter().any(is_odd) {
        return Cow::Borrowed(target);
    }
    let mut spelling = Vec::with_capacity(target.len() + 16);
    for byte in target {
        if is_odd(byte) {
            let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
            spelling.extend([b'%', digit(byte >> 4), digit(byte & 0xf)]);
        } else {
            spelling.push(*byte);
        }
    }
    Cow::Owned(spelling)
}

/// The path and query of an absolute-form target, with its length before them.
pub fn after_authority(target: &[u8]) -> Option<&[u8]> {
    let scheme = target.windows(3).take(8).position(|window| window == b"://")?;
    let rest = &target[scheme + 3..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    Some(&rest[end..])
}

/// True for an absolute-form target of `http` or `https` whose path is as in [`is_origin_form`].
pub fn is_absolute_form(target: &[u8]) -> bool {
    let lower = |length: usize| target.get(..length).unwrap_or_default().to_ascii_lowercase();
    if lower(7) != b"http://" && lower(8) != b"https://" {
        return false;
    }
    let Some(path) = after_authority(target) else { return false };
    // By itself: a parser of whole URIs cuts at a `#` wherever it stands.
    let before = &target[..target.len() - path.len()];
    let authority = before.splitn(3, |byte| *byte == b'/').nth(2).unwrap_or_default();
    (path.is_empty() || is_origin_form(path))
        && matches!(encoded(authority), Cow::Borrowed(_))
        && http::uri::Authority::try_from(authority).is_ok()
        && http::Uri::try_from(&*encoded(target)).is_ok_and(|uri| uri.authority().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_browsers_send_is_accepted() {
        for target in [
            "/",
            "/a/b;c=d/@e/%20?x=1&y=%2F",
            "//evil/x",
            "/a|b^c{d}",
            "/[slug]?a[]=1",
            r"/find?pattern=\d+`",
            "/a?b?c/d",
            "/~user/!$&'()*+,;=:@",
            "/a?b=%00",
            "/<script>`?q=\"{}\"",
            "/\u{e9}?\u{e9}",
        ] {
            assert!(is_origin_form(target.as_bytes()), "{target}");
        }
    }

    #[test]
    fn what_has_two_meanings_is_not() {
        for target in [
            "", "a", "*", "?x", "/a b", "/a\tb", "/a#b", "/a?b#c", r"/\evil", "/a%00", "/a%00?b", "/a\x7f", "/a?\x7f",
            "/a\0b",
        ] {
            assert!(!is_origin_form(target.as_bytes()), "{target:?}");
        }
    }

    #[test]
    fn absolute_form_is_http_with_an_authority() {
        for target in ["http://a/b?c", "HTTPS://a.test:8443", "http://a?b"] {
            assert_eq!(is_absolute_form(target.as_bytes()), target != "http://a?b", "{target}");
        }
        for target in [
            "http://",
            "http:///x",
            "ftp://a/b",
            "a:80",
            "http://a/b#c",
            "http://a#b/c",
            "http://a#\u{e9}/c",
            r"http://a\b/",
            "http://[::1/",
            "x",
        ] {
            assert!(!is_absolute_form(target.as_bytes()), "{target}");
        }
    }

    #[test]
    fn what_has_no_place_in_a_uri_is_encoded() {
        for (target, expected) in [
            ("/a?b=%3C&c=\\d", "/a?b=%3C&c=\\d"),
            ("/a|b^c{d}`?\"<>\"", "/a%7Cb%5Ec%7Bd%7D%60?%22%3C%3E%22"),
            ("/\u{e9}?\u{e9}", "/%C3%A9?%C3%A9"),
            ("http://a.test/<>?{}", "http://a.test/%3C%3E?%7B%7D"),
        ] {
            assert_eq!(encoded(target.as_bytes()), expected.as_bytes(), "{target}");
            assert_eq!(encoded_length(target.as_bytes()), Some(expected.len()), "{target}");
        }
        assert_eq!(encoded_length(b"http://a{b}/"), None);
        assert_eq!(encoded_length(b"*"), None);
    }

    proptest! {
        /// hyper must never be the one to refuse what passes here: its own answer would go past the log.
        #[test]
        fn what_is_accepted_is_a_uri(mut target in prop::collection::vec(any::<u8>(), 0..40)) {
            target.insert(0, b'/');
            if is_origin_form(&target) {
                let spelling = encoded(&target);
                prop_assert_eq!(encoded_length(&target), Some(spelling.len()));
                let uri = http::Uri::try_from(&*spelling);
                prop_assert!(uri.is_ok());
                prop_assert_eq!(uri.unwrap().path_and_query().map(|path| path.as_str().as_bytes().to_vec()), Some(spelling.to_vec()));
                prop_assert!(matches!(encoded(&spelling), Cow::Borrowed(_)) && is_origin_form(&spelling));
            }
        }
    }
}
