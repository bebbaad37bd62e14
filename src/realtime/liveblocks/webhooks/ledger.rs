//! Who is in which room, and of which documents it was told a moment ago that they have changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Occurrence, RoomNews, RoomRecorder, actor};
use crate::drain::Signal;
use crate::realtime::hub::Hub;
use crate::realtime::liveblocks::Config;
use crate::realtime::liveblocks::hook::{RoomEvent, RoomHook};
use crate::realtime::liveblocks::room::date;
use crate::realtime::liveblocks::token::PROJECT;
use crate::realtime::liveblocks::visitors::Visitors;
use crate::realtime::vocabulary::{Channel, Member, Moment, Payload};
use crate::realtime::webhooks::{Changes, HookQueues};
use crate::settings::Live;

/// How often what waits is looked at.
const TICK_INTERVAL: Duration = Duration::from_millis(100);
/// Occurrences that are taken at a time.
const MAX_BATCH: usize = 256;

/// As large as there are rooms with somebody in them, and rooms that were edited a moment ago.
pub struct RoomLedger {
    hub: Arc<Hub>,
    visitors: Arc<Visitors>,
    queues: Arc<HookQueues<RoomHook>>,
    config: Live<Config>,
    /// Who is there, by their numbers.
    here: HashMap<Channel, BTreeMap<u64, Arc<Member>>>,
    /// Of storages, and of documents of Yjs.
    edited: Changes<(Channel, bool)>,
}

impl RoomLedger {
    pub fn new(
        hub: Arc<Hub>,
        visitors: Arc<Visitors>,
        queues: Arc<HookQueues<RoomHook>>,
        config: Live<Config>,
    ) -> RoomLedger {
        RoomLedger { hub, visitors, queues, config, here: HashMap::new(), edited: Changes::default() }
    }

    /// Keeps it until the door has drained, and tells then what was waiting. That all leave when the door stops is told
    /// too: whoever comes back has another number.
    pub async fn keep(mut self, mut news: RoomNews, recorder: Arc<RoomRecorder>, mut drain: Signal) {
        let _late_guard = drain.late_guard();
        let queue = &mut news.0;
        let mut ticks = interval(TICK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(MAX_BATCH);
        loop {
            tokio::select! {
                biased;
                _ = drain.draining() => break,
                taken = queue.recv_many(&mut batch, MAX_BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    batch.drain(..).for_each(|(told, at)| self.enter(told, at));
                    if recorder.has_lost.swap(false, Ordering::Relaxed) {
                        self.look();
                    }
                }
                _ = ticks.tick(), if !self.edited.is_empty() => {
                    let due = self.edited.due(Instant::now(), self.config.get().webhook_throttle);
                    due.into_iter().for_each(|((room, is_tree), at)| self.updated(&room, is_tree, at));
                }
            }
        }
        loop {
            tokio::select! {
                biased;
                taken = queue.recv_many(&mut batch, MAX_BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    batch.drain(..).for_each(|(told, at)| self.enter(told, at));
                }
                // What is in the queue is still taken.
                () = drain.quiet(), if !queue.is_closed() => queue.close(),
            }
        }
        self.edited.rest().into_iter().for_each(|((room, is_tree), at)| self.updated(&room, is_tree, at));
        self.queues.close();
    }

    fn enter(&mut self, told: Occurrence, at: u64) {
        match told {
            Occurrence::Entered { room, actor, member } => {
                let here = self.here.entry(room.clone()).or_default();
                if here.insert(actor, Arc::clone(&member)).is_none() {
                    let others = here.len();
                    self.moved(&room, RoomEvent::UserEntered, (actor, &member, others), at);
                }
            }
            Occurrence::Left { room, actor, member } => self.leave(&room, (actor, &member), at),
            Occurrence::Departed { room, actor, member } => {
                // Those of a room are at one door, which was not this one.
                let others = self.here.get(&room).map_or(0, BTreeMap::len);
                self.moved(&room, RoomEvent::UserLeft, (actor, &member, others), at);
            }
            Occurrence::Edited { room, is_tree } => {
                let (edited, throttle) = ((room, is_tree), self.config.get().webhook_throttle);
                if self.edited.is_news(&edited, at, Instant::now(), throttle) {
                    self.updated(&edited.0, is_tree, at);
                }
            }
            Occurrence::Created { room } => self.tell(RoomEvent::RoomCreated, &room, [("createdAt", date(at).into())]),
            Occurrence::Deleted { room } => {
                self.visitors.leave(&room);
                [true, false].into_iter().for_each(|is_tree| self.edited.forget(&(room.clone(), is_tree)));
                self.tell(RoomEvent::RoomDeleted, &room, [("deletedAt", date(at).into())]);
            }
        }
    }

    fn leave(&mut self, room: &Channel, (actor, member): (u64, &Arc<Member>), at: u64) {
        let Some(here) = self.here.get_mut(room) else { return };
        if here.remove(&actor).is_none() {
            return;
        }
        let others = here.len();
        if others == 0 {
            self.here.remove(room);
        }
        self.moved(room, RoomEvent::UserLeft, (actor, member, others), at);
    }

    /// After news were lost, or while nobody wanted them: who is there is who the hub says is there.
    fn look(&mut self) {
        let at = Moment::now().unix_ms;
        let mut rooms: HashSet<Channel> = self.here.keys().cloned().collect();
        rooms.extend(self.hub.channels().into_iter().map(|(room, _)| room));
        for room in rooms {
            let members = self.hub.members(&room);
            let there: BTreeMap<u64, Arc<Member>> = members
                .into_iter()
                .filter(|member| self.is_here(member))
                .filter_map(|member| Some((actor(&member)?, member)))
                .collect();
            let here = self.here.get(&room).cloned().unwrap_or_default();
            for (actor, member) in here.iter().filter(|(actor, _)| !there.contains_key(actor)) {
                self.leave(&room, (*actor, member), at);
            }
            for (actor, member) in there {
                self.enter(Occurrence::Entered { room: room.clone(), actor, member }, at);
            }
        }
    }

    /// Of those that are at another door that one tells.
    fn is_here(&self, member: &Member) -> bool {
        member.key.parse().is_ok_and(|connection| self.hub.is_connected(connection))
    }

    fn moved(&self, room: &Channel, event: RoomEvent, (actor, member, here): (u64, &Arc<Member>, usize), at: u64) {
        let info = match &member.info {
            Some(Payload::Json(info)) => serde_json::from_str(info.as_str()).unwrap_or(Value::Null),
            _ => Value::Null,
        };
        let when = if event == RoomEvent::UserEntered { "enteredAt" } else { "leftAt" };
        let said = [
            ("connectionId", json!(actor)),
            ("userId", json!(member.user.as_deref())),
            ("userInfo", info),
            (when, date(at).into()),
            ("numActiveUsers", json!(here)),
        ];
        self.tell(event, room, said);
    }

    fn updated(&self, room: &Channel, is_tree: bool, at: u64) {
        let event = if is_tree { RoomEvent::StorageUpdated } else { RoomEvent::YdocUpdated };
        self.tell(event, room, [("updatedAt", date(at).into())]);
    }

    fn tell<const N: usize>(&self, event: RoomEvent, room: &Channel, said: [(&str, Value); N]) {
        let event_of = || {
            let mut data = Map::new();
            data.insert("projectId".to_owned(), PROJECT.into());
            data.insert("roomId".to_owned(), room.as_str().into());
            data.extend(said.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
            json!({ "type": event.label(), "data": data })
        };
        self.queues.put(|hook| hook.events.contains(&event), event_of);
    }
}
