//! Headers that end here (RFC 9110 section 7.6.1), and names that readers behind the door take for other ones.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};

use crate::http::upgrade_offer;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Names by which a client could take something away that is not its to take: `Connection` may name its own headers
/// only (RFC 9110: "a sender MUST NOT" name end-to-end ones).
const END_TO_END: &[&str] = &["content-", "x-forwarded-", "sec-", "if-", "accept", "next-", "access-control-"];

/// Removes what concerns this connection alone, what `Connection` names besides, and misleading names. What an upgrade
/// needs stays for `upgrade`, in one form.
pub fn strip(headers: &mut HeaderMap, is_upgrade: bool) {
    let upgrade = if is_upgrade { offer(headers) } else { None };
    let nominated = nominated(headers);
    let mut doomed: Vec<HeaderName> = headers.keys().filter(|name| ends_here(name)).cloned().collect();
    doomed.extend(nominated);
    for name in doomed {
        headers.remove(name);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// The one protocol that is offered.
fn offer(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines = headers.get_all(UPGRADE).iter().map(HeaderValue::as_bytes);
    HeaderValue::from_bytes(upgrade_offer::protocol(lines)?).ok()
}

fn ends_here(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    match text[0] {
        b'c' if *name == CONNECTION => true,
        b'k' if *name == KEEP_ALIVE => true,
        b't' if *name == TE || *name == TRAILER || *name == TRANSFER_ENCODING => true,
        b'u' if *name == UPGRADE => true,
        b'h' if *name == HTTP2_SETTINGS => true,
        b'p' if *name == PROXY_CONNECTION || text.starts_with(b"proxy-auth") => true,
        // CGI and its heirs turn `-` and `_` into the same letter, and some languages `.` too.
        _ => memchr::memchr2(b'_', b'.', text).is_some(),
    }
}

/// The headers that `Connection` names, but for those that are not the connection's.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let options = headers.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let options = options.map(<[u8]>::trim_ascii).filter(|option| {
        !["close", "keep-alive", "upgrade", ""].iter().any(|usual| option.eq_ignore_ascii_case(usual.as_bytes()))
    });
    options.filter_map(|option| HeaderName::from_bytes(option).ok()).filter(may_be_nominated).collect()
}

/// Headers that a registry or this house knows are end to end, whatever a client says.
fn may_be_nominated(name: &HeaderName) -> bool {
    use http::header as known;
    const KNOWN: &[HeaderName] = &[
        known::AUTHORIZATION,
        known::CACHE_CONTROL,
        known::COOKIE,
        known::DATE,
        known::EXPECT,
        known::FORWARDED,
        known::FROM,
        known::HOST,
        known::MAX_FORWARDS,
        known::ORIGIN,
        known::PRAGMA,
        known::RANGE,
        known::REFERER,
        known::USER_AGENT,
        known::VIA,
    ];
    let text = name.as_str();
    !KNOWN.contains(name)
        && !END_TO_END.iter().any(|prefix| text.starts_with(prefix))
        && !["rsc", "x-real-ip", "x-request-id", "x-deployment-id", "traceparent", "tracestate"].contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(lines: &[(&str, &str)], is_upgrade: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        super::strip(&mut headers, is_upgrade);
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn what_is_the_connections_ends_here() {
        let lines = [
            ("connection", "keep-alive, X-Own"),
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("proxy-authorization", "x"),
            ("proxy-authenticate", "x"),
            ("x-own", "x"),
            ("x_real", "x"),
            ("x.real", "x"),
            ("cookie", "a=b"),
        ];
        assert_eq!(strip(&lines, false), ["cookie: a=b"]);
    }

    #[test]
    fn end_to_end_headers_cannot_be_nominated() {
        for name in
            ["cookie", "authorization", "content-length", "host", "x-forwarded-for", "origin", "next-action", "rsc"]
        {
            assert_eq!(strip(&[("connection", name), (name, "x")], false), [format!("{name}: x")]);
        }
    }

    #[test]
    fn an_upgrade_keeps_what_it_needs() {
        let lines = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "x")];
        let mut left = strip(&lines, true);
        left.sort();
        assert_eq!(left, ["connection: upgrade", "sec-websocket-key: x", "upgrade: websocket"]);
        let lines = [("connection", "upgrade"), ("upgrade", "h2c"), ("upgrade", "foo, websocket")];
        assert_eq!(strip(&lines, true), ["connection: upgrade", "upgrade: websocket"]);
    }
}
