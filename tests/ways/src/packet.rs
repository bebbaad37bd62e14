//! What the relay must know of an IP packet: whose connection it is, and what a reset of it looks like.

use std::net::{Ipv4Addr, SocketAddrV4};

const IPV4_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
const TCP: u8 = 6;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A TCP segment in a packet of IPv4.
pub struct Segment<'a> {
    packet: &'a [u8],
    tcp: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Nothing where it is something else.
    pub fn read(packet: &'a [u8]) -> Option<Segment<'a>> {
        let length = usize::from(packet.first()? & 15) * 4;
        let is_tcp = packet[0] >> 4 == 4 && *packet.get(9)? == TCP;
        let tcp = packet.get(length..).filter(|tcp| is_tcp && length >= IPV4_HEADER && tcp.len() >= TCP_HEADER)?;
        Some(Segment { packet, tcp })
    }

    pub fn from(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip(12), self.u16(0))
    }

    pub fn to(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip(16), self.u16(2))
    }

    /// Does it open a connection?
    pub fn opens(&self) -> bool {
        self.tcp[13] & (SYN | ACK) == SYN
    }

    /// Does it end one at once?
    pub fn resets(&self) -> bool {
        self.tcp[13] & RST != 0
    }

    /// What its sender is told where nobody knows the connection (RFC 9293 section 3.10.7.1).
    pub fn answered_with_a_reset(&self) -> Vec<u8> {
        let data = self.tcp.len().saturating_sub(usize::from(self.tcp[12] >> 4) * 4);
        let flags = self.tcp[13];
        let taken = data as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        let (sequence, acknowledged, answer) =
            if flags & ACK != 0 { (self.u32(8), 0, RST) } else { (0, self.u32(4).wrapping_add(taken), RST | ACK) };
        let mut packet = vec![0; IPV4_HEADER + TCP_HEADER];
        let (ip, tcp) = packet.split_at_mut(IPV4_HEADER);
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&((IPV4_HEADER + TCP_HEADER) as u16).to_be_bytes());
        ip[8] = 64;
        ip[9] = TCP;
        ip[12..16].copy_from_slice(&self.packet[16..20]);
        ip[16..20].copy_from_slice(&self.packet[12..16]);
        let sum = checksum(ip, 0);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        tcp[0..2].copy_from_slice(&self.tcp[2..4]);
        tcp[2..4].copy_from_slice(&self.tcp[0..2]);
        tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&acknowledged.to_be_bytes());
        tcp[12] = ((TCP_HEADER / 4) << 4) as u8;
        tcp[13] = answer;
        // Addresses, protocol and length are in TCP's sum as well.
        let sum = checksum(&ip[12..20], u32::from(TCP) + TCP_HEADER as u32);
        let sum = checksum(tcp, u32::from(!sum));
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn ip(&self, at: usize) -> Ipv4Addr {
        Ipv4Addr::new(self.packet[at], self.packet[at + 1], self.packet[at + 2], self.packet[at + 3])
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.tcp[at], self.tcp[at + 1]])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.tcp[at], self.tcp[at + 1], self.tcp[at + 2], self.tcp[at + 3]])
    }
}

/// The Internet's checksum (RFC 1071) of an even number of bytes, on top of `sum`.
fn checksum(bytes: &[u8], mut sum: u32) -> u16 {
    for pair in bytes.chunks_exact(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A packet of the test's own, from port to port; the server's is 80.
    pub fn packet(from: u16, to: u16, flags: u8) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x45;
        packet[9] = TCP;
        let address = |port| [10, 0, 0, if port == 80 { 2 } else { 1 }];
        packet[12..16].copy_from_slice(&address(from));
        packet[16..20].copy_from_slice(&address(to));
        packet[20..22].copy_from_slice(&from.to_be_bytes());
        packet[22..24].copy_from_slice(&to.to_be_bytes());
        packet[24..28].copy_from_slice(&7u32.to_be_bytes());
        packet[28..32].copy_from_slice(&9u32.to_be_bytes());
        packet[32] = 0x50;
        packet[33] = flags;
        packet
    }

    pub const OPENS: u8 = SYN;
    pub const GOES_ON: u8 = ACK;

    #[test]
    fn a_reset_goes_back_with_sums_that_are_right() {
        let packet = packet(4000, 80, ACK);
        let reset = Segment::read(&packet).unwrap().answered_with_a_reset();
        let read = Segment::read(&reset).unwrap();
        assert_eq!((read.from().port(), read.to().port()), (80, 4000));
        assert_eq!((read.u32(4), read.resets()), (9, true));
        // Summed up with the sum itself, nothing is left.
        assert_eq!(checksum(&reset[..20], 0), 0);
        let pseudo = checksum(&reset[12..20], u32::from(TCP) + TCP_HEADER as u32);
        assert_eq!(checksum(&reset[20..], u32::from(!pseudo)), 0);
    }

    #[test]
    fn what_is_no_segment_is_none() {
        for bytes in [&b""[..], &[0x45; 12], &[0x60; 60], &[0x45; 39]] {
            assert!(Segment::read(bytes).is_none());
        }
    }
}
