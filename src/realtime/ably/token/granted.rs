//! Capabilities of tokens, read once for all who come with the same.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::realtime::ably::capability::Capability;
use crate::realtime::ably::wire::error::AblyError;

/// Capabilities that may be gone and are known all the same, at least.
const FEW: usize = 256;

/// The capabilities of one key's tokens that somebody has, by their own words. Many clients come with tokens that say the same.
#[derive(Debug, Default)]
pub struct Granted {
    known: HashMap<Box<str>, Weak<Capability>>,
    /// With so many, those that nobody has any more are left out.
    most: usize,
}

impl Granted {
    /// What a token says in `text`, as far as its key may do that: `bound`, the same at each call.
    ///
    /// # Errors
    /// 40000: no capability.
    pub fn of(&mut self, text: &str, bound: &Capability) -> Result<Arc<Capability>, AblyError> {
        if let Some(known) = self.known.get(text).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let capability = Arc::new(Capability::parse(text)?.intersect(bound));
        if self.known.len() >= self.most.max(FEW) {
            self.known.retain(|_, capability| capability.strong_count() > 0);
            self.most = 2 * self.known.len();
        }
        self.known.insert(text.into(), Arc::downgrade(&capability));
        Ok(capability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_the_same_is_one() {
        let (mut granted, bound) = (Granted::default(), Capability::parse(r#"{"a":["*"]}"#).unwrap());
        let text = r#"{"*":["subscribe"]}"#;
        let first = granted.of(text, &bound).unwrap();
        assert!(Arc::ptr_eq(&first, &granted.of(text, &bound).unwrap()));
        assert_eq!(first.canonical(), r#"{"a":["subscribe"]}"#);
        assert!(granted.of("x", &bound).is_err());
    }

    #[test]
    fn those_that_nobody_has_are_forgotten() {
        let (mut granted, bound) = (Granted::default(), Capability::all());
        let one = |number| format!(r#"{{"room-{number}":["*"]}}"#);
        let held: Vec<_> = (0..FEW).map(|number| granted.of(&one(number), &bound).unwrap()).collect();
        for number in FEW..8 * FEW {
            granted.of(&one(number), &bound).unwrap();
            assert!(granted.known.len() <= 2 * FEW, "{}", granted.known.len());
        }
        assert!(Arc::ptr_eq(&held[0], &granted.of(&one(0), &bound).unwrap()));
    }
}
