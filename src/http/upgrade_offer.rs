//! What an `Upgrade` offers: at most one protocol, whatever the lines and lists it comes in.

use super::field_line::trim;

/// The protocol that `lines` of `Upgrade` offer: WebSocket where it is among them, else the first. Versions of HTTP and TLS
/// are none (RFC 9110 section 7.8 lets a server pass over them): nobody here takes them, and `h2c` is a known way around
/// proxies.
pub fn protocol<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let mut first = None;
    for item in lines.flat_map(|line| line.split(|byte| *byte == b',')).map(trim) {
        if item.eq_ignore_ascii_case(b"websocket") {
            return Some(item);
        }
        if first.is_none() && !item.is_empty() && !is_passed_over(item) {
            first = Some(item);
        }
    }
    first
}

fn is_passed_over(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    ["h2", "h2c", "http", "tls"].iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_protocol_is_offered_or_none() {
        for (lines, expected) in [
            (&["websocket"][..], Some("websocket")),
            (&["h2c"], None),
            (&["h2,h2c"], None),
            (&["H2C", "HTTP/2.0, TLS/1.2", ""], None),
            (&["h2c", "websocket"], Some("websocket")),
            (&["h2c, WebSocket"], Some("WebSocket")),
            (&["foo/2, websocket"], Some("websocket")),
            (&["h2c, foo/2", "bar"], Some("foo/2")),
            (&[], None),
        ] {
            let protocol = protocol(lines.iter().map(|line| line.as_bytes()));
            assert_eq!(protocol, expected.map(str::as_bytes), "{lines:?}");
        }
    }
}
