//! Where bytes lie that are copied into records. The library copies them behind a header of five bytes, into memory that most
//! often begins a page. From the beginning of another page that is slow where the C library copies by `rep movsb`, as glibc
//! before 2.39 does on AMD's Zen 3 and 4: 3 GB/s in place of 60. A body's pieces begin a page more often than not.

/// The usual size of a page, in bytes.
const PAGE: usize = 4096;
/// The header of a record (RFC 8446 section 5.1), in bytes.
const HEADER: usize = 5;
/// So far behind its source, modulo a page, the target of such a copy is too near, in bytes.
const NEAR: usize = 64;

/// Whether copying `bytes` into a record may be slow.
pub fn is_slow(bytes: &[u8]) -> bool {
    let ahead = (PAGE + HEADER - bytes.as_ptr().addr() % PAGE) % PAGE;
    (1..NEAR).contains(&ahead)
}

/// A part of `room`, of so many bytes, that can be copied from quickly.
pub fn quick(room: &mut [u8], length: usize) -> &mut [u8] {
    let start = if is_slow(room) { NEAR } else { 0 };
    &mut room[start..start + length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_just_before_a_records_content_is_moved_on() {
        let mut room = vec![0; 4 * PAGE];
        let page = PAGE - room.as_ptr().addr() % PAGE;
        for (offset, expected) in [(0, true), (4, true), (5, false), (6, false), (64, false), (2000, false)] {
            assert_eq!(is_slow(&room[page + offset..]), expected, "{offset}");
        }
        assert!(is_slow(&room[page + PAGE - 58..]) && !is_slow(&room[page + PAGE - 59..]));
        for offset in 0..PAGE {
            let part = quick(&mut room[offset..], 100);
            assert!(part.len() == 100 && !is_slow(part), "{offset}");
        }
    }
}
