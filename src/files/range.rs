//! Byte ranges (RFC 9110 section 14).

use std::ops::Range;

use http::HeaderMap;
use http::header::RANGE;

/// What a `Range` header asks of a representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: no range, several (RFC 9110 allows to answer them whole), or one that is not well-formed.
    Whole,
    Part(Range<u64>),
    /// No byte of it: 416.
    Nothing,
}

/// Reads the `Range` header against a length in bytes.
pub fn wanted(headers: &HeaderMap, length: u64) -> Wanted {
    let mut lines = headers.get_all(RANGE).iter();
    match (lines.next().and_then(|line| line.to_str().ok()), lines.next()) {
        (Some(line), None) => parse(line, length),
        _ => Wanted::Whole,
    }
}

fn parse(line: &str, length: u64) -> Wanted {
    let Some((unit, set)) = line.split_once('=') else { return Wanted::Whole };
    let Some((first, last)) = set.trim().split_once('-') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    match (first, last, position(first), position(last)) {
        ("", _, _, Some(suffix)) => match suffix.min(length) {
            0 => Wanted::Nothing,
            suffix => Wanted::Part(length - suffix..length),
        },
        (_, "", Some(first), _) if first < length => Wanted::Part(first..length),
        (_, _, Some(first), Some(last)) if first <= last && first < length => {
            Wanted::Part(first..last.saturating_add(1).min(length))
        }
        (_, "", Some(_), _) => Wanted::Nothing,
        (_, _, Some(first), Some(last)) if first <= last => Wanted::Nothing,
        _ => Wanted::Whole,
    }
}

/// Digits only; what is too large for us is beyond any end.
fn position(digits: &str) -> Option<u64> {
    let right = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_range_is_a_part() {
        for (line, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-99", 0..100),
            ("bytes=10-", 10..100),
            ("bytes=-1", 99..100),
            ("bytes=-1000", 0..100),
            ("bytes=99-1000", 99..100),
            ("bytes=5-99999999999999999999999999", 5..100),
            ("BYTES= 5-6", 5..7),
            ("bytes=007-008", 7..9),
        ] {
            assert_eq!(parse(line, 100), Wanted::Part(expected), "{line}");
        }
    }

    #[test]
    fn beyond_the_end_there_is_nothing() {
        for line in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(parse(line, 100), Wanted::Nothing, "{line}");
        }
        for line in ["bytes=0-", "bytes=0-0", "bytes=-5"] {
            assert_eq!(parse(line, 0), Wanted::Nothing, "{line} of an empty file");
        }
    }

    #[test]
    fn what_is_no_single_range_is_answered_whole() {
        for line in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=0-1,5-6",
            "bytes=0-1,",
            "lines=0-1",
            "bytes 0-1",
            "bytes=1 -2",
            "bytes=--1",
            "=0-1",
            "bytes=0-é",
        ] {
            assert_eq!(parse(line, 100), Wanted::Whole, "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within(line in "bytes=[0-9,-]{0,24}|\\PC{0,12}", length in any::<u64>()) {
            if let Wanted::Part(part) = parse(&line, length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
