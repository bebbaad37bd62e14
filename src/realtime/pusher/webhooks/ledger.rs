//! What has been told of each channel, and what waits for quiet: a page that is reloaded leaves and comes back within it,
//! and nobody is told.
//!
//! Of several doors that share a hub each keeps such a ledger of what it knows, and asks the hub before it tells that a
//! channel is occupied or a member there, or is no longer: one of them tells it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::warn;

use super::{DeliveryQueues, MAX_OCCURRENCES, Occurrence, Recorder};
use crate::drain::Signal;
use crate::realtime::hub::{Hub, Teller, Told};
use crate::realtime::pusher::Apps;
use crate::realtime::pusher::hook::HookEvent;
use crate::realtime::pusher::machine::PusherApp;
use crate::realtime::vocabulary::Channel;

/// How often what waits is looked at.
const TICK_INTERVAL: Duration = Duration::from_millis(100);
/// Occurrences that are taken at a time.
const MAX_BATCH: usize = 256;

/// The door at which it happened tells it first, and so in order; the others look so many times as long after it whether it
/// has.
const ELSEWHERE_QUIET: u32 = 2;

/// Those whose door has gone have so many times as long to come back, by another one.
const DEPARTED_QUIET: u32 = 5;

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
    /// Channels that were told to be occupied; with several doors, those with subscribers here.
    occupied: HashSet<Channel>,
    /// What is to be told unless another door has told it.
    untold: BTreeSet<(Channel, Told)>,
    /// Those of them that are empty, and since when.
    vacant: HashMap<Channel, Instant>,
    /// Who is in a channel, as far as the hub has said: members whose grace is not over are still there.
    present: HashMap<Channel, HashSet<Arc<str>>>,
    /// Members that have left, and when.
    leaving: HashMap<(Channel, Arc<str>), Instant>,
    /// Channels of which the number of subscribers has changed since it was told, and whether by subscribers of this door.
    counts: HashMap<Channel, (usize, bool)>,
}

impl Ledger {
    pub fn new(apps: Arc<Apps>, hub: Arc<Hub>, queues: Arc<RwLock<DeliveryQueues>>) -> Ledger {
        Ledger {
            apps,
            hub,
            queues,
            occupied: HashSet::new(),
            untold: BTreeSet::new(),
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
            let is_quiet = self.vacant.is_empty() && self.leaving.is_empty() && self.counts.is_empty();
            let is_waiting = !(is_quiet && self.untold.is_empty());
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
                _ = ticks.tick(), if is_waiting => {
                    self.tell_first().await;
                    self.settle(Instant::now(), Settle::Due).await;
                }
            }
        }
        while let Ok(told) = queue.try_recv() {
            self.enter(told);
        }
        self.tell_first().await;
        self.settle(Instant::now(), Settle::All).await;
        loop {
            tokio::select! {
                biased;
                taken = queue.recv_many(&mut batch, MAX_BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    for told in batch.drain(..) {
                        if told.is_farewell() {
                            self.leave_to_others(told).await;
                        } else {
                            self.enter(told);
                        }
                    }
                    self.tell_first().await;
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
            Occurrence::Subscribers { channel, here, subscribers, elsewhere } => {
                let is_own = self.counts.get(&channel).is_some_and(|(_, is_own)| *is_own) || !elsewhere;
                let since = now + self.more_quiet(&channel, if elsewhere { ELSEWHERE_QUIET } else { 1 });
                self.count(&channel, here, subscribers, since);
                self.counts.insert(channel, (subscribers, is_own));
            }
            Occurrence::Departed(channel, user) => {
                let since = now + self.more_quiet(&channel, DEPARTED_QUIET);
                match user {
                    Some(user) => self.leave(channel, user, since),
                    None => {
                        self.counts.insert(channel.clone(), (self.hub.subscribers(&channel), true));
                        self.vacant.insert(channel, since);
                    }
                }
            }
            Occurrence::Came(channel, user) => {
                self.present.entry(channel.clone()).or_default().insert(Arc::clone(&user));
                let was_leaving = self.leaving.remove(&(channel.clone(), Arc::clone(&user))).is_some();
                if !was_leaving || self.hub.is_shared() {
                    // That its channel has a subscriber is said right behind it.
                    self.occupy(&channel);
                    self.begin(&channel, Told::Member(user));
                }
            }
            Occurrence::Went { channel, user, elsewhere } => {
                let since = now + self.more_quiet(&channel, if elsewhere { ELSEWHERE_QUIET } else { 1 });
                self.leave(channel, user, since);
            }
            Occurrence::ClientEvent { channel, event, data, socket_id, user } => {
                let mut more = vec![("event", json!(event)), ("data", json!(data)), ("socket_id", json!(socket_id))];
                more.extend(user.map(|user| ("user_id", json!(user))));
                self.tell(&channel, HookEvent::ClientEvent, &more);
            }
            Occurrence::CacheMiss(channel) => self.tell(&channel, HookEvent::CacheMiss, &[]),
        }
    }

    /// What `times` the quiet of a channel's app are longer than once.
    fn more_quiet(&self, channel: &Channel, times: u32) -> Duration {
        if times == 1 {
            return Duration::ZERO;
        }
        self.app(channel).map_or(Duration::ZERO, |(app, _)| app.settings().webhook_quiet * (times - 1))
    }

    fn count(&mut self, channel: &Channel, here: usize, subscribers: usize, since: Instant) {
        if subscribers == 0 {
            self.vacant.insert(channel.clone(), since);
            return;
        }
        self.vacant.remove(channel);
        if here > 0 {
            self.occupy(channel);
        } else {
            // Those who have them will tell.
            self.occupied.remove(channel);
            self.present.remove(channel);
        }
    }

    fn occupy(&mut self, channel: &Channel) {
        if self.occupied.insert(channel.clone()) {
            self.begin(channel, Told::Occupied);
        }
    }

    /// Something has begun: told at once where there is no other door to tell it.
    fn begin(&mut self, channel: &Channel, told: Told) {
        if !self.hub.is_shared() {
            self.tell_begun(channel, &told);
        } else if self.has_hooks(channel) {
            self.untold.insert((channel.clone(), told));
        }
    }

    fn tell_begun(&self, channel: &Channel, told: &Told) {
        match told {
            Told::Occupied => self.tell(channel, HookEvent::ChannelOccupied, &[]),
            Told::Member(user) => self.tell(channel, HookEvent::MemberAdded, &[("user_id", json!(**user))]),
        }
    }

    /// Tells what has begun, unless another door has.
    async fn tell_first(&mut self) {
        // Channels before their members.
        for wants_members in [false, true] {
            let is_meant = |(_, told): &&(Channel, Told)| matches!(told, Told::Member(_)) == wants_members;
            let begun: Vec<_> = self.untold.iter().filter(is_meant).cloned().collect();
            for some in begun.chunks(MAX_BATCH) {
                let asked = join_all(some.iter().map(|(channel, told)| self.hub.begin_to_tell(channel, told))).await;
                for (begun, asked) in some.iter().zip(&asked) {
                    let (channel, told) = begun;
                    // As long as it is so it may turn out to be ours to tell.
                    let is_open = match asked {
                        Ok(Teller::This | Teller::Another) => false,
                        Ok(Teller::Nobody) | Err(_) => self.is_so(channel, told),
                    };
                    if *asked == Ok(Teller::This) {
                        self.tell_begun(channel, told);
                    }
                    if !is_open {
                        self.untold.remove(begun);
                    }
                }
                if asked.iter().any(Result::is_err) {
                    return;
                }
            }
        }
    }

    /// Whether it is so at this door.
    fn is_so(&self, channel: &Channel, told: &Told) -> bool {
        match told {
            Told::Occupied => self.occupied.contains(channel),
            Told::Member(user) => self.present.get(channel).is_some_and(|present| present.contains(user)),
        }
    }

    /// Somebody has gone while this door goes itself: where there are others, one of them sees whether they come back.
    async fn leave_to_others(&self, farewell: Occurrence) {
        let (channel, told) = match farewell {
            Occurrence::Went { channel, user, .. } | Occurrence::Departed(channel, Some(user)) => {
                (channel, Told::Member(user))
            }
            Occurrence::Subscribers { channel, .. } | Occurrence::Departed(channel, None) => (channel, Told::Occupied),
            _ => return,
        };
        if self.hub.is_shared()
            && self.has_hooks(&channel)
            && let Err(error) = self.hub.leave_telling(&channel, &told).await
        {
            warn!(channel = channel.as_str(), %error, "webhooks: nobody will tell that this is over");
        }
    }

    fn leave(&mut self, channel: Channel, user: Arc<str>, since: Instant) {
        if let Some(present) = self.present.get_mut(&channel) {
            present.remove(&user);
            if present.is_empty() {
                self.present.remove(&channel);
            }
        }
        self.leaving.insert((channel, user), since);
    }

    /// After news were lost: what the hub says is so.
    fn look(&mut self) {
        let now = Instant::now();
        let there: HashMap<Channel, usize> = self.hub.channels().into_iter().collect();
        let gone = self.occupied.iter().filter(|channel| !there.contains_key(*channel)).cloned().collect::<Vec<_>>();
        for (channel, here) in gone.into_iter().map(|channel| (channel, 0)).chain(there) {
            if here > 0 || self.occupied.contains(&channel) {
                let subscribers = self.hub.subscribers(&channel);
                self.count(&channel, here, subscribers, now);
                self.counts.insert(channel, (subscribers, true));
            }
        }
        for (channel, users) in self.present.clone() {
            let there = self.hub.members(&channel);
            let is_there = |user: &Arc<str>| there.iter().any(|member| member.name() == user);
            users.into_iter().filter(|user| !is_there(user)).for_each(|user| self.leave(channel.clone(), user, now));
        }
    }

    /// Tells what has been quiet for long enough, or all that waits.
    async fn settle(&mut self, now: Instant, what: Settle) {
        for (channel, (subscribers, is_own)) in std::mem::take(&mut self.counts) {
            let Some((app, name)) = self.app(&channel) else { continue };
            if !app.settings().subscription_counts || name.starts_with("presence-") {
                continue;
            }
            self.hub.tell_subscribers(&channel);
            if is_own {
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
        let due = due.map(|((channel, user), _)| (channel.clone(), Told::Member(Arc::clone(user)))).collect();
        self.tell_last(due).await;
        // A channel is vacated behind the last of its members, whose graces may be over later than its own quiet.
        let leaving: HashSet<&Channel> = self.leaving.keys().map(|(channel, _)| channel).collect();
        // Of those who have been at several doors only the hub knows all.
        let stay = |channel: &Channel| self.hub.is_shared() && !self.hub.members(channel).is_empty();
        let has_members =
            |channel: &Channel| self.present.contains_key(channel) || leaving.contains(channel) || stay(channel);
        let due = self.vacant.iter().filter(|(channel, since)| is_due(self, channel, **since) && !has_members(channel));
        let due = due.map(|(channel, _)| (channel.clone(), Told::Occupied)).collect();
        self.tell_last(due).await;
    }

    /// Tells that these are over, unless another door has told so, or it is still so there.
    async fn tell_last(&mut self, over: Vec<(Channel, Told)>) {
        for some in over.chunks(MAX_BATCH) {
            let asked = some.iter().map(|(channel, told)| async {
                if !self.hub.is_shared() || self.has_hooks(channel) {
                    self.hub.end_of_telling(channel, told).await
                } else {
                    Ok(false)
                }
            });
            let asked = join_all(asked).await;
            for ((channel, told), is_ours) in some.iter().zip(&asked) {
                // Nobody knows: the next tick asks again, unless too many wait for that.
                if is_ours.is_err() && self.vacant.len() + self.leaving.len() < MAX_OCCURRENCES {
                    continue;
                }
                let is_ours = *is_ours == Ok(true);
                match told {
                    Told::Member(user) => {
                        self.leaving.remove(&(channel.clone(), Arc::clone(user)));
                        if is_ours {
                            self.tell(channel, HookEvent::MemberRemoved, &[("user_id", json!(**user))]);
                        }
                    }
                    Told::Occupied => {
                        self.vacant.remove(channel);
                        let was_occupied = self.occupied.remove(channel);
                        if is_ours && (was_occupied || self.hub.is_shared()) {
                            self.tell(channel, HookEvent::ChannelVacated, &[]);
                        }
                    }
                }
            }
            if asked.iter().any(Result::is_err) {
                return;
            }
        }
    }

    /// Whether anybody is told of what happens there.
    fn has_hooks(&self, channel: &Channel) -> bool {
        self.app(channel).is_some_and(|(app, _)| !app.settings().webhooks.is_empty())
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
