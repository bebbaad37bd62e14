//! What RFC 6455 demands of a server, byte by byte: each case is sent in one piece, and then one byte at a time.

use super::*;
use crate::settings::Size;

/// Frames of the server: first byte and payload.
type Heard = Vec<(u8, Vec<u8>)>;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const CONTINUE: u8 = 0x80;
/// Of a first byte: not the last frame of its message.
const MORE: u8 = 0x7f;

fn frames(bytes: &[u8]) -> Heard {
    let mut heard = Vec::new();
    let mut rest = bytes;
    while let [first, second, tail @ ..] = rest {
        assert!(second & 0x80 == 0, "a server never masks");
        let (length, tail) = match *second {
            126 => (usize::from(u16::from_be_bytes(tail[..2].try_into().unwrap())), &tail[2..]),
            127 => (u64::from_be_bytes(tail[..8].try_into().unwrap()) as usize, &tail[8..]),
            short => (usize::from(short), tail),
        };
        heard.push((*first, tail[..length].to_vec()));
        rest = &tail[length..];
    }
    assert!(rest.is_empty(), "half a frame");
    heard
}

/// Everything an echoing server says to a client that sends `bytes`, then nothing more.
async fn say(config: Config, bytes: &[u8], at_a_time: usize) -> Heard {
    let (link, client) = pair_with(&config, None).await;
    client.set_nodelay(true).unwrap();
    let server = tokio::spawn(echo(link));
    let (mut reading, mut writing) = client.into_split();
    let bytes = bytes.to_vec();
    let writer = tokio::spawn(async move {
        for piece in bytes.chunks(at_a_time) {
            writing.write_all(piece).await.unwrap();
        }
        writing.shutdown().await.unwrap();
    });
    let mut heard = Vec::new();
    timeout(TEST_TIMEOUT, reading.read_to_end(&mut heard)).await.expect("an end in time").expect("no reset");
    writer.await.unwrap();
    server.await.unwrap();
    frames(&heard)
}

async fn both(bytes: &[u8]) -> Heard {
    let whole = say(Config::default(), bytes, usize::MAX).await;
    assert_eq!(whole, say(Config::default(), bytes, 1).await, "one byte at a time it is another answer");
    whole
}

/// The server's last word is a close frame with `code`, after `before` other frames.
#[track_caller]
fn assert_closed(heard: &Heard, before: usize, code: u16, case: &str) {
    assert_eq!(heard.len(), before + 1, "{case}: {heard:?}");
    let (first, payload) = heard.last().unwrap();
    assert_eq!(*first, CLOSE, "{case}");
    assert_eq!(payload.get(..2), Some(&code.to_be_bytes()[..]), "{case}: {heard:?}");
    assert!(std::str::from_utf8(&payload[2..]).is_ok(), "{case}");
}

fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

/// Sections 5.1 and 5.2: what no header may say.
#[tokio::test]
async fn wrong_headers_are_protocol_errors() {
    let long = |length: &[u8]| [&[BINARY, 0x80 | if length.len() == 2 { 126 } else { 127 }], length, &[0; 4]].concat();
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("unmasked text".into(), vec![TEXT, 0x01, b'x']),
        ("unmasked and empty".into(), vec![TEXT, 0x00]),
        ("unmasked close".into(), vec![CLOSE, 0x00]),
        ("unmasked ping".into(), vec![PING, 0x00]),
        ("16-bit length of 125".into(), long(&125_u16.to_be_bytes())),
        ("16-bit length of 0".into(), long(&0_u16.to_be_bytes())),
        ("64-bit length of 125".into(), long(&125_u64.to_be_bytes())),
        ("64-bit length of 65535".into(), long(&65_535_u64.to_be_bytes())),
        ("64-bit length with its highest bit".into(), long(&(1_u64 << 63).to_be_bytes())),
        ("64-bit length of all bits".into(), long(&u64::MAX.to_be_bytes())),
    ];
    for bits in 1..8_u8 {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            cases.push((format!("reserved bits {bits:03b} on {opcode:#x}"), masked(opcode | bits << 4, b"")));
        }
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        cases.push((format!("opcode {opcode:#x}"), masked(0x80 | opcode, b"")));
        cases.push((format!("opcode {opcode:#x}, not final"), masked(opcode, b"x")));
    }
    for opcode in [CLOSE, PING, PONG] {
        cases.push((format!("a part of control {opcode:#x}"), masked(opcode & MORE, b"")));
        cases.push((format!("control {opcode:#x} of 126 bytes"), masked(opcode, &[b'x'; 126])));
        cases.push((format!("control {opcode:#x} of 65536 bytes"), masked(opcode, &[b'x'; 65_536])[..14].to_vec()));
    }
    for (case, bytes) in cases {
        // What follows a broken frame is not looked at.
        let bytes = [&masked(TEXT, b"before")[..], &bytes, &masked(TEXT, b"after")].concat();
        let heard = both(&bytes).await;
        assert_eq!(heard[0], (TEXT, b"before".to_vec()), "{case}");
        assert_closed(&heard, 1, 1002, &case);
    }
}

/// Section 5.4.
#[tokio::test]
async fn control_frames_may_stand_between_fragments() {
    let bytes = [
        masked(TEXT & MORE, b"Hel"),
        masked(PING, b"are you there?"),
        masked(CONTINUE & MORE, b""),
        masked(PONG, b"unasked"),
        masked(CONTINUE & MORE, b"l"),
        masked(CONTINUE, b"o"),
        masked(BINARY & MORE, b""),
        masked(CONTINUE & MORE, b""),
        masked(CONTINUE, b""),
        masked(BINARY & MORE, &[0xff; 300]),
        masked(CONTINUE, &[0xfe; 70_000]),
        masked(TEXT, b""),
    ];
    let heard = both(&bytes.concat()).await;
    let expected = vec![
        (PONG, b"are you there?".to_vec()),
        (TEXT, b"Hello".to_vec()),
        (BINARY, Vec::new()),
        (BINARY, [vec![0xff; 300], vec![0xfe; 70_000]].concat()),
        (TEXT, Vec::new()),
    ];
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn fragments_out_of_order_are_protocol_errors() {
    let cases = [
        ("continuation of nothing", vec![masked(CONTINUE, b"x")]),
        ("continuation of nothing, not final", vec![masked(CONTINUE & MORE, b"x")]),
        ("text inside text", vec![masked(TEXT & MORE, b"x"), masked(TEXT, b"y")]),
        ("binary inside text", vec![masked(TEXT & MORE, b"x"), masked(BINARY, b"y")]),
        ("text inside binary", vec![masked(BINARY & MORE, b"x"), masked(TEXT & MORE, b"y")]),
        ("a reserved bit on a continuation", vec![masked(TEXT & MORE, b"x"), masked(CONTINUE | 0x40, b"y")]),
        (
            "continuation after the last",
            vec![masked(TEXT & MORE, b"x"), masked(CONTINUE, b"y"), masked(CONTINUE, b"z")],
        ),
        ("continuation after a whole message", vec![masked(TEXT, b"x"), masked(CONTINUE, b"z")]),
    ];
    for (case, bytes) in cases {
        let heard = both(&bytes.concat()).await;
        assert_closed(&heard, heard.len() - 1, 1002, case);
    }
}

/// Section 5.5.2 and 5.5.3.
#[tokio::test]
async fn pings_of_every_length_are_answered_alike() {
    for length in 0..=125 {
        let payload: Vec<u8> = (0..length).map(|n| n as u8 ^ 0xa5).collect();
        assert_eq!(both(&masked(PING, &payload)).await, [(PONG, payload)]);
    }
    assert_eq!(both(&masked(PONG, b"unasked")).await, []);
}

/// Sections 5.5.1 and 7.4.
#[tokio::test]
async fn close_frames_are_answered_by_what_they_say() {
    assert_eq!(both(&masked(CLOSE, b"")).await, [(CLOSE, Vec::new())]);
    for code in [1000_u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        let expected = [(CLOSE, code.to_be_bytes().to_vec())];
        assert_eq!(both(&masked(CLOSE, &close_payload(code, b""))).await, expected);
        assert_eq!(both(&masked(CLOSE, &close_payload(code, "pourquoi pas à".as_bytes()))).await, expected);
        assert_eq!(both(&masked(CLOSE, &close_payload(code, &[b'x'; 123]))).await, expected);
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let heard = both(&masked(CLOSE, &close_payload(code, b"no"))).await;
        assert_closed(&heard, 0, 1002, &format!("code {code}"));
    }
    assert_closed(&both(&masked(CLOSE, b"\x03")).await, 0, 1002, "half a code");
    for reason in [&b"\xff"[..], b"ok \xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"] {
        assert_closed(&both(&masked(CLOSE, &close_payload(1000, reason))).await, 0, 1007, "a reason that is no text");
    }
}

/// Section 5.5.1: after a close frame nothing is sent, and nothing that comes is heeded.
#[tokio::test]
async fn nothing_follows_a_close() {
    let bytes =
        [masked(TEXT & MORE, b"half"), masked(CLOSE, b""), masked(CONTINUE, b""), masked(PING, b""), vec![0xff; 40]];
    assert_eq!(both(&bytes.concat()).await, [(CLOSE, Vec::new())]);
}

/// Section 7.4.1, 1009: limits are ours to set, and to tell.
#[tokio::test]
async fn what_is_too_long_is_refused_before_it_has_come() {
    let config = Config { max_message: Size(1000), max_frame: Size(600), ..Config::default() };
    let parts = |lengths: &[usize]| {
        let last = lengths.len() - 1;
        let first = |place| if place == 0 { BINARY } else { CONTINUE } & if place == last { 0xff } else { MORE };
        let frames = lengths.iter().enumerate().map(|(place, length)| masked(first(place), &vec![7; *length]));
        frames.collect::<Vec<_>>().concat()
    };
    for fits in [&[600][..], &[600, 400], &[1; 1000], &[0; 2000], &[600, 0, 400, 0]] {
        for at_a_time in [usize::MAX, 1] {
            let expected = [(BINARY, vec![7; fits.iter().sum()])];
            assert_eq!(say(config, &parts(fits), at_a_time).await, expected, "{fits:?}");
        }
    }
    // The headers alone decide: their payloads are never sent.
    let header = |first: u8, length: usize| {
        let frame = masked(first, &vec![7; length]);
        frame[..frame.len() - length].to_vec()
    };
    let mut cases = vec![("a frame", header(BINARY, 601)), ("a huge frame", header(TEXT, 70_000))];
    let most = [masked(BINARY & MORE, &[7; 600]), masked(CONTINUE & MORE, &[7; 400])].concat();
    cases.push(("one byte more", [most.clone(), header(CONTINUE, 1)].concat()));
    cases.push(("many bytes more", [most, header(CONTINUE & MORE, 600)].concat()));
    let whole = Config { max_message: Size(500), ..config };
    assert_closed(&say(whole, &header(BINARY, 501), 1).await, 0, 1009, "a message in one frame");
    for (case, bytes) in cases {
        for at_a_time in [usize::MAX, 1] {
            assert_closed(&say(config, &bytes, at_a_time).await, 0, 1009, case);
        }
    }
}

/// Sections 5.6 and 8.1.
#[tokio::test]
async fn text_that_is_not_utf8_is_refused_wherever_it_stands() {
    for wrong in super::utf8::WRONG {
        for before in ["", "x", "κόσμε", "\u{10ffff}"] {
            let text = [before.as_bytes(), wrong, b"after"].concat();
            assert_closed(&both(&masked(TEXT, &text)).await, 0, 1007, &format!("{wrong:x?} behind {before:?}"));
        }
        let heard = both(&[masked(TEXT & MORE, wrong), masked(CONTINUE, b"after")].concat()).await;
        assert_closed(&heard, 0, 1007, &format!("{wrong:x?} in a fragment"));
        assert_eq!(both(&masked(BINARY, wrong)).await, [(BINARY, wrong.to_vec())], "bytes need not be text");
    }
}
