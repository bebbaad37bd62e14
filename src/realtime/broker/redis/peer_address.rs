//! Where one door is reached by the others.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use toml::de::DeValue;

use crate::settings::{Expected, Setting};

/// A host and a port, as the other doors are told them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    /// 0: whichever is free; the others are told.
    pub port: u16,
}

impl PeerAddress {
    /// Reads `host:port`, where IPv6 addresses have brackets.
    pub fn read(text: &str) -> Option<PeerAddress> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let is_name = |char: char| char.is_ascii_alphanumeric() || "-._".contains(char);
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|host| host.parse::<Ipv6Addr>().is_ok())?,
            None => Some(host).filter(|host| (1..=253).contains(&host.len()) && host.chars().all(is_name))?,
        };
        Some(PeerAddress { host: host.to_owned(), port })
    }

    /// Where to listen for it: there, if it is an address, else at the port of all this machine has.
    pub fn listen(&self) -> SocketAddr {
        (self.host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), self.port).into()
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(formatter, "{open}{}{close}:{}", self.host, self.port)
    }
}

impl Setting for PeerAddress {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        let words = "a host and a port by which other doors reach this one, as in \"10.0.0.5:7443\"";
        value.as_str().and_then(PeerAddress::read).ok_or(Expected(words.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        for (text, listen) in
            [("10.0.0.5:7443", "10.0.0.5:7443"), ("[::1]:7443", "[::1]:7443"), ("door-1.internal:7443", "0.0.0.0:7443")]
        {
            let address = PeerAddress::read(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.listen().to_string().as_str()), (text, listen));
        }
        for text in
            ["", ":7443", "10.0.0.5", "10.0.0.5:-1", "10.0.0.5:x", "::1:7443", "[10.0.0.5]:1", "a b:1", "a:70000"]
        {
            assert_eq!(PeerAddress::read(text), None, "{text}");
        }
    }
}
