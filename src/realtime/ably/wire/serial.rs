//! Serials: strings by which messages sort, and from which their positions can be read back.

use crate::realtime::vocabulary::{Epoch, Position, Receipt};

/// `UNIX_MS-OFFSET@EPOCH`, the first two padded with zeros: what was said later is greater.
pub fn serial(position: Position, unix_ms: u64) -> String {
    format!("{unix_ms:014}-{:012}@{:x}", position.offset, position.epoch.0)
}

/// That of a message which was published; none of one that is not numbered.
pub fn of(receipt: Receipt) -> Option<String> {
    receipt.position.map(|position| serial(position, receipt.unix_ms))
}

/// The position that a serial says, of a message or of a channel.
pub fn position(text: &str) -> Option<Position> {
    let Some((before, epoch)) = text.split_once('@') else { return text.parse().ok() };
    let (_, offset) = before.split_once('-')?;
    let is_plain = |text: &str| !text.is_empty() && text.chars().all(|each| each.is_ascii_hexdigit());
    let epoch = epoch.split(':').next().filter(|epoch| is_plain(epoch))?;
    Some(Position {
        epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?),
        offset: Some(offset).filter(|offset| is_plain(offset))?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_sort_and_read_back() {
        let at = |offset| Position { epoch: Epoch(0xfeed_0001), offset };
        let (one, two, later) = (serial(at(9), 5), serial(at(10), 5), serial(at(1), 6));
        assert!(one < two && two < later);
        assert_eq!((position(&one), position(&two)), (Some(at(9)), Some(at(10))));
        assert_eq!(position(&at(3).to_string()), Some(at(3)), "a channel's");
        for text in ["", "@", "1-@1", "1@1", "1-x@1", "1-1@", "1-1@-1", "1-1@g", "1-99999999999999999999@1"] {
            assert_eq!(position(text), None, "{text}");
        }
    }
}
