//! Fetches that are under way: one a key, and whoever else wants it waits for that one.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::store::Key;

/// At once. Beyond it nothing is fetched for keeping: visitors are answered by the app itself.
const MAX_FETCHES: usize = 64;

/// Those that are under way.
#[derive(Debug, Default)]
pub struct Fetches(Arc<Mutex<HashMap<Key, watch::Receiver<bool>>>>);

/// Whose turn it is to fetch.
pub enum Turn {
    /// Nobody fetches it: the asker is to, and ends it by dropping this.
    Mine(Begun),
    /// Somebody does; true when it has ended.
    Others(watch::Receiver<bool>),
    /// Too many are under way.
    Nobodys,
}

/// A fetch that is under way, for as long as it lives.
pub struct Begun {
    key: Key,
    fetches: Arc<Mutex<HashMap<Key, watch::Receiver<bool>>>>,
    ended: watch::Sender<bool>,
}

impl Fetches {
    pub fn begin(&self, key: &Key) -> Turn {
        let mut under_way = self.0.lock();
        if let Some(other) = under_way.get(key) {
            return Turn::Others(other.clone());
        }
        if under_way.len() >= MAX_FETCHES {
            return Turn::Nobodys;
        }
        let (ended, receiver) = watch::channel(false);
        under_way.insert(Arc::clone(key), receiver);
        Turn::Mine(Begun { key: Arc::clone(key), fetches: Arc::clone(&self.0), ended })
    }
}

impl Begun {
    /// For whoever waits until it has ended.
    pub fn waiting(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.fetches.lock().remove(&self.key);
        self.ended.send_replace(true);
    }
}
