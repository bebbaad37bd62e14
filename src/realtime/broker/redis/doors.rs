//! Who is alive: each door renews a lease, and sweeps behind those that no longer do.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::{info, warn};

use super::answers;
use super::commands::{Arg, Question};
use super::core::Core;
use super::scripts::Script;
use super::trouble::RedisError;
use crate::realtime::broker::NodeId;
use crate::realtime::vocabulary::Channel;

/// What is left of a cluster of which no door lives goes after this, in milliseconds.
const A_DAY_MS: u64 = 86_400_000;

/// How long a sweeper keeps others out, without a sign of life.
const LOCK_MS: u64 = 30_000;

/// Fields that one script takes out, and channels that are asked for at once.
const FIELDS: u64 = 500;
const CHANNELS: u64 = 100;

/// Values of what doors have left that are taken at once; three make one.
const DEPARTED: usize = 300;

/// After so many looks at the other doors, one at what this one has put.
const TIDY: u64 = 20;

/// Between two looks at whether a sweeper has ended.
const PAUSE: Duration = Duration::from_millis(100);

impl Core {
    /// Holds the lease.
    pub(super) async fn hold_lease(self: Arc<Core>) {
        let timeout = self.config.node_timeout;
        let mut ticks = interval(timeout / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut was_held, mut losses) = (false, self.losses());
        loop {
            ticks.tick().await;
            if self.is_leaving.load(Ordering::Acquire) {
                return;
            }
            let Ok(was_there) = self.renew_lease().await else {
                self.lease.lost();
                continue;
            };
            // Another process of Redis may have lost what was put last.
            let found = self.losses();
            let is_expelled = was_held && (!was_there || losses != found);
            self.lease.renewed(was_there, timeout);
            if is_expelled {
                self.expelled().await;
            }
            (was_held, losses) = (true, found);
        }
    }

    fn losses(&self) -> u64 {
        self.shards.parts.losses.load(Ordering::Acquire)
    }

    /// Renews it, and says whether it was there still.
    pub(super) async fn renew_lease(&self) -> Result<bool, RedisError> {
        let (lease, nodes, channels) =
            (self.names.lease(self.node), self.names.nodes(), self.names.channels(self.node));
        let time = self.config.node_timeout.as_millis().to_string();
        let card = self.lease.card.lock().await;
        let value = format!("1{card}");
        let own = [
            Question::command("SET", &[&lease, &value, "PX", &time, "GET"]),
            Question::command("PEXPIRE", &[&channels, &A_DAY_MS.to_string()]),
        ];
        let answers = self.commands.ask_all(&own).await?;
        let of_all = [
            Question::command("SADD", &[&nodes, &self.node.to_string()]),
            Question::command("PEXPIRE", &[&nodes, &A_DAY_MS.to_string()]),
        ];
        // It may lie elsewhere in a cluster, and be away: the lease does not wait for it, and the next time comes soon.
        let _ = timeout(self.config.node_timeout / 6, self.commands.ask_all(&of_all)).await;
        Ok(answers.first().and_then(answers::text).is_some())
    }

    /// Others have taken out, or are taking out, what this door put.
    async fn expelled(&self) {
        warn!("the other doors took this one for dead, or Redis lost its lease: all that it knows is told again");
        self.metrics.expelled.inc();
        let sweep = self.names.sweep(self.node);
        let until = Instant::now() + Duration::from_millis(LOCK_MS);
        while Instant::now() < until {
            let swept = self.commands.ask(Question::command("EXISTS", &[&sweep])).await;
            if swept.is_ok_and(|swept| answers::number(&swept) == Some(0)) {
                break;
            }
            sleep(PAUSE).await;
        }
        self.own_fields.forget().await;
        self.listener.on_expelled();
    }

    /// All doors of which something is known.
    async fn known(&self) -> Result<Vec<NodeId>, RedisError> {
        let found = self.commands.ask(Question::command("SMEMBERS", &[&self.names.nodes()])).await?;
        let found = answers::list(found).unwrap_or_default();
        Ok(found.iter().filter_map(answers::text).filter_map(|text| NodeId::read(&text)).collect())
    }

    /// The doors that live, and what they say of themselves.
    pub(super) async fn cards(&self) -> Result<Vec<(NodeId, String)>, RedisError> {
        let nodes = self.known().await?;
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        let leases: Vec<Question> =
            nodes.iter().map(|node| Question::command("GET", &[&self.names.lease(*node)])).collect();
        let cards = self.commands.ask_all(&leases).await?;
        let card = |(node, card)| Some((node, answers::text(&card)?.get(1..)?.to_owned()));
        Ok(nodes.into_iter().zip(cards).filter_map(card).collect())
    }

    /// All doors of which something is known, and whether they live.
    async fn survey(&self) -> Result<Vec<(NodeId, bool)>, RedisError> {
        let nodes = self.known().await?;
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        let leases: Vec<Question> =
            nodes.iter().map(|node| Question::command("EXISTS", &[&self.names.lease(*node)])).collect();
        let alive = self.commands.ask_all(&leases).await?;
        Ok(nodes.into_iter().zip(alive.iter().map(|alive| answers::number(alive) == Some(1))).collect())
    }

    /// The doors that live.
    pub(super) async fn alive(&self) -> Result<Vec<NodeId>, RedisError> {
        let alive = self.survey().await?.into_iter().filter(|(_, is_alive)| *is_alive);
        Ok(alive.map(|(node, _)| node).collect())
    }

    /// Sweeps behind doors whose lease is over.
    pub(super) async fn sweep_dead(self: Arc<Core>) {
        let timeout = self.config.node_timeout;
        let mut ticks = interval(timeout / 10);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut ticks_so_far, mut suspects) = (0_u64, HashSet::new());
        loop {
            ticks.tick().await;
            let Ok(doors) = self.survey().await else { continue };
            let before = std::mem::take(&mut suspects);
            let alive = doors.iter().filter(|(_, is_alive)| *is_alive).count();
            self.metrics.doors.set(i64::try_from(alive).unwrap_or(i64::MAX));
            for (node, is_alive) in doors {
                let is_known = self.shards.is_steady_for(&self.names.lease(node), timeout);
                if is_alive || node == self.node || !is_known || !self.lease.is_held_for(timeout) {
                    continue;
                }
                // Its server may have stood still for less than is noticed: then it says within a moment that it lives.
                if self.shards.is_cluster() && !before.contains(&node) {
                    suspects.insert(node);
                    continue;
                }
                if let Err(error) = self.sweep_if_dead(node).await {
                    warn!(door = %node, %error, "a dead door's members are not taken out yet");
                }
            }
            if let Err(error) = self.see_to_departed().await {
                warn!(%error, "what doors that have gone left behind is not seen to yet");
            }
            ticks_so_far += 1;
            if ticks_so_far.is_multiple_of(TIDY) {
                self.own_fields.tidy(&self.commands, &self.names.channels(self.node)).await;
            }
        }
    }

    /// Tells this door of what others have left, each of which no other is told of.
    async fn see_to_departed(&self) -> Result<(), RedisError> {
        let list = self.names.left();
        loop {
            let popped = self.commands.ask(Question::command("LPOP", &[&list, &DEPARTED.to_string()])).await?;
            let popped = answers::list(popped).unwrap_or_default();
            let is_all = popped.len() < DEPARTED;
            let mut popped = popped.into_iter();
            while let (Some(channel), Some(field), Some(value)) = (popped.next(), popped.next(), popped.next()) {
                let channel = answers::text(&channel).and_then(|name| Channel::new(&name).ok());
                if let (Some(channel), Some(field), Some(value)) =
                    (channel, answers::text(&field), answers::bytes(value))
                {
                    self.listener.on_departed(&channel, &field, value.into());
                }
            }
            if is_all {
                return Ok(());
            }
        }
    }

    async fn sweep_if_dead(&self, dead: NodeId) -> Result<(), RedisError> {
        let lock = self.names.sweep(dead);
        let (me, time) = (self.node.to_string(), LOCK_MS.to_string());
        let taken = self.commands.ask(Question::command("SET", &[&lock, &me, "NX", "PX", &time])).await?;
        if answers::bytes(taken).is_none() {
            return Ok(());
        }
        // Another may have done it since.
        let known = Question::command("SISMEMBER", &[&self.names.nodes(), &dead.to_string()]);
        let swept = match self.commands.ask(known).await {
            Ok(known) if answers::number(&known) == Some(1) => self.sweep(dead, true).await,
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        self.commands.ask(Question::command("DEL", &[&lock])).await?;
        if let Some(fields) = swept? {
            self.metrics.swept.inc();
            info!(door = %dead, fields, "swept behind a door that died");
        }
        Ok(())
    }

    /// Takes out all that `node` has put; says how much that was, or nothing where it turned out to live.
    pub(super) async fn sweep(&self, node: NodeId, is_to_be_dead: bool) -> Result<Option<u64>, RedisError> {
        let (lock, lease, set) = (self.names.sweep(node), self.names.lease(node), self.names.channels(node));
        let mut all = 0;
        loop {
            let looked = [
                Question::command("EXISTS", &[&lease]),
                Question::command("PEXPIRE", &[&lock, &LOCK_MS.to_string()]),
                Question::command("SRANDMEMBER", &[&set, &CHANNELS.to_string()]),
            ];
            let mut looked = self.commands.ask_all(&looked).await?;
            let channels = looked.pop().and_then(answers::list).unwrap_or_default();
            if is_to_be_dead && looked.first().and_then(answers::number) != Some(0) {
                return Ok(None);
            }
            let channels: Vec<String> = channels.iter().filter_map(answers::text).collect();
            if channels.is_empty() {
                break;
            }
            for name in &channels {
                all += self.sweep_channel(node, name).await?;
            }
            let names: Vec<&str> = [&*set].into_iter().chain(channels.iter().map(String::as_str)).collect();
            self.commands.ask(Question::command("SREM", &names)).await?;
        }
        self.commands.ask(Question::command("SREM", &[&self.names.nodes(), &node.to_string()])).await?;
        Ok(Some(all))
    }

    async fn sweep_channel(&self, node: NodeId, name: &str) -> Result<u64, RedisError> {
        let names = self.names.named(name);
        let [top, log, roster] = names.keys();
        // In a cluster what is left lies elsewhere: it is left here first, and carried there.
        let left = if self.shards.is_cluster() { names.left() } else { self.names.left() };
        let keys = vec![top, log, roster, left.clone()];
        let mut all = 0;
        loop {
            let question = Question::Script {
                script: Script::Sweep,
                keys: keys.clone(),
                args: vec![
                    Arg::Fresh,
                    Arg::Server,
                    Arg::Text(self.node.to_string()),
                    Arg::Text(node.to_string()),
                    Arg::Number(FIELDS),
                    Arg::Text(names.events()),
                    Arg::Publishes,
                    Arg::Text(name.to_owned()),
                ],
            };
            let gone = self.commands.ask(question).await?;
            let gone = answers::number(&gone).unwrap_or(0);
            all += gone;
            if self.shards.is_cluster() {
                self.carry(&left).await?;
            }
            if gone < FIELDS {
                return Ok(all);
            }
        }
    }

    /// Carries what was left in a channel's slot to where all of it lies. Whoever does it and dies may have told something
    /// that another tells again.
    async fn carry(&self, from: &str) -> Result<(), RedisError> {
        let (last, rest) = ((DEPARTED - 1).to_string(), DEPARTED.to_string());
        loop {
            let some = self.commands.ask(Question::command("LRANGE", &[from, "0", &last])).await?;
            let some = answers::list(some).unwrap_or_default();
            if some.is_empty() {
                return Ok(());
            }
            let args = some.into_iter().filter_map(answers::bytes).map(|value| Arg::Bytes(value.into())).collect();
            let leave = Question::Script { script: Script::Leave, keys: vec![self.names.left()], args };
            self.commands.ask(leave).await?;
            self.commands.ask(Question::command("LTRIM", &[from, &rest, "-1"])).await?;
        }
    }

    /// Leaves: all that this door put goes, and nobody waits for its lease.
    pub(super) async fn leave(&self) -> Result<(), RedisError> {
        self.sweep(self.node, false).await?;
        self.commands.ask(Question::command("DEL", &[&self.names.lease(self.node)])).await.map(drop)
    }
}
