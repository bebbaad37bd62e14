//! A client that is gone without a word, while an answer to it goes on. What we send keeps the kernel from probing (RFC 9293
//! section 3.8.4 has keep-alives for silent connections only), and it goes on sending for a quarter of an hour.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::listen::TcpInfo;

/// Looks at a connection now and then: has it been silent for too long about what it was sent?
///
/// A client that reads slowly or not at all is none of these: its kernel acknowledges, or keeps its window closed.
#[derive(Debug)]
pub struct Vanished {
    timeout: Duration,
    next_look: Instant,
    /// From when on an acknowledgement is awaited: there was something unacknowledged then.
    since: Option<Instant>,
}

impl Vanished {
    /// `timeout` is how long nothing may be acknowledged of what was sent.
    pub fn new(timeout: Duration, now: Instant) -> Vanished {
        Vanished { timeout, next_look: now + timeout / 4, since: None }
    }

    /// Of a client that holds up what it is sent from `now` on, and so has not acknowledged all of it.
    pub fn holding_up(timeout: Duration, now: Instant) -> Vanished {
        Vanished { since: Some(now), ..Vanished::new(timeout, now) }
    }

    /// When to look again.
    pub fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Whether the client is gone; asked more often than needed, it looks no more often.
    pub fn look(&mut self, tcp: &TcpStream, now: Instant) -> bool {
        if now < self.next_look {
            return false;
        }
        let info = TcpInfo::of(tcp).ok().filter(|info| info.is_unacknowledged);
        // Only what is silent from here on counts: before that there may have been nothing to acknowledge.
        self.since = info.map(|info| match (self.since, now.checked_sub(info.since_acknowledgement)) {
            (Some(since), Some(acknowledged)) => since.max(acknowledged),
            (Some(since), None) => since,
            (None, _) => now,
        });
        let deadline = self.since.map(|since| since + self.timeout);
        let regular = now + self.timeout / 4;
        self.next_look = deadline.map_or(regular, |deadline| deadline.min(regular));
        deadline.is_some_and(|deadline| deadline <= now)
    }
}
