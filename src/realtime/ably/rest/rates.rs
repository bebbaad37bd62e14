//! How often those publish who have no connection: over all of their requests, to whatever door, as a connection may.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use super::caller::Caller;
use crate::realtime::ably::machine::refused;
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::hub::{Client, PublishRates};
use crate::realtime::vocabulary::{Channel, Moment, Refusal, TokenBucket};

/// Those who are remembered, at most: with more, who has not published for a second is forgotten first, and then all.
const MAX_KNOWN: usize = 10_000;

/// Those who have published lately.
#[derive(Default)]
pub struct RequestRates(Mutex<HashMap<Requester, Arc<Mutex<RequestRate>>>>);

/// Who asks, whatever token it shows: a client of a key; one without a client by its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Requester {
    key_name: Arc<str>,
    client: Result<Arc<str>, IpAddr>,
}

/// What one of them has left.
pub struct RequestRate {
    /// What all doors call it.
    name: String,
    bucket: TokenBucket,
    rate: f64,
    /// Of each channel's own rate.
    pub channels: PublishRates,
}

impl RequestRates {
    /// What `caller` has left, who asks from `address`. Nothing bounds who has a key: it is the app.
    pub fn of(&self, caller: &Caller, address: IpAddr, now: Moment) -> Option<Arc<Mutex<RequestRate>>> {
        if caller.auth.is_key {
            return None;
        }
        let client = caller.client_id.clone().ok_or(address);
        let requester = Requester { key_name: Arc::clone(&caller.auth.key_name), client };
        let rate = f64::from(caller.auth.app.settings().message_rate);
        Some(self.find(requester, rate, now))
    }

    fn find(&self, requester: Requester, rate: f64, now: Moment) -> Arc<Mutex<RequestRate>> {
        let mut known = self.0.lock();
        if known.len() >= MAX_KNOWN && !known.contains_key(&requester) {
            known.retain(|_, one| Arc::strong_count(one) > 1 || !one.lock().is_full(now));
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
        }
        let one = known.entry(requester).or_insert_with_key(|requester| {
            let (name, bucket) = (requester.shared_name(), TokenBucket::full(rate, now.instant));
            Arc::new(Mutex::new(RequestRate { name, bucket, rate, channels: PublishRates::default() }))
        });
        one.lock().rate = rate;
        Arc::clone(one)
    }
}

impl Requester {
    /// The same on all doors, and nobody's name can be read in it.
    fn shared_name(&self) -> String {
        let address;
        let (kind, of): (u8, &str) = match &self.client {
            Ok(client) => (0, client),
            Err(from) => {
                address = from.to_string();
                (1, &address)
            }
        };
        let mut context = Context::new(&SHA256);
        context.update(&(self.key_name.len() as u64).to_be_bytes());
        for part in [self.key_name.as_bytes(), &[kind], of.as_bytes()] {
            context.update(part);
        }
        format!("ably:{}", URL_SAFE_NO_PAD.encode(context.finish()))
    }
}

impl RequestRate {
    /// Counts one publish of so many messages in a channel, against what the requester has on all doors together. While
    /// that cannot be known, each door has its own.
    ///
    /// # Errors
    /// 42911.
    pub async fn count(
        one: &Mutex<RequestRate>,
        client: &Client,
        (channel, messages): (&Channel, usize),
        now: Moment,
    ) -> Result<(), AblyError> {
        let (name, rate) = {
            let one = one.lock();
            (one.name.clone(), one.rate)
        };
        let hub = client.hub();
        match hub.take_of_all(&name, 1, rate as u32).await {
            Some(taken) => taken.map_err(|_| too_many(rate))?,
            None => one.lock().take(now)?,
        }
        // That of the channel each door counts as well, where the message is said.
        let of_channel = client.publish_rate(channel);
        let name = format!("{name}:{}", channel.as_str());
        match hub.take_of_all(&name, messages, of_channel).await {
            Some(taken) => taken.map_err(|wait| refused(&Refusal::TooMany { wait })),
            None => Ok(()),
        }
    }

    fn take(&mut self, now: Moment) -> Result<(), AblyError> {
        let rate = self.rate;
        self.bucket.take(1.0, rate, now.instant).map_err(|_| too_many(rate))
    }

    fn is_full(&self, now: Moment) -> bool {
        self.bucket.is_full(self.rate, now.instant) && self.channels.are_full(now.instant)
    }
}

fn too_many(rate: f64) -> AblyError {
    AblyError::new(42911, 429, format!("Rate limit exceeded: more than {rate} messages a second of one client"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn requester(number: usize) -> Requester {
        Requester { key_name: "app.key".into(), client: Ok(number.to_string().into()) }
    }

    #[test]
    fn each_has_a_rate_over_all_requests() {
        let (rates, now) = (RequestRates::default(), Moment::now());
        for _ in 0..3 {
            assert_eq!(rates.find(requester(1), 3.0, now).lock().take(now), Ok(()));
        }
        let refused = rates.find(requester(1), 3.0, now).lock().take(now).unwrap_err();
        assert_eq!((refused.code, refused.status), (42911, 429));
        assert_eq!(rates.find(requester(2), 3.0, now).lock().take(now), Ok(()), "another");
        let later = now + Duration::from_secs(1);
        assert_eq!(rates.find(requester(1), 3.0, later).lock().take(later), Ok(()));
    }

    #[test]
    fn one_is_called_the_same_on_all_doors_and_no_two_are() {
        let address = Requester { client: Err("10.0.0.1".parse().unwrap()), ..requester(1) };
        let named = Requester { client: Ok("10.0.0.1".into()), ..requester(1) };
        assert_eq!(requester(1).shared_name(), requester(1).shared_name());
        let all = [requester(1), requester(2), address, named].map(|one| one.shared_name());
        assert!(all.iter().enumerate().all(|(place, name)| !all[..place].contains(name)), "{all:?}");
    }

    #[test]
    fn those_who_are_remembered_have_a_bound() {
        let (rates, now) = (RequestRates::default(), Moment::now());
        for number in 0..MAX_KNOWN {
            rates.find(requester(number), 1.0, now);
        }
        let busy = rates.find(requester(7), 1.0, now);
        assert_eq!(busy.lock().take(now), Ok(()));
        rates.find(requester(MAX_KNOWN), 1.0, now);
        assert_eq!(rates.0.lock().len(), 2, "who has all left is as good as new");
        assert!(rates.find(requester(7), 1.0, now).lock().take(now).is_err());
    }
}
