//! What a door tells the others of itself: where it is, and what certificate it shows.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

use crate::realtime::broker::redis::PeerAddress;

/// The SHA-256 of a certificate.
pub type Thumbprint = [u8; 32];

/// That of a certificate as it travels.
pub fn thumbprint(certificate: &[u8]) -> Thumbprint {
    let mut print = [0; 32];
    print.copy_from_slice(digest(&SHA256, certificate).as_ref());
    print
}

/// A door that others can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCard {
    pub address: PeerAddress,
    pub certificate: Thumbprint,
}

impl PeerCard {
    /// Reads what [`fmt::Display`] writes.
    pub fn read(text: &str) -> Option<PeerCard> {
        let (address, print) = text.split_once(' ')?;
        let mut certificate = [0; 32];
        for (byte, digits) in certificate.iter_mut().zip(print.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        let is_whole = print.len() == 64 && print.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_whole.then_some(PeerCard { address: PeerAddress::read(address)?, certificate })
    }
}

impl fmt::Display for PeerCard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.address)?;
        self.certificate.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        let address = PeerAddress::read("[::1]:7443").unwrap();
        let card = PeerCard { address, certificate: thumbprint(b"x") };
        let text = card.to_string();
        assert_eq!(PeerCard::read(&text), Some(card));
        for text in ["", "[::1]:7443", &text[1..], &text[..text.len() - 1], &format!("{text}0"), &text.replace(' ', "")]
        {
            assert_eq!(PeerCard::read(text), None, "{text}");
        }
        assert_eq!(PeerCard::read(&format!("a:1 {}", "+1".repeat(32))), None);
    }
}
