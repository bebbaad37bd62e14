//! What a process of ours says on an answer about the entry of Next.js' own cache that it was made of: since when it is,
//! and by which tags it is declared old. For the door alone: it goes no further.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;

/// `born,tag,tag`: milliseconds since 1970, and tags in percent-encoding; `*` among them says that there are others.
pub const ENTRY: HeaderName = HeaderName::from_static("x-doorway-entry");

/// In the extensions of an answer that was made of such an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub born: SystemTime,
    pub tags: Box<[Box<str>]>,
    /// It has no others.
    pub has_all_tags: bool,
}

impl Entry {
    pub fn of(headers: &HeaderMap) -> Option<Entry> {
        let (mut born, mut tags, mut has_all_tags) = (None::<u64>, Vec::<Box<str>>::new(), true);
        for line in headers.get_all(ENTRY) {
            let (time, rest) = line.to_str().ok()?.split_once(',')?;
            let time = time.parse().ok()?;
            born = Some(born.map_or(time, |born| born.min(time)));
            for member in rest.split(',').map(str::trim) {
                match member {
                    "*" => has_all_tags = false,
                    "" => {}
                    tag => tags.push(percent_decode_str(tag).decode_utf8_lossy().into()),
                }
            }
        }
        tags.sort_unstable();
        tags.dedup();
        let born = SystemTime::UNIX_EPOCH + Duration::from_millis(born?);
        has_all_tags &= !tags.is_empty();
        Some(Entry { born, tags: tags.into_boxed_slice(), has_all_tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let entry = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ENTRY, line.parse().unwrap());
            }
            let Entry { born, tags, has_all_tags } = Entry::of(&headers)?;
            let born = born.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
            Some((born, tags.join(" "), has_all_tags))
        };
        let one = 1_700_000_000_001;
        assert_eq!(entry(&[]), None);
        assert_eq!(entry(&["a,b"]), None);
        assert_eq!(entry(&["1700000000001,b,a%2Cc"]), Some((one, "a,c b".into(), true)));
        assert_eq!(entry(&["1700000000002,a", "1700000000001,*"]), Some((one, "a".into(), false)));
        assert_eq!(entry(&["1700000000001,1600000000000, a"]), Some((one, "1600000000000 a".into(), true)));
        assert_eq!(entry(&["1700000000001,"]), Some((one, String::new(), false)));
        assert_eq!(entry(&["1700000000001"]), None);
    }
}
