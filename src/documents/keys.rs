//! Keys in the store: the name of a room, a zero, and the row's own key. No name has a zero.

/// The key of a row.
pub fn key(room: &str, row: &[u8]) -> Vec<u8> {
    [room.as_bytes(), &[0], row].concat()
}

/// The name and the row's own key.
pub fn split(key: &[u8]) -> Option<(&str, &[u8])> {
    let end = key.iter().position(|byte| *byte == 0)?;
    Some((std::str::from_utf8(&key[..end]).ok()?, &key[end + 1..]))
}

/// The first key behind all of a room.
pub fn behind(room: &str) -> Vec<u8> {
    [room.as_bytes(), &[1]].concat()
}
