//! Who holds something that is bounded: one client, as far as addresses tell.

use std::net::IpAddr;

/// One client: an IPv4 address, or the /64 that one IPv6 customer has at the least (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    V4(u32),
    V6(u64),
    /// A load balancer that does not say for whom it speaks, and what the door asks the app for many clients: it has no
    /// share, and may have all that is free.
    Trusted,
    /// The door's look whether the app is there; it is never held up, and one more than there may be.
    House,
}

impl Holder {
    pub fn of(address: IpAddr) -> Holder {
        match address.to_canonical() {
            IpAddr::V4(address) => Holder::V4(address.to_bits()),
            IpAddr::V6(address) => Holder::V6(u64::try_from(address.to_bits() >> 64).unwrap_or(u64::MAX)),
        }
    }

    /// Which of `count` maps it belongs into.
    pub fn shard(self, count: usize) -> usize {
        let bits = match self {
            Holder::V4(bits) => u64::from(bits),
            Holder::V6(bits) => bits,
            Holder::Trusted | Holder::House => 0,
        };
        let mixed = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        usize::try_from(mixed % count as u64).unwrap_or(0)
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Holder::V4(bits) => std::net::Ipv4Addr::from_bits(*bits).fmt(formatter),
            Holder::V6(bits) => write!(formatter, "{}/64", std::net::Ipv6Addr::from_bits(u128::from(*bits) << 64)),
            Holder::Trusted => formatter.write_str("a trusted one"),
            Holder::House => formatter.write_str("the door"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network() {
        let holder = |text: &str| Holder::of(text.parse().unwrap());
        assert_eq!(holder("192.0.2.1"), holder("::ffff:192.0.2.1"));
        assert_ne!(holder("192.0.2.1"), holder("192.0.2.2"));
        assert_eq!(holder("2001:db8::1"), holder("2001:db8::ffff:1"));
        assert_ne!(holder("2001:db8::1"), holder("2001:db8:0:1::1"));
        assert_eq!(holder("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(holder("2001:db8:0:1::1").to_string(), "2001:db8:0:1::/64");
    }
}
