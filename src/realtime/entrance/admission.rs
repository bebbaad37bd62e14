//! Who may come in, how many, and how fast: a storm of clients is let in at a rate that leaves room for those inside.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::settings::Section;
use crate::shares::{Holder, may_take};

/// Limits of `[realtime]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdmissionLimits {
    /// Connections in all. Default 100,000.
    pub max_connections: usize,
    /// Connections of one address (one /64 of IPv6), besides that it may have one more only if it has no more than it
    /// leaves free. Default 20,000.
    pub max_connections_per_address: usize,
    /// Clients let in a second; as many at once after a pause of a second. Default 5,000: a third of a processor, or less.
    pub admission_rate: u32,
    /// How long a client waits to be let in before it is sent away to come back later. Default 5 s.
    pub admission_wait: Duration,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        AdmissionLimits {
            max_connections: 100_000,
            max_connections_per_address: 20_000,
            admission_rate: 5_000,
            admission_wait: Duration::from_secs(5),
        }
    }
}

impl AdmissionLimits {
    pub fn read(section: &Section) -> AdmissionLimits {
        let default = AdmissionLimits::default();
        let admission_rate = section.value("admission_rate", default.admission_rate);
        if admission_rate == 0 {
            section.problem("admission_rate", "nobody would ever be let in", Some("give at least 1"));
        }
        AdmissionLimits {
            max_connections: section.value("max_connections", default.max_connections),
            max_connections_per_address: section
                .value("max_connections_per_address", default.max_connections_per_address),
            admission_rate: admission_rate.max(1),
            admission_wait: section.value("admission_wait", default.admission_wait),
        }
    }
}

/// Counts who is in, and spreads out who wants in. As many may wait as are let in within the longest wait; of one
/// address no more than it leaves places to wait.
#[derive(Debug, Default)]
pub struct Admission(Mutex<AdmissionState>);

#[derive(Debug, Default)]
struct AdmissionState {
    open: usize,
    by_address: HashMap<Holder, usize>,
    /// When the next place is free, were all of them spread evenly.
    next: Option<Instant>,
    /// When those of an address that wait are let in, soonest first. Nothing of those who need not wait.
    waiting: HashMap<Holder, VecDeque<Instant>>,
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionError {
    /// Too many are in.
    Full,
    /// Too many are in from this address.
    FullForAddress,
    /// Too many want in; it may come back after this.
    Busy { after: Duration },
}

/// A place for one client, until it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    admission: Arc<Admission>,
    address: Holder,
}

impl Admission {
    /// How many places nobody has.
    pub fn free(&self, limits: &AdmissionLimits) -> usize {
        limits.max_connections.saturating_sub(self.0.lock().open)
    }

    /// A place for a client at `address`, and how long it waits before it may take it.
    ///
    /// # Errors
    /// [`AdmissionError`].
    pub fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        limits: &AdmissionLimits,
        now: Instant,
    ) -> Result<(ConnectionPermit, Duration), AdmissionError> {
        let address = Holder::of(address);
        let mut state = self.0.lock();
        if state.open >= limits.max_connections {
            return Err(AdmissionError::Full);
        }
        let held = state.by_address.get(&address).copied().unwrap_or(0);
        let free = limits.max_connections - state.open;
        if held >= limits.max_connections_per_address || !may_take(held, free) {
            return Err(AdmissionError::FullForAddress);
        }
        let step = Duration::from_secs(1) / limits.admission_rate;
        // A second's worth of places is always saved up.
        let saved = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let next = state.next.map_or(saved, |next| next.max(saved));
        let wait = next.saturating_duration_since(now);
        if wait > limits.admission_wait {
            return Err(AdmissionError::Busy { after: wait });
        }
        if wait.is_zero() {
            // Whoever waited is in.
            state.waiting.clear();
        } else {
            let left = (limits.admission_wait - wait).as_secs_f64() * f64::from(limits.admission_rate);
            let own = state.waiting.entry(address).or_default();
            while own.front().is_some_and(|due| *due <= now) {
                own.pop_front();
            }
            if !own.is_empty() && !may_take(own.len(), left as usize) {
                return Err(AdmissionError::Busy { after: wait });
            }
            own.push_back(next);
        }
        state.next = Some(next + step);
        state.open += 1;
        *state.by_address.entry(address).or_default() += 1;
        Ok((ConnectionPermit { admission: Arc::clone(self), address }, wait))
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut state = self.admission.0.lock();
        state.open -= 1;
        if let Some(open) = state.by_address.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                state.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> AdmissionLimits {
        AdmissionLimits {
            max_connections: 100,
            max_connections_per_address: 90,
            admission_rate: 10,
            admission_wait: 2 * SECOND,
        }
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let admission = Arc::new(Admission::default());
        let limits = AdmissionLimits { max_connections: 4, max_connections_per_address: 2, ..limits() };
        let now = Instant::now();
        let first = admission.admit(HERE, &limits, now).unwrap();
        let second = admission.admit(HERE, &limits, now).unwrap();
        assert_eq!(admission.admit(HERE, &limits, now).unwrap_err(), AdmissionError::FullForAddress);
        let _third = admission.admit("2001:db8::1".parse().unwrap(), &limits, now).unwrap();
        assert_eq!(
            admission.admit("2001:db8::2".parse().unwrap(), &limits, now).unwrap_err(),
            AdmissionError::FullForAddress
        );
        let _fourth = admission.admit("2001:db8:0:1::1".parse().unwrap(), &limits, now).unwrap();
        assert_eq!(
            admission.admit("2001:db8:0:2::1".parse().unwrap(), &limits, now).unwrap_err(),
            AdmissionError::Full
        );
        drop((first, second));
        assert!(admission.admit("::ffff:127.0.0.1".parse().unwrap(), &limits, now).is_ok());
    }

    #[test]
    fn a_storm_is_spread_out_and_what_is_too_much_sent_away() {
        let admission = Arc::new(Admission::default());
        let now = Instant::now();
        let mut permits = Vec::new();
        let mut waits = Vec::new();
        let refused = loop {
            match admission.admit(HERE, &limits(), now) {
                Ok((permit, wait)) => {
                    permits.push(permit);
                    waits.push(wait);
                }
                Err(refused) => break refused,
            }
        };
        assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), 11, "a second's worth, and the one that is due");
        assert_eq!(waits.len(), 20, "and half of those that may wait two seconds");
        assert_eq!(refused, AdmissionError::Busy { after: Duration::from_millis(1000) });
        let (_permit, wait) = admission.admit("192.0.2.1".parse().unwrap(), &limits(), now).unwrap();
        assert_eq!(wait, Duration::from_millis(1000), "another address has the next place");
        let (_, wait) = admission.admit(HERE, &limits(), now + 2 * SECOND).unwrap();
        assert_eq!(wait, Duration::ZERO);
        let (_, wait) = admission.admit(HERE, &limits(), now + 60 * SECOND).unwrap();
        assert_eq!(wait, Duration::ZERO);
    }
}
