//! The characters of a request target: what browsers send and RFC 3986 allows, and nothing that two readers could
//! take for two things.

/// In neither part: controls, space, `"` in a query, `#`, `<`, `>`, DEL and everything beyond ASCII.
const NOWHERE: u8 = 0;
const PATH: u8 = 1;
const QUERY: u8 = 2;
const EVERYWHERE: u8 = PATH | QUERY;

const CLASS: [u8; 256] = {
    let mut class = [NOWHERE; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        class[byte] = match byte as u8 {
            b'#' | b'<' | b'>' => NOWHERE,
            b'"' => PATH,
            // Some take a backslash in a path for a slash.
            b'\\' | b'`' => QUERY,
            _ => EVERYWHERE,
        };
        byte += 1;
    }
    class
};

/// True for what stands for itself in a path, and for nothing more: no slash, and nothing that begins or ends something.
pub fn is_plain(byte: u8) -> bool {
    CLASS[usize::from(byte)] & PATH != 0 && !matches!(byte, b'/' | b'%' | b'?')
}

/// True for an origin-form target (RFC 9112 section 3.2.1) that has one meaning: a path, and perhaps a query.
pub fn is_origin_form(target: &[u8]) -> bool {
    if target.first() != Some(&b'/') {
        return false;
    }
    let mut allowed = PATH;
    for (at, byte) in target.iter().enumerate() {
        if CLASS[usize::from(*byte)] & allowed == 0 {
            return false;
        }
        match byte {
            b'?' => allowed = QUERY,
            b'%' if target.get(at + 1..at + 3) == Some(b"00") => return false,
            _ => {}
        }
    }
    true
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
        && http::uri::Authority::try_from(authority).is_ok()
        && http::Uri::try_from(target).is_ok_and(|uri| uri.authority().is_some())
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
        ] {
            assert!(is_origin_form(target.as_bytes()), "{target}");
        }
    }

    #[test]
    fn what_has_two_meanings_is_not() {
        for target in [
            "",
            "a",
            "*",
            "?x",
            "/a b",
            "/a\tb",
            "/a#b",
            "/a?b#c",
            r"/\evil",
            "/a%00",
            "/a?b=%00",
            "/\u{e9}",
            "/a\x7f",
            "/a\0b",
            "/<script>",
            "/a?<b>",
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

    proptest! {
        /// hyper must never be the one to refuse what passes here: its own answer would go past the log.
        #[test]
        fn what_is_accepted_is_a_uri(target in "/[!-~]{0,40}") {
            if is_origin_form(target.as_bytes()) {
                let uri = http::Uri::try_from(target.as_str());
                prop_assert!(uri.is_ok());
                prop_assert_eq!(uri.unwrap().path_and_query().map(|path| path.as_str().to_owned()), Some(target));
            }
        }
    }
}
