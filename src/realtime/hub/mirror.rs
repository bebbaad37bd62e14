//! What one door knows of a channel that several share, beside what it knows of any channel.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::realtime::broker::{ChannelEvent, NodeId};
use crate::realtime::vocabulary::{ConnectionId, Occupancy};

/// Events held while a channel is read anew, at most. With more it is read once again.
const MAX_HELD: usize = 1024;

/// One door's view of a shared channel.
#[derive(Debug)]
pub struct Mirror {
    pub stage: Stage,
    /// The number of the latest change of the roster that was heard.
    pub sequence: u64,
    /// What this door has put into the roster, or is about to. Bounded by its connections' memberships.
    own: HashMap<String, OwnField>,
    /// What others have put there.
    pub others: HashMap<String, OthersField>,
    /// The counts of all others together.
    pub elsewhere: Occupancy,
    /// For how long what is said is kept by the wish of clients of other doors.
    pub retained: Option<Duration>,
    /// How many fields there are of each member, own ones too.
    keys: HashMap<Box<str>, usize>,
    /// Members of this door whose connections are gone, by their keys.
    away: HashMap<Box<str>, Vec<AwayField>>,
    /// What is own is on its way to the broker.
    pub is_flushing: bool,
}

/// How far it is.
#[derive(Debug)]
pub enum Stage {
    /// It is being read; what is heard meanwhile waits.
    Loading {
        held: Vec<ChannelEvent>,
        /// Too much has come to be held.
        is_overfull: bool,
        /// It was live before: its subscribers know a part of it.
        was_live: bool,
    },
    Live,
}

/// A field of this door.
#[derive(Debug, Default)]
struct OwnField {
    /// `None`: it is to go.
    value: Option<Bytes>,
    /// What it shows once more before it goes.
    parting: Option<Bytes>,
    /// The broker has it as it is here.
    is_put: bool,
}

/// A field of this door whose connection is gone.
#[derive(Debug)]
struct AwayField {
    name: String,
    /// When its grace is over.
    until: Instant,
    since_ms: u64,
}

/// A field of another door.
#[derive(Debug)]
pub enum OthersField {
    Member {
        key: Box<str>,
        connection: ConnectionId,
    },
    Counts(Occupancy),
    /// Clients there may come back for what is said within this time.
    Retention(Duration),
}

/// A change of the roster on its way to the broker.
pub type FieldChange = (String, Option<Bytes>);

impl Mirror {
    pub fn new() -> Mirror {
        Mirror {
            stage: Stage::Loading { held: Vec::new(), is_overfull: false, was_live: false },
            sequence: 0,
            own: HashMap::new(),
            others: HashMap::new(),
            elsewhere: Occupancy::default(),
            retained: None,
            keys: HashMap::new(),
            away: HashMap::new(),
            is_flushing: false,
        }
    }

    pub fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live)
    }

    /// True if this door has nothing in it, nor anything on its way.
    pub fn is_idle(&self) -> bool {
        self.is_live() && self.has_nothing()
    }

    /// True if the broker has nothing of this door's in it, as far as is known.
    pub fn has_nothing(&self) -> bool {
        self.own.is_empty()
    }

    /// It is to be read anew. What comes meanwhile waits, this event first.
    pub fn reload(&mut self, first: Option<ChannelEvent>) {
        if self.is_live() {
            self.stage = Stage::Loading { held: Vec::new(), is_overfull: false, was_live: true };
        }
        first.into_iter().for_each(|event| self.hold(event));
    }

    /// Keeps an event that comes while the channel is being read.
    pub fn hold(&mut self, event: ChannelEvent) {
        if let Stage::Loading { held, is_overfull, .. } = &mut self.stage {
            if held.len() < MAX_HELD {
                held.push(event);
            } else {
                *is_overfull = true;
            }
        }
    }

    /// Puts a field of this door's own. Says whether that is something new.
    pub fn put(&mut self, field: String, value: Bytes) -> bool {
        let own = self.own.entry(field).or_default();
        own.parting = None;
        if own.value.as_ref() == Some(&value) {
            return !own.is_put;
        }
        *own = OwnField { value: Some(value), ..OwnField::default() };
        true
    }

    /// Takes a field away, which shows `parting` before it goes. Says whether there was one.
    pub fn remove(&mut self, field: &str, parting: Option<Bytes>) -> bool {
        let Some(own) = self.own.get_mut(field) else { return false };
        *own = OwnField { parting, ..OwnField::default() };
        true
    }

    /// One more field of the member of this key.
    pub fn add_key(&mut self, key: &str) {
        match self.keys.get_mut(key) {
            Some(fields) => *fields += 1,
            None => {
                self.keys.insert(key.into(), 1);
            }
        }
    }

    /// One less.
    pub fn remove_key(&mut self, key: &str) {
        if let Some(fields) = self.keys.get_mut(key) {
            *fields -= 1;
            if *fields == 0 {
                self.keys.remove(key);
            }
        }
    }

    /// True while any connection anywhere stands behind the member, or may come back for it.
    pub fn has_key(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// True if that is another one than the field that is known of.
    pub fn has_key_beside(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|fields| *fields > 1)
    }

    /// Whether this door has a field of that name, which is not about to go.
    pub fn has_own(&self, field: &str) -> bool {
        self.own.get(field).is_some_and(|own| own.value.is_some())
    }

    /// The field goes once `until` has come, unless it is put again before. `since_ms`: it is waited for from now on.
    pub fn remove_at(&mut self, until: Instant, since_ms: u64, field: String) {
        self.stay(&field);
        let key = member_key(&field).unwrap_or_default();
        let away = self.away.entry(key.into()).or_default();
        away.push(AwayField { name: field, until, since_ms });
    }

    /// It does not go after all.
    pub fn stay(&mut self, field: &str) {
        self.extract_away(member_key(field).unwrap_or_default(), |away| away.name == field);
    }

    /// The fields whose time has come.
    pub fn due(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        self.away.retain(|_, fields| {
            due.extend(fields.extract_if(.., |away| away.until <= now).map(|away| away.name));
            !fields.is_empty()
        });
        due
    }

    /// The member is there by another connection since `entered_ms`: nobody waits any longer for those that had gone by
    /// then. They go, and it says whether there were any.
    pub fn take_over(&mut self, key: &str, entered_ms: u64) -> bool {
        let fields = self.extract_away(key, |away| away.since_ms <= entered_ms);
        for away in &fields {
            if self.has_own(&away.name) {
                self.remove_key(key);
            }
            self.remove(&away.name, None);
        }
        !fields.is_empty()
    }

    fn extract_away(&mut self, key: &str, is_meant: impl Fn(&AwayField) -> bool) -> Vec<AwayField> {
        let Some(fields) = self.away.get_mut(key) else { return Vec::new() };
        let extracted = fields.extract_if(.., |away| is_meant(away)).collect();
        if fields.is_empty() {
            self.away.remove(key);
        }
        extracted
    }

    /// What is to be told the broker, in order.
    pub fn changes(&self) -> Vec<FieldChange> {
        let mut changes = Vec::new();
        for (name, field) in self.own.iter().filter(|(_, field)| !field.is_put) {
            changes.extend(field.parting.clone().map(|parting| (name.clone(), Some(parting))));
            changes.push((name.clone(), field.value.clone()));
        }
        changes
    }

    /// The broker has these, as they were then.
    pub fn have_put(&mut self, changes: &[FieldChange]) {
        for (name, value) in changes {
            let Some(field) = self.own.get_mut(name).filter(|field| field.value == *value) else { continue };
            field.is_put = true;
            if value.is_none() {
                self.own.remove(name);
            }
        }
        if self.own.is_empty() {
            self.own.shrink_to_fit();
        }
    }

    /// The broker may no longer have what is own: all of it is told again. Says whether there is any.
    pub fn put_again(&mut self) -> bool {
        self.own.values_mut().for_each(|field| field.is_put = false);
        !self.own.is_empty()
    }

    /// The broker has these fields of this door. What is not as it is here is told again, and what is not here goes. Says
    /// whether there is anything to tell.
    pub fn compare(&mut self, known: &HashMap<&str, &Bytes>) -> bool {
        for (name, field) in &mut self.own {
            field.is_put = field.value.as_ref() == known.get(&**name).copied();
        }
        for name in known.keys().filter(|name| !self.own.contains_key(**name)).collect::<Vec<_>>() {
            self.own.insert((*name).to_owned(), OwnField::default());
        }
        self.own.values().any(|field| !field.is_put)
    }

    /// For how long another door wants messages kept; no longer of `None`.
    pub fn retain(&mut self, field: String, age: Option<Duration>) {
        match age {
            Some(age) => self.others.insert(field, OthersField::Retention(age)),
            None => self.others.remove(&field),
        };
        let ages = self.others.values().filter_map(|field| match field {
            OthersField::Retention(age) => Some(*age),
            _ => None,
        });
        self.retained = ages.max();
    }

    /// What another door counts, in place of what it has counted before.
    pub fn count(&mut self, field: String, counts: Option<Occupancy>) {
        let before = match counts {
            Some(counts) => self.others.insert(field, OthersField::Counts(counts)),
            None => self.others.remove(&field),
        };
        if let Some(OthersField::Counts(before)) = before {
            add(&mut self.elsewhere, before, usize::wrapping_sub);
        }
        if let Some(counts) = counts {
            add(&mut self.elsewhere, counts, usize::wrapping_add);
        }
    }
}

fn add(total: &mut Occupancy, counts: Occupancy, how: impl Fn(usize, usize) -> usize) {
    let Occupancy { connections, publishers, subscribers, presence_connections, presence_subscribers, .. } = counts;
    for (total, count) in [
        (&mut total.connections, connections),
        (&mut total.publishers, publishers),
        (&mut total.subscribers, subscribers),
        (&mut total.presence_connections, presence_connections),
        (&mut total.presence_subscribers, presence_subscribers),
    ] {
        *total = how(*total, count);
    }
}

/// What the names of all fields of a member have behind the door's own: none begins like another's.
pub fn member_group(key: &str) -> String {
    format!("m:{}:{key}:", key.len())
}

/// What the names of all doors' counts have there.
pub const COUNTS_GROUP: &str = "c";

/// The field of a member as one connection of a door shows it.
pub fn member_field(node: NodeId, connection: ConnectionId, key: &str) -> String {
    format!("{node}:{}{connection}", member_group(key))
}

/// Whose field it is, where it is a member's.
pub fn member_key(field: &str) -> Option<&str> {
    let (length, rest) = field.split_once(":m:")?.1.split_once(':')?;
    rest.get(..length.parse().ok()?)
}

/// The field of a door's counts.
pub fn counts_field(node: NodeId) -> String {
    format!("{node}:{COUNTS_GROUP}")
}

/// The field of what a door wants kept.
pub fn retention_field(node: NodeId) -> String {
    format!("{node}:r")
}

/// What the name of a field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    Member,
    Counts,
    Retention,
}

/// Whose field it is, and what it has; `None` for a name that this version does not know.
pub fn field(name: &str) -> Option<(NodeId, FieldKind)> {
    let (node, rest) = name.split_once(':')?;
    let node = NodeId(u64::from_str_radix(node, 16).ok()?);
    match rest.split(':').next()? {
        "m" => Some((node, FieldKind::Member)),
        "c" => Some((node, FieldKind::Counts)),
        "r" => Some((node, FieldKind::Retention)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn what_is_own_is_told_until_the_broker_has_it() {
        let mut mirror = Mirror::new();
        assert!(mirror.put("a".into(), value("1")));
        assert!(mirror.put("a".into(), value("1")), "it is not there yet");
        let changes = mirror.changes();
        assert_eq!(changes, [("a".into(), Some(value("1")))]);
        mirror.put("a".into(), value("2"));
        mirror.have_put(&changes);
        assert_eq!(mirror.changes(), [("a".into(), Some(value("2")))], "something else by now");
        mirror.have_put(&mirror.changes());
        assert!(mirror.changes().is_empty() && !mirror.put("a".into(), value("2")));
        assert!(mirror.put_again() && mirror.changes().len() == 1);
        mirror.stage = Stage::Live;
        assert!(mirror.remove("a", Some(value("bye"))) && !mirror.is_idle());
        let changes = mirror.changes();
        assert_eq!(changes, [("a".into(), Some(value("bye"))), ("a".into(), None)]);
        mirror.have_put(&changes);
        assert!(mirror.is_idle() && !mirror.remove("a", None));
    }

    #[test]
    fn what_the_broker_has_is_compared() {
        let mut mirror = Mirror::new();
        mirror.put("same".into(), value("1"));
        mirror.put("other".into(), value("2"));
        mirror.put("lost".into(), value("3"));
        mirror.have_put(&mirror.changes());
        let (same, old, stray) = (value("1"), value("0"), value("9"));
        assert!(mirror.compare(&HashMap::from([("same", &same), ("other", &old), ("stray", &stray)])));
        let mut changes = mirror.changes();
        changes.sort();
        assert_eq!(
            changes,
            [("lost".into(), Some(value("3"))), ("other".into(), Some(value("2"))), ("stray".into(), None)]
        );
    }

    #[test]
    fn grace_is_over_unless_it_is_put_again() {
        let (mut mirror, now) = (Mirror::new(), Instant::now());
        let a = member_field(NodeId(1), ConnectionId(1), "ann");
        mirror.put(a.clone(), value("1"));
        mirror.remove_at(now + Duration::from_secs(5), 0, a.clone());
        assert!(mirror.due(now).is_empty());
        mirror.stay(&a);
        assert!(mirror.due(now + Duration::from_secs(6)).is_empty());
        mirror.remove_at(now + Duration::from_secs(5), 0, a.clone());
        assert_eq!(mirror.due(now + Duration::from_secs(6)), [a]);
        assert!(mirror.away.is_empty());
    }

    #[test]
    fn who_is_there_again_is_waited_for_no_longer() {
        let (mut mirror, later) = (Mirror::new(), Instant::now() + Duration::from_secs(5));
        let fields = [1, 2, 3].map(|id| member_field(NodeId(1), ConnectionId(id), if id < 3 { "ann" } else { "bob" }));
        for field in &fields {
            mirror.put(field.clone(), value("1"));
            mirror.add_key(member_key(field).unwrap());
        }
        mirror.have_put(&mirror.changes());
        mirror.remove_at(later, 1_000, fields[0].clone());
        mirror.remove_at(later, 1_000, fields[2].clone());
        assert!(!mirror.take_over("ann", 999), "she went after that");
        assert!(mirror.take_over("ann", 1_000) && !mirror.take_over("ann", 1_000) && !mirror.take_over("cat", 1_000));
        assert_eq!(mirror.changes(), [(fields[0].clone(), None)]);
        assert!(mirror.has_key("ann") && !mirror.has_key_beside("ann") && mirror.has_own(&fields[1]));
        assert_eq!(mirror.due(later), [fields[2].clone()]);
    }

    #[test]
    fn others_are_counted_together() {
        let mut mirror = Mirror::new();
        let counts = |connections| Occupancy { connections, subscribers: 1, ..Occupancy::default() };
        mirror.count("a".into(), Some(counts(3)));
        mirror.count("b".into(), Some(counts(4)));
        mirror.count("a".into(), Some(counts(1)));
        assert_eq!(mirror.elsewhere, Occupancy { connections: 5, subscribers: 2, ..Occupancy::default() });
        mirror.count("a".into(), None);
        mirror.count("b".into(), None);
        mirror.count("b".into(), None);
        assert_eq!(mirror.elsewhere, Occupancy::default());
        let second = Duration::from_secs(1);
        mirror.retain("a".into(), Some(second));
        mirror.retain("b".into(), Some(2 * second));
        assert_eq!(mirror.retained, Some(2 * second));
        mirror.retain("b".into(), None);
        assert_eq!(mirror.retained, Some(second), "the longest of all");
    }

    #[test]
    fn fields_say_whose_they_are() {
        let node = NodeId(0x2a);
        let name = member_field(node, ConnectionId(7), "a:b");
        assert_eq!(field(&name), Some((node, FieldKind::Member)));
        assert_eq!(member_key(&name), Some("a:b"));
        assert!(name[17..].starts_with(&member_group("a:b")) && !name[17..].starts_with(&member_group("a")));
        for name in ["2a:c", "2a:m:", "2a:m:9:short", "2a:m:x:y", "2a:m:1:é"] {
            assert_eq!(member_key(name), None, "{name}");
        }
        assert_eq!(field(&counts_field(node)), Some((node, FieldKind::Counts)));
        assert_eq!(field(&retention_field(node)), Some((node, FieldKind::Retention)));
        for name in ["", "2a", "zz:c", "2a:x", ":"] {
            assert_eq!(field(name), None, "{name}");
        }
    }
}
