//! Documents of several doors where nobody knows whether what was asked for was done: the store does it, and says that it
//! failed.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Channel, Config, DisconnectReason, Hub, Metrics, Registry};
use crate::documents::{Owning, RoomOwner, RoomSize, Row, SharedStore, Store, StoreError, StoredRow, Waiting};
use crate::realtime::document::ydoc::Coding;
use crate::realtime::hub::documents::{DocumentMetrics, Documents, RoomLease};
use crate::realtime::vocabulary::DocumentChange;

/// "hi" in a text called "t", as an update of Yjs by client 1.
const HI: &[u8] = &[1, 1, 1, 0, 4, 1, 1, b't', 2, b'h', b'i', 0];

/// Rows by room and key.
type Rooms = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

#[derive(Default)]
struct Unsure {
    rooms: Mutex<Rooms>,
    loses_answers: AtomicBool,
}

impl Unsure {
    fn done<T: Send + 'static>(&self, value: T) -> Waiting<T> {
        let lost = StoreError::Shared("the answer is lost".to_owned());
        Box::pin(ready(if self.loses_answers.load(Ordering::Relaxed) { Err(lost) } else { Ok(value) }))
    }

    fn rows(&self, room: &str) -> Vec<StoredRow> {
        self.rooms.lock().get(room).cloned().unwrap_or_default().into_iter().collect()
    }
}

/// What is looked at is answered always.
fn seen<T: Send + 'static>(value: T) -> Waiting<T> {
    Box::pin(ready(Ok(value)))
}

impl SharedStore for Unsure {
    fn own(&self, _room: &str) -> Waiting<Owning> {
        seen(Owning::Ours("claim".into()))
    }

    fn owner(&self, _room: &str) -> Waiting<Option<RoomOwner>> {
        seen(None)
    }

    fn let_go(&self, _room: &str, _claim: &str) -> Waiting<()> {
        seen(())
    }

    fn list(&self, _room: &str) -> Waiting<()> {
        seen(())
    }

    fn write(&self, room: &str, _claim: &str, rows: Vec<Row>) -> Waiting<bool> {
        let mut rooms = self.rooms.lock();
        let there = rooms.entry(room.to_owned()).or_default();
        for (key, value) in rows {
            match value {
                Some(value) => drop(there.insert(key, value)),
                None => drop(there.remove(&key)),
            }
        }
        seen(true)
    }

    fn replace(&self, room: &str, _claim: &str, rows: Vec<StoredRow>) -> Waiting<bool> {
        self.rooms.lock().insert(room.to_owned(), rows.into_iter().collect());
        self.done(true)
    }

    fn amend(&self, _room: &str, _key: &[u8], _known: Option<Vec<u8>>, _next: Vec<u8>) -> Waiting<bool> {
        seen(false)
    }

    fn load(&self, room: &str) -> Waiting<Vec<StoredRow>> {
        seen(self.rows(room))
    }

    fn get_each(&self, rooms: &[String], _key: &[u8]) -> Waiting<Vec<Option<Vec<u8>>>> {
        seen(vec![None; rooms.len()])
    }

    fn has(&self, room: &str) -> Waiting<bool> {
        seen(!self.rows(room).is_empty())
    }

    fn rooms(&self, _prefix: &str, _after: Option<&str>, _most: usize) -> Waiting<Vec<String>> {
        seen(Vec::new())
    }

    fn sizes(&self, _rooms: Vec<String>) -> Waiting<Vec<RoomSize>> {
        seen(Vec::new())
    }

    fn probe(&self) -> Waiting<()> {
        seen(())
    }
}

struct Site {
    hub: Arc<Hub>,
    store: Arc<Unsure>,
    documents: Arc<Documents>,
}

fn site() -> Site {
    let mut registry = Registry::default();
    let (config, store) = (Config::default(), Arc::new(Unsure::default()));
    let hub = Arc::new(Hub::new(config.clone(), 1, Metrics::new(&mut registry)));
    let shared: Arc<dyn SharedStore> = Arc::clone(&store) as _;
    let metrics = DocumentMetrics::new(&mut registry);
    let (documents, _) = Documents::shared(&hub, Store::shared(shared), config.documents, metrics);
    let documents = Arc::new(documents);
    hub.keep_documents(Arc::clone(&documents));
    Site { hub, store, documents }
}

impl Site {
    /// Writes "hi" there, and keeps the room.
    async fn edited(&self, channel: &Channel) -> RoomLease {
        let lease = self.documents.open(channel).await.unwrap();
        let change = DocumentChange::Yjs { name: None, update: Bytes::from_static(HI), coding: Coding::V1 };
        self.hub.edit_document(lease.room(), None, (change, false)).unwrap();
        lease.room().settled().await.unwrap();
        lease
    }

    fn loses_answers(&self, loses: bool) {
        self.store.loses_answers.store(loses, Ordering::Relaxed);
    }
}

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_outlive_what_may_be_deleted() {
    let (site, room) = (site(), channel("room"));
    let lease = site.edited(&room).await;
    site.loses_answers(true);
    assert!(site.hub.delete_documents(&room, &DisconnectReason::Failed).await.is_err());
    site.loses_answers(false);
    assert!(site.documents.open_now(&room).is_none(), "whoever comes next reads what is there");
    let change = DocumentChange::Yjs { name: None, update: Bytes::from_static(HI), coding: Coding::V1 };
    assert!(site.hub.edit_document(lease.room(), None, (change, false)).is_err(), "nobody goes on in it");
    assert_eq!(site.store.rows("room"), []);
    let _anew = site.edited(&room).await;
    assert!(!site.store.rows("room").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_was_half_done_is_done_when_it_is_asked_again() {
    let (site, from, to) = (site(), channel("from"), channel("to"));
    drop(site.edited(&from).await);
    let rows = site.store.rows("from");
    let why = DisconnectReason::Failed;
    // The new one has them, and whether the old one has them still is not known.
    site.loses_answers(true);
    assert!(site.hub.move_documents(&from, &to, &why).await.is_err());
    site.loses_answers(false);
    assert_eq!(site.store.rows("to"), rows);
    site.store.rooms.lock().insert("from".to_owned(), rows.iter().cloned().collect());
    site.hub.move_documents(&from, &to, &why).await.unwrap();
    assert_eq!((site.store.rows("from"), site.store.rows("to")), (Vec::new(), rows));
    // What has others is no place.
    drop(site.edited(&from).await);
    site.store.rooms.lock().get_mut("to").unwrap().insert(b"more".to_vec(), Vec::new());
    assert!(site.hub.move_documents(&from, &to, &why).await.is_err());
}
