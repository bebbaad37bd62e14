//! What was revoked: tokens of a key by their client, their own mark, or a resource of their capability.

use std::collections::HashMap;

use super::MAX_TTL_MS;
use crate::realtime::ably::wire::error::AblyError;

/// Revocations remembered, at most.
const MAX_REVOCATIONS: usize = 10_000;

/// The longest target, in bytes.
const MAX_TARGET_LEN: usize = 1024;

/// The kinds of targets.
pub const KINDS: [&str; 3] = ["clientId", "revocationKey", "channel"];

/// One revocation: since when, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Milliseconds since the Unix epoch: tokens that were issued before it.
    pub issued_before: u64,
    /// Milliseconds since the Unix epoch: from then on.
    pub applies_at: u64,
}

/// All revocations that any token may still be under.
#[derive(Debug, Default)]
pub struct Revocations {
    /// By the name of the key and the target.
    by_target: HashMap<Box<str>, Vec<Revocation>>,
    count: usize,
}

impl Revocations {
    /// True when nothing was revoked.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Revokes the tokens of a key that `target` says.
    ///
    /// # Errors
    /// 40000 for what is no target, 42910 when there is no room for more.
    pub fn revoke(
        &mut self,
        key_name: &str,
        target: &str,
        revocation: Revocation,
        now_ms: u64,
    ) -> Result<(), AblyError> {
        let is_target = target.len() <= MAX_TARGET_LEN
            && target.split_once(':').is_some_and(|(kind, value)| KINDS.contains(&kind) && !value.is_empty());
        if !is_target {
            let what = "Invalid target: clientId:…, revocationKey:… or channel:…, of at most 1024 bytes";
            return Err(AblyError::new(40000, 400, what));
        }
        if self.count >= MAX_REVOCATIONS {
            self.forget(now_ms);
        }
        let known = self.by_target.entry(place(key_name, target)).or_default();
        // What the new one says too need not be said twice.
        let is_covered = |old: &Revocation| {
            old.issued_before <= revocation.issued_before && revocation.applies_at <= old.applies_at.max(now_ms)
        };
        let before = known.len();
        known.retain(|old| !is_covered(old));
        self.count -= before - known.len();
        if self.count >= MAX_REVOCATIONS {
            if known.is_empty() {
                self.by_target.remove(&*place(key_name, target));
            }
            return Err(AblyError::new(42910, 429, "Too many revocations are remembered: try again later"));
        }
        known.push(revocation);
        self.count += 1;
        Ok(())
    }

    /// Whether a token of the key that was issued then is revoked by one of `targets`.
    pub fn has<'a>(
        &self,
        key_name: &str,
        issued: u64,
        mut targets: impl Iterator<Item = (&'static str, &'a str)>,
        now_ms: u64,
    ) -> bool {
        let is_under = |revocation: &Revocation| issued < revocation.issued_before && revocation.applies_at <= now_ms;
        targets.any(|(kind, value)| {
            let known = self.by_target.get(&*place(key_name, &format!("{kind}:{value}")));
            known.is_some_and(|known| known.iter().any(is_under))
        })
    }

    /// All of them: key, target, and what holds for it.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, Revocation)> {
        self.by_target.iter().flat_map(|(place, known)| {
            let (key_name, target) = place.split_once(' ').unwrap_or_default();
            known.iter().map(move |revocation| (key_name, target, *revocation))
        })
    }

    /// Forgets those that no token can be under any more.
    fn forget(&mut self, now_ms: u64) {
        self.by_target.retain(|_, known| {
            known.retain(|revocation| revocation.issued_before.saturating_add(MAX_TTL_MS) > now_ms);
            !known.is_empty()
        });
        self.count = self.by_target.values().map(Vec::len).sum();
    }
}

/// Names of keys have no blanks.
fn place(key_name: &str, target: &str) -> Box<str> {
    format!("{key_name} {target}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn at(issued_before: u64, applies_at: u64) -> Revocation {
        Revocation { issued_before, applies_at }
    }

    #[test]
    fn those_that_were_issued_before_are_under_it() {
        let mut revocations = Revocations::default();
        assert!(revocations.is_empty());
        revocations.revoke("a.b", "clientId:ann", at(NOW, NOW), NOW).unwrap();
        let has = |revocations: &Revocations, key: &str, issued, client, now| {
            revocations.has(key, issued, [("channel", client), ("clientId", client)].into_iter(), now)
        };
        assert!(has(&revocations, "a.b", NOW - 1, "ann", NOW));
        assert!(!has(&revocations, "a.b", NOW, "ann", NOW) && !has(&revocations, "a.b", NOW - 1, "bob", NOW));
        assert!(!has(&revocations, "a.c", NOW - 1, "ann", NOW));
        revocations.revoke("a.b", "clientId:ann", at(NOW + 9, NOW + 30), NOW + 9).unwrap();
        assert!(has(&revocations, "a.b", NOW - 1, "ann", NOW + 9), "the first still holds");
        assert!(
            !has(&revocations, "a.b", NOW + 1, "ann", NOW + 29) && has(&revocations, "a.b", NOW + 1, "ann", NOW + 30)
        );
        revocations.revoke("a.b", "clientId:ann", at(NOW + 40, NOW + 20), NOW + 40).unwrap();
        assert_eq!(revocations.count, 1, "the last says all that the others do");
        assert_eq!(revocations.all().collect::<Vec<_>>(), [("a.b", "clientId:ann", at(NOW + 40, NOW + 20))]);
        assert!(
            has(&revocations, "a.b", NOW - 1, "ann", NOW + 40) && has(&revocations, "a.b", NOW + 39, "ann", NOW + 40)
        );
        for bad in ["", "ann", "clientId:", "user:ann", &format!("clientId:{}", "x".repeat(MAX_TARGET_LEN))] {
            assert_eq!(revocations.revoke("a.b", bad, at(NOW, NOW), NOW).unwrap_err().code, 40000, "{bad:.20}");
        }
    }

    #[test]
    fn none_is_forgotten_that_counts() {
        let mut revocations = Revocations::default();
        let mut revoke =
            |number: usize, now| revocations.revoke("a.b", &format!("clientId:{number}"), at(now, now), now);
        (0..MAX_REVOCATIONS).for_each(|number| revoke(number, NOW).unwrap());
        assert_eq!(revoke(MAX_REVOCATIONS, NOW).unwrap_err().code, 42910);
        assert!(revoke(0, NOW + 1).is_ok(), "again");
        assert!(revoke(MAX_REVOCATIONS, NOW + MAX_TTL_MS).is_ok(), "their time has passed");
        assert_eq!((revocations.count, revocations.by_target.len()), (2, 2));
    }
}
