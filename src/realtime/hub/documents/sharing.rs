//! Rooms where other doors may have them: who has one, taking it from another, and letting all go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{info, warn};

use super::room::{DocumentRoom, RoomState};
use super::{DocumentMetrics, Documents, OpenError, RoomLease, Sharing};
use crate::documents::{RoomOwner, Store, StoreError};
use crate::realtime::hub::Hub;
use crate::realtime::hub::document_limits::DocumentLimits;
use crate::realtime::vocabulary::{Channel, DisconnectReason};

/// How often it is looked whether this door has the rooms that it has: one that does not is told so, and may have missed it.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Rooms that were taken from doors that are yet to be told. Those that are not told find out as they look.
const MOST_DEPOSED: usize = 1_000;

/// How often a room is taken from doors that take it again.
const MAX_TRIES: usize = 5;

/// So many rooms are let go at once as the door stops, and after a pause the next: their editors do not all come to the
/// other doors in one moment.
const AT_ONCE: usize = 16;
const PAUSE: Duration = Duration::from_millis(50);

/// A room was taken from a door.
#[derive(Debug, Clone)]
pub struct Deposed {
    pub channel: Channel,
    pub owner: RoomOwner,
    /// What its editors there are told.
    pub why: DisconnectReason,
}

impl Documents {
    /// Those of `hub`, where other doors may have some of them. Gives what other doors are to be told.
    pub fn shared(
        hub: &Arc<Hub>,
        store: Store,
        limits: DocumentLimits,
        metrics: DocumentMetrics,
    ) -> (Documents, mpsc::Receiver<Deposed>) {
        let (deposed, told) = mpsc::channel(MOST_DEPOSED);
        let shared = Sharing { hub: Arc::downgrade(hub), deposed: Some(deposed), ..Sharing::default() };
        (Documents { shared, ..Documents::new(store, limits, metrics) }, told)
    }

    /// The other door that has the documents of `channel`, if one does.
    ///
    /// # Errors
    /// [`OpenError::Store`]: nobody knows.
    pub async fn owner(&self, channel: &Channel) -> Result<Option<RoomOwner>, OpenError> {
        let is_here = self.open_now(channel).is_some_and(|room| !room.state.lock().is_broken);
        if is_here || !self.store.is_shared() {
            return Ok(None);
        }
        Ok(self.store.owner(channel.as_str()).await?)
    }

    /// That door has them no longer: it is gone, or is to give them up. Its editors are told `why`.
    ///
    /// # Errors
    /// [`OpenError::Store`].
    pub async fn depose(&self, channel: &Channel, owner: RoomOwner, why: DisconnectReason) -> Result<(), OpenError> {
        self.store.depose(channel.as_str(), &owner).await?;
        info!(channel = channel.as_str(), door = format!("{:016x}", owner.door), "documents were taken from a door");
        if let Some(deposed) = &self.shared.deposed {
            let _ = deposed.try_send(Deposed { channel: channel.clone(), owner, why });
        }
        Ok(())
    }

    /// Opens the documents of `channel`, whoever has them.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(super) async fn seize(&self, channel: &Channel, why: &DisconnectReason) -> Result<RoomLease, OpenError> {
        for _ in 0..MAX_TRIES {
            match self.open(channel).await {
                Err(OpenError::Elsewhere(_, owner)) => self.depose(channel, owner, why.clone()).await?,
                opened => return opened,
            }
        }
        self.open(channel).await
    }

    /// Another door has taken a room that this one had by `claim`: who edits here is told `why`.
    pub(in crate::realtime::hub) fn lose(&self, hub: &Hub, channel: &Channel, claim: &str, why: &DisconnectReason) {
        let Some(room) = self.open_now(channel).filter(|room| room.tenure().claim() == Some(claim)) else { return };
        let mut state = room.state.lock();
        if state.is_broken {
            return;
        }
        if *why == DisconnectReason::Failed {
            let error = StoreError::Lost(channel.as_str().to_owned());
            hub.break_room(self, &room, &mut state, &error);
            return;
        }
        self.end_room(&room, &mut state);
        let editors = state.editors();
        drop(state);
        hub.send_off(channel, editors, why);
    }

    /// Nothing more is done in a room, and whoever comes next reads it anew.
    pub(super) fn end_room(&self, room: &DocumentRoom, state: &mut RoomState) {
        state.is_broken = true;
        self.set_aside(room);
        if let Some(writing) = &mut state.writing {
            writing.end();
        }
    }

    /// Looks whether this door has the rooms still that it has.
    pub fn look(&self) {
        if self.store.is_shared() {
            self.open_rooms().iter().for_each(|room| room.look());
        }
    }

    /// The same, now and then.
    pub(super) fn look_in_time(&self, now: Instant) {
        let mut looked = self.shared.looked.lock();
        let since = *looked.get_or_insert(now);
        if now.saturating_duration_since(since) >= LOOK_INTERVAL {
            *looked = Some(now);
            drop(looked);
            self.look();
        }
    }

    fn open_rooms(&self) -> Vec<Arc<DocumentRoom>> {
        let rooms = self.rooms.lock();
        rooms.values().filter_map(|cell| cell.room.get().map(Arc::clone)).collect()
    }

    /// Lets all rooms go, so that other doors have them at once: their editors are told `why`. None is taken any more.
    pub async fn leave(&self, why: &DisconnectReason) {
        if !self.store.is_shared() || self.shared.is_leaving.swap(true, Ordering::AcqRel) {
            return;
        }
        for rooms in self.open_rooms().chunks(AT_ONCE) {
            join_all(rooms.iter().map(|room| self.let_go(room, why))).await;
            sleep(PAUSE).await;
        }
        self.rooms.lock().retain(|_, cell| !cell.is_idle());
    }

    /// The same when nobody is served any more, and until other doors may have all of them.
    pub async fn end(&self, why: &DisconnectReason) {
        self.leave(why).await;
        self.rooms.lock().clear();
        self.store.settle().await;
    }

    async fn let_go(&self, room: &Arc<DocumentRoom>, why: &DisconnectReason) {
        if let Err(error) = room.stop().await {
            warn!(channel = room.channel().as_str(), %error, "a room is let go");
        }
        let editors = room.state.lock().editors();
        self.set_aside(room);
        if let Some(hub) = self.shared.hub.upgrade() {
            for editor in editors {
                hub.disconnect(editor, why.clone());
            }
        }
        room.tenure().let_go();
    }
}
