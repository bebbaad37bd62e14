//! However a stream of bytes is cut, the decoder says the same of it.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::settings::Size;

const LIMITS: FrameLimits = FrameLimits { message: 2000, frame: 1500 };

fn agreed() -> Agreed {
    let config = Config { deflate: true, deflate_context: true, max_message: Size(2000), ..Config::default() };
    extension::negotiate(["permessage-deflate"].into_iter(), config.offerable()).unwrap().unwrap()
}

/// Everything in `bytes`, cut after each of `lengths` in turn.
fn decode(bytes: &[u8], agreed: Option<&Agreed>, lengths: &[usize]) -> (Vec<Frame>, Option<u16>) {
    let mut decoder = FrameDecoder::new(LIMITS, agreed);
    let mut frames = Vec::new();
    let mut bytes = bytes.to_vec();
    let mut rest = &mut bytes[..];
    for length in lengths.iter().copied().cycle() {
        if rest.is_empty() {
            break;
        }
        let (mut piece, after) = rest.split_at_mut(length.clamp(1, rest.len()));
        rest = after;
        while !piece.is_empty() {
            match decoder.decode(piece) {
                Ok(decoded) => {
                    assert!(decoded.used > 0 && (decoded.frame.is_some() || decoded.used == piece.len()));
                    frames.extend(decoded.frame);
                    piece = &mut piece[decoded.used..];
                }
                Err(violation) => {
                    // And nothing after it.
                    assert_eq!(decoder.decode(rest), Ok(DecodedFrame { used: rest.len(), frame: None }));
                    return (frames, Some(violation.breach.code()));
                }
            }
        }
    }
    (frames, None)
}

/// Mostly right frames: opcodes, lengths and order as clients send them, and sometimes not.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        8 => "[a-zé☃🦀]{0,40}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..300),
        1 => (0..1600_usize).prop_map(|length| vec![b'x'; length]),
        2 => "[ab]{0,200}".prop_map(|text| deflated(text.as_bytes())),
    ];
    let first = prop_oneof![
        10 => proptest::sample::select(vec![0x81_u8, 0x82, 0x89, 0x8a]),
        6 => proptest::sample::select(vec![0x01_u8, 0x02, 0x00, 0x80]),
        3 => proptest::sample::select(vec![0xc1_u8, 0xc2, 0x41]),
        1 => any::<u8>(),
    ];
    let frame = (first, payload).prop_map(|(first, payload)| masked(first, &payload));
    vec(frame, 0..12).prop_map(|frames| frames.concat())
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(1000);
    let mut compress = flate2::Compress::new(flate2::Compression::fast(), false);
    compress.compress_vec(text, &mut output, flate2::FlushCompress::Sync).unwrap();
    output.truncate(output.len() - 4);
    output
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_cut_gives_the_same_frames(bytes in stream(), lengths in vec(1..400_usize, 1..8)) {
        for agreed in [None, Some(&agreed())] {
            let whole = decode(&bytes, agreed, &[usize::MAX]);
            prop_assert_eq!(&decode(&bytes, agreed, &lengths), &whole);
            prop_assert_eq!(&decode(&bytes, agreed, &[1]), &whole);
        }
    }

    #[test]
    fn any_bytes_at_all_are_borne(bytes in vec(any::<u8>(), 0..500), lengths in vec(1..40_usize, 1..8)) {
        let whole = decode(&bytes, Some(&agreed()), &[usize::MAX]);
        prop_assert_eq!(&decode(&bytes, Some(&agreed()), &lengths), &whole);
    }
}
