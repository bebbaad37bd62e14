//! What the door hears of one server: the connection that has what is wanted, which must hear the door's own beat.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::{AsyncPushSender, SendError};
use ::redis::{Pipeline, PushInfo, PushKind, Value};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::address::RedisHost;
use super::answers::{self, ErrorAnswer};
use super::connection::{Connection, SILENCE};
use super::health::{HealthPart, ServerHealth};
use super::metrics::Metrics;
use super::queues::Queues;
use super::slots::{self, Moves};
use super::trouble::{RedisState, RedisTrouble};
use super::wanted::{CHUNK, Known, Missed, Wanted, WantedName};
use crate::realtime::vocabulary::Channel;

/// How often the door says something to itself.
const BEAT: Duration = Duration::from_secs(1);

/// What the door wants to hear, and hears.
pub(super) struct Hearing {
    wanted: Mutex<Wanted>,
    changed: Notify,
    /// The connection is to end.
    ending: Notify,
    /// The latest of its own beats that came back.
    beat: watch::Sender<u64>,
    /// Where the server is, in a cluster.
    host: Option<RedisHost>,
    /// Where others are told of what is elsewhere.
    moves: Arc<Moves>,
    queues: Queues,
    health: Arc<ServerHealth>,
    metrics: Metrics,
}

impl Hearing {
    pub(super) fn new(
        host: Option<RedisHost>,
        moves: Arc<Moves>,
        queues: Queues,
        health: Arc<ServerHealth>,
        metrics: Metrics,
    ) -> Hearing {
        Hearing {
            wanted: Mutex::default(),
            changed: Notify::new(),
            ending: Notify::new(),
            beat: watch::Sender::new(0),
            host,
            moves,
            queues,
            health,
            metrics,
        }
    }

    /// Wants a channel, or what doors say to each other; gives what resolves when it is heard, or nothing where it is.
    pub(super) fn want(&self, name: Arc<str>, channel: Option<Channel>) -> Option<oneshot::Receiver<()>> {
        let confirmed = self.wanted.lock().want(name, channel);
        if confirmed.is_some() {
            self.changed.notify_one();
        }
        confirmed
    }

    /// Hears nothing of it from now on.
    pub(super) fn leave(&self, name: Arc<str>) {
        if self.wanted.lock().leave(name) {
            self.changed.notify_one();
        }
    }

    /// Where it hears itself from the next connection on.
    pub(super) fn set_beat(&self, name: String) {
        self.wanted.lock().set_beat(name.into());
    }

    /// Gives away what belongs to another server.
    pub(super) fn part(&self, belongs: impl Fn(&str) -> bool) -> Vec<(Arc<str>, WantedName)> {
        self.wanted.lock().part(belongs)
    }

    /// Takes what others had, and asks again for what was refused.
    pub(super) fn adopt(&self, all: Vec<(Arc<str>, WantedName)>) {
        let mut wanted = self.wanted.lock();
        let is_any = wanted.retry() || !all.is_empty();
        all.into_iter().for_each(|(name, subscription)| wanted.adopt(name, subscription));
        drop(wanted);
        if is_any {
            self.changed.notify_one();
        }
    }

    /// Takes what the connection hears, on its own task: nothing is done there but to put it into a queue.
    pub(super) fn pushes(self: &Arc<Hearing>) -> Arc<dyn AsyncPushSender> {
        let (hearing, number) = (Arc::clone(self), self.wanted.lock().connect());
        Arc::new(move |push: PushInfo| -> Result<(), SendError> {
            match push.kind {
                PushKind::Message | PushKind::SMessage => hearing.heard(push),
                PushKind::SSubscribe => hearing.turned(number, push, true),
                PushKind::SUnsubscribe => hearing.turned(number, push, false),
                _ => {}
            }
            Ok(())
        })
    }

    fn heard(&self, push: PushInfo) {
        let mut data = push.data.into_iter().filter_map(answers::bytes);
        let (Some(name), Some(said)) = (data.next(), data.next()) else { return };
        let Ok(name) = std::str::from_utf8(&name) else { return };
        let known = self.wanted.lock().known(name);
        match known {
            Some(Known::Channel(channel)) => self.queues.event(&channel, Bytes::from(said)),
            Some(Known::Words) => self.queues.word(Bytes::from(said)),
            Some(Known::Beat) => {
                let number = std::str::from_utf8(&said).ok().and_then(|text| text.parse().ok());
                self.beat
                    .send_if_modified(|last| number.is_some_and(|number| std::mem::replace(last, number) != number));
            }
            None => {}
        }
    }

    fn turned(&self, connection: u64, push: PushInfo, is_on: bool) {
        let Some(name) = push.data.first().and_then(answers::text) else { return };
        if self.wanted.lock().turn(connection, &name, is_on) {
            self.moves.look();
        }
    }

    /// Hears by `connection` until it ends, or is deaf.
    pub(super) async fn serve(&self, connection: &Connection) {
        self.metrics.connects.inc();
        self.health.see(HealthPart::Hearing, RedisState::Deaf);
        let (is_restored, beat) = (AtomicBool::new(false), self.wanted.lock().beat());
        let ended = tokio::select! {
            ended = self.follow(connection, &beat, &is_restored) => ended,
            ended = self.beats(connection, &beat, &is_restored) => ended,
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
    async fn follow(&self, connection: &Connection, beat: &Arc<str>, is_restored: &AtomicBool) -> RedisState {
        match self.listen(connection, std::slice::from_ref(beat), true).await {
            // Its slot has gone elsewhere: another is taken.
            Ok(false) => return RedisState::Down(RedisTrouble::Moving),
            Ok(true) => {}
            Err(trouble) => return RedisState::Down(trouble),
        }
        let all = self.wanted.lock().all_again();
        for names in all.chunks(CHUNK) {
            if let Err(trouble) = self.listen(connection, names, true).await {
                return RedisState::Down(trouble);
            }
            self.confirmed(connection, names);
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
                    if let Err(trouble) = self.listen(connection, names, is_on).await {
                        return RedisState::Down(trouble);
                    }
                }
                self.confirmed(connection, &on);
            }
        }
    }

    /// Subscribes to names, or leaves them; false where some are elsewhere, which is told.
    async fn listen(&self, connection: &Connection, names: &[Arc<str>], is_on: bool) -> Result<bool, RedisTrouble> {
        let refused = connection.listen(names, is_on).await?;
        for (_, refusal) in &refused {
            // What is left where it is no more needs nothing.
            if !self.is_elsewhere(refusal) && is_on {
                return Err(refusal.trouble());
            }
        }
        Ok(refused.is_empty())
    }

    fn is_elsewhere(&self, refusal: &ErrorAnswer) -> bool {
        let moved = self.host.as_ref().filter(|_| refusal.code == "MOVED");
        let Some((slot, host)) = moved.and_then(|host| slots::read_move(&refusal.details, host)) else { return false };
        self.moves.hear(slot, host);
        true
    }

    fn confirmed(&self, connection: &Connection, names: &[Arc<str>]) {
        let Missed { channels, words } = self.wanted.lock().confirm(names, connection.is_cluster());
        // What was said between this connection and the one before, nobody heard here.
        if words {
            self.queues.words_lost();
        }
        for channel in channels {
            self.metrics.resubscriptions.inc();
            self.queues.behind(&channel);
        }
    }

    /// Says something to itself each second, on the connection that hears. Over when that does not come back.
    async fn beats(&self, connection: &Connection, name: &str, is_restored: &AtomicBool) -> RedisState {
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
                    beat.cmd(connection.publishes()).arg(name).arg(number);
                    match timeout(SILENCE, connection.send(&beat)).await {
                        Ok(Ok(answers)) => match answers.into_iter().next() {
                            Some(Ok(Value::Int(_))) => {}
                            Some(Err(refusal)) => return RedisState::Down(refusal.trouble()),
                            _ => return RedisState::Down(RedisTrouble::Says("an answer to something else".into())),
                        },
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
