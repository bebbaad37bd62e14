//! Bytes of a client of HTTP/1: however they are cut the same passes, and what passes is what other parsers see too.

use doorway::http::Refusal;
use doorway::http::connection::http1::{Limits, Next, RequestValidator, refusal_line, respelt};

const LIMITS: Limits = Limits { head: 2048, headers: 20, target: 512 };

/// What passed, how many requests that is, and how it ended.
#[derive(Debug, PartialEq)]
struct Passed {
    bytes: Vec<u8>,
    heads: u64,
    /// For what depends on how much was there to be looked at.
    is_refused: bool,
    is_over: bool,
}

/// Shows a guard `bytes` in pieces of the lengths in `cuts`, until it asks for an upgrade. Where it `offers` plain heads, each
/// is taken to pass.
fn pass(bytes: &[u8], cuts: &[u8], offers: bool) -> Option<Passed> {
    let mut guard = RequestValidator::new(LIMITS);
    let mut passed = Passed { bytes: Vec::new(), heads: 0, is_refused: false, is_over: false };
    let (mut waiting, mut rest) = (Vec::new(), bytes);
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let length = cuts.next().map_or(rest.len(), |cut| usize::from(*cut).clamp(1, rest.len()));
        waiting.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
        guard.offer(offers);
        let mut verdict = guard.inspect(&waiting);
        loop {
            assert!(verdict.pass <= waiting.len());
            passed.bytes.extend(waiting.drain(..verdict.pass));
            match verdict.next {
                Next::Respell(length) => {
                    let head: Vec<u8> = waiting.drain(..length).collect();
                    passed.bytes.extend(respelt(&head));
                }
                Next::Offer(length) => {
                    assert!(offers && verdict.pass == 0, "it is offered where that is asked for, at the beginning");
                    passed.bytes.extend(waiting.drain(..length));
                }
                _ => break,
            }
            guard.offer(offers);
            verdict = guard.inspect(&waiting);
        }
        if guard.is_upgrading() {
            return None;
        }
        match verdict.next {
            Next::Respell(_) | Next::Offer(_) => unreachable!("dealt with above"),
            Next::More => assert!(waiting.len() < LIMITS.head, "no more is kept than a head may have"),
            // What follows an upgrade too early depends on the cut.
            Next::TooEager | Next::Refuse(Refusal::UpgradeTooEager) => return None,
            Next::BadBody => passed.is_over = true,
            Next::Refuse(_) => {
                passed.is_refused = true;
                passed.is_over = true;
            }
        }
        if passed.is_over {
            assert_eq!(guard.inspect(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").pass, 0, "nothing passes after that");
            break;
        }
    }
    passed.heads = guard.heads();
    Some(passed)
}

/// The first head that passed is one to another parser, too, and ends where the guard says.
fn is_a_head_to_others(bytes: &[u8]) {
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut slots);
    let parsed = request.parse(bytes).expect("what passed is HTTP to httparse");
    assert!(parsed.is_complete(), "{:?}", String::from_utf8_lossy(bytes));
    let framing = |name: &str| request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).count();
    assert!(framing("content-length") + framing("transfer-encoding") <= 1, "one framing");
}

pub fn holds(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    if let Some(whole) = pass(bytes, &[], false) {
        // A body of which a part is bad passes up to its fault, whatever the pieces.
        for cuts in [&[1][..], &[*cut], &[*cut, 1, 7]] {
            for offers in [false, true] {
                if let Some(pieces) = pass(bytes, cuts, offers) {
                    assert_eq!(whole, pieces);
                }
            }
        }
        if !whole.bytes.is_empty() {
            is_a_head_to_others(&whole.bytes);
        }
    }
    let instead = refusal_line(bytes);
    let mut guard = RequestValidator::new(Limits { target: 2048, ..LIMITS });
    let verdict = guard.inspect(&instead);
    assert!(verdict.pass == instead.len() && verdict.next == Next::More, "{:?}", String::from_utf8_lossy(&instead));
    assert!(guard.heads() == 1 && guard.is_at_head());
}
