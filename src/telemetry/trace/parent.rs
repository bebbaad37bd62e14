//! `traceparent` and `tracestate` as they are written (W3C Trace Context, sections 3.2 and 3.3).

use std::num::{NonZeroU64, NonZeroU128};

use super::{SpanId, TraceId};

pub const TRACEPARENT: &str = "traceparent";
pub const TRACESTATE: &str = "tracestate";

/// Of a `traceparent` of version 00, in bytes: version, trace, span, flags.
pub const LENGTH: usize = 2 + 1 + 32 + 1 + 16 + 1 + 2;

/// Members of a `tracestate` at most (section 3.3.1.1), and the bytes of it that must be passed on at least (3.3.1.5).
const MAX_MEMBERS: usize = 32;
const MAX_STATE: usize = 512;

/// What a `traceparent` says.
#[derive(Debug, PartialEq, Eq)]
pub struct ParentSaid {
    pub id: TraceId,
    pub span: SpanId,
    pub flags: u8,
}

/// Reads one. Of later versions than 00 what comes before the part that is new is read (section 3.2.4); 255 is none.
pub fn read(value: &[u8]) -> Option<ParentSaid> {
    let (known, more) = value.split_at_checked(LENGTH)?;
    let [version @ .., b'-'] = &known[..3] else { return None };
    let version = hex(version)?;
    let is_whole = match version {
        0 => more.is_empty(),
        255 => false,
        _ => more.first().is_none_or(|next| *next == b'-'),
    };
    if !is_whole || known[35] != b'-' || known[52] != b'-' {
        return None;
    }
    let id = TraceId(NonZeroU128::new(hex(&known[3..35])?)?);
    let span = SpanId(NonZeroU64::new(u64::try_from(hex(&known[36..52])?).ok()?)?);
    Some(ParentSaid { id, span, flags: u8::try_from(hex(&known[53..])?).ok()? })
}

/// At most 32 digits, in lower case as the format has them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// Writes one of version 00, without memory of its own.
pub fn write(id: TraceId, span: SpanId, flags: u8) -> [u8; LENGTH] {
    let mut text = [b'-'; LENGTH];
    put(&mut text[..2], &[0]);
    put(&mut text[3..35], &id.0.get().to_be_bytes());
    put(&mut text[36..52], &span.0.get().to_be_bytes());
    put(&mut text[53..], &[flags]);
    text
}

fn put(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Whether all `lines` of `tracestate` together are a list that may be passed on: `key=value`, each key once.
pub fn is_proper_state<'a>(lines: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut keys, mut length) = (Vec::new(), 0);
    for member in lines.flat_map(|line| line.split(|byte| *byte == b',')) {
        length += member.len() + 1;
        let member = member.trim_ascii();
        if member.is_empty() {
            continue;
        }
        let Some(at) = member.iter().position(|byte| *byte == b'=') else { return false };
        let (key, value) = (&member[..at], &member[at + 1..]);
        if !is_key(key) || !is_value(value) || keys.contains(&key) {
            return false;
        }
        keys.push(key);
    }
    keys.len() <= MAX_MEMBERS && length <= MAX_STATE + 1
}

fn is_key(key: &[u8]) -> bool {
    let is_character = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    (1..=256).contains(&key.len())
        && matches!(key[0], b'a'..=b'z' | b'0'..=b'9')
        && key.iter().all(is_character)
        && key.iter().filter(|byte| **byte == b'@').count() <= 1
}

fn is_value(value: &[u8]) -> bool {
    (1..=256).contains(&value.len()) && value.iter().all(|byte| matches!(byte, b' '..=b'~') && !b",=".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn what_is_malformed_is_none() {
        for right in [
            format!("00-{ID}-{SPAN}-00"),
            format!("00-{ID}-{SPAN}-ff"),
            format!("01-{ID}-{SPAN}-01"),
            format!("cc-{ID}-{SPAN}-01-what-the-future-will-be-like"),
        ] {
            assert!(read(right.as_bytes()).is_some_and(|said| said.id.to_string() == ID), "{right}");
        }
        for wrong in [
            String::new(),
            format!("00-{ID}-{SPAN}"),
            format!("00-{ID}-{SPAN}-01-more"),
            format!("00-{ID}-{SPAN}-01."),
            format!("01-{ID}-{SPAN}-01more"),
            format!("ff-{ID}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", ID.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{ID}-{}-01", "0".repeat(16)),
            format!("00-{ID}-{SPAN}-0g"),
            format!("00_{ID}-{SPAN}-01"),
            format!("00-{ID}_{SPAN}-01"),
            format!("00-{ID}-{SPAN}_01"),
            format!("0x-{ID}-{SPAN}-01"),
        ] {
            assert_eq!(read(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_state_is_a_list_of_keys_with_values() {
        let is_proper = |lines: &[&str]| is_proper_state(lines.iter().map(|line| line.as_bytes()));
        let many = |count| (0..count).map(|number| format!("k{number}=v")).collect::<Vec<_>>().join(",");
        for right in
            [&["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"][..], &["a@b=1", " c=2 , ,d=x y"], &[""], &[&many(32)]]
        {
            assert!(is_proper(right), "{right:?}");
        }
        let long = format!("a={},b={}", "x".repeat(256), "y".repeat(256));
        for wrong in
            [&["a"][..], &["=1"], &["A=1"], &["a="], &["a=b=c"], &["a=1,a=2"], &["a=1", "a=2"], &[&many(33)], &[&long]]
        {
            assert!(!is_proper(wrong), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id in 1_u128.., span in 1_u64.., flags: u8) {
            let (id, span) = (TraceId(NonZeroU128::new(id).unwrap()), SpanId(NonZeroU64::new(span).unwrap()));
            prop_assert_eq!(read(&write(id, span, flags)), Some(ParentSaid { id, span, flags }));
        }

        #[test]
        fn any_bytes_do_no_harm(bytes: Vec<u8>) {
            let _ = read(&bytes);
            let _ = is_proper_state([bytes.as_slice()].into_iter());
        }
    }
}
