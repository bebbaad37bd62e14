//! A room that this door has: whoever holds this may write it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::on_disk::DiskStore;
use super::opened::StoredRow;
use super::shared::{SharedRooms, Waiting};
use super::{Row, StoreError};

/// A hold on the rows of a room. Where several doors share them, another may have it when this one is dropped.
pub struct Tenure {
    room: String,
    place: Place,
    /// It has put something there, so the room is listed.
    is_listed: Arc<AtomicBool>,
}

enum Place {
    /// No other door is there.
    Disk(DiskStore),
    Shared(SharedRooms, Arc<str>),
}

impl Tenure {
    pub(super) fn on_disk(disk: &DiskStore, room: &str) -> Tenure {
        Tenure { room: room.to_owned(), place: Place::Disk(disk.clone()), is_listed: Arc::default() }
    }

    pub(super) fn shared(shared: &SharedRooms, room: &str, claim: Arc<str>) -> Tenure {
        let place = Place::Shared(shared.clone(), claim);
        Tenure { room: room.to_owned(), place, is_listed: Arc::default() }
    }

    /// By which this door has the room, where others might have it.
    pub fn claim(&self) -> Option<&str> {
        match &self.place {
            Place::Disk(_) => None,
            Place::Shared(_, claim) => Some(claim),
        }
    }

    /// Writes rows of the room: all of them, or none. When it is back they survive the end of the process. With several
    /// doors it is for a thread that may wait.
    ///
    /// # Errors
    /// [`StoreError`]: whether they are there is not known before the store is read again.
    pub fn commit(&self, rows: &[Row]) -> Result<(), StoreError> {
        match &self.place {
            Place::Disk(disk) => disk.commit(&self.room, rows),
            Place::Shared(shared, _) => shared.block_on(self.write(rows.to_vec())),
        }
    }

    /// The same, to be waited for.
    pub fn write(&self, rows: Vec<Row>) -> Waiting<()> {
        match &self.place {
            Place::Disk(disk) => Box::pin(std::future::ready(disk.commit(&self.room, &rows))),
            Place::Shared(shared, claim) => self.change(
                shared,
                rows.iter().any(|(_, value)| value.is_some()),
                shared.store().write(&self.room, claim, rows),
            ),
        }
    }

    /// Has `rows` be all that the room has: all of them, or what was there is there still. For a thread that may wait.
    ///
    /// # Errors
    /// [`StoreError`], as of [`Tenure::commit`].
    pub fn replace(&self, rows: Vec<StoredRow>) -> Result<(), StoreError> {
        match &self.place {
            Place::Disk(disk) => disk.replace(&self.room, &rows),
            Place::Shared(shared, claim) => {
                shared.block_on(self.change(shared, !rows.is_empty(), shared.store().replace(&self.room, claim, rows)))
            }
        }
    }

    /// Takes away all rows of the room. For a thread that may wait.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn delete(&self) -> Result<(), StoreError> {
        match &self.place {
            Place::Disk(disk) => disk.delete(&self.room),
            Place::Shared(..) => self.replace(Vec::new()),
        }
    }

    /// Another door may have the room, as soon as it is told.
    pub fn let_go(&self) {
        if let Place::Shared(shared, claim) = &self.place {
            shared.part(&self.room, claim);
        }
    }

    /// A room that `gets` something is listed first.
    fn change(&self, shared: &SharedRooms, gets: bool, changing: Waiting<bool>) -> Waiting<()> {
        let lists = gets && !self.is_listed.load(Ordering::Acquire);
        let listing = lists.then(|| shared.store().list(&self.room));
        let (shared, lost) = (shared.clone(), StoreError::Lost(self.room.clone()));
        let is_listed = Arc::clone(&self.is_listed);
        Box::pin(async move {
            if let Some(listing) = listing {
                shared.see(listing.await)?;
                is_listed.store(true, Ordering::Release);
            }
            if shared.see(changing.await)? { Ok(()) } else { Err(lost) }
        })
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.let_go();
    }
}
