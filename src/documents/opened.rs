//! The opened store.

use std::collections::HashSet;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Row, journal, keys};

/// A row that is there: its key, and what it holds.
pub type StoredRow = (Vec<u8>, Vec<u8>);

/// What a room holds on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSize {
    pub room: String,
    pub rows: u64,
    /// Of keys and values, before they are packed.
    pub bytes: u64,
}

/// Memory for blocks that were read, in bytes: rooms are in memory while somebody edits them.
const CACHE: u64 = 4 * 1024 * 1024;

/// Rows that are taken away in one batch.
const DELETED_AT_ONCE: usize = 10_000;

/// A store that is open. It is closed, and forced to the disk, when the last who has it lets it go.
pub struct Opened {
    database: Database,
    rows: Keyspace,
}

impl Opened {
    pub fn new(folder: &Path) -> Result<Opened, fjall::Error> {
        std::fs::create_dir_all(folder)?;
        journal::check(folder)?;
        let database = Database::builder(folder).cache_size(CACHE).worker_threads(1).open()?;
        let rows = database.keyspace("rows", KeyspaceCreateOptions::default)?;
        Ok(Opened { database, rows })
    }

    pub fn load(&self, room: &str) -> Result<Vec<StoredRow>, fjall::Error> {
        let prefix = keys::key(room, &[]);
        let rows = self.rows.prefix(&prefix).map(|row| {
            let (key, value) = row.into_inner()?;
            Ok((key[prefix.len()..].to_vec(), value.to_vec()))
        });
        rows.collect()
    }

    pub fn get(&self, room: &str, key: &[u8]) -> Result<Option<Vec<u8>>, fjall::Error> {
        Ok(self.rows.get(keys::key(room, key))?.map(|value| value.to_vec()))
    }

    pub fn commit(&self, room: &str, rows: &[Row], always: bool) -> Result<(), fjall::Error> {
        let mode = if always { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for (key, value) in rows {
            let key = keys::key(room, key);
            match value {
                Some(value) => batch.insert(&self.rows, key, value.as_slice()),
                None => batch.remove(&self.rows, key),
            }
        }
        batch.commit()
    }

    pub fn delete(&self, room: &str) -> Result<(), fjall::Error> {
        let prefix = keys::key(room, &[]);
        loop {
            let found = self.rows.prefix(&prefix).take(DELETED_AT_ONCE).map(|row| row.key());
            let found = found.collect::<Result<Vec<_>, _>>()?;
            if found.is_empty() {
                return Ok(());
            }
            let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
            found.into_iter().for_each(|key| batch.remove(&self.rows, key));
            batch.commit()?;
        }
    }

    pub fn rooms(&self, after: Option<&str>, most: usize) -> Result<Vec<String>, fjall::Error> {
        let mut from = keys::behind(after.unwrap_or_default());
        let mut rooms = Vec::new();
        while rooms.len() < most {
            let Some(row) = self.rows.range(from.clone()..).next() else { break };
            let key = row.key()?;
            let Some((room, _)) = keys::split(&key) else { break };
            from = keys::behind(room);
            rooms.push(room.to_owned());
        }
        Ok(rooms)
    }

    pub fn has(&self, room: &str) -> Result<bool, fjall::Error> {
        self.rows.prefix(keys::key(room, &[])).next().map_or(Ok(false), |row| row.key().map(|_| true))
    }

    pub fn replace(&self, room: &str, rows: &[StoredRow], always: bool) -> Result<(), fjall::Error> {
        let mode = if always { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        let new: HashSet<Vec<u8>> = rows.iter().map(|(key, _)| keys::key(room, key)).collect();
        // All of a batch is of one moment: what is written anew must not be taken away in it, too.
        for row in self.rows.prefix(keys::key(room, &[])) {
            let key = row.key()?;
            if !new.contains(&*key) {
                batch.remove(&self.rows, key);
            }
        }
        for (key, value) in rows {
            batch.insert(&self.rows, keys::key(room, key), value.as_slice());
        }
        batch.commit()
    }

    pub fn sizes(&self, prefix: &str, after: Option<&str>, most: usize) -> Result<Vec<RoomSize>, fjall::Error> {
        let from = after.map(keys::behind).unwrap_or_default().max(prefix.as_bytes().to_vec());
        let mut sizes: Vec<RoomSize> = Vec::new();
        for row in self.rows.range(from..) {
            let (key, value) = row.into_inner()?;
            let Some((room, _)) = keys::split(&key).filter(|(room, _)| room.starts_with(prefix)) else { break };
            let bytes = (key.len() + value.len()) as u64;
            if let Some(last) = sizes.last_mut().filter(|last| last.room == room) {
                last.rows += 1;
                last.bytes += bytes;
                continue;
            }
            if sizes.len() == most {
                break;
            }
            sizes.push(RoomSize { room: room.to_owned(), rows: 1, bytes });
        }
        Ok(sizes)
    }

    /// Every row of this moment, until `take` says no.
    pub fn copy(&self, mut take: impl FnMut(&[u8], &[u8]) -> bool) -> Result<bool, fjall::Error> {
        for row in self.rows.iter() {
            let (key, value) = row.into_inner()?;
            if !take(&key, &value) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Rows by the store's own keys.
    pub fn put(&self, rows: Vec<StoredRow>) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        rows.into_iter().for_each(|(key, value)| batch.insert(&self.rows, key, value));
        batch.commit()
    }

    pub fn sync(&self) -> Result<(), fjall::Error> {
        self.database.persist(PersistMode::SyncAll)
    }
}
