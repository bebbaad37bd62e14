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
use serde::{Deserialize, Serialize};

use super::wire::error::AblyError;
use crate::realtime::vocabulary::ConnectionId;

/// How long a connection without a link may be resumed: what clients are told, and by which they go.
pub const STATE_TTL: Duration = Duration::from_secs(120);

/// Connections without a link that are kept, at most: the oldest go first.
const MAX_AWAY: usize = 100_000;

/// Keys of one connection that are good beside its latest, at most.
const MAX_KEYS: usize = 8;

/// The code of a connection that cannot be had.
const GONE: u32 = 80018;

/// Between a connection's id and the secret in its key. Logs leave keys out by their form (`http::layer::access`).
const KEY_SIGN: char = '!';

/// All connections of this protocol, those that may come back too.
#[derive(Default)]
pub struct Connections(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Boxed: the table has room for twice as many.
    by_id: HashMap<Arc<str>, Box<Entry>>,
    /// Those without a link, in the order in which they lost it. Some have come back since.
    away: VecDeque<(Arc<str>, Instant)>,
}

struct Entry {
    secret: Secret,
    /// By which it came back last, and those that were given since: which of them its client has been told of is not known,
    /// while nothing shows that it has the new one. What told of it may be lost with the link, and a request may be answered
    /// after another that its client sent later.
    before: Box<[Secret]>,
    app: Arc<str>,
    client: Option<Arc<str>>,
    key_name: Arc<str>,
    link: ConnectionState,
}

type Secret = [u8; 16];

/// A connection on its way from the door that knew it to another.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct CarriedConnection {
    id: Arc<str>,
    /// Its keys that are good, the latest last.
    secrets: Vec<Secret>,
    app: Arc<str>,
    client: Option<Arc<str>>,
    key_name: Arc<str>,
    /// That it has there.
    link: Option<u64>,
}

enum ConnectionState {
    Here(ConnectionId),
    Away(Instant),
    /// It was carried here from another door, where it still has a link; as long as one that is away it may be claimed.
    There(Instant, ConnectionId),
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
    /// Given to its client, who comes back with it. Another at each link: whoever was displaced cannot take it back, once the
    /// client is known to have this one.
    pub key: Box<str>,
    /// It is a connection that there was before.
    pub is_resumed: bool,
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
        let (id, before, displaced, error) = match resumed {
            Some(Ok(Claimed { id, good, displaced })) => (id, good, displaced, None),
            Some(Err(error)) => (new_id(), Box::default(), None, Some(error)),
            None => (new_id(), Box::default(), None, None),
        };
        let (secret, is_resumed): (Secret, bool) = (random(), !before.is_empty());
        let Claimant { app, client, key_name } = claimant.clone();
        let entry = Entry { secret, before, app, client, key_name, link: ConnectionState::Here(link) };
        known.by_id.insert(Arc::clone(&id), Box::new(entry));
        let key = format!("{id}{KEY_SIGN}{}", URL_SAFE_NO_PAD.encode(secret)).into();
        (Opened { id, key, is_resumed, displaced }, error)
    }

    /// The client has the key of this link: no other is good any more.
    pub fn confirm(&self, id: &str, link: ConnectionId) {
        if let Some(entry) = self.0.lock().by_id.get_mut(id).filter(|entry| entry.is_at(link)) {
            entry.before = Box::default();
        }
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
        if !entry.is_at(link) {
            return;
        }
        if for_good {
            known.by_id.remove(id);
            return;
        }
        entry.link = ConnectionState::Away(now);
        known.remember_away(Arc::clone(id), now);
    }

    /// Whether a key of a connection may look so.
    pub fn is_key(key: &str) -> bool {
        let secret = key.split_once(KEY_SIGN).map(|(_, secret)| URL_SAFE_NO_PAD.decode(secret));
        matches!(secret, Some(Ok(secret)) if secret.len() == size_of::<Secret>())
    }

    /// Whether this door knows the connection that `key` is of, or may have been of.
    pub fn knows(&self, key: &str) -> bool {
        let id = key.split_once(KEY_SIGN).map(|(id, _)| id);
        id.is_some_and(|id| self.0.lock().by_id.contains_key(id))
    }

    /// Gives up the connection that `key` is of to another door, where `claimant` has come with it; `None`: it is not known.
    ///
    /// # Errors
    /// 40102: it is another's.
    pub fn hand_over(
        &self,
        key: &str,
        claimant: &Claimant,
        now: Instant,
    ) -> Option<Result<CarriedConnection, AblyError>> {
        let mut known = self.0.lock();
        known.expire(now);
        let Claimed { id, good, displaced } = match known.claim(key, claimant, now) {
            Ok(claimed) => claimed,
            Err(error) if error.code == GONE => return None,
            Err(error) => return Some(Err(error)),
        };
        let entry = known.by_id.remove(&id)?;
        let Entry { app, client, key_name, .. } = *entry;
        let link = displaced.map(|link| link.0);
        Some(Ok(CarriedConnection { id, secrets: good.into_vec(), app, client, key_name, link }))
    }

    /// From now on this door knows a connection of another. It is to be opened as one of its own that is away.
    pub fn take_in(&self, carried: CarriedConnection, now: Instant) {
        let CarriedConnection { id, mut secrets, app, client, key_name, link } = carried;
        let Some(secret) = secrets.pop() else { return };
        let link = match link {
            Some(link) => ConnectionState::There(now, ConnectionId(link)),
            None => ConnectionState::Away(now),
        };
        let entry = Entry { secret, before: secrets.into(), app, client, key_name, link };
        let mut known = self.0.lock();
        known.by_id.insert(Arc::clone(&id), Box::new(entry));
        known.remember_away(id, now);
    }

    /// The connection of `app` that `key` is of.
    pub fn of_key(&self, key: &str, app: &str) -> Option<Represented> {
        let known = self.0.lock();
        let (id, _, entry) = known.find(key).filter(|(_, _, entry)| *entry.app == *app)?;
        let connection = match entry.link {
            ConnectionState::Here(link) | ConnectionState::There(_, link) => Some(link),
            ConnectionState::Away(_) => None,
        };
        Some(Represented { id, client: entry.client.clone(), connection })
    }

    /// The connection of `app` that a message is said for, by the `key` that it names.
    ///
    /// # Errors
    /// 40006: there is none.
    pub fn represented(&self, key: &str, app: &str) -> Result<Represented, AblyError> {
        self.of_key(key, app).ok_or_else(not_represented)
    }

    /// The links of those for whom `is_meant` holds, by app, key and client.
    pub fn links(&self, is_meant: impl Fn(&str, &str, Option<&str>) -> bool) -> Vec<ConnectionId> {
        let known = self.0.lock();
        let meant = known.by_id.values().filter(|entry| is_meant(&entry.app, &entry.key_name, entry.client.as_deref()));
        meant.filter_map(|entry| if let ConnectionState::Here(link) = entry.link { Some(link) } else { None }).collect()
    }
}

impl Entry {
    /// Which of its keys `secret` is, from the oldest that is good.
    fn place(&self, secret: &[u8]) -> Option<usize> {
        self.before.iter().chain([&self.secret]).position(|good| verify_slices_are_equal(good, secret).is_ok())
    }

    /// The keys that stay good when it comes back by the one at `place`: that one and those behind it, of which the client
    /// may have been told meanwhile; the latest where they are many.
    fn good_from(&self, place: usize) -> Box<[Secret]> {
        let mut good: Vec<_> = self.before.iter().chain([&self.secret]).skip(place).copied().collect();
        if good.len() > MAX_KEYS {
            good.drain(1..=good.len() - MAX_KEYS);
        }
        good.into()
    }

    /// Since when it has no link here.
    fn away_since(&self) -> Option<Instant> {
        match self.link {
            ConnectionState::Here(_) => None,
            ConnectionState::Away(since) | ConnectionState::There(since, _) => Some(since),
        }
    }

    fn is_at(&self, link: ConnectionId) -> bool {
        matches!(self.link, ConnectionState::Here(here) if here == link)
    }
}

/// A connection that somebody has come back to.
struct Claimed {
    id: Arc<str>,
    /// Those that are good until its client is known to have the next.
    good: Box<[Secret]>,
    displaced: Option<ConnectionId>,
}

impl Known {
    /// The connection that `key` is of, and which of its keys that is.
    fn find(&self, key: &str) -> Option<(Arc<str>, usize, &Entry)> {
        let (id, secret) = key.split_once(KEY_SIGN)?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
        let (id, entry) = self.by_id.get_key_value(id)?;
        Some((Arc::clone(id), entry.place(&secret)?, entry))
    }

    fn claim(&self, key: &str, claimant: &Claimant, now: Instant) -> Result<Claimed, AblyError> {
        let gone = || AblyError::new(GONE, 400, "Unable to recover the connection: its key is unknown or has expired");
        let (id, place, entry) = self.find(key).ok_or_else(gone)?;
        if entry.app != claimant.app || (entry.client.is_some() && entry.client != claimant.client) {
            return Err(another_s());
        }
        match entry.link {
            ConnectionState::Here(link) => Ok(Claimed { id, good: entry.good_from(place), displaced: Some(link) }),
            ConnectionState::Away(since) | ConnectionState::There(since, _)
                if now.saturating_duration_since(since) >= STATE_TTL =>
            {
                Err(gone())
            }
            ConnectionState::Away(_) => Ok(Claimed { id, good: entry.good_from(place), displaced: None }),
            ConnectionState::There(_, link) => Ok(Claimed { id, good: entry.good_from(place), displaced: Some(link) }),
        }
    }

    fn remember_away(&mut self, id: Arc<str>, now: Instant) {
        self.away.push_back((id, now));
        while self.away.len() > MAX_AWAY {
            self.forget_oldest();
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
        if self.by_id.get(&id).and_then(|entry| entry.away_since()) == Some(since) {
            self.by_id.remove(&id);
        }
    }
}

/// Why nobody comes back as another.
pub fn another_s() -> AblyError {
    AblyError::new(40102, 401, "The connection is another app's or client's")
}

/// Why nothing is said for a connection that nobody knows.
pub fn not_represented() -> AblyError {
    AblyError::new(40006, 400, "Invalid connectionKey: there is no such connection")
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
        connections.confirm(&second.id, B);
        let (other, error) = connections.open(Some(&first.key), &ann(), A, now);
        assert_eq!(error.map(|error| error.code), Some(80018), "the old key is no longer good");
        assert_ne!(other.id, first.id);
        connections.leave(&second.id, B, false, now);
        let (_, error) = connections.open(Some(&second.key), &ann(), B, now + STATE_TTL);
        assert_eq!(error.map(|error| error.code), Some(80018));
    }

    #[test]
    fn a_key_stays_good_until_the_client_has_the_next() {
        let (connections, now) = (Connections::default(), Instant::now());
        let (first, _) = connections.open(None, &ann(), A, now);
        let comes = |key: &str, link| {
            let (opened, error) = connections.open(Some(key), &ann(), link, now);
            assert_eq!(error.is_none(), opened.is_resumed);
            (opened.id == first.id).then_some(opened.key)
        };
        // What told of the new key is lost with its link.
        let second = comes(&first.key, B).unwrap();
        comes(&first.key, A).unwrap();
        // Of the second it was told all the same: its request was answered late.
        let fourth = comes(&second, B).unwrap();
        assert_eq!(comes(&first.key, A), None);
        // What another link shows says nothing of this one.
        connections.confirm(&first.id, A);
        connections.confirm("nobody", B);
        let fifth = comes(&second, A).unwrap();
        connections.confirm(&first.id, A);
        assert_eq!((comes(&second, B), comes(&fourth, B)), (None, None));
        assert!(comes(&fifth, B).is_some());
    }

    #[test]
    fn the_keys_of_one_connection_have_a_bound() {
        let (connections, now) = (Connections::default(), Instant::now());
        let (first, _) = connections.open(None, &ann(), A, now);
        let mut last = Box::<str>::default();
        for _ in 0..3 * MAX_KEYS {
            last = connections.open(Some(&first.key), &ann(), A, now).0.key;
        }
        assert_eq!(connections.0.lock().by_id[&first.id].before.len(), MAX_KEYS);
        let is_good = |key: &str| connections.of_key(key, "app").is_some();
        assert!(is_good(&first.key) && is_good(&last));
    }

    #[test]
    fn who_comes_with_its_key_displaces_it() {
        let (connections, now) = (Connections::default(), Instant::now());
        let (first, _) = connections.open(None, &ann(), A, now);
        let (second, _) = connections.open(Some(&first.key), &ann(), B, now);
        assert_eq!(second.displaced, Some(A));
        connections.leave(&first.id, A, true, now);
        connections.confirm(&first.id, B);
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
    fn a_connection_is_carried_to_another_door_with_its_keys() {
        let (there, here, now) = (Connections::default(), Connections::default(), Instant::now());
        let (first, _) = there.open(None, &ann(), A, now);
        let bob = Claimant { client: Some("bob".into()), ..ann() };
        assert_eq!(there.hand_over(&first.key, &bob, now).unwrap().unwrap_err().code, 40102);
        assert_eq!(there.hand_over("nobody!AAAA", &ann(), now), None);
        assert!(there.knows(&first.key) && !here.knows(&first.key));

        here.take_in(there.hand_over(&first.key, &ann(), now).unwrap().unwrap(), now);
        assert!(!there.knows(&first.key) && here.knows(&first.key));
        assert_eq!(here.of_key(&first.key, "app").unwrap().connection, Some(A), "it still has its link there");
        there.leave(&first.id, A, true, now);
        let (second, error) = here.open(Some(&first.key), &ann(), B, now);
        assert_eq!((error, second.id, second.displaced), (None, Arc::clone(&first.id), Some(A)));

        // Its link is lost before it knew the new key, and it comes to the first door again.
        here.leave(&first.id, B, false, now);
        there.take_in(here.hand_over(&first.key, &ann(), now).unwrap().unwrap(), now);
        let (third, error) = there.open(Some(&first.key), &ann(), A, now + STATE_TTL / 2);
        assert_eq!((error, third.id, third.displaced), (None, Arc::clone(&first.id), None));
        assert!(there.open(Some(&second.key), &ann(), B, now).1.is_none(), "that of the other door is good too");
    }

    #[test]
    fn what_was_carried_and_is_not_opened_is_forgotten() {
        let (there, here, now) = (Connections::default(), Connections::default(), Instant::now());
        let (first, _) = there.open(None, &ann(), A, now);
        here.take_in(there.hand_over(&first.key, &ann(), now).unwrap().unwrap(), now);
        assert_eq!(here.hand_over(&first.key, &ann(), now + STATE_TTL), None);
        assert!(here.0.lock().by_id.is_empty());
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
