//! What trusted proxies say of a client: `X-Forwarded-*`, or `Forwarded` (RFC 7239), or `X-Real-IP`.
//!
//! Each proxy appends; only what trusted ones appended is believed. Reading goes from the right, from the peer
//! outwards, and ends at the first address that is not a trusted proxy's: that is the client, and what stands left of
//! it is the client's own invention.

use std::net::{IpAddr, SocketAddr};

use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::Connected;
use crate::http::authority;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const FORWARDED: HeaderName = http::header::FORWARDED;

/// What is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    pub client: IpAddr,
    /// From the client to the peer.
    pub chain: HeaderValue,
    pub scheme: Option<Scheme>,
    /// The name, with a port of its own or the [`port`](Forwarded::port).
    pub authority: Option<Authority>,
    /// Said apart from the name: it counts for the one in `Host` too.
    pub port: Option<u16>,
}

/// What the proxies said, hop by hop; the last one is what the peer said.
#[derive(Debug, Default)]
struct Hops<'a> {
    addresses: Vec<Option<IpAddr>>,
    schemes: Vec<&'a str>,
    hosts: Vec<&'a str>,
    ports: Vec<&'a str>,
}

/// In these CDNs and servers tell an app who its client is or what it asked for; libraries believe them, whoever says so.
/// The door does not read them: from a trusted proxy they go on as they are.
const OTHERS: &[&str] = &[
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-ip",
    "do-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded-for",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-url",
    "x-originating-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-rewrite-url",
];

/// Removes all of them; those that the door does not read only where the sender is not `trusted`.
pub fn delete(headers: &mut HeaderMap, trusted: bool) {
    let is_one = |name: &HeaderName| {
        let text = name.as_str();
        // Most names end here, by their first letters.
        match text.as_bytes() {
            [b'x', b'-', ..] if text.starts_with("x-forwarded-") || name == X_REAL_IP => true,
            [b'c', b'f' | b'l', ..]
            | [b'd', b'o', ..]
            | [b'f', b'a' | b'l' | b'o', ..]
            | [b't', b'r', ..]
            | [b'w', b'l', ..]
            | [b'x', b'-', ..] => name == FORWARDED || (!trusted && OTHERS.binary_search(&text).is_ok()),
            _ => false,
        }
    };
    while let Some(name) = headers.keys().find(|name| is_one(name)).cloned() {
        headers.remove(name);
    }
}

impl Forwarded {
    /// Reads what the peer, a trusted proxy, says.
    pub fn read(headers: &HeaderMap, connected: &Connected) -> Forwarded {
        let hops = Hops::read(headers);
        let trusted = &connected.settings.trusted;
        let peer = connected.peer.address.ip();
        let believed = believed(&hops.addresses, peer, trusted);
        let hop = believed.len();
        let scheme = said_at(&hops.schemes, hop).and_then(scheme);
        let effective = scheme.clone().unwrap_or_else(|| connected.scheme());
        let host = said_at(&hops.hosts, hop);
        let port =
            said_at(&hops.ports, hop).and_then(|port| port.parse().ok()).filter(|port| may_be(*port, &effective));
        let authority = host.and_then(|host| authority::parse(host.as_bytes(), &effective).ok());
        let authority = authority.map(|named| authority::with_port_said(named, port, &effective));
        let client = believed.last().copied().unwrap_or(peer);
        Forwarded { client, chain: chain(&believed, peer), scheme, authority, port }
    }
}

/// False for the other scheme's own port: a proxy then names the port behind another one that ended TLS before it.
fn may_be(port: u16, scheme: &Scheme) -> bool {
    port != if *scheme == Scheme::HTTPS { 80 } else { 443 }
}

/// The addresses that are believed, from the nearest to the client's own.
fn believed(addresses: &[Option<IpAddr>], peer: IpAddr, trusted: &[IpNet]) -> Vec<IpAddr> {
    let mut believed = Vec::new();
    let mut speaker = peer;
    for address in addresses.iter().rev() {
        let is_trusted = trusted.iter().any(|net| net.contains(&speaker));
        let (true, Some(address)) = (is_trusted, address) else { break };
        believed.push(*address);
        speaker = *address;
    }
    believed
}

/// The item that the proxy which saw the client appended; where there are fewer items than hops, the oldest.
fn said_at<'a>(items: &[&'a str], hop: usize) -> Option<&'a str> {
    let from_right = hop.clamp(1, items.len().max(1));
    items.get(items.len().checked_sub(from_right)?).copied()
}

fn scheme(text: &str) -> Option<Scheme> {
    match text {
        _ if text.eq_ignore_ascii_case("https") || text.eq_ignore_ascii_case("wss") => Some(Scheme::HTTPS),
        _ if text.eq_ignore_ascii_case("http") || text.eq_ignore_ascii_case("ws") => Some(Scheme::HTTP),
        _ => None,
    }
}

fn chain(believed: &[IpAddr], peer: IpAddr) -> HeaderValue {
    let addresses = believed.iter().rev().chain([&peer]);
    let text = addresses.map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("unknown"))
}

impl<'a> Hops<'a> {
    fn read(headers: &'a HeaderMap) -> Hops<'a> {
        let mut hops = Hops {
            addresses: items(headers, &X_FORWARDED_FOR).map(address).collect(),
            schemes: items(headers, &X_FORWARDED_PROTO).collect(),
            hosts: items(headers, &X_FORWARDED_HOST).collect(),
            ports: items(headers, &X_FORWARDED_PORT).collect(),
        };
        if hops.addresses.is_empty() {
            hops.read_standard(headers);
        }
        if hops.addresses.is_empty() {
            hops.addresses.extend(items(headers, &X_REAL_IP).take(1).map(address));
        }
        hops
    }

    /// `Forwarded: for=192.0.2.1;proto=https;host=example.com, for="[2001:db8::1]:80"`.
    fn read_standard(&mut self, headers: &'a HeaderMap) {
        for element in items(headers, &FORWARDED) {
            let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
            let mut spoke_of = None;
            for (name, value) in pairs {
                let value = value.trim().trim_matches('"');
                match name.trim().to_ascii_lowercase().as_str() {
                    "for" => spoke_of = address(value),
                    "proto" => self.schemes.push(value),
                    "host" => self.hosts.push(value),
                    _ => {}
                }
            }
            self.addresses.push(spoke_of);
        }
    }
}

/// The items of a list, over all lines of it.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

/// An address, with or without a port and brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::http::Settings;
    use crate::listen::Peer;

    fn read(lines: &[(&'static str, &str)]) -> Forwarded {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let trusted = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let settings = Settings { trusted, ..Settings::default() };
        let address = SocketAddr::from(([10, 0, 0, 1], 1));
        let peer = Peer { address, local: address, tls: None };
        Forwarded::read(&headers, &Connected::new(peer, Arc::new(settings)))
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_no_proxy() {
        for (line, client, chain) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.7, 10.0.0.1"),
            ("192.0.2.7, 10.0.0.9", "192.0.2.7", "192.0.2.7, 10.0.0.9, 10.0.0.1"),
            ("6.6.6.6, 192.0.2.7, 10.0.0.9", "192.0.2.7", "192.0.2.7, 10.0.0.9, 10.0.0.1"),
            ("10.0.0.8, 10.0.0.9", "10.0.0.8", "10.0.0.8, 10.0.0.9, 10.0.0.1"),
            ("192.0.2.7, garbage, 10.0.0.9", "10.0.0.9", "10.0.0.9, 10.0.0.1"),
            ("garbage", "10.0.0.1", "10.0.0.1"),
            ("192.0.2.7:5555", "192.0.2.7", "192.0.2.7, 10.0.0.1"),
            ("[2001:db8::7]:80, ::1", "2001:db8::7", "2001:db8::7, ::1, 10.0.0.1"),
            ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7, 10.0.0.1"),
        ] {
            let said = read(&[("x-forwarded-for", line)]);
            assert_eq!(said.client.to_string(), client, "{line}");
            assert_eq!(said.chain, chain, "{line}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let said = read(&[("x-forwarded-for", "6.6.6.6, 192.0.2.7"), ("x-forwarded-for", "10.0.0.9")]);
        assert_eq!(said.client.to_string(), "192.0.2.7");
    }

    #[test]
    fn scheme_and_host_are_those_of_the_same_hop() {
        let said = read(&[
            ("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.0.0.9"),
            ("x-forwarded-proto", "ftp, https, http"),
            ("x-forwarded-host", "evil.test, Site.test, inner.test"),
        ]);
        assert_eq!(said.scheme, Some(Scheme::HTTPS));
        assert_eq!(said.authority.unwrap().as_str(), "site.test");
    }

    #[test]
    fn a_port_said_apart_is_part_of_the_name() {
        let authority = |port| {
            let lines = [("x-forwarded-proto", "https"), ("x-forwarded-host", "site.test"), ("x-forwarded-port", port)];
            read(&lines).authority.unwrap().as_str().to_owned()
        };
        assert_eq!(authority("443"), "site.test");
        assert_eq!(authority("8443"), "site.test:8443");
        assert_eq!(authority("80"), "site.test", "no https is at the port of http");
        assert_eq!(authority("x"), "site.test");
    }

    #[test]
    fn the_standard_header_says_the_same() {
        let said =
            read(&[("forwarded", "for=6.6.6.6, For=\"[2001:db8::7]:4711\";Proto=https;host=\"site.test:8443\"")]);
        assert_eq!(said.client.to_string(), "2001:db8::7");
        assert_eq!(said.scheme, Some(Scheme::HTTPS));
        assert_eq!(said.authority.unwrap().as_str(), "site.test:8443");
        assert_eq!(read(&[("forwarded", "for=unknown")]).client.to_string(), "10.0.0.1");
        assert_eq!(read(&[("x-real-ip", "192.0.2.7")]).client.to_string(), "192.0.2.7");
    }

    #[test]
    fn what_nobody_vouches_for_goes() {
        assert!(OTHERS.is_sorted());
        for name in OTHERS.iter().chain(&["forwarded", "x-forwarded-for", "x-forwarded-anything", "x-real-ip"]) {
            for trusted in [false, true] {
                let mut headers = HeaderMap::new();
                headers.append(*name, HeaderValue::from_static("6.6.6.6"));
                delete(&mut headers, trusted);
                assert_eq!(headers.is_empty(), !trusted || !OTHERS.contains(name), "{name} {trusted}");
            }
        }
    }

    #[test]
    fn a_malformed_host_is_not_believed() {
        assert_eq!(read(&[("x-forwarded-host", "a/evil")]).authority, None);
        assert_eq!(read(&[("x-forwarded-proto", "gopher")]).scheme, None);
    }
}
