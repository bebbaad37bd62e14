//! What clients said later of the priority of their streams (PRIORITY_UPDATE, RFC 9218 section 7.1), also before the
//! requests themselves. Without input, output or clock.

use std::collections::BTreeMap;

use super::priority::Said;

/// The last word for each of some streams of a connection.
#[derive(Debug, Default)]
pub struct Updates {
    said: BTreeMap<u32, Said>,
    count: u64,
}

/// More streams were spoken of than may be open, before they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Updates {
    /// Keeps what is said of `stream`. Requests have come up to `highest`; `most` may be open. Of twice as many streams
    /// it is kept: those that came first have ended first.
    ///
    /// # Errors
    /// When that many streams are spoken of that are not open yet.
    pub fn keep(&mut self, stream: u32, said: Said, highest: u32, most: u32) -> Result<(), TooMany> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let is_idle = stream > highest;
        // Streams are opened in order: a request closes those before it that had none (RFC 9113 section 5.1.1).
        if is_idle && !self.said.contains_key(&stream) && self.said.range(highest + 1..).count() >= most {
            return Err(TooMany);
        }
        self.said.insert(stream, said);
        self.count += 1;
        while self.said.len() > most.saturating_mul(2) {
            self.said.pop_first();
        }
        Ok(())
    }

    /// How often something was said: while it stays the same, so does all that was said.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn of(&self, stream: u32) -> Option<Said> {
        self.said.get(&stream).copied()
    }

    /// A stream has ended.
    pub fn forget(&mut self, stream: u32) {
        self.said.remove(&stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_kept_until_its_stream_ends() {
        let mut updates = Updates::default();
        let (first, second) = (Said::in_value(b"u=1"), Said::in_value(b"u=2"));
        updates.keep(5, first, 3, 10).unwrap();
        updates.keep(5, second, 5, 10).unwrap();
        assert_eq!((updates.of(5), updates.of(3), updates.count()), (Some(second), None, 2));
        updates.forget(5);
        assert_eq!(updates.of(5), None);
    }

    #[test]
    fn they_are_bounded_and_so_are_those_to_come() {
        let mut updates = Updates::default();
        let said = Said::in_value(b"u=1");
        for number in 0..10 {
            updates.keep(2 * number + 1, said, 0, 10).unwrap();
        }
        assert_eq!(updates.keep(21, said, 0, 10), Err(TooMany));
        // Again of one of them; and of others once requests have come.
        updates.keep(19, said, 0, 10).unwrap();
        for number in 10..1000 {
            updates.keep(2 * number + 1, said, 2 * number + 1, 10).unwrap();
        }
        assert_eq!((updates.said.len(), updates.of(1), updates.of(1999)), (20, None, Some(said)));
    }
}
