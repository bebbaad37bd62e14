//! UTF-8 across frames and pieces of frames (RFC 6455 section 8.1), sans-io.

use super::*;
use crate::realtime::vocabulary::Breach;

/// What is no UTF-8 (RFC 3629): stray and missing continuations, overlong forms, surrogates, beyond the last character.
pub const WRONG: &[&[u8]] = &[
    b"\x80",
    b"\xbf",
    b"\xfe",
    b"\xff",
    b"\xc3\x28",
    b"\xc0\xaf",
    b"\xc1\xbf",
    b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf",
    b"\xe2\x28\xa1",
    b"\xe2\x82\x28",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf0\x28\x8c\xbc",
    b"\xf0\x90\x28\xbc",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
];

const TEXT: &str = "a κόσμε \u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff} z";

fn decoder() -> FrameDecoder {
    FrameDecoder::new(FrameLimits { message: 1 << 20, frame: 1 << 20 }, None)
}

/// The frames in `bytes`, or the violation and how many bytes it took to see it.
fn decode(bytes: &[u8]) -> Result<Vec<Frame>, (Violation, usize)> {
    let mut decoder = decoder();
    let mut frames = Vec::new();
    for (place, byte) in bytes.iter().enumerate() {
        let decoded = decoder.decode(&mut [*byte]).map_err(|violation| (violation, place + 1))?;
        frames.extend(decoded.frame);
    }
    Ok(frames)
}

#[test]
fn a_character_may_be_split_anywhere() {
    for first in 0..=TEXT.len() {
        for second in first..=TEXT.len() {
            let bytes = [
                masked(0x01, &TEXT.as_bytes()[..first]),
                masked(0x00, &TEXT.as_bytes()[first..second]),
                masked(0x80, &TEXT.as_bytes()[second..]),
            ];
            assert_eq!(decode(&bytes.concat()), Ok(vec![Frame::text(TEXT)]), "{first} {second}");
        }
    }
}

#[test]
fn what_cannot_become_text_is_refused_at_its_first_wrong_byte() {
    for wrong in WRONG {
        let good = std::str::from_utf8(wrong).unwrap_err();
        // How many of its bytes some text could still begin with.
        let possible = (0..wrong.len()).rev().find(|length| match std::str::from_utf8(&wrong[..*length]) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        });
        assert_eq!(good.valid_up_to(), 0);
        for place in 0..20 {
            let payload = [&vec![b'x'; place][..], wrong, &[b'y'; 200]].concat();
            // In one frame that never ends, and in the first fragment of a message that goes on.
            let (violation, seen) = decode(&masked(0x01, &payload)).unwrap_err();
            assert_eq!(violation.breach, Breach::NotUtf8);
            let header = masked(0x01, &payload).len() - payload.len();
            assert_eq!(seen, header + place + possible.unwrap() + 1, "{wrong:x?} at {place}");
        }
    }
}

#[test]
fn text_that_ends_inside_a_character_is_refused_at_its_end() {
    for end in 1..TEXT.len() {
        let outcome = decode(&masked(0x81, &TEXT.as_bytes()[..end]));
        assert_eq!(outcome.is_ok(), TEXT.is_char_boundary(end), "{end}");
        let outcome = decode(&[masked(0x01, &TEXT.as_bytes()[..end]), masked(0x80, b"")].concat());
        assert_eq!(outcome.is_ok(), TEXT.is_char_boundary(end), "{end}, fragmented");
    }
}
