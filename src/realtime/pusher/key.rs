//! A key and its secret: signatures of subscriptions, of users, of requests and of webhooks, all HMAC-SHA256 in hex.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;

/// A key of an app. `Debug` does not show its secret.
#[derive(Clone)]
pub struct AppKey {
    id: Arc<str>,
    secret: Arc<str>,
    hmac: hmac::Key,
}

impl AppKey {
    pub fn new(id: &str, secret: &str) -> AppKey {
        AppKey { id: id.into(), secret: secret.into(), hmac: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()) }
    }

    /// What clients call the app's key: no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The signature of `parts`, joined by nothing.
    pub fn sign(&self, parts: &[&[u8]]) -> String {
        hex(self.tag(parts).as_ref())
    }

    /// Whether `signature` is that of `parts`. Takes as long whichever of its digits is wrong.
    pub fn verify(&self, parts: &[&[u8]], signature: &str) -> bool {
        let Some(signature) = from_hex(signature) else { return false };
        aws_lc_rs::constant_time::verify_slices_are_equal(self.tag(parts).as_ref(), &signature).is_ok()
    }

    fn tag(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.hmac);
        for part in parts {
            context.update(part);
        }
        context.sign()
    }
}

impl PartialEq for AppKey {
    fn eq(&self, other: &AppKey) -> bool {
        (&self.id, &self.secret) == (&other.id, &other.secret)
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AppKey({}, …)", self.id)
    }
}

/// Bytes as two small digits each.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Pusher's own documentation.
    #[test]
    fn it_signs_as_the_documentation_does() {
        let key = AppKey::new("278d425bdf160c739803", "7ad3773142a6692b25b8");
        let signature = "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
        assert_eq!(key.sign(&[b"1234.1234:private-foobar"]), signature);
        assert!(key.verify(&[b"1234.1234", b":", b"private-foobar"], signature));
        assert!(key.verify(&[b"1234.1234:private-foobar"], &signature.to_uppercase()));
        let longer = [format!("{signature}0"), format!("{signature}00")];
        let shorter = [&signature[..63], &signature[..62]];
        for wrong in ["", "58", shorter[0], shorter[1], &longer[0], &longer[1], &signature.replace('5', "6"), "é"] {
            assert!(!key.verify(&[b"1234.1234:private-foobar"], wrong), "{wrong}");
        }
        assert!(!key.verify(&[b"1234.1235:private-foobar"], signature));
        assert_eq!(format!("{key:?}"), "AppKey(278d425bdf160c739803, …)");
    }
}
