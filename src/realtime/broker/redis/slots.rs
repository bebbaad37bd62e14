//! Which server of a Redis Cluster has a key: its slot, and who has that. The client library computes slots too, but gives
//! no number; and its own connection to a cluster connects anew without a word, so that nobody would know what was missed.

use std::collections::{BTreeMap, HashMap};

use ::redis::Value;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::address::RedisHost;
use super::answers;
use super::trouble::RedisTrouble;

/// So many there are.
pub(super) const SLOTS: u16 = 16_384;

/// CRC-16/XMODEM of each byte, as the specification of Redis Cluster has it.
const CRC: [u16; 256] = crc_table();

const fn crc_table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// The slot of a key, or of a channel: that of its hash tag, where it has one.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').filter(|length| *length > 0).map(|length| &rest[..length])
    });
    let crc = tag.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        let [high, low] = crc.to_be_bytes();
        (u16::from(low) << 8) ^ CRC[usize::from(high ^ byte)]
    });
    crc % SLOTS
}

/// Who has which slot, as one of them said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotMap {
    /// Counts changes of the cluster: what is older is not believed.
    pub(super) epoch: u64,
    /// Those that take writes.
    pub(super) primaries: Vec<RedisHost>,
    /// Those that have copies: they know the map too.
    pub(super) replicas: Vec<RedisHost>,
    /// The place in `primaries` for each slot.
    owners: Vec<u16>,
}

impl SlotMap {
    /// Reads what `CLUSTER SLOTS` was answered by `asked`.
    ///
    /// # Errors
    /// Some slots are nobody's: then nothing of it can be relied on.
    pub(super) fn read(epoch: u64, answer: Value, asked: &RedisHost) -> Result<SlotMap, RedisTrouble> {
        let mut owners = vec![None; usize::from(SLOTS)];
        let (mut primaries, mut replicas) = (Vec::new(), Vec::new());
        for range in answers::list(answer).unwrap_or_default() {
            let mut range = answers::list(range).unwrap_or_default().into_iter();
            let mut slot = || usize::try_from(answers::number(&range.next()?)?).ok();
            let (Some(first), Some(last)) = (slot(), slot()) else { continue };
            let mut hosts = range.map(|host| read_host(host, asked));
            let Some(Some(primary)) = hosts.next() else { continue };
            replicas.extend(hosts.flatten());
            let place = place_of(&mut primaries, primary);
            for owner in owners.get_mut(first..=last.min(usize::from(SLOTS) - 1)).into_iter().flatten() {
                *owner = Some(place);
            }
        }
        let missing = owners.iter().filter(|owner| owner.is_none()).count();
        if missing > 0 {
            let what = format!("{missing} of its {SLOTS} slots are no server's");
            return Err(RedisTrouble::ClusterDown(what.into()));
        }
        Ok(SlotMap { epoch, primaries, replicas, owners: owners.into_iter().flatten().collect() })
    }

    /// Whether all slots are where that map has them.
    pub(super) fn is_like(&self, other: &SlotMap) -> bool {
        (&self.primaries, &self.owners) == (&other.primaries, &other.owners)
    }

    /// The place in `primaries` of who has a slot.
    pub(super) fn owner(&self, slot: u16) -> usize {
        self.owners.get(usize::from(slot)).copied().unwrap_or_default().into()
    }

    /// The same map, where some slots are others'. Whoever has none any more is not in it.
    pub(super) fn with(&self, moves: &BTreeMap<u16, RedisHost>) -> SlotMap {
        let (mut primaries, mut owners) = (Vec::new(), Vec::with_capacity(self.owners.len()));
        for slot in 0..SLOTS {
            let host = moves.get(&slot).unwrap_or(&self.primaries[self.owner(slot)]);
            owners.push(match primaries.last() {
                // Most often it is the one of the slot before.
                Some(last) if last == host => place_at(primaries.len() - 1),
                _ => place_of(&mut primaries, host.clone()),
            });
        }
        SlotMap { epoch: self.epoch, primaries, replicas: self.replicas.clone(), owners }
    }

    /// For each of the primaries a number in text whose slot it has.
    pub(super) fn tags(&self) -> Vec<String> {
        let mut tags: HashMap<usize, String> = HashMap::new();
        // Far more than it takes to meet each slot.
        for number in 0..40 * u32::from(SLOTS) {
            let tag = number.to_string();
            tags.entry(self.owner(slot_of(tag.as_bytes()))).or_insert(tag);
            if tags.len() == self.primaries.len() {
                break;
            }
        }
        (0..self.primaries.len()).map(|place| tags.remove(&place).unwrap_or_default()).collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "there are no more primaries than slots")]
fn place_at(place: usize) -> u16 {
    place as u16
}

fn place_of(primaries: &mut Vec<RedisHost>, host: RedisHost) -> u16 {
    let known = primaries.iter().position(|known| *known == host);
    place_at(known.unwrap_or_else(|| {
        primaries.push(host);
        primaries.len() - 1
    }))
}

/// An address within an answer of `asked`, which leaves out its own host where it does not know it.
fn read_host(answer: Value, asked: &RedisHost) -> Option<RedisHost> {
    let mut parts = answers::list(answer)?.into_iter();
    let host = parts.next().and_then(|host| answers::text(&host)).unwrap_or_default();
    let port = answers::number(&parts.next()?).and_then(|port| u16::try_from(port).ok())?;
    named(host, port, asked)
}

fn named(host: String, port: u16, asked: &RedisHost) -> Option<RedisHost> {
    match (host.as_str(), asked) {
        ("?", _) => None,
        ("", RedisHost::Tcp { host, .. }) => Some(RedisHost::Tcp { host: host.clone(), port }),
        ("", RedisHost::Unix(_)) => None,
        _ => Some(RedisHost::Tcp { host, port }),
    }
}

/// Reads where a server sends whoever asks for a slot that it does not have: `3999 127.0.0.1:6381`.
pub(super) fn read_move(details: &str, asked: &RedisHost) -> Option<(u16, RedisHost)> {
    let (slot, address) = details.trim().split_once(' ')?;
    let (host, port) = address.trim().rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((slot.parse().ok().filter(|slot| *slot < SLOTS)?, named(host, port.parse().ok()?, asked)?))
}

/// What was heard of slots that are elsewhere, on its way to whoever keeps the map.
#[derive(Default)]
pub(super) struct Moves {
    heard: Mutex<BTreeMap<u16, RedisHost>>,
    news: Notify,
}

impl Moves {
    /// A slot is there now.
    pub(super) fn hear(&self, slot: u16, host: RedisHost) {
        self.heard.lock().insert(slot, host);
        self.news.notify_one();
    }

    /// The map may be another.
    pub(super) fn look(&self) {
        self.news.notify_one();
    }

    pub(super) fn take(&self) -> BTreeMap<u16, RedisHost> {
        std::mem::take(&mut *self.heard.lock())
    }

    /// Resolves when there is news. Cancel-safe.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(port: u16) -> RedisHost {
        RedisHost::Tcp { host: "10.0.0.1".into(), port }
    }

    fn range(first: i64, last: i64, servers: &[(&str, i64)]) -> Value {
        let server = |(host, port): &(&str, i64)| {
            Value::Array(vec![Value::BulkString(host.as_bytes().to_vec()), Value::Int(*port), Value::Array(Vec::new())])
        };
        Value::Array([Value::Int(first), Value::Int(last)].into_iter().chain(servers.iter().map(server)).collect())
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        for (key, slot) in [("123456789", 0x31c3), ("", 0), ("foo", 12182), ("bar", 5061), ("{foo}x", 12182)] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        // A tag that is empty, or has no end, is none.
        for (key, other) in [("{}a", "{}b"), ("{a", "{b"), ("a}", "b}")] {
            assert_ne!(slot_of(key.as_bytes()), slot_of(other.as_bytes()), "{key}");
        }
        assert_eq!(slot_of(b"{{x}}"), slot_of(b"a{{x}b"));
    }

    #[test]
    fn a_map_is_read_whole_or_not_at_all() {
        let asked = host(1);
        let all = [range(0, 5460, &[("", 1), ("", 4)]), range(5461, 16383, &[("10.0.0.1", 2), ("?", 5)])];
        let map = SlotMap::read(7, Value::Array(all.to_vec()), &asked).unwrap();
        assert_eq!((map.primaries.clone(), map.replicas.clone()), (vec![host(1), host(2)], vec![host(4)]));
        assert_eq!((map.owner(0), map.owner(5460), map.owner(5461), map.owner(16383)), (0, 0, 1, 1));
        for answer in [Value::Nil, Value::Array(all[..1].to_vec()), Value::Array(vec![range(0, 16383, &[("?", 1)])])] {
            let wrong = SlotMap::read(7, answer, &asked).unwrap_err();
            assert!(wrong.to_string().contains("are no server's"), "{wrong}");
        }
    }

    #[test]
    fn slots_move_and_who_has_none_goes() {
        let all = Value::Array(vec![range(0, 0, &[("", 1)]), range(1, 16383, &[("", 2)])]);
        let map = SlotMap::read(7, all, &host(1)).unwrap();
        let moved = map.with(&BTreeMap::from([(0, host(3)), (9, host(3))]));
        assert_eq!(moved.primaries, [host(3), host(2)]);
        assert_eq!((moved.owner(0), moved.owner(1), moved.owner(9)), (0, 1, 0));
        assert_eq!(map.with(&BTreeMap::new()), map);
        for (place, tag) in moved.tags().into_iter().enumerate() {
            assert_eq!(moved.owner(slot_of(tag.as_bytes())), place);
        }
    }

    #[test]
    fn a_move_is_read_as_servers_write_it() {
        let moved = |details| read_move(details, &host(1));
        assert_eq!(moved("3999 10.0.0.1:2"), Some((3999, host(2))));
        assert_eq!(moved("3999 :2"), Some((3999, host(2))));
        assert_eq!(moved("1 ::1:7"), Some((1, RedisHost::Tcp { host: "::1".into(), port: 7 })));
        for wrong in ["", "1", "1 x", "x a:1", "16384 a:1", "1 a:70000", "1 ?:1"] {
            assert_eq!(moved(wrong), None, "{wrong}");
        }
    }
}
