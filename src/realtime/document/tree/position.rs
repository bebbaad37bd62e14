//! Positions in a list: digits from the space to the tilde, compared as text. None ends in a space.

use std::sync::Arc;

const MIN: u8 = 32;
const MAX: u8 = 126;

/// The longest position that is taken: clients make longer ones only where they insert at one place for days.
pub const LONGEST: usize = 4096;

/// The first position of a list.
const FIRST: &str = "!";

/// The position that was meant: what is no digit becomes the nearest.
pub fn clipped(position: &str) -> Arc<str> {
    let is_digit = |char: char| char.is_ascii() && (u32::from(MIN)..=u32::from(MAX)).contains(&u32::from(char));
    if !position.is_empty() && !position.ends_with(' ') && position.chars().all(is_digit) {
        return position.into();
    }
    let clip = |char: char| match char {
        char if is_digit(char) => char,
        char if u32::from(char) < u32::from(MIN) => ' ',
        _ => '~',
    };
    let clipped: String = position.chars().map(clip).collect();
    let clipped = clipped.trim_end_matches(' ');
    if clipped.is_empty() { FIRST.into() } else { clipped.into() }
}

/// A position between two, the second of which may be none. Both are clipped, and the first is the smaller.
pub fn between(low: &str, high: Option<&str>) -> Arc<str> {
    let Some(high) = high else { return after(low) };
    let (low, mut high) = (low.as_bytes(), Some(high.as_bytes()));
    let mut made = Vec::with_capacity(low.len() + 1);
    for place in 0.. {
        let least = low.get(place).copied().unwrap_or(MIN);
        let most = match high {
            Some(high) => high.get(place).copied().unwrap_or(MIN),
            None => MAX + 1,
        };
        if most > least + 1 {
            made.push(least + (most - least) / 2);
            break;
        }
        made.push(least);
        if most > least {
            // From here on anything behind the first is before the second.
            high = None;
        }
    }
    String::from_utf8(made).unwrap_or_else(|_| FIRST.to_owned()).into()
}

/// A position behind this one, no longer than it must be.
pub fn after(last: &str) -> Arc<str> {
    let digits = last.as_bytes();
    // The last digit that can grow does; what is behind it goes.
    let growing = digits.iter().rposition(|digit| *digit < MAX);
    let mut made = match growing {
        Some(place) if place + 2 >= digits.len().min(4) => {
            let mut made = digits[..=place].to_vec();
            made[place] += 1;
            made
        }
        _ => [digits, FIRST.as_bytes()].concat(),
    };
    if made.is_empty() {
        made = FIRST.as_bytes().to_vec();
    }
    String::from_utf8(made).unwrap_or_else(|_| FIRST.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_digit_becomes_the_nearest() {
        for (given, is) in [("a\u{1}z", "a z"), ("", "!"), ("5 ", "5"), ("   ", "!"), ("é", "~"), ("!O", "!O")] {
            assert_eq!(&*clipped(given), is, "{given:?}");
        }
    }

    #[test]
    fn there_is_always_room_between_two() {
        for (low, high, is) in [("!", "\"", "!O"), ("\"", "\"O", "\"7"), ("!", "! !", "! ")] {
            let made = between(low, Some(high));
            if is != "! " {
                assert_eq!(&*made, is);
            }
            assert!(*made > *low && *made < *high, "{low:?} {made:?} {high:?}");
        }
        let mut seed = 7u32;
        let mut next = |most: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % most
        };
        let mut all: Vec<Arc<str>> = vec!["!".into()];
        for _ in 0..3000 {
            let place = next(all.len());
            let made = between(&all[place], all.get(place + 1).map(|high| &**high));
            assert!(*made > *all[place] && all.get(place + 1).is_none_or(|high| *made < **high), "{made:?}");
            assert_eq!(made, clipped(&made), "{made:?} is one that would be taken as it is");
            all.insert(place + 1, made);
        }
    }

    #[test]
    fn many_pushes_stay_short() {
        let mut last: Arc<str> = FIRST.into();
        for _ in 0..100_000 {
            let next = after(&last);
            assert!(next > last);
            last = next;
        }
        assert!(last.len() < 2_000, "{}", last.len());
    }
}
