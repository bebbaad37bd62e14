//! JSON as JavaScript writes it: half of a surrogate pair in a string and numbers beyond a double's reach are JSON to every
//! browser and to Node, and no values to Rust. One lenient reader for all who read what peers send.

use serde::de::DeserializeOwned;

/// What stands for a half: the replacement character (U+FFFD), as in a browser's own UTF-8.
const REPLACEMENT: &[u8] = b"fffd";

/// Reads as `serde_json::from_str` does; where Rust has no value for what JavaScript takes, what [`tame`] makes of it.
///
/// # Errors
/// What is JSON to nobody, or no `T`.
pub fn from_str<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str(text).or_else(|error| match tame(text) {
        Some(tamed) => serde_json::from_str(&tamed),
        None => Err(error),
    })
}

/// The same of bytes, which have to be UTF-8.
///
/// # Errors
/// As [`from_str`].
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes).or_else(|error| match std::str::from_utf8(bytes).ok().and_then(tame) {
        Some(tamed) => serde_json::from_str(&tamed),
        None => Err(error),
    })
}

/// The same JSON with U+FFFD in place of each half of a surrogate pair, and `null` in place of each number that is
/// infinite as a double (as `JSON.stringify` writes it). As long as it was; `None` where it has neither. For readers that
/// borrow: try without it first, as nearly nothing needs it.
pub fn tame(text: &str) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let (mut at, mut is_changed) = (0, false);
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b'"' => string(&mut bytes, at + 1, &mut is_changed),
            b'-' | b'0'..=b'9' => number(&mut bytes, at, &mut is_changed),
            _ => at + 1,
        };
    }
    // Only ASCII was put in place of ASCII.
    if is_changed { String::from_utf8(bytes).ok() } else { None }
}

/// Goes through the string that begins at `at`, and gives where it is over.
fn string(bytes: &mut [u8], mut at: usize, is_changed: &mut bool) -> usize {
    loop {
        match bytes.get(at) {
            None => return at,
            Some(b'"') => return at + 1,
            Some(b'\\') => {
                let is_half = |unit: Option<u16>, halves: std::ops::RangeInclusive<u16>| {
                    unit.is_some_and(|unit| halves.contains(&unit))
                };
                let first = escaped(bytes, at);
                if is_half(first, 0xd800..=0xdbff) && is_half(escaped(bytes, at + 6), 0xdc00..=0xdfff) {
                    at += 12;
                } else if is_half(first, 0xd800..=0xdfff) {
                    bytes[at + 2..at + 6].copy_from_slice(REPLACEMENT);
                    *is_changed = true;
                    at += 6;
                } else {
                    at += 2;
                }
            }
            Some(_) => at += 1,
        }
    }
}

/// The UTF-16 unit that is written at `at` as `\uXXXX`.
fn escaped(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    is_hex.then(|| std::str::from_utf8(digits).ok().and_then(|digits| u16::from_str_radix(digits, 16).ok())).flatten()
}

/// Goes through the number that begins at `at`, and gives where it is over.
fn number(bytes: &mut [u8], at: usize, is_changed: &mut bool) -> usize {
    let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let end = at + bytes[at..].iter().take_while(is_part).count();
    let value: Option<f64> = std::str::from_utf8(&bytes[at..end]).ok().and_then(|text| text.parse().ok());
    if value.is_some_and(f64::is_infinite) {
        // Such a number has five digits and signs at least.
        bytes[at..end].fill(b' ');
        bytes[at..at + 4].copy_from_slice(b"null");
        *is_changed = true;
    }
    end
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn halves_of_pairs_are_replaced_and_pairs_are_not() {
        for (text, tamed) in [
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""\uDE00x""#, Some(r#""\ufffdx""#)),
            (r#""\ud83d\ude00""#, None),
            (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud83dx\ude00""#, Some(r#""\ufffdx\ufffd""#)),
            (r#"{"\ud83d":["\udfff"]}"#, Some(r#"{"\ufffd":["\ufffd"]}"#)),
            (r#""\\ud83d""#, None),
            (r#""\\\ud83d""#, Some(r#""\\\ufffd""#)),
            (r#""\u00e4 ä \"\ud83d""#, Some(r#""\u00e4 ä \"\ufffd""#)),
            (r#""\ud8"#, None),
            (r#""\u+fff""#, None),
            (r#""\"#, None),
            ("", None),
        ] {
            assert_eq!(tame(text).as_deref(), tamed, "{text}");
        }
    }

    #[test]
    fn numbers_beyond_all_bounds_are_null() {
        let long = "9".repeat(400);
        assert_eq!(tame("[1e400,-1E+400,1]").as_deref(), Some("[null ,null   ,1]"));
        assert_eq!(tame(&long).as_deref().map(str::trim_end), Some("null"));
        for text in ["1e308", "1e-400", "123456789012345678901234567890", r#""1e400""#, "-", "1e"] {
            assert_eq!(tame(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_read_strictly_is_left_alone() {
        assert_eq!(from_str::<Value>(r#"{"a":1e400,"b":"\ud83d"}"#).unwrap(), json!({"a": null, "b": "\u{fffd}"}));
        assert_eq!(from_slice::<Vec<String>>(br#"["\udc00"]"#).unwrap(), ["\u{fffd}"]);
        let raw: Box<serde_json::value::RawValue> = from_str(r#"["\ud83d",1e400]"#).unwrap();
        assert_eq!(raw.get(), r#"["\ud83d",1e400]"#, "who passes it on passes it on as it is");
        assert!(from_str::<Value>(r#"{"\ud83d"}"#).is_err() && from_slice::<Value>(b"\"\xff\"").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_string_of_javascript_can_be_read(units in proptest::collection::vec(proptest::num::u16::ANY, 0..20)) {
            let text: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let read: String = from_str(&format!("\"{text}\"")).unwrap();
            assert_eq!(read, String::from_utf16_lossy(&units));
        }
    }
}
