//! What the door hears: which channels it wants, and the connection that has them, which must hear its own beat.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::{AsyncPushSender, SendError};
use ::redis::{Pipeline, PushInfo, PushKind};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::connection::{Connection, SILENCE};
use super::health::{Health, HealthPart};
use super::names::Names;
use super::queues::Queues;
use super::trouble::{RedisError, RedisState, RedisTrouble};
use super::{Metrics, answers};
use crate::realtime::broker::NodeId;
use crate::realtime::vocabulary::Channel;

/// How often the door says something to itself.
const BEAT: Duration = Duration::from_secs(1);

/// Channels that are subscribed by one command.
const CHUNK: usize = 512;

/// Those who wait for one channel, before those who have gone are taken out.
const MANY_WAITING: usize = 16;

/// What the door wants to hear, and hears.
pub(super) struct Hearing {
    wanted: Mutex<Wanted>,
    changed: Notify,
    /// The connection is to end.
    ending: Notify,
    /// The latest of its own beats that came back.
    beat: watch::Sender<u64>,
    /// Heard always: what is said to all, what is said to this door, and its beat.
    always: [Arc<str>; 3],
    /// There was a connection that heard it.
    was_heard: AtomicBool,
    names: Names,
    queues: Queues,
    patience: Duration,
    health: Arc<Health>,
    metrics: Metrics,
}

/// By the name in Redis.
#[derive(Default)]
struct Wanted {
    channels: HashMap<Arc<str>, Subscription>,
    /// Those of which Redis does not know yet what is wanted.
    changed: Vec<Arc<str>>,
}

struct Subscription {
    channel: Channel,
    is_wanted: bool,
    is_changed: bool,
    /// On the connection as it is now.
    is_confirmed: bool,
    /// On this one or an earlier one.
    was_confirmed: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Hearing {
    pub(super) fn new(
        (names, node): (&Names, NodeId),
        queues: Queues,
        patience: Duration,
        health: Arc<Health>,
        metrics: Metrics,
    ) -> Hearing {
        let always = [names.all(), names.inbox(node), names.beat(node)].map(Arc::from);
        Hearing {
            wanted: Mutex::default(),
            changed: Notify::new(),
            ending: Notify::new(),
            beat: watch::Sender::new(0),
            always,
            was_heard: AtomicBool::new(false),
            names: names.clone(),
            queues,
            patience,
            health,
            metrics,
        }
    }

    /// Wants a channel; over when it is heard. After an error it is wanted still.
    ///
    /// # Errors
    /// Redis does not confirm it in time.
    pub(super) async fn subscribe(&self, channel: &Channel) -> Result<(), RedisError> {
        let name: Arc<str> = self.names.channel(channel).events().into();
        let confirmed = {
            let mut wanted = self.wanted.lock();
            let subscription = wanted.channels.entry(Arc::clone(&name)).or_insert_with(|| Subscription {
                channel: channel.clone(),
                is_wanted: false,
                is_changed: false,
                is_confirmed: false,
                was_confirmed: false,
                waiting: Vec::new(),
            });
            subscription.is_wanted = true;
            if subscription.is_confirmed {
                return Ok(());
            }
            if subscription.waiting.len() >= MANY_WAITING {
                subscription.waiting.retain(|waiting| !waiting.is_closed());
            }
            let (waiting, confirmed) = oneshot::channel();
            subscription.waiting.push(waiting);
            wanted.note(name);
            confirmed
        };
        self.changed.notify_one();
        match timeout(self.patience, confirmed).await {
            Ok(Ok(())) => Ok(()),
            // It is not wanted any more, or not in time.
            Ok(Err(_)) | Err(_) => Err(RedisError::Away(self.health.trouble())),
        }
    }

    /// Hears nothing of the channel from now on.
    pub(super) fn unsubscribe(&self, channel: &Channel) {
        let name: Arc<str> = self.names.channel(channel).events().into();
        {
            let mut wanted = self.wanted.lock();
            let Some(subscription) = wanted.channels.get_mut(&name) else { return };
            subscription.is_wanted = false;
            subscription.waiting.clear();
            wanted.note(name);
        }
        self.changed.notify_one();
    }

    /// Takes what the connection hears, on its own task: nothing is done there but to put it into a queue.
    pub(super) fn pushes(self: &Arc<Hearing>) -> Arc<dyn AsyncPushSender> {
        let hearing = Arc::clone(self);
        Arc::new(move |push: PushInfo| -> Result<(), SendError> {
            if push.kind == PushKind::Message {
                hearing.heard(push);
            }
            Ok(())
        })
    }

    fn heard(&self, push: PushInfo) {
        let mut data = push.data.into_iter().filter_map(answers::bytes);
        let (Some(name), Some(said)) = (data.next(), data.next()) else { return };
        let Ok(name) = std::str::from_utf8(&name) else { return };
        let [all, inbox, beat] = &self.always;
        if name == &**beat {
            let number = std::str::from_utf8(&said).ok().and_then(|text| text.parse().ok());
            self.beat.send_if_modified(|last| number.is_some_and(|number| std::mem::replace(last, number) != number));
        } else if name == &**all || name == &**inbox {
            self.queues.word(Bytes::from(said));
        } else if let Some(channel) = self.wanted.lock().heard(name) {
            self.queues.event(&channel, Bytes::from(said));
        }
    }

    /// Hears by `connection` until it ends, or is deaf.
    pub(super) async fn serve(&self, connection: &Connection) {
        self.metrics.connects.inc();
        self.health.see(HealthPart::Hearing, RedisState::Deaf);
        let is_restored = AtomicBool::new(false);
        let ended = tokio::select! {
            ended = self.follow(connection, &is_restored) => ended,
            ended = self.beats(connection, &is_restored) => ended,
            () = self.ending.notified() => RedisState::Deaf,
            () = connection.ended() => RedisState::Down(RedisTrouble::Unreachable("the connection ended".into())),
        };
        connection.end();
        self.health.see(HealthPart::Hearing, ended);
    }

    /// Ends the connection that it has, if any, so that another is made.
    pub(super) fn end(&self) {
        self.ending.notify_waiters();
    }

    /// Has Redis send what is wanted, as that changes. Over when it cannot.
    async fn follow(&self, connection: &Connection, is_restored: &AtomicBool) -> RedisState {
        if let Err(trouble) = connection.listen(&self.always, true).await {
            return RedisState::Down(trouble);
        }
        // What was said between this connection and the one before, nobody heard here.
        if self.was_heard.swap(true, Ordering::AcqRel) {
            self.queues.words_lost();
        }
        let all = self.wanted.lock().all_again();
        for names in all.chunks(CHUNK) {
            if let Err(trouble) = connection.listen(names, true).await {
                return RedisState::Down(trouble);
            }
            self.confirmed(names);
        }
        is_restored.store(true, Ordering::Release);
        loop {
            self.changed.notified().await;
            loop {
                let (on, off) = self.wanted.lock().take_changed();
                if on.is_empty() && off.is_empty() {
                    break;
                }
                for (names, is_on) in [(&on, true), (&off, false)] {
                    if names.is_empty() {
                        continue;
                    }
                    if let Err(trouble) = connection.listen(names, is_on).await {
                        return RedisState::Down(trouble);
                    }
                }
                self.confirmed(&on);
            }
        }
    }

    fn confirmed(&self, names: &[Arc<str>]) {
        let mut missed = Vec::new();
        let mut wanted = self.wanted.lock();
        for name in names {
            let Some(subscription) = wanted.channels.get_mut(name) else { continue };
            subscription.is_confirmed = true;
            // Somebody who waits for it looks at it then. Where nobody does, nobody knows what is missing.
            let mut is_awaited = false;
            for waiting in subscription.waiting.drain(..) {
                is_awaited |= waiting.send(()).is_ok();
            }
            if std::mem::replace(&mut subscription.was_confirmed, true) || !is_awaited {
                missed.push(subscription.channel.clone());
            }
        }
        drop(wanted);
        for channel in missed {
            self.metrics.resubscriptions.inc();
            self.queues.behind(&channel);
        }
    }

    /// Says something to itself each second, on the connection that hears. Over when that does not come back.
    async fn beats(&self, connection: &Connection, is_restored: &AtomicBool) -> RedisState {
        let mut heard = self.beat.subscribe();
        heard.mark_unchanged();
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut sent_at, mut heard_at) = (Instant::now(), Instant::now());
        let mut number = *heard.borrow();
        loop {
            tokio::select! {
                biased;
                changed = heard.changed() => {
                    if changed.is_err() || *heard.borrow_and_update() != number {
                        continue;
                    }
                    heard_at = Instant::now();
                    self.metrics.lag_seconds.observe((heard_at - sent_at).as_secs_f64());
                    if is_restored.load(Ordering::Acquire) {
                        self.health.see(HealthPart::Hearing, RedisState::Up);
                    }
                }
                () = sleep_until(heard_at + SILENCE) => {
                    self.metrics.beats_missed.inc();
                    return RedisState::Deaf;
                }
                _ = ticks.tick() => {
                    number += 1;
                    sent_at = Instant::now();
                    let mut beat = Pipeline::new();
                    beat.cmd("PUBLISH").arg(&*self.always[2]).arg(number);
                    match timeout(SILENCE, connection.send(&beat)).await {
                        Ok(Ok(answers)) => {
                            if let Some(Err(refusal)) = answers.into_iter().next() {
                                return RedisState::Down(refusal.trouble());
                            }
                        }
                        Ok(Err(trouble)) => return RedisState::Down(trouble),
                        Err(_) => {
                            self.metrics.beats_missed.inc();
                            return RedisState::Deaf;
                        }
                    }
                }
            }
        }
    }
}

impl Wanted {
    fn note(&mut self, name: Arc<str>) {
        let Some(subscription) = self.channels.get_mut(&name) else { return };
        if !std::mem::replace(&mut subscription.is_changed, true) {
            self.changed.push(name);
        }
    }

    fn heard(&self, name: &str) -> Option<Channel> {
        self.channels.get(name).filter(|known| known.is_wanted).map(|known| known.channel.clone())
    }

    /// What a new connection is to subscribe.
    fn all_again(&mut self) -> Vec<Arc<str>> {
        self.changed.clear();
        self.channels.retain(|_, subscription| subscription.is_wanted);
        for subscription in self.channels.values_mut() {
            (subscription.is_confirmed, subscription.is_changed) = (false, false);
        }
        self.channels.keys().cloned().collect()
    }

    /// What is to be subscribed and left: so many at most.
    fn take_changed(&mut self) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let (mut on, mut off) = (Vec::new(), Vec::new());
        while on.len() + off.len() < CHUNK
            && let Some(name) = self.changed.pop()
        {
            let Some(subscription) = self.channels.get_mut(&name) else { continue };
            subscription.is_changed = false;
            match (subscription.is_wanted, subscription.is_confirmed) {
                (true, false) => on.push(name),
                (true, true) => {}
                (false, is_confirmed) => {
                    self.channels.remove(&name);
                    if is_confirmed {
                        off.push(name);
                    }
                }
            }
        }
        (on, off)
    }
}
