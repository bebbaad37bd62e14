//! What is published in a channel: one letter, the fields of a head, and the rest as it was given.

use bytes::Bytes;

use crate::realtime::broker::{ChannelEvent, NodeId};
use crate::realtime::vocabulary::{Epoch, Position};

/// An event without a place. All others are written by scripts.
pub(super) fn passed(body: &[u8]) -> Vec<u8> {
    let mut said = Vec::with_capacity(1 + body.len());
    said.push(b'P');
    said.extend_from_slice(body);
    said
}

/// Reads what was published; `None` for what this version does not know.
pub(super) fn read(said: &Bytes) -> Option<ChannelEvent> {
    let mut reader = Reader { rest: said.slice(1.min(said.len())..) };
    match said.first()? {
        b'S' => {
            let position = reader.position()?;
            reader.word()?;
            Some(ChannelEvent::Said { position, body: reader.rest })
        }
        b'P' => Some(ChannelEvent::Passed(reader.rest)),
        b'R' => {
            let sequence = reader.number()?;
            let by = NodeId(u64::from_str_radix(&reader.word()?, 16).ok()?);
            let length = usize::try_from(reader.number()?).ok().filter(|length| *length < reader.rest.len())?;
            let field = String::from_utf8(reader.rest.split_to(length).into()).ok()?;
            let sign = reader.rest.split_to(1);
            let value = match sign.first()? {
                b'+' => Some(reader.rest),
                b'-' => None,
                _ => return None,
            };
            Some(ChannelEvent::Roster { sequence, by, field, value })
        }
        _ => None,
    }
}

/// What the script that appends answers: epoch, offset, milliseconds.
pub(super) fn read_place(place: &[u8]) -> Option<(Position, u64)> {
    let mut reader = Reader { rest: Bytes::copy_from_slice(place) };
    Some((reader.position()?, reader.number()?))
}

pub(super) fn read_epoch(text: &str) -> Option<Epoch> {
    u64::from_str_radix(text, 16).ok().map(Epoch)
}

/// Where earlier epochs ended: `EPOCH:OFFSET,` each, the latest first. One that was cut off at the end is none.
pub(super) fn read_line(line: &str) -> Vec<Position> {
    let whole = line.rsplit_once(',').map_or("", |(whole, _)| whole);
    let ends = whole.split(',').filter_map(|end| {
        let (epoch, offset) = end.split_once(':')?;
        Some(Position { epoch: read_epoch(epoch)?, offset: offset.parse().ok()? })
    });
    ends.collect()
}

struct Reader {
    rest: Bytes,
}

impl Reader {
    /// Up to the next space, which goes too.
    fn word(&mut self) -> Option<String> {
        let end = self.rest.iter().take(32).position(|byte| *byte == b' ')?;
        let word = self.rest.split_to(end);
        let _ = self.rest.split_to(1);
        String::from_utf8(word.into()).ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.word()?.parse().ok()
    }

    fn position(&mut self) -> Option<Position> {
        let epoch = read_epoch(&self.word()?)?;
        Some(Position { epoch, offset: self.number()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(said: &'static [u8]) -> Option<ChannelEvent> {
        read(&Bytes::from_static(said))
    }

    #[test]
    fn events_are_read_as_scripts_write_them() {
        let position = Position { epoch: Epoch(u64::MAX), offset: 7 };
        let said = event(b"Sffffffffffffffff 7 1700000000000 a b");
        assert_eq!(said, Some(ChannelEvent::Said { position, body: Bytes::from_static(b"a b") }));
        assert_eq!(read(&Bytes::from(passed(b""))), Some(ChannelEvent::Passed(Bytes::new())));
        let roster = |value| ChannelEvent::Roster { sequence: 3, by: NodeId(0xab), field: "ab:x y".into(), value };
        assert_eq!(event(b"R3 00000000000000ab 6 ab:x y+v"), Some(roster(Some(Bytes::from_static(b"v")))));
        assert_eq!(event(b"R3 00000000000000ab 6 ab:x y-"), Some(roster(None)));
    }

    #[test]
    fn a_line_of_epochs_may_be_cut_off_at_its_end() {
        let end = |epoch, offset| Position { epoch: Epoch(epoch), offset };
        assert_eq!(read_line(""), []);
        assert_eq!(read_line("00000000000000ff:12,"), [end(255, 12)]);
        assert_eq!(read_line("00000000000000ff:12,1:3,2:44"), [end(255, 12), end(1, 3)]);
    }

    #[test]
    fn what_nobody_wrote_is_no_event() {
        for said in
            [&b""[..], b"S", b"Sx 1 2 b", b"S1 2", b"R1 2 9 a-", b"R1 2 1 a*", b"X1", b"R1 2 18446744073709551615 a"]
        {
            assert_eq!(event(said), None, "{said:?}");
        }
    }
}
