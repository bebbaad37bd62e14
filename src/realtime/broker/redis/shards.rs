//! The servers that take writes, and which of them has what: the only one, or those of a cluster, by its map.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::address::RedisHost;
use super::shard::{Shard, ShardParts};
use super::slots::{self, SlotMap};
use super::trouble::RedisError;
use crate::realtime::vocabulary::Channel;

/// All servers, and what is where.
pub(super) struct Shards {
    pub(super) parts: Arc<ShardParts>,
    layout: watch::Sender<Layout>,
    /// What keeps the connections, by where they lead.
    running: Mutex<Vec<(Option<RedisHost>, JoinSet<()>)>>,
}

/// What is where now.
pub(super) struct Layout {
    /// None where there is one server, or nothing is known yet.
    map: Option<SlotMap>,
    /// In the order of the map's primaries; never empty.
    shards: Vec<Arc<Shard>>,
}

impl Layout {
    /// The place of a slot.
    fn place(&self, slot: u16) -> usize {
        self.map.as_ref().map_or(0, |map| map.owner(slot))
    }

    /// Who has a slot.
    pub(super) fn at(&self, slot: u16) -> Arc<Shard> {
        Arc::clone(&self.shards[self.place(slot)])
    }
}

impl Shards {
    /// One server; of a cluster, what stands in for all of it until the map is known.
    pub(super) fn new(parts: Arc<ShardParts>) -> Shards {
        let first = Shard::new(&parts, None);
        let (names, node) = (&parts.names, parts.node);
        first.hearing.set_beat(names.beat(node));
        for name in [names.all(), names.inbox(node)] {
            first.hearing.want(name.into(), None);
        }
        let layout = watch::Sender::new(Layout { map: None, shards: vec![first] });
        Shards { parts, layout, running: Mutex::default() }
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.parts.config.url.is_cluster()
    }

    /// The slot of a key, where that says anything.
    pub(super) fn slot_of(&self, key: &[u8]) -> u16 {
        if self.is_cluster() { slots::slot_of(key) } else { 0 }
    }

    /// What is where, now and from now on.
    pub(super) fn watch(&self) -> watch::Receiver<Layout> {
        self.layout.subscribe()
    }

    /// What is where now. Nothing moves while it is held.
    pub(super) fn layout(&self) -> watch::Ref<'_, Layout> {
        self.layout.borrow()
    }

    /// Who has a key, or a channel.
    pub(super) fn of(&self, key: &str) -> Arc<Shard> {
        self.layout.borrow().at(self.slot_of(key.as_bytes()))
    }

    /// All of them, and the map.
    pub(super) fn all(&self) -> (Vec<Arc<Shard>>, Option<SlotMap>) {
        let layout = self.layout.borrow();
        (layout.shards.clone(), layout.map.clone())
    }

    /// Which process of Redis has a key.
    pub(super) fn server_of(&self, key: &str) -> Option<String> {
        self.of(key).speaking.server()
    }

    /// Wants a channel; over when it is heard. After an error it is wanted still.
    ///
    /// # Errors
    /// Redis does not confirm it in time.
    pub(super) async fn subscribe(&self, channel: &Channel) -> Result<(), RedisError> {
        let name: Arc<str> = self.parts.names.channel(channel).events().into();
        let confirmed = {
            // Nothing moves to another server meanwhile.
            let layout = self.layout.borrow();
            layout.shards[layout.place(self.slot_of(name.as_bytes()))]
                .hearing
                .want(Arc::clone(&name), Some(channel.clone()))
        };
        let Some(confirmed) = confirmed else { return Ok(()) };
        match timeout(self.parts.config.message_patience, confirmed).await {
            Ok(Ok(())) => Ok(()),
            // It is not wanted any more, or not in time.
            Ok(Err(_)) | Err(_) => Err(RedisError::Away(self.of(&name).health.trouble())),
        }
    }

    /// Hears nothing of the channel from now on.
    pub(super) fn unsubscribe(&self, channel: &Channel) {
        let name: Arc<str> = self.parts.names.channel(channel).events().into();
        let layout = self.layout.borrow();
        layout.shards[layout.place(self.slot_of(name.as_bytes()))].hearing.leave(name);
    }

    /// Keeps the connections of the only server.
    pub(super) fn run_single(&self) {
        let mut running = self.running.lock();
        running.extend(self.all().0.into_iter().map(|shard| (None, shard.run())));
    }

    /// Keeps no connection any more.
    pub(super) fn stop(&self) {
        self.running.lock().clear();
    }

    /// Takes over another map: what belongs to another server now goes there, and who has nothing any more is let go.
    pub(super) fn take(&self, map: SlotMap) {
        let tags = map.tags();
        self.layout.send_if_modified(|layout| {
            let is_new = layout.map.as_ref().is_none_or(|known| !known.is_like(&map));
            let old = std::mem::take(&mut layout.shards);
            for host in &map.primaries {
                let known = old.iter().find(|shard| shard.host.as_ref() == Some(host));
                layout.shards.push(known.cloned().unwrap_or_else(|| Shard::new(&self.parts, Some(host.clone()))));
            }
            for (shard, tag) in layout.shards.iter().zip(tags) {
                let beat = self.parts.names.beat_at(&tag, self.parts.node);
                shard.speaking.set_probe(beat.clone());
                shard.hearing.set_beat(beat);
            }
            let place = |name: &str| map.owner(slots::slot_of(name.as_bytes()));
            let mut moved: Vec<Vec<_>> = layout.shards.iter().map(|_| Vec::new()).collect();
            if is_new {
                for shard in &old {
                    let own = layout.shards.iter().position(|kept| Arc::ptr_eq(kept, shard));
                    for (name, subscription) in shard.hearing.part(|name| own == Some(place(name))) {
                        moved[place(&name)].push((name, subscription));
                    }
                }
            }
            for (shard, all) in layout.shards.iter().zip(moved) {
                shard.hearing.adopt(all);
            }
            self.let_go(&old, &layout.shards, layout.map.is_some());
            layout.map = Some(map);
            is_new
        });
    }

    fn let_go(&self, old: &[Arc<Shard>], kept: &[Arc<Shard>], was_known: bool) {
        let mut running = self.running.lock();
        for shard in
            kept.iter().filter(|shard| !running.iter().any(|(host, _)| *host == shard.host)).collect::<Vec<_>>()
        {
            running.push((shard.host.clone(), shard.run()));
        }
        running.retain(|(host, _)| kept.iter().any(|shard| shard.host == *host));
        for shard in old.iter().filter(|shard| !kept.iter().any(|kept| Arc::ptr_eq(kept, shard))) {
            shard.end();
            if was_known {
                // Who has its slots now may not have had all of it.
                self.parts.losses.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// The server that has a key has answered without a break for so long, where there are several: what is not there has not
    /// merely been away.
    pub(super) fn is_steady_for(&self, key: &str, time: Duration) -> bool {
        !self.is_cluster() || self.of(key).speaking.is_steady_for(time)
    }
}
