//! The records of rooms, as they are kept.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use super::room::{RoomFilter, RoomRecord};
use super::webhooks::RoomRecorder;
use crate::documents::{Store, StoreError};

/// The row of a room that is its record.
const RECORD: &[u8] = b"m";

/// Names that are read from disk at a time.
const NAMES_AT_ONCE: usize = 1_000;

/// Records that are read at a time.
const RECORDS_AT_ONCE: usize = 100;

/// How long the order of rooms counts as known: others may bring rooms to the disk too. Where other doors make rooms it is
/// asked for each time.
const ORDER_AGE: Duration = Duration::from_secs(60);

/// How often a record is changed anew because another door has changed it meanwhile.
const MAX_TRIES: usize = 32;

/// When somebody was last in a room is known about so well.
const LAST_CONNECTION_MS: u64 = 60_000;

/// The records of all rooms.
pub struct Rooms {
    /// `None` where documents are not kept.
    store: Option<Store>,
    recorder: Arc<RoomRecorder>,
    /// Held while a record is changed.
    changing: Mutex<()>,
    order: Mutex<Option<Order>>,
}

/// The names of all rooms, the newest first.
struct Order {
    rooms: BTreeSet<(Reverse<u64>, String)>,
    since: Instant,
}

/// A page of a list of rooms.
#[derive(Debug, Default)]
pub struct RoomPage {
    pub rooms: Vec<(String, RoomRecord)>,
    /// Where the next begins, if there is one.
    pub next: Option<String>,
}

/// Records cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the record of room {room:?} on disk is damaged: {what}")]
    Damaged { room: String, what: String },
    #[error("reading records has stopped: {0}")]
    Stopped(String),
    #[error("the record of room {0:?} is changed by others all the time")]
    Contended(String),
}

impl Rooms {
    /// Those of `store`; `recorder` is told of rooms that are new.
    pub fn new(store: Option<Store>, recorder: Arc<RoomRecorder>) -> Rooms {
        Rooms { store, recorder, changing: Mutex::new(()), order: Mutex::new(None) }
    }

    fn store(&self) -> Result<&Store, StoreError> {
        self.store.as_ref().ok_or(StoreError::NoFolder)
    }

    /// Does something with records where waiting for the disk keeps nobody waiting.
    ///
    /// # Errors
    /// [`RecordError`].
    pub async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&Rooms) -> Result<T, RecordError> + Send + 'static,
    ) -> Result<T, RecordError> {
        let rooms = Arc::clone(self);
        let done = self.store()?.run(move |_| act(&rooms)).await;
        done.unwrap_or_else(|stopped| Err(RecordError::Stopped(stopped.to_string())))
    }

    /// The record of a room; `None` where there is no such room.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn get(&self, room: &str) -> Result<Option<RoomRecord>, RecordError> {
        self.store()?.get(room, RECORD)?.map(|row| read(room, &row)).transpose()
    }

    /// Changes the record of a room, which nobody else does meanwhile. `change` gives what stands there from now on; `None`
    /// changes nothing.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn change<T>(
        &self,
        room: &str,
        mut change: impl FnMut(Option<RoomRecord>) -> (Option<RoomRecord>, T),
    ) -> Result<T, RecordError> {
        let store = self.store()?;
        // Other doors do not wait for it: there it is seen what they have done.
        let _turn = (!store.is_shared()).then(|| self.changing.lock());
        for _ in 0..MAX_TRIES {
            let row = store.get(room, RECORD)?;
            let record = row.as_deref().map(|row| read(room, row)).transpose()?;
            let is_new = record.is_none();
            let (next, outcome) = change(record);
            let Some(next) = next else { return Ok(outcome) };
            if store.amend(room, RECORD, row, next.write())? {
                self.known(room, &next);
                if is_new {
                    self.recorder.created(room);
                }
                return Ok(outcome);
            }
        }
        Err(RecordError::Contended(room.to_owned()))
    }

    /// A room is there by this name from now on.
    pub fn known(&self, room: &str, record: &RoomRecord) {
        // Where other doors make rooms, too, it is read each time, and whoever does so may wait with the lock.
        let is_shared = self.store.as_ref().is_some_and(Store::is_shared);
        if !is_shared && let Some(order) = &mut *self.order.lock() {
            order.rooms.insert((Reverse(record.created_at), room.to_owned()));
        }
    }

    /// Somebody is in a room from now on. Its record is made where it has none.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn entered(&self, room: &str, organization: Option<String>, now_ms: u64) -> Result<(), RecordError> {
        self.change(room, move |record| {
            let organization = organization.clone();
            let mut next = match record {
                Some(record) if now_ms.saturating_sub(record.last_connection_at.unwrap_or(0)) < LAST_CONNECTION_MS => {
                    return (None, ());
                }
                Some(record) => record,
                None => {
                    let mut record = RoomRecord::new(now_ms);
                    record.organization_id = organization.unwrap_or(record.organization_id);
                    record
                }
            };
            next.last_connection_at = Some(now_ms);
            (Some(next), ())
        })
    }

    /// At most `most` rooms that `filter` finds, behind the page that ended at `after`.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn page(&self, filter: &RoomFilter, after: Option<&RoomCursor>, most: usize) -> Result<RoomPage, RecordError> {
        let mut page = RoomPage::default();
        let mut after = after.map(|RoomCursor { created_at, room }| (Reverse(*created_at), room.clone()));
        // What other doors have made since is not known here.
        let mut is_old = self.store()?.is_shared();
        loop {
            let candidates = self.behind(after.as_ref(), is_old)?;
            is_old = false;
            let Some(last) = candidates.last().cloned() else { return Ok(page) };
            let candidates: Vec<_> =
                candidates.into_iter().filter(|(_, room)| room.starts_with(filter.query.prefix())).collect();
            for some in candidates.chunks(RECORDS_AT_ONCE) {
                let names: Vec<String> = some.iter().map(|(_, room)| room.clone()).collect();
                let rows = self.store()?.get_each(&names, RECORD)?;
                for ((Reverse(created_at), room), row) in some.iter().zip(rows) {
                    // It may be gone, or another by now.
                    let record = row.map(|row| read(room, &row)).transpose()?;
                    let Some(record) = record.filter(|record| record.created_at == *created_at) else { continue };
                    if !filter.matches(room, &record) {
                        continue;
                    }
                    if page.rooms.len() == most {
                        let last = page.rooms.last().map(|(room, record)| RoomCursor::write(room, record.created_at));
                        page.next = last;
                        return Ok(page);
                    }
                    page.rooms.push((room.clone(), record));
                }
            }
            after = Some(last);
        }
    }

    /// The next rooms in their order, which is read anew where it `is_old`.
    fn behind(
        &self,
        after: Option<&(Reverse<u64>, String)>,
        is_old: bool,
    ) -> Result<Vec<(Reverse<u64>, String)>, RecordError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut order = self.order.lock();
        let is_old = is_old || order.as_ref().is_none_or(|order| after.is_none() && order.since.elapsed() >= ORDER_AGE);
        if is_old {
            *order = Some(Order { rooms: self.all()?, since: Instant::now() });
        }
        let from = after.map_or(Unbounded, |after| Excluded(after.clone()));
        let rooms = order.iter().flat_map(|order| order.rooms.range((from.clone(), Unbounded)));
        Ok(rooms.take(NAMES_AT_ONCE).cloned().collect())
    }

    fn all(&self) -> Result<BTreeSet<(Reverse<u64>, String)>, RecordError> {
        let mut all = BTreeSet::new();
        let mut last: Option<String> = None;
        loop {
            let names = self.store()?.rooms(last.as_deref(), NAMES_AT_ONCE)?;
            let Some(end) = names.last().cloned() else { return Ok(all) };
            let rows = self.store()?.get_each(&names, RECORD)?;
            for (room, row) in names.into_iter().zip(rows) {
                // One that is damaged is named where it is asked for.
                if let Some(Ok(record)) = row.map(|row| read(&room, &row)) {
                    all.insert((Reverse(record.created_at), room));
                }
            }
            last = Some(end);
        }
    }
}

fn read(room: &str, row: &[u8]) -> Result<RoomRecord, RecordError> {
    RoomRecord::read(row).map_err(|error| RecordError::Damaged { room: room.to_owned(), what: error.to_string() })
}

/// Where a page of rooms has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomCursor {
    created_at: u64,
    room: String,
}

impl RoomCursor {
    fn write(room: &str, created_at: u64) -> String {
        URL_SAFE_NO_PAD.encode(format!("{created_at} {room}"))
    }

    /// Reads one; `None` for what is none.
    pub fn read(text: &str) -> Option<RoomCursor> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (created_at, room) = text.split_once(' ')?;
        Some(RoomCursor { created_at: created_at.parse().ok()?, room: room.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::{Config, Owned, Sync, Tenure};
    use crate::telemetry::Registry;

    fn rooms() -> (tempfile::TempDir, Rooms) {
        let folder = tempfile::tempdir().unwrap();
        let sync = Sync::Every(Duration::from_secs(1));
        let config = Config { dir: Some(folder.path().to_owned()), sync, ..Config::default() };
        let (recorder, _) = RoomRecorder::new(&mut Registry::default());
        (folder, Rooms::new(Some(Store::new(&config)), recorder))
    }

    fn make(rooms: &Rooms, room: &str, now: u64) {
        rooms.change(room, |record| (record.is_none().then(|| RoomRecord::new(now)), ())).unwrap();
    }

    fn tenure(rooms: &Rooms, room: &str) -> Tenure {
        match rooms.store().unwrap().own(room).unwrap() {
            Owned::Ours(tenure) => tenure,
            Owned::Theirs(owner) => panic!("it is another door's: {owner:?}"),
        }
    }

    fn names(page: &RoomPage) -> Vec<&str> {
        page.rooms.iter().map(|(room, _)| room.as_str()).collect()
    }

    #[test]
    fn pages_go_from_the_newest_to_the_oldest() {
        let (_folder, rooms) = rooms();
        for n in 0..5 {
            make(&rooms, &format!("room {n}"), 100 + n / 2);
        }
        let filter = RoomFilter::default();
        let first = rooms.page(&filter, None, 2).unwrap();
        assert_eq!(names(&first), ["room 4", "room 2"]);
        let after = RoomCursor::read(first.next.as_deref().unwrap()).unwrap();
        // One that comes meanwhile is in no later page.
        make(&rooms, "room 9", 200);
        let second = rooms.page(&filter, Some(&after), 2).unwrap();
        assert_eq!(names(&second), ["room 3", "room 0"]);
        let after = RoomCursor::read(second.next.as_deref().unwrap()).unwrap();
        let third = rooms.page(&filter, Some(&after), 2).unwrap();
        assert_eq!((names(&third), third.next.as_deref()), (vec!["room 1"], None));
        assert_eq!(names(&rooms.page(&filter, None, 1).unwrap()), ["room 9"]);
        tenure(&rooms, "room 9").delete().unwrap();
        assert_eq!(names(&rooms.page(&filter, None, 1).unwrap()), ["room 4"]);
    }

    #[test]
    fn who_enters_makes_the_record_and_keeps_what_is_there() {
        let (_folder, rooms) = rooms();
        assert_eq!(rooms.get("a").unwrap(), None);
        rooms.entered("a", Some("acme".into()), 1_000).unwrap();
        let made = rooms.get("a").unwrap().unwrap();
        assert_eq!((made.created_at, made.last_connection_at), (1_000, Some(1_000)));
        assert_eq!((made.organization_id.as_str(), made.accesses.default_accesses), ("acme", None));
        rooms.entered("a", None, 2_000).unwrap();
        assert_eq!(rooms.get("a").unwrap().unwrap().last_connection_at, Some(1_000), "so exact it is not");
        rooms.entered("a", None, 1_000 + LAST_CONNECTION_MS).unwrap();
        let now = rooms.get("a").unwrap().unwrap();
        assert_eq!((now.created_at, now.last_connection_at), (1_000, Some(1_000 + LAST_CONNECTION_MS)));
        assert_eq!(now.organization_id, "acme");
    }

    #[test]
    fn a_damaged_record_is_named() {
        let (_folder, rooms) = rooms();
        tenure(&rooms, "a").commit(&[(RECORD.to_vec(), Some(b"{".to_vec()))]).unwrap();
        assert!(rooms.get("a").unwrap_err().to_string().starts_with("the record of room \"a\" on disk is damaged"));
        make(&rooms, "b", 1);
        assert_eq!(names(&rooms.page(&RoomFilter::default(), None, 9).unwrap()), ["b"]);
        for bad in ["", "x", "ä", "Mg", "YSBi"] {
            assert_eq!(RoomCursor::read(bad), None, "{bad}");
        }
    }
}
