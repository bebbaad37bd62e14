//! Several packets in the body of one request: texts as they are, bytes in base64 behind a `b`, a record separator
//! between them.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use bytes::{Bytes, BytesMut};

use crate::realtime::vocabulary::{Frame, Text};

const SEPARATOR: u8 = 0x1e;
const BINARY: u8 = b'b';

/// Clients pad; not all that speak this do.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedPayload {
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("bytes of the body are not base64")]
    NotBase64,
    #[error("the body has too many packets")]
    TooMany,
}

/// A body that is read packet by packet: nothing is made of a packet before its turn.
#[derive(Debug)]
pub struct PollingPayload {
    body: Bytes,
    at: usize,
    is_at_end: bool,
}

impl PollingPayload {
    /// # Errors
    /// [`MalformedPayload`] where that can be told beforehand: then nothing of it is heard.
    pub fn new(body: Bytes, most: usize) -> Result<PollingPayload, MalformedPayload> {
        if memchr::memchr_iter(SEPARATOR, &body).count() >= most {
            return Err(MalformedPayload::TooMany);
        }
        if std::str::from_utf8(&body).is_err() {
            return Err(MalformedPayload::NotUtf8);
        }
        Ok(PollingPayload { body, at: 0, is_at_end: false })
    }
}

impl Iterator for PollingPayload {
    type Item = Result<Frame, MalformedPayload>;

    /// The next packet. An empty body has one, which is empty, and so has what is between two separators.
    fn next(&mut self) -> Option<Result<Frame, MalformedPayload>> {
        if self.is_at_end {
            return None;
        }
        let rest = &self.body[self.at..];
        let end = memchr::memchr(SEPARATOR, rest);
        self.is_at_end = end.is_none();
        let packet = &rest[..end.unwrap_or(rest.len())];
        self.at += packet.len() + 1;
        Some(if let Some(base64) = packet.strip_prefix(&[BINARY]) {
            LENIENT.decode(base64).map(|bytes| Frame::Binary(bytes.into())).map_err(|_| MalformedPayload::NotBase64)
        } else {
            // Copied: what is kept of a packet must not keep the whole body.
            std::str::from_utf8(packet).map(|text| Frame::Text(Text::from(text))).map_err(|_| MalformedPayload::NotUtf8)
        })
    }
}

/// One body of all `frames`, and `last` behind them.
pub fn encode<'a>(frames: impl Iterator<Item = &'a Frame> + Clone, last: Option<&str>) -> Bytes {
    let length: usize = frames.clone().map(|frame| 2 + frame.len() + frame.len() / 3).sum();
    let mut body = BytesMut::with_capacity(length + last.map_or(0, str::len) + 4);
    for frame in frames {
        match frame {
            Frame::Text(text) => separate(&mut body).extend_from_slice(text.as_bytes()),
            Frame::Binary(bytes) => {
                let mut text = String::with_capacity(2 + bytes.len().div_ceil(3) * 4);
                STANDARD.encode_string(bytes, &mut text);
                let body = separate(&mut body);
                body.extend_from_slice(&[BINARY]);
                body.extend_from_slice(text.as_bytes());
            }
            Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => {}
        }
    }
    if let Some(last) = last {
        separate(&mut body).extend_from_slice(last.as_bytes());
    }
    body.freeze()
}

fn separate(body: &mut BytesMut) -> &mut BytesMut {
    if !body.is_empty() {
        body.extend_from_slice(&[SEPARATOR]);
    }
    body
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> Result<Vec<Frame>, MalformedPayload> {
        PollingPayload::new(Bytes::copy_from_slice(body.as_bytes()), 1000)?.collect()
    }

    fn text(text: &str) -> Frame {
        Frame::Text(text.into())
    }

    #[test]
    fn packets_are_told_apart_by_a_separator() {
        assert_eq!(read("4hello"), Ok(vec![text("4hello")]));
        assert_eq!(
            read("4a\u{1e}2\u{1e}bAQIDBA=="),
            Ok(vec![text("4a"), text("2"), Frame::Binary(vec![1, 2, 3, 4].into())])
        );
        assert_eq!(read("bAQIDBA"), Ok(vec![Frame::Binary(vec![1, 2, 3, 4].into())]), "padding may be left out");
        assert_eq!(read("4€\u{1e}4é"), Ok(vec![text("4€"), text("4é")]));
        assert_eq!(read(""), Ok(vec![text("")]), "an empty body is an empty packet, which is none");
        assert_eq!(read("4a\u{1e}"), Ok(vec![text("4a"), text("")]));
    }

    #[test]
    fn what_is_malformed_is_told_beforehand_where_it_can_be() {
        assert_eq!(read("b*"), Err(MalformedPayload::NotBase64));
        assert_eq!(PollingPayload::new(Bytes::from_static(b"4\xff"), 10).unwrap_err(), MalformedPayload::NotUtf8);
        assert!(PollingPayload::new(Bytes::from_static(b"4\x1e4\x1e4"), 3).is_ok());
        assert_eq!(PollingPayload::new(Bytes::from_static(b"4\x1e4\x1e4"), 2).unwrap_err(), MalformedPayload::TooMany);
    }

    #[test]
    fn bodies_look_like_those_of_the_node_server() {
        let frames = [text("4hello"), text("4€"), Frame::Binary(vec![1, 2, 3, 4].into())];
        assert_eq!(encode(frames.iter(), None), "4hello\u{1e}4€\u{1e}bAQIDBA==");
        assert_eq!(encode(frames[..1].iter(), Some("1")), "4hello\u{1e}1");
        assert_eq!(encode([].iter(), Some("6")), "6");
    }

    fn frame() -> impl Strategy<Value = Frame> {
        prop_oneof![
            "4[^\u{1e}]{0,20}".prop_map(|text| Frame::Text(text.into())),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Frame::Binary(bytes.into())),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(frames in prop::collection::vec(frame(), 1..20)) {
            let read: Result<Vec<_>, _> = PollingPayload::new(encode(frames.iter(), None), 1000).unwrap().collect();
            prop_assert_eq!(read, Ok(frames));
        }

        #[test]
        fn no_body_makes_it_panic_or_go_on_for_ever(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let most = body.len() + 1;
            if let Ok(payload) = PollingPayload::new(body.into(), most + 1) {
                prop_assert!(payload.count() <= most);
            }
        }
    }
}
