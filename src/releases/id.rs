//! The names of releases: when each was made, so that they sort by age, also within a second.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name of a release, as in `20261127-231500-4f2a` (UTC). One that somebody put there by hand may have any name that
/// is letters, digits, `-`, `_` and `.`, and does not begin with a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleaseId(String);

/// What cannot be a release's name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no name of a release, as in 20261127-231500-4f2a")]
pub struct NoReleaseId(String);

/// More than a name's last place counts, a 65,536th of a second.
const NEXT: Duration = Duration::from_micros(20);

/// Longer names are none, in bytes.
const MAX_LENGTH: usize = 64;

impl ReleaseId {
    /// A new one, of now; behind the newest of `others` even where the clock was set back since.
    pub fn after(others: impl IntoIterator<Item = ReleaseId>) -> ReleaseId {
        ReleaseId::at_or_after(SystemTime::now(), others)
    }

    fn at_or_after(now: SystemTime, others: impl IntoIterator<Item = ReleaseId>) -> ReleaseId {
        // One with a name of somebody's own says nothing of time.
        let newest = others.into_iter().filter_map(|other| other.made()).max();
        ReleaseId::at(newest.map_or(now, |newest| now.max(newest + NEXT)))
    }

    /// When it was made, as its name says.
    fn made(&self) -> Option<SystemTime> {
        let (seconds, part) = self.0.rsplit_once('-').filter(|(_, part)| part.len() == 4)?;
        let (day, clock) = seconds.split_once('-').filter(|(day, clock)| day.len() == 8 && clock.len() == 6)?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(day) || !is_number(clock) {
            return None;
        }
        let (day, clock) = ((&day[..4], &day[4..6], &day[6..]), (&clock[..2], &clock[2..4], &clock[4..]));
        let text = format!("{}-{}-{}T{}:{}:{}Z", day.0, day.1, day.2, clock.0, clock.1, clock.2);
        let part = u64::from(u16::from_str_radix(part, 16).ok()?);
        Some(humantime::parse_rfc3339(&text).ok()? + Duration::from_nanos((part * 1_000_000_000) >> 16))
    }

    fn at(time: SystemTime) -> ReleaseId {
        // The part of the second that has passed: a rollback goes to the one that was made before, however soon before.
        let passed = time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        let part = (u64::from(passed) << 16) / 1_000_000_000;
        // As in 2026-11-27T23:15:00Z.
        let time = humantime::format_rfc3339_seconds(time).to_string();
        let (day, clock) = time.trim_end_matches('Z').split_once('T').unwrap_or((&time, ""));
        ReleaseId(format!("{}-{}-{part:04x}", day.replace('-', ""), clock.replace(':', "")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ReleaseId {
    type Err = NoReleaseId;

    fn from_str(text: &str) -> Result<ReleaseId, NoReleaseId> {
        let is_name = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
        let is_one = !text.is_empty()
            && text.len() <= MAX_LENGTH
            && !text.starts_with('.')
            && !text.ends_with(".partial")
            && text.chars().all(is_name);
        if is_one { Ok(ReleaseId(text.to_owned())) } else { Err(NoReleaseId(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_when_and_sorts_by_it() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_821_300);
        assert_eq!(ReleaseId::at(time + Duration::from_millis(500)).as_str(), "20261127-231500-8000");
        for later in [20, 999, 1000, 61_000].map(Duration::from_millis) {
            assert!(ReleaseId::at(time) < ReleaseId::at(time + later), "{later:?}");
        }
        assert_eq!(ReleaseId::at(time + Duration::from_nanos(999_999_999)).as_str(), "20261127-231500-ffff");
        assert_eq!(ReleaseId::after([]).as_str().parse::<ReleaseId>().unwrap().as_str().len(), 20);
    }

    #[test]
    fn a_new_one_is_behind_all_whatever_the_clock_says() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_821_300);
        let id = |text: &str| text.parse::<ReleaseId>().unwrap();
        let others =
            ["20261127-231500-0000", "20271127-231500-ffff", "zebra", "99999999-999999-0000", "2026-1-2"].map(id);
        let next = ReleaseId::at_or_after(time, others);
        assert_eq!(next, id("20271127-231501-0000"));
        let mut last = next;
        for _ in 0..70_000 {
            let next = ReleaseId::at_or_after(time, [last.clone()]);
            assert!(next > last, "{next} behind {last}");
            last = next;
        }
        assert_eq!(ReleaseId::at_or_after(time, [id("20261127-231459-0001")]), ReleaseId::at(time));
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for text in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "x.partial", "a\0", &"x".repeat(65)] {
            assert!(text.parse::<ReleaseId>().is_err(), "{text:?}");
        }
        assert!("v1.2_3-rc".parse::<ReleaseId>().is_ok());
    }
}
