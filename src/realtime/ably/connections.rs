//! Connections that outlive their links: an id, a private key, and who it is. Nothing that was missed is kept here: each
//! channel has that.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use super::wire::error::AblyError;
use crate::realtime::vocabulary::ConnectionId;

/// How long a connection without a link may be resumed: what clients are told, and by which they go.
pub const STATE_TTL: Duration = Duration::from_secs(120);

/// Connections without a link that are kept, at most: the oldest go first.
const MAX_AWAY: usize = 100_000;

/// Between a connection's id and the secret in its key. Logs leave keys out by their form (`http::layer::access`).
const KEY_SIGN: char = '!';

/// All connections of this protocol, those that may come back too.
#[derive(Default)]
pub struct Connections(Mutex<Known>);

#[derive(Default)]
struct Known {
    by_id: HashMap<Arc<str>, Entry>,
    /// Those without a link, in the order in which they lost it. Some have come back since.
    away: VecDeque<(Arc<str>, Instant)>,
}

struct Entry {
    secret: [u8; 16],
    app: Arc<str>,
    client: Option<Arc<str>>,
    key_name: Arc<str>,
    link: ConnectionState,
}

enum ConnectionState {
    Here(ConnectionId),
    Away(Instant),
}

/// The connection that another one speaks for by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Represented {
    pub id: Arc<str>,
    pub client: Option<Arc<str>>,
    /// At the hub, where it has a link.
    pub connection: Option<ConnectionId>,
}

/// Who comes, by which key.
#[derive(Debug, Clone)]
pub struct Claimant {
    pub app: Arc<str>,
    pub client: Option<Arc<str>>,
    /// The name of the key that its token is of; empty where it has the key itself.
    pub key_name: Arc<str>,
}

/// A connection that has a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub id: Arc<str>,
    /// Given to its client, who comes back with it. Another at each link: whoever was displaced cannot take it back.
    pub key: String,
    /// Who has it no longer: to be closed.
    pub displaced: Option<ConnectionId>,
}

impl Connections {
    /// Opens a connection for `claimant` over `link`: the one that `key` is of, if it can be had, else a new one and why.
    pub fn open(
        &self,
        key: Option<&str>,
        claimant: &Claimant,
        link: ConnectionId,
        now: Instant,
    ) -> (Opened, Option<AblyError>) {
        let mut known = self.0.lock();
        known.expire(now);
        let resumed = key.map(|key| known.claim(key, claimant, now));
        let (id, displaced, error) = match resumed {
            Some(Ok((id, displaced))) => (id, displaced, None),
            Some(Err(error)) => (new_id(), None, Some(error)),
            None => (new_id(), None, None),
        };
        let secret: [u8; 16] = random();
        let Claimant { app, client, key_name } = claimant.clone();
        known.by_id.insert(Arc::clone(&id), Entry { secret, app, client, key_name, link: ConnectionState::Here(link) });
        let key = format!("{id}{KEY_SIGN}{}", URL_SAFE_NO_PAD.encode(secret));
        (Opened { id, key, displaced }, error)
    }

    /// The connection is known as somebody now.
    pub fn identify(&self, id: &str, client: Option<Arc<str>>) {
        if let Some(entry) = self.0.lock().by_id.get_mut(id) {
            entry.client = client;
        }
    }

    /// Its link is gone, if it still has this one: for good, or until it comes back.
    pub fn leave(&self, id: &Arc<str>, link: ConnectionId, for_good: bool, now: Instant) {
        let mut known = self.0.lock();
        let Some(entry) = known.by_id.get_mut(id) else { return };
        if !matches!(entry.link, ConnectionState::Here(here) if here == link) {
            return;
        }
        if for_good {
            known.by_id.remove(id);
            return;
        }
        entry.link = ConnectionState::Away(now);
        known.away.push_back((Arc::clone(id), now));
        while known.away.len() > MAX_AWAY {
            known.forget_oldest();
        }
    }

    /// The connection of `app` that `key` is of.
    pub fn of_key(&self, key: &str, app: &str) -> Option<Represented> {
        let known = self.0.lock();
        let (id, entry) = known.find(key).filter(|(_, entry)| *entry.app == *app)?;
        let connection = if let ConnectionState::Here(link) = entry.link { Some(link) } else { None };
        Some(Represented { id, client: entry.client.clone(), connection })
    }

    /// The connection of `app` that a message is said for, by the `key` that it names.
    ///
    /// # Errors
    /// 40006: there is none.
    pub fn represented(&self, key: &str, app: &str) -> Result<Represented, AblyError> {
        let unknown = || AblyError::new(40006, 400, "Invalid connectionKey: there is no such connection");
        self.of_key(key, app).ok_or_else(unknown)
    }

    /// The links of those for whom `is_meant` holds, by app, key and client.
    pub fn links(&self, is_meant: impl Fn(&str, &str, Option<&str>) -> bool) -> Vec<ConnectionId> {
        let known = self.0.lock();
        let meant = known.by_id.values().filter(|entry| is_meant(&entry.app, &entry.key_name, entry.client.as_deref()));
        meant.filter_map(|entry| if let ConnectionState::Here(link) = entry.link { Some(link) } else { None }).collect()
    }
}

impl Known {
    fn find(&self, key: &str) -> Option<(Arc<str>, &Entry)> {
        let (id, secret) = key.split_once(KEY_SIGN)?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
        let (id, entry) = self.by_id.get_key_value(id)?;
        verify_slices_are_equal(&entry.secret, &secret).is_ok().then(|| (Arc::clone(id), entry))
    }

    fn claim(
        &self,
        key: &str,
        claimant: &Claimant,
        now: Instant,
    ) -> Result<(Arc<str>, Option<ConnectionId>), AblyError> {
        let gone = || AblyError::new(80018, 400, "Unable to recover the connection: its key is unknown or has expired");
        let (id, entry) = self.find(key).ok_or_else(gone)?;
        if entry.app != claimant.app || (entry.client.is_some() && entry.client != claimant.client) {
            return Err(AblyError::new(40102, 401, "The connection is another app's or client's"));
        }
        match entry.link {
            ConnectionState::Here(link) => Ok((id, Some(link))),
            ConnectionState::Away(since) if now.saturating_duration_since(since) < STATE_TTL => Ok((id, None)),
            ConnectionState::Away(_) => Err(gone()),
        }
    }

    fn expire(&mut self, now: Instant) {
        while self.away.front().is_some_and(|(_, since)| now.saturating_duration_since(*since) >= STATE_TTL) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((id, since)) = self.away.pop_front() else { return };
        // One that came back, and perhaps left again, is behind this.
        if self.by_id.get(&id).is_some_and(|entry| matches!(entry.link, ConnectionState::Away(at) if at == since)) {
            self.by_id.remove(&id);
        }
    }
}

fn new_id() -> Arc<str> {
    let bytes: [u8; 9] = random();
    // Without what stands between an id and what follows it.
    URL_SAFE_NO_PAD.encode(bytes).replace(['-', '_'], "x").into()
}

/// So many random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnectionId = ConnectionId(1);
    const B: ConnectionId = ConnectionId(2);

    fn ann() -> Claimant {
        Claimant { app: "app".into(), client: Some("ann".into()), key_name: "app.key".into() }
    }

    #[test]
    fn a_key_is_good_once_and_for_its_time() {
        let (connections, now) = (Connections::default(), Instant::now());
        let (first, error) = connections.open(None, &ann(), A, now);
        assert_eq!((error, first.displaced), (None, None));
        assert_eq!((first.id.len(), first.key.len()), (12, 35), "logs know keys by their form");
        connections.leave(&first.id, A, false, now);
        let (second, error) = connections.open(Some(&first.key), &ann(), B, now + STATE_TTL / 2);
        assert_eq!((error, &second.id), (None, &first.id));
        assert_ne!(second.key, first.key);
        let (other, error) = connections.open(Some(&first.key), &ann(), A, now);
        assert_eq!(error.map(|error| error.code), Some(80018), "the old key is no longer good");
        assert_ne!(other.id, first.id);
        connections.leave(&second.id, B, false, now);
        let (_, error) = connections.open(Some(&second.key), &ann(), B, now + STATE_TTL);
        assert_eq!(error.map(|error| error.code), Some(80018));
    }

    #[test]
    fn who_comes_with_its_key_displaces_it() {
        let (connections, now) = (Connections::default(), Instant::now());
        let (first, _) = connections.open(None, &ann(), A, now);
        let (second, _) = connections.open(Some(&first.key), &ann(), B, now);
        assert_eq!(second.displaced, Some(A));
        connections.leave(&first.id, A, true, now);
        let represented = connections.of_key(&second.key, "app").unwrap();
        assert_eq!((represented.connection, represented.client.as_deref()), (Some(B), Some("ann")));
        assert_eq!((connections.of_key(&second.key, "other"), connections.of_key(&first.key, "app")), (None, None));
        assert_eq!(connections.links(|app, key, client| (app, key, client) == ("app", "app.key", Some("ann"))), [B]);
        connections.leave(&second.id, B, true, now);
        let (_, error) = connections.open(Some(&second.key), &ann(), A, now);
        assert_eq!(error.map(|error| error.code), Some(80018), "closed for good");
    }

    #[test]
    fn nobody_comes_back_as_another() {
        let (connections, now) = (Connections::default(), Instant::now());
        let (first, _) = connections.open(None, &ann(), A, now);
        for claimant in [Claimant { app: "other".into(), ..ann() }, Claimant { client: Some("bob".into()), ..ann() }] {
            let (_, error) = connections.open(Some(&first.key), &claimant, B, now);
            assert_eq!(error.map(|error| error.code), Some(40102));
        }
        for key in ["", "x", "!", &format!("{}!", first.id), &format!("{}x", first.key)] {
            let (_, error) = connections.open(Some(key), &ann(), B, now);
            assert_eq!(error.map(|error| error.code), Some(80018), "{key}");
        }
    }

    #[test]
    fn those_that_are_away_have_a_bound() {
        let (connections, now) = (Connections::default(), Instant::now());
        for number in 0..MAX_AWAY as u64 + 10 {
            let link = ConnectionId(number);
            let (opened, _) = connections.open(None, &ann(), link, now);
            connections.leave(&opened.id, link, false, now);
        }
        assert_eq!(connections.0.lock().by_id.len(), MAX_AWAY);
        connections.open(None, &ann(), A, now + STATE_TTL);
        let known = connections.0.lock();
        assert_eq!((known.by_id.len(), known.away.len()), (1, 0));
    }
}
