//! The name that a request is for: read strictly and written in one form.

use http::uri::{Authority, Scheme};

use super::Refusal;

/// RFC 1035 section 2.3.4.
const LONGEST_NAME: usize = 253;

/// Reads `host [":" port]`, in lower case and without the port that `scheme` has anyway.
///
/// # Errors
/// [`Refusal::Host`] for anything else: user names, paths, lists, spaces, empty or large ports.
pub fn parse(text: &[u8], scheme: &Scheme) -> Result<Authority, Refusal> {
    let text = std::str::from_utf8(text).map_err(|_| Refusal::Host)?;
    let (host, port) = split(text).ok_or(Refusal::Host)?;
    let is_fine = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    if !is_fine {
        return Err(Refusal::Host);
    }
    let port = match port {
        Some(port) => Some(read_port(port).ok_or(Refusal::Host)?),
        None => None,
    };
    let host = host.to_ascii_lowercase();
    let named = match port.filter(|port| *port != default_port(scheme)) {
        Some(port) => format!("{host}:{port}"),
        None => host,
    };
    Authority::try_from(named).map_err(|_| Refusal::Host)
}

/// A host as an address is written elsewhere: one of IPv6 without its brackets.
pub fn unbracketed(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// True for a host that is an address, and no name.
pub fn is_address(host: &str) -> bool {
    unbracketed(host).parse::<std::net::IpAddr>().is_ok()
}

/// The same name without a port that `scheme` has anyway.
pub fn without_default_port(authority: Authority, scheme: &Scheme) -> Authority {
    parse(authority.as_str().as_bytes(), scheme).unwrap_or(authority)
}

/// The same name with `port`, where it has none itself, and where that is not the one that `scheme` has anyway.
pub fn with_port_said(authority: Authority, port: Option<u16>, scheme: &Scheme) -> Authority {
    match port {
        Some(port) if authority.port().is_none() => {
            parse(format!("{authority}:{port}").as_bytes(), scheme).unwrap_or(authority)
        }
        _ => authority,
    }
}

/// The host without its port.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    let host_end = match text.strip_prefix('[') {
        Some(_) => text.find(']')? + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_end);
    match rest {
        "" => Some((host, None)),
        _ => Some((host, Some(rest.strip_prefix(':')?))),
    }
}

/// Host names as they are used: letters, digits, hyphens, and the underscores of container networks.
fn is_name(host: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let labels = host.strip_suffix('.').unwrap_or(host);
    (1..=LONGEST_NAME).contains(&labels.len()) && host.bytes().all(is_fine) && !labels.split('.').any(str::is_empty)
}

fn read_port(text: &str) -> Option<u16> {
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port != 0)
}

fn default_port(scheme: &Scheme) -> u16 {
    if *scheme == Scheme::HTTPS { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<String> {
        parse(text.as_bytes(), &Scheme::HTTP).ok().map(|authority| authority.as_str().to_owned())
    }

    #[test]
    fn names_have_one_form() {
        for (text, expected) in [
            ("Site.Test", "site.test"),
            ("site.test:80", "site.test"),
            ("site.test:080", "site.test"),
            ("site.test:8080", "site.test:8080"),
            ("site.test.", "site.test."),
            ("my_app", "my_app"),
            ("127.0.0.1:3000", "127.0.0.1:3000"),
            ("[::1]", "[::1]"),
            ("[2001:DB8::1]:443", "[2001:db8::1]:443"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            " ",
            "a b",
            "a/evil",
            "a@evil",
            "a,b",
            "a:",
            "a:b",
            "a:0",
            "a:65536",
            "a:+1",
            "a:1:2",
            "a:000080",
            "[::1",
            "[::1]x",
            "[::1%25lo]",
            "::1",
            "a..b",
            ".a",
            ".",
            "a?b",
            "a#b",
            "a\\b",
            "ä",
            "a%20b",
            "[1.2.3.4]",
            "a\t",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(read(&"a".repeat(254)), None);
    }

    proptest! {
        #[test]
        fn the_form_is_a_fixed_point(text in "[a-zA-Z0-9.:_\\[\\]-]{0,20}") {
            if let Some(form) = read(&text) {
                prop_assert_eq!(read(&form), Some(form.clone()));
            }
        }
    }
}
