//! What only the app does with a channel's documents: changes that are made from what is there, and all of them going, or
//! going elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

use super::room::DocumentRoom;
use super::{Documents, OpenError, RoomLease};
use crate::documents::{Owned, Store, StoreError, Tenure};
use crate::realtime::document::tree::{Op, PatchError, PatchOp, Tree};
use crate::realtime::hub::{Hub, HubEvent};
use crate::realtime::vocabulary::{Channel, ConnectionId, DisconnectReason, EditOutcome, Moment, Refusal};

/// Why documents cannot go elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("{0:?} has documents already")]
    Taken(Channel),
    #[error("{0}")]
    Open(#[from] OpenError),
}

/// Why a patch does not become a tree's change.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TreePatchError {
    #[error("{0}")]
    Patch(#[from] PatchError),
    /// It cannot be kept.
    #[error("{0}")]
    Refused(Refusal),
}

impl Hub {
    /// Changes a room's tree by a patch: all of it, or nothing.
    ///
    /// # Errors
    /// [`TreePatchError`].
    pub async fn patch_tree(&self, room: &DocumentRoom, patch: &[PatchOp]) -> Result<(), TreePatchError> {
        let mut names = names_of_nodes(room).await.map_err(TreePatchError::Refused)?;
        let patched = self.edit_tree_by(room, |tree| tree.patch(patch, &mut names));
        Ok(patched.map_err(TreePatchError::Refused)??)
    }

    /// Changes a room's tree by what `make` makes of it as it is then.
    ///
    /// # Errors
    /// [`Refusal`]: it cannot be kept. Inside: what `make` says.
    pub fn edit_tree_by<E>(
        &self,
        room: &DocumentRoom,
        make: impl FnOnce(&Tree) -> Result<Vec<Op>, E>,
    ) -> Result<Result<(), E>, Refusal> {
        let documents = self.documents().ok_or(Refusal::Unknown)?;
        let mut state = room.state.lock();
        state.goes_on()?;
        match make(&state.tree) {
            Ok(ops) => self.edit_tree(documents, room, &mut state, None, ops).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Takes away all that a channel has on disk. Who edits there is sent away for the reason `why`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn delete_documents(&self, channel: &Channel, why: &DisconnectReason) -> Result<(), OpenError> {
        let Some(documents) = self.documents() else { return Ok(()) };
        let lease = match documents.seize(channel, why).await {
            Ok(lease) => Some(lease),
            // It may be damaged because of what is on disk.
            Err(OpenError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let (name, had) = (channel.clone(), Arc::new(AtomicBool::new(false)));
        let has = Arc::clone(&had);
        let act = move |store: &Store, tenure: &Tenure| {
            has.store(store.has(name.as_str())?, Ordering::Relaxed);
            tenure.delete().map(|()| true)
        };
        let editors = self.close_documents(documents, channel, lease.as_ref(), act).await?;
        if had.load(Ordering::Relaxed) {
            self.emit(&HubEvent::Deleted { channel });
        }
        self.send_off(channel, editors.unwrap_or_default(), why);
        Ok(())
    }

    /// Has another channel have all that this one has on disk. Who edits here is sent away for the reason `why`.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn move_documents(&self, from: &Channel, to: &Channel, why: &DisconnectReason) -> Result<(), MoveError> {
        let Some(documents) = self.documents() else { return Ok(()) };
        let old = documents.seize(from, &DisconnectReason::Failed).await?;
        let new = documents.seize(to, &DisconnectReason::Failed).await?;
        let (name, new_name) = (from.clone(), to.clone());
        let is_free = move |store: &Store, _: &Tenure| has_place(store, &name, &new_name);
        let newcomers = self.close_documents(documents, to, Some(&new), is_free).await?;
        // Who has come to the new one before it is there comes back, and finds it.
        let newcomers = newcomers.ok_or_else(|| MoveError::Taken(to.clone()))?;
        self.send_away(newcomers, &DisconnectReason::Failed);
        let (name, new_name, to_room) = (from.clone(), to.clone(), Arc::clone(new.room()));
        let act = move |store: &Store, tenure: &Tenure| carry(store, (&name, tenure), (&new_name, to_room.tenure()));
        match self.close_documents(documents, from, Some(&old), act).await? {
            Some(editors) => {
                self.send_off(from, editors, why);
                Ok(())
            }
            None => Err(MoveError::Taken(to.clone())),
        }
    }

    /// Sends editors away from a channel that is no more. They are members of it no longer at once, however long their
    /// links take to close: whoever makes a channel of this name anew meets none of them.
    pub(super) fn send_off(&self, channel: &Channel, editors: Vec<ConnectionId>, why: &DisconnectReason) {
        self.take_out(channel, &editors, Moment::now());
        self.send_away(editors, why);
    }

    pub(super) fn send_away(&self, editors: Vec<ConnectionId>, why: &DisconnectReason) {
        for editor in editors {
            self.disconnect(editor, why.clone());
        }
    }
}

/// Names of nodes that nobody else gives: those of somebody with a number of its own.
///
/// # Errors
/// [`Refusal::Unavailable`]: the number cannot be kept.
pub async fn names_of_nodes(room: &DocumentRoom) -> Result<impl FnMut() -> Arc<str> + use<>, Refusal> {
    let number = room.enter(None).await?;
    let mut next = 0_u64;
    Ok(move || {
        let name = format!("{number}:{next}").into();
        next += 1;
        name
    })
}

/// Whether `to` has nothing, or what `from` has: then it was brought there before, and nobody knew.
fn has_place(store: &Store, from: &Channel, to: &Channel) -> Result<bool, StoreError> {
    let mut there = store.load(to.as_str())?;
    if there.is_empty() {
        return Ok(true);
    }
    let mut here = store.load(from.as_str())?;
    there.sort_unstable();
    here.sort_unstable();
    Ok(there == here)
}

/// Says whether there was room for it.
fn carry(store: &Store, from: (&Channel, &Tenure), to: (&Channel, &Tenure)) -> Result<bool, StoreError> {
    if !has_place(store, from.0, to.0)? {
        return Ok(false);
    }
    let rows = store.load(from.0.as_str())?.into_iter().map(|(key, value)| (key, Some(value)));
    to.1.commit(&rows.collect::<Vec<_>>())?;
    from.1.delete()?;
    Ok(true)
}

impl Hub {
    /// Whoever comes next reads a room anew: what is in memory is over once `act` has changed what is kept, or may have.
    /// Gives back who edits there; `None` where `act` says that it has changed nothing.
    ///
    /// # Errors
    /// [`OpenError`]: of what could be done by then nobody knows whether it was. Who edits there comes back.
    pub(super) async fn close_documents(
        &self,
        documents: &Arc<Documents>,
        channel: &Channel,
        lease: Option<&RoomLease>,
        act: impl FnOnce(&Store, &Tenure) -> Result<bool, StoreError> + Send + 'static,
    ) -> Result<Option<Vec<ConnectionId>>, OpenError> {
        let room = lease.map(|lease| Arc::clone(lease.room()));
        let (name, closing, closed) = (channel.clone(), Arc::clone(documents), room.clone());
        let closing = documents.store().run(move |store| match room {
            Some(room) => closing.close(store, &room, act),
            None => match store.own(name.as_str())? {
                Owned::Ours(tenure) => Ok(Ok(act(store, &tenure)?.then(Vec::new))),
                Owned::Theirs(owner) => Err(OpenError::Elsewhere(name, owner)),
            },
        });
        let done = closing.await.unwrap_or_else(|stopped| {
            Err(OpenError::Damaged { channel: channel.clone(), what: stopped.to_string() })
        })?;
        if let (Err(_), Some(room)) = (&done, closed) {
            self.tell_editors(&room, EditOutcome::Failed, None);
        }
        Ok(done?)
    }
}

impl Documents {
    /// Inside: why `act` failed, with which the room ended.
    fn close(
        &self,
        store: &Store,
        room: &DocumentRoom,
        act: impl FnOnce(&Store, &Tenure) -> Result<bool, StoreError>,
    ) -> Result<Result<Option<Vec<ConnectionId>>, StoreError>, OpenError> {
        let (done, mut state) = if store.is_shared() {
            // The lock is not held while others are asked: whoever edits meanwhile is refused, and comes again.
            Handle::current().block_on(room.stop())?;
            let done = act(store, room.tenure());
            if matches!(done, Ok(false)) {
                room.go_on();
            }
            (done, room.state.lock())
        } else {
            let state = room.state.lock();
            (act(store, room.tenure()), state)
        };
        match done {
            Ok(false) => return Ok(Ok(None)),
            Ok(true) => {}
            Err(error) => {
                // It may have been done all the same: what is in memory counts no more.
                self.failed(room, &error);
                self.end_room(room, &mut state);
                return Ok(Err(error));
            }
        }
        state.is_broken = true;
        let editors = state.editors();
        drop(state);
        self.set_aside(room);
        Ok(Ok(Some(editors)))
    }
}
