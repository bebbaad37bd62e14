//! A client's first message, judged before anything is held for it: is it whole?

use rustls::InvalidMessage;

/// The type of a record that carries a handshake, and of a handshake's message that is a ClientHello (RFC 8446 sections
/// 5.1 and 4).
pub const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// The most that one record carries (RFC 8446 section 5.1), in bytes.
const MAX_RECORD_LEN: usize = 16 * 1024;

/// The longest ClientHello, in bytes. Browsers' have some 2 KiB, with keys against quantum computers.
const MAX_HELLO_LEN: usize = 16 * 1024;

/// And with the heads of its records, however many a client makes of it.
pub const LOOKED_AT: usize = 2 * MAX_HELLO_LEN;

/// What the first bytes of a connection are, the first of all being that of a handshake.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HelloVerdict {
    Whole,
    /// Could become one.
    Unfinished,
    Never(Objection),
}

/// What speaks against it, and the alert that says so (RFC 8446 section 6).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objection {
    pub reason: InvalidMessage,
    pub alert: u8,
}

impl HelloVerdict {
    const fn never(reason: InvalidMessage, alert: u8) -> HelloVerdict {
        HelloVerdict::Never(Objection { reason, alert })
    }
}

/// Judges `bytes`, which may be followed by more.
pub fn judge(mut bytes: &[u8]) -> HelloVerdict {
    let is_full = bytes.len() >= LOOKED_AT;
    let (mut head, mut seen) = ([0; 4], 0);
    let mut wanted = None;
    loop {
        match bytes.first() {
            Some(kind) if *kind != HANDSHAKE => return HelloVerdict::never(InvalidMessage::InvalidContentType, 10),
            _ => {}
        }
        let [_, major, _, high, low, rest @ ..] = bytes else { break };
        if *major != 3 {
            return HelloVerdict::never(InvalidMessage::UnknownProtocolVersion, 70);
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 {
            return HelloVerdict::never(InvalidMessage::InvalidEmptyPayload, 10);
        }
        if length > MAX_RECORD_LEN {
            return HelloVerdict::never(InvalidMessage::MessageTooLarge, 22);
        }
        let here = &rest[..length.min(rest.len())];
        for (place, byte) in head.iter_mut().skip(seen).zip(here) {
            *place = *byte;
        }
        seen += here.len();
        if seen > 0 && head[0] != CLIENT_HELLO {
            return HelloVerdict::never(InvalidMessage::UnexpectedMessage("a ClientHello comes first"), 10);
        }
        if seen >= head.len() {
            let [_, high, middle, low] = head;
            let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX);
            if length > MAX_HELLO_LEN {
                return HelloVerdict::never(InvalidMessage::HandshakePayloadTooLarge, 47);
            }
            wanted = Some(head.len() + length);
        }
        if wanted.is_some_and(|wanted| seen >= wanted) {
            return HelloVerdict::Whole;
        }
        if here.len() < length {
            break;
        }
        bytes = &rest[length..];
    }
    if is_full { HelloVerdict::never(InvalidMessage::HandshakePayloadTooLarge, 47) } else { HelloVerdict::Unfinished }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: &[u8]) -> Vec<u8> {
        [&[HANDSHAKE, 3, 1][..], &u16::try_from(payload.len()).unwrap().to_be_bytes(), payload].concat()
    }

    fn hello(length: usize) -> Vec<u8> {
        [&[CLIENT_HELLO][..], &u32::try_from(length).unwrap().to_be_bytes()[1..], &vec![7; length]].concat()
    }

    fn records(message: &[u8], of: usize) -> Vec<u8> {
        message.chunks(of).flat_map(record).collect()
    }

    #[test]
    fn it_is_whole_with_its_last_byte_and_not_before() {
        for bytes in [
            record(&hello(300)),
            records(&hello(300), 1),
            records(&hello(300), 3),
            records(&hello(MAX_HELLO_LEN), 1000),
            record(&hello(0)),
        ] {
            assert_eq!(judge(&bytes), HelloVerdict::Whole);
            assert_eq!(judge(&[&bytes[..], b"more"].concat()), HelloVerdict::Whole);
            for end in 0..bytes.len() {
                assert_eq!(judge(&bytes[..end]), HelloVerdict::Unfinished, "{end} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn what_never_becomes_one_is_not_waited_for() {
        let begun = &record(&hello(300))[..50];
        let cases = [
            (vec![HANDSHAKE, 2, 0, 0, 1], 70),
            (vec![HANDSHAKE, 3, 1, 0, 0], 10),
            (vec![HANDSHAKE, 3, 1, 0x40, 1], 22),
            (record(&[2, 0, 0, 1, 0]), 10),
            (record(&[CLIENT_HELLO, 1, 0, 0]), 47),
            ([&records(&hello(300), 40)[..45], &[21, 3, 1, 0, 2]].concat(), 10),
            (records(&hello(MAX_HELLO_LEN), 1)[..LOOKED_AT].to_vec(), 47),
        ];
        for (bytes, alert) in cases {
            let HelloVerdict::Never(objection) = judge(&bytes) else { panic!("{bytes:?}") };
            assert_eq!(objection.alert, alert, "{:?}", objection.reason);
        }
        assert_eq!(judge(begun), HelloVerdict::Unfinished);
    }
}
