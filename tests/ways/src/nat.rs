//! A NAT's memory: which connections it still knows. It translates nothing; what matters here is what it forgets.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::time::Instant;

use crate::conditions::Patience;
use crate::packet::Segment;

/// Connections, by the client's address and the server's. A test's own, so a few thousand at most.
#[derive(Default)]
pub struct Nat {
    last_heard: HashMap<(SocketAddrV4, SocketAddrV4), Instant>,
}

/// What it does with a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Passes,
    Vanishes,
    /// This goes back to its sender.
    Refused(Vec<u8>),
}

impl Nat {
    /// From now on it knows no connection.
    pub fn forget(&mut self) {
        self.last_heard.clear();
    }

    /// Only who is inside, the client, opens connections.
    pub fn judge(&mut self, packet: &[u8], from_client: bool, now: Instant, patience: Patience) -> Verdict {
        let (Patience::Vanish(time) | Patience::Reset(time)) = patience else { return Verdict::Passes };
        let Some(segment) = Segment::read(packet) else { return Verdict::Passes };
        let ends = if from_client { (segment.from(), segment.to()) } else { (segment.to(), segment.from()) };
        let known = self.last_heard.get(&ends).is_some_and(|heard| now.saturating_duration_since(*heard) < time);
        if known || (from_client && segment.opens()) {
            self.last_heard.insert(ends, now);
            return Verdict::Passes;
        }
        self.last_heard.remove(&ends);
        match patience {
            Patience::Reset(_) if !segment.resets() => Verdict::Refused(segment.answered_with_a_reset()),
            _ => Verdict::Vanishes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::packet::tests::{GOES_ON, OPENS, packet};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_makes_it_forget_and_traffic_does_not() {
        let (mut nat, start) = (Nat::default(), Instant::now());
        let mut judge = |bytes: Vec<u8>, from_client, seconds| {
            nat.judge(&bytes, from_client, start + SECOND * seconds, Patience::Vanish(10 * SECOND)) == Verdict::Passes
        };
        assert!(!judge(packet(1, 80, GOES_ON), true, 0), "it was never opened");
        assert!(!judge(packet(80, 1, OPENS), false, 0), "nobody opens from outside");
        assert!(judge(packet(1, 80, OPENS), true, 0));
        assert!(judge(packet(80, 1, GOES_ON), false, 9));
        assert!(judge(packet(1, 80, GOES_ON), true, 18));
        assert!(!judge(packet(80, 1, GOES_ON), false, 28));
        assert!(!judge(packet(1, 80, GOES_ON), true, 28));
        assert!(judge(packet(1, 80, OPENS), true, 29));
    }

    #[test]
    fn told_to_it_forgets_and_resets() {
        let (mut nat, now) = (Nat::default(), Instant::now());
        let patience = Patience::Reset(SECOND);
        assert_eq!(nat.judge(&packet(1, 80, OPENS), true, now, patience), Verdict::Passes);
        nat.forget();
        let Verdict::Refused(reset) = nat.judge(&packet(1, 80, GOES_ON), true, now, patience) else { panic!() };
        assert_eq!(nat.judge(&reset, false, now, patience), Verdict::Vanishes, "a reset is not answered");
        assert_eq!(nat.judge(&packet(1, 80, GOES_ON), true, now, Patience::Endless), Verdict::Passes);
    }
}
