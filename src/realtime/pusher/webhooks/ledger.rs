//! What has been told of each channel, and what waits for quiet: a page that is reloaded leaves and comes back within it,
//! and nobody is told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{DeliveryQueues, Occurrence, Recorder};
use crate::drain::Signal;
use crate::realtime::hub::Hub;
use crate::realtime::pusher::Apps;
use crate::realtime::pusher::hook::HookEvent;
use crate::realtime::pusher::machine::PusherApp;
use crate::realtime::vocabulary::Channel;

/// How often what waits is looked at.
const TICK_INTERVAL: Duration = Duration::from_millis(100);
/// Occurrences that are taken at a time.
const MAX_BATCH: usize = 256;

/// What of all that waits for quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settle {
    Due,
    All,
}

/// As large as there are channels with subscribers, and members in them.
pub struct Ledger {
    apps: Arc<Apps>,
    hub: Arc<Hub>,
    queues: Arc<RwLock<DeliveryQueues>>,
    /// Channels that were told to be occupied.
    occupied: HashSet<Channel>,
    /// Those of them that are empty, and since when.
    vacant: HashMap<Channel, Instant>,
    /// Who is in a channel, as far as the hub has said: members whose grace is not over are still there.
    present: HashMap<Channel, HashSet<Arc<str>>>,
    /// Members that have left, and when.
    leaving: HashMap<(Channel, Arc<str>), Instant>,
    /// Channels of which the number of subscribers has changed since it was told.
    counts: HashMap<Channel, usize>,
}

impl Ledger {
    pub fn new(apps: Arc<Apps>, hub: Arc<Hub>, queues: Arc<RwLock<DeliveryQueues>>) -> Ledger {
        Ledger {
            apps,
            hub,
            queues,
            occupied: HashSet::new(),
            vacant: HashMap::new(),
            present: HashMap::new(),
            leaving: HashMap::new(),
            counts: HashMap::new(),
        }
    }

    /// Keeps it until the door has drained, and tells then what was waiting.
    ///
    /// That all leave when the door stops is news to nobody, since they come back: whoever leaves from then on is still
    /// there, as far as the app knows.
    pub async fn keep(mut self, mut queue: mpsc::Receiver<Occurrence>, recorder: Arc<Recorder>, mut drain: Signal) {
        let _late_guard = drain.late_guard();
        let mut ticks = interval(TICK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(MAX_BATCH);
        loop {
            let is_waiting = !(self.vacant.is_empty() && self.leaving.is_empty() && self.counts.is_empty());
            tokio::select! {
                biased;
                _ = drain.draining() => break,
                taken = queue.recv_many(&mut batch, MAX_BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    batch.drain(..).for_each(|told| self.enter(told));
                    if recorder.has_lost.swap(false, Ordering::Relaxed) {
                        self.look();
                    }
                }
                _ = ticks.tick(), if is_waiting => self.settle(Instant::now(), Settle::Due),
            }
        }
        while let Ok(told) = queue.try_recv() {
            self.enter(told);
        }
        self.settle(Instant::now(), Settle::All);
        loop {
            tokio::select! {
                biased;
                taken = queue.recv_many(&mut batch, MAX_BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    batch.drain(..).filter(|told| !told.is_farewell()).for_each(|told| self.enter(told));
                }
                // What is in the queue is still taken.
                () = drain.quiet(), if !queue.is_closed() => queue.close(),
            }
        }
        // Without their senders the workers end, when all is delivered.
        self.queues.write().clear();
    }

    fn enter(&mut self, told: Occurrence) {
        let now = Instant::now();
        match told {
            Occurrence::Subscribers(channel, subscribers) => self.count(channel, subscribers, now),
            Occurrence::Came(channel, user) => {
                self.present.entry(channel.clone()).or_default().insert(Arc::clone(&user));
                if self.leaving.remove(&(channel.clone(), Arc::clone(&user))).is_none() {
                    // That its channel has a subscriber is said right behind it.
                    self.occupy(&channel);
                    self.tell(&channel, HookEvent::MemberAdded, &[("user_id", json!(*user))]);
                }
            }
            Occurrence::Went(channel, user) => self.leave(channel, user, now),
            Occurrence::ClientEvent { channel, event, data, socket_id, user } => {
                let mut more = vec![("event", json!(event)), ("data", json!(data)), ("socket_id", json!(socket_id))];
                more.extend(user.map(|user| ("user_id", json!(user))));
                self.tell(&channel, HookEvent::ClientEvent, &more);
            }
            Occurrence::CacheMiss(channel) => self.tell(&channel, HookEvent::CacheMiss, &[]),
        }
    }

    fn count(&mut self, channel: Channel, subscribers: usize, now: Instant) {
        if subscribers == 0 {
            self.vacant.insert(channel.clone(), now);
        } else {
            self.vacant.remove(&channel);
            self.occupy(&channel);
        }
        self.counts.insert(channel, subscribers);
    }

    fn occupy(&mut self, channel: &Channel) {
        if self.occupied.insert(channel.clone()) {
            self.tell(channel, HookEvent::ChannelOccupied, &[]);
        }
    }

    fn leave(&mut self, channel: Channel, user: Arc<str>, now: Instant) {
        if let Some(present) = self.present.get_mut(&channel) {
            present.remove(&user);
            if present.is_empty() {
                self.present.remove(&channel);
            }
        }
        self.leaving.insert((channel, user), now);
    }

    /// After news were lost: what the hub says is so.
    fn look(&mut self) {
        let now = Instant::now();
        let there: HashMap<Channel, usize> = self.hub.channels().into_iter().collect();
        let gone = self.occupied.iter().filter(|channel| !there.contains_key(*channel)).cloned().collect::<Vec<_>>();
        gone.into_iter().for_each(|channel| self.count(channel, 0, now));
        for (channel, subscribers) in there {
            if subscribers > 0 || self.occupied.contains(&channel) {
                self.count(channel, subscribers, now);
            }
        }
        for (channel, users) in self.present.clone() {
            let there = self.hub.members(&channel);
            let is_there = |user: &Arc<str>| there.iter().any(|member| member.name() == user);
            users.into_iter().filter(|user| !is_there(user)).for_each(|user| self.leave(channel.clone(), user, now));
        }
    }

    /// Tells what has been quiet for long enough, or all that waits.
    fn settle(&mut self, now: Instant, what: Settle) {
        for (channel, subscribers) in std::mem::take(&mut self.counts) {
            let Some((app, name)) = self.app(&channel) else { continue };
            if app.settings().subscription_counts && !name.starts_with("presence-") {
                self.hub.tell_subscribers(&channel);
                self.tell(&channel, HookEvent::SubscriptionCount, &[("subscription_count", json!(subscribers))]);
            }
        }
        let is_due = |ledger: &Ledger, channel: &Channel, since: Instant| {
            let is_quiet = |(app, _): (Arc<PusherApp>, _)| now >= since + app.settings().webhook_quiet;
            what == Settle::All || ledger.app(channel).is_none_or(is_quiet)
        };
        if what == Settle::All {
            // Whose last connection has gone will not come back to this door.
            let vacant: Vec<_> = self.vacant.keys().filter(|channel| self.present.contains_key(*channel)).collect();
            for channel in vacant.into_iter().cloned().collect::<Vec<_>>() {
                let users = self.present.get(&channel).cloned().unwrap_or_default();
                users.into_iter().for_each(|user| self.leave(channel.clone(), user, now));
            }
        }
        let due = self.leaving.iter().filter(|((channel, _), since)| is_due(self, channel, **since));
        for (channel, user) in due.map(|(member, _)| member.clone()).collect::<Vec<_>>() {
            self.tell(&channel, HookEvent::MemberRemoved, &[("user_id", json!(*user))]);
            self.leaving.remove(&(channel, user));
        }
        // A channel is vacated behind the last of its members, whose graces may be over later than its own quiet.
        let leaving: HashSet<&Channel> = self.leaving.keys().map(|(channel, _)| channel).collect();
        let has_members = |channel: &Channel| self.present.contains_key(channel) || leaving.contains(channel);
        let due = self.vacant.iter().filter(|(channel, since)| is_due(self, channel, **since) && !has_members(channel));
        for channel in due.map(|(channel, _)| channel.clone()).collect::<Vec<_>>() {
            self.vacant.remove(&channel);
            if self.occupied.remove(&channel) {
                self.tell(&channel, HookEvent::ChannelVacated, &[]);
            }
        }
    }

    /// Whose channel it is, and what they call it.
    fn app(&self, channel: &Channel) -> Option<(Arc<PusherApp>, String)> {
        self.apps.all().into_iter().find_map(|app| {
            let name = app.name(channel)?.to_owned();
            Some((app, name))
        })
    }

    fn tell(&self, channel: &Channel, event: HookEvent, more: &[(&str, Value)]) {
        let Some((app, name)) = self.app(channel) else { return };
        let settings = app.settings();
        let hooks = settings.webhooks.iter().filter(|hook| hook.wants(event, &name));
        for hook in hooks {
            let queues = self.queues.read();
            let Some(queue) = queues.get(&(app.id().to_owned(), hook.receiver.clone())) else { continue };
            let mut object = json!({ "name": event.label(), "channel": name });
            for (key, value) in more {
                object[*key] = value.clone();
            }
            queue.put(object);
        }
    }
}
