//! Changes on their way to where documents are kept.
//!
//! A disk is written under the room's lock, and all hear of it at once. A store that several doors share is asked over the
//! network: changes wait in the room's queue, those that wait go together, and what is told of each waits behind it. So
//! nobody hears of what is not kept, all hear in one order, and nobody's thread waits.
#![expect(
    clippy::disallowed_methods,
    reason = "what writes a room ends with what waits there, and serves all who edit"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::queue::{Telling, Writing};
use super::room::{DocumentRoom, RoomState};
use super::{Documents, OpenError};
use crate::documents::{Row, StoreError};
use crate::realtime::hub::outbox::Item;
use crate::realtime::hub::sync::MutexGuard;
use crate::realtime::hub::{Hub, HubEvent};
use crate::realtime::vocabulary::{EditOutcome, Refusal};

/// What an entry of a mailbox counts that was made for its client alone: what it has asked for is not too much for it.
const OWN: u32 = 64;

/// Has what waits of a room written, each time that something does.
pub fn starter(hub: Weak<Hub>, room: Weak<DocumentRoom>) -> impl Fn() -> bool + Send + Sync {
    move || {
        let (Some(hub), Some(room)) = (hub.upgrade(), room.upgrade()) else { return false };
        tokio::spawn(write(hub, room));
        true
    }
}

/// Writes what waits of a room, until nothing does.
async fn write(hub: Arc<Hub>, room: Arc<DocumentRoom>) {
    loop {
        let batch = {
            let mut state = room.state.lock();
            let batch = state.writing.as_mut().map(Writing::batch).unwrap_or_default();
            if batch.is_empty() {
                return;
            }
            batch
        };
        let (mut rows, mut told) = (BTreeMap::new(), Vec::with_capacity(batch.len()));
        let edits = batch.iter().filter(|change| !change.rows.is_empty()).count() as u64;
        for change in batch {
            // Of a key that is changed twice, the last counts.
            rows.extend(change.rows);
            told.push(change.tellings);
        }
        let changes = told.len() as u64;
        let written = room.tenure().write(rows.into_iter().collect()).await;
        let Some(documents) = hub.documents() else { return };
        let mut state = room.state.lock();
        match written {
            Ok(()) => {
                documents.metrics.edits.inc_by(edits);
                told.into_iter().for_each(|tellings| hub.tell_of(&room, &mut state, tellings));
                if let Some(writing) = &state.writing {
                    writing.have_written(changes);
                }
            }
            Err(error) => return hub.break_room(documents, &room, &mut state, &error),
        }
    }
}

impl DocumentRoom {
    /// Resolves when all that is in the room now is kept, and when it is certain that this door had the room then: what was
    /// read there before may be told.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: it is not.
    pub async fn settled(&self) -> Result<(), Refusal> {
        let written = {
            let mut state = self.state.lock();
            let is_broken = state.is_broken;
            let Some(writing) = &mut state.writing else { return Ok(()) };
            if is_broken {
                return Err(Refusal::Unavailable);
            }
            writing.push(Vec::new(), Vec::new());
            writing.written()
        };
        written.await
    }

    /// Has it looked whether this door may write there still: where it may not, the editors are sent away.
    pub fn look(&self) {
        let mut state = self.state.lock();
        if let Some(writing) = &mut state.writing
            && writing.is_idle()
        {
            writing.push(Vec::new(), Vec::new());
        }
    }

    /// No more is changed here from now on, and what was is kept. To be waited for on a thread that may.
    ///
    /// # Errors
    /// [`OpenError`]: it is not, or it is over already.
    pub(super) async fn stop(&self) -> Result<(), OpenError> {
        let lost = || OpenError::Store(StoreError::Lost(self.channel().as_str().to_owned()));
        let written = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.is_broken, true) {
                return Err(lost());
            }
            state.writing.as_ref().map(Writing::written)
        };
        match written {
            Some(written) => written.await.map_err(|_| lost()),
            None => Ok(()),
        }
    }

    /// It goes on, unless it is over.
    pub(super) fn go_on(&self) {
        let mut state = self.state.lock();
        state.is_broken = state.writing.as_ref().is_some_and(Writing::is_over);
    }
}

impl Hub {
    /// Keeps rows, and tells then what is told of them. Where they cannot be kept, the room is over: its editors are sent
    /// away, and whoever comes next reads what is there.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: they cannot.
    pub(super) fn keep(
        &self,
        documents: &Documents,
        room: &DocumentRoom,
        state: &mut MutexGuard<'_, RoomState>,
        rows: Vec<Row>,
        tellings: Vec<Telling>,
    ) -> Result<(), Refusal> {
        if let Some(writing) = &mut state.writing
            && !(rows.is_empty() && writing.is_idle())
        {
            writing.push(rows, tellings);
            return Ok(());
        }
        if !rows.is_empty() {
            if let Err(error) = room.tenure().commit(&rows) {
                self.break_room(documents, room, state, &error);
                return Err(Refusal::Unavailable);
            }
            documents.metrics.edits.inc();
        }
        self.tell_of(room, state, tellings);
        Ok(())
    }

    fn tell_of(&self, room: &DocumentRoom, state: &mut RoomState, tellings: Vec<Telling>) {
        for telling in tellings {
            match telling {
                Telling::All(event, but) => self.tell_room(room, &event, but),
                Telling::One(to, event) => drop(self.push_to(to, Item::Event(Arc::new(event)), OWN)),
                Telling::Edited { is_tree } => self.emit(&HubEvent::Edited { channel: room.channel(), is_tree }),
                Telling::Reserved(number) => state.reserve(number),
            }
        }
    }

    /// What is in memory is not what is kept, or not this door's any more.
    pub(super) fn break_room(
        &self,
        documents: &Documents,
        room: &DocumentRoom,
        state: &mut RoomState,
        error: &StoreError,
    ) {
        documents.failed(room, error);
        documents.end_room(room, state);
        self.tell_editors(room, EditOutcome::Failed, None);
    }
}
