//! A door's link to Redis, as the hub sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::{Value, cmd};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::commands::{Arg, Commands, Question};
use super::core::Core;
use super::health::Health;
use super::lease::Lease;
use super::names::Names;
use super::own_fields::OwnFields;
use super::queues::Queues;
use super::replicas::Replicas;
use super::scripts::Script;
use super::shard::ShardParts;
use super::shards::Shards;
use super::stream::Dialer;
use super::{Config, Metrics, RedisError, RedisState, RedisTrouble, answers, mapping, wire};
use crate::realtime::broker::{
    Appended, Broker, BrokerListener, LogEntry, Marked, NodeId, Recipient, Snapshot, Top, Waiting,
};
use crate::realtime::vocabulary::{Channel, Position};

/// How long a message's own name is known.
const ID_KNOWN: Duration = Duration::from_secs(120);

/// Channels that are asked about at once.
const CHUNK: usize = 200;

/// A door's link to Redis. Cheap to clone; it ends with its last clone.
#[derive(Clone)]
pub struct RedisLink {
    pub(super) core: Arc<Core>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl RedisLink {
    /// Never fails: while Redis is away the link goes on trying, and says so in its [`state`](RedisLink::state). To be
    /// called within a runtime.
    pub fn open(config: Config, node: NodeId, listener: Arc<dyn BrokerListener>, metrics: Metrics) -> RedisLink {
        let mut tasks = JoinSet::new();
        let health = Arc::new(Health::new(metrics.clone()));
        let names = Names::new(&config.prefix);
        let queues = Queues::start(&listener, &metrics, &mut tasks);
        let shards = Arc::new(Shards::new(Arc::new(ShardParts {
            node,
            names: names.clone(),
            dialer: Dialer::new(&config),
            queues,
            health: Arc::clone(&health),
            metrics: metrics.clone(),
            losses: Arc::default(),
            moves: Arc::default(),
            config: config.clone(),
        })));
        let core = Arc::new(Core {
            commands: Commands::new(Arc::clone(&shards), config.message_patience, metrics.clone()),
            shards: Arc::clone(&shards),
            lease: Lease::default(),
            replicas: Replicas::default(),
            own_fields: OwnFields::new(),
            is_leaving: AtomicBool::new(false),
            config,
            node,
            names,
            health,
            listener,
            metrics,
        });
        if shards.is_cluster() {
            tasks.spawn(mapping::keep(shards));
        } else {
            shards.run_single();
        }
        tasks.spawn(Arc::clone(&core).hold_lease());
        tasks.spawn(Arc::clone(&core).sweep_dead());
        RedisLink { core, tasks: Arc::new(Mutex::new(tasks)) }
    }

    /// Whether the door hears the others, for readiness and the log.
    pub fn state(&self) -> watch::Receiver<RedisState> {
        self.core.health.watch()
    }

    /// Leaves the others in good order: what this door put is taken out at once. Nothing can be done with the link after
    /// it, nor with its clones.
    ///
    /// # Errors
    /// [`RedisError`]: then they find out by `node_timeout`.
    pub async fn close(&self) -> Result<(), RedisError> {
        self.core.is_leaving.store(true, Ordering::Release);
        let left = self.core.leave().await;
        self.tasks.lock().abort_all();
        self.core.shards.stop();
        left
    }

    /// Does something with what all clones share.
    fn with<T, F>(&self, work: impl FnOnce(Arc<Core>) -> F) -> Waiting<T>
    where
        F: Future<Output = Result<T, RedisError>> + Send + 'static,
    {
        let work = work(Arc::clone(&self.core));
        Box::pin(async move { Ok(work.await?) })
    }
}

impl Core {
    /// A script for one channel: `args` come after those that all have.
    fn script(&self, script: Script, channel: &Channel, args: Vec<Arg>) -> Question {
        let args = [Arg::Fresh, Arg::Server].into_iter().chain(args).collect();
        Question::Script { script, keys: self.names.channel(channel).keys().into(), args }
    }

    async fn append(&self, channel: &Channel, entry: LogEntry) -> Result<Appended, RedisError> {
        let names = self.names.channel(channel);
        let request = format!("{:016x}", fastrand::u64(..));
        let (known, time) = match &entry.id {
            Some(id) => (names.id(id), ID_KNOWN),
            // As long as it may be asked again.
            None => (names.request(&request), self.config.message_patience * 2),
        };
        let age = millis(entry.age);
        let keep = if age == 0 { 0 } else { entry.messages as u64 };
        let [top, log, roster] = names.keys();
        let question = Question::Script {
            script: Script::Append,
            keys: vec![top.clone(), log, roster, known],
            args: vec![
                Arg::Fresh,
                Arg::Server,
                Arg::Bytes(entry.body),
                Arg::Number(keep),
                Arg::Number(age),
                Arg::Number(millis(time)),
                Arg::Text(names.events()),
                Arg::Publishes,
            ],
        };
        let place = self.commands.ask(question).await?;
        let server = self.shards.server_of(&top);
        let place = answers::bytes(place).ok_or_else(nonsense)?;
        let (position, unix_ms) = wire::read_place(&place).ok_or_else(nonsense)?;
        self.metrics.publishes.inc();
        let wanted = self.config.replicas;
        if wanted > 0 {
            let got = self.replicas.have(&self.commands, &names.written(), wanted, server).await?;
            if got < wanted {
                self.metrics.refused.inc();
                return Err(RedisError::Replicas { position, wanted, got });
            }
        }
        Ok(Appended { position, unix_ms })
    }

    async fn publish(&self, name: &str, body: &[u8]) -> Result<(), RedisError> {
        let mut publish = cmd(if self.shards.is_cluster() { "SPUBLISH" } else { "PUBLISH" });
        publish.arg(name).arg(body);
        self.commands.ask(Question::Command(publish)).await?;
        self.metrics.publishes.inc();
        Ok(())
    }

    async fn put(&self, channel: &Channel, field: &str, value: Bytes) -> Result<(), RedisError> {
        self.own_fields.begin(&self.commands, &self.names.channels(self.node), channel).await?;
        let args = vec![
            Arg::Text(self.node.to_string()),
            Arg::Text(field.to_owned()),
            Arg::Bytes(value),
            Arg::Text(self.names.channel(channel).events()),
            Arg::Publishes,
        ];
        let put = self.commands.ask(self.script(Script::Put, channel, args)).await;
        self.own_fields.end(channel, field).await;
        put.map(drop)
    }

    async fn remove(&self, channel: &Channel, field: &str) -> Result<(), RedisError> {
        let args = vec![
            Arg::Text(self.node.to_string()),
            Arg::Text(field.to_owned()),
            Arg::Text(self.names.channel(channel).events()),
            Arg::Publishes,
        ];
        self.commands.ask(self.script(Script::Remove, channel, args)).await?;
        self.own_fields.removed(channel, field).await;
        Ok(())
    }

    async fn mark(&self, script: Script, channel: &Channel, group: String) -> Result<u64, RedisError> {
        let marked = self.commands.ask(self.script(script, channel, vec![Arg::Text(group)])).await?;
        answers::number(&marked).ok_or_else(nonsense)
    }

    async fn hand_over(&self, channel: &Channel, field: String, value: Bytes) -> Result<(), RedisError> {
        let args = vec![Arg::Text(channel.as_str().to_owned()), Arg::Text(field), Arg::Bytes(value)];
        let question = Question::Script { script: Script::Leave, keys: vec![self.names.left()], args };
        self.commands.ask(question).await.map(drop)
    }

    async fn claim(&self, name: &str, value: Bytes, age: Duration) -> Result<Option<Bytes>, RedisError> {
        let name = self.names.claim(name);
        let mut set = cmd("SET");
        set.arg(&name).arg(&*value).arg("NX").arg("PX").arg(millis(age).max(1));
        let questions = [Question::Command(set), Question::command("GET", &[&name])];
        let mut answers = self.commands.ask_all(&questions).await?;
        // Asked twice where the first answer was lost: then it is there, and it is the same.
        let there = answers.pop().and_then(bytes);
        Ok(there.filter(|there| *there != value))
    }

    async fn settle(&self, name: &str, claimed: Bytes, value: Option<Bytes>, age: Duration) -> Result<(), RedisError> {
        let args = vec![Arg::Bytes(claimed), Arg::Bytes(value.unwrap_or_default()), Arg::Number(millis(age).max(1))];
        let question = Question::Script { script: Script::Settle, keys: vec![self.names.claim(name)], args };
        self.commands.ask(question).await.map(drop)
    }

    async fn take(&self, name: &str, amount: u64, rate: u64) -> Result<Option<Duration>, RedisError> {
        let args = vec![Arg::Number(amount), Arg::Number(rate)];
        let question = Question::Script { script: Script::Take, keys: vec![self.names.rate(name)], args };
        let wait = answers::number(&self.commands.ask(question).await?).ok_or_else(nonsense)?;
        Ok((wait > 0).then(|| Duration::from_millis(wait)))
    }

    async fn tops(&self, channels: &[Channel]) -> Result<Vec<Top>, RedisError> {
        let mut tops = Vec::with_capacity(channels.len());
        for some in channels.chunks(CHUNK) {
            let questions: Vec<Question> =
                some.iter().map(|channel| self.script(Script::Tops, channel, Vec::new())).collect();
            for answer in self.commands.ask_all(&questions).await? {
                tops.push(read_top(answer).ok_or_else(nonsense)?);
            }
        }
        Ok(tops)
    }

    async fn snapshot(&self, channel: &Channel, after: Option<Position>, most: usize) -> Result<Snapshot, RedisError> {
        let args = vec![
            Arg::Text(after.map_or(String::new(), |after| format!("{:016x}", after.epoch.0))),
            Arg::Number(after.map_or(0, |after| after.offset)),
            Arg::Number(most as u64),
        ];
        let answer = self.commands.ask(self.script(Script::Snapshot, channel, args)).await?;
        read_snapshot(answer).ok_or_else(nonsense)
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    // More than Redis can count: a thousand years.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(31_536_000_000_000)
}

pub(super) fn nonsense() -> RedisError {
    RedisError::Refused(RedisTrouble::Says("an answer that Doorway does not understand".into()))
}

fn read_top(answer: Value) -> Option<Top> {
    let [epoch, offset, sequence] = <[Value; 3]>::try_from(answers::list(answer)?).ok()?;
    let epoch = wire::read_epoch(&answers::text(&epoch)?)?;
    let position = Position { epoch, offset: answers::number(&offset)? };
    Some(Top { position, sequence: answers::number(&sequence)? })
}

fn read_snapshot(answer: Value) -> Option<Snapshot> {
    let [epoch, offset, sequence, line, entries, roster] = <[Value; 6]>::try_from(answers::list(answer)?).ok()?;
    let epoch = wire::read_epoch(&answers::text(&epoch)?)?;
    let entries = pairs(entries)?.map(|(offset, body)| Some((answers::number(&offset)?, bytes(body)?)));
    let roster = pairs(roster)?.map(|(field, value)| Some((answers::text(&field)?, bytes(value)?)));
    Some(Snapshot {
        top: Position { epoch, offset: answers::number(&offset)? },
        earlier: wire::read_line(&answers::text(&line)?),
        entries: entries.collect::<Option<_>>()?,
        sequence: answers::number(&sequence)?,
        roster: roster.collect::<Option<_>>()?,
    })
}

fn bytes(value: Value) -> Option<Bytes> {
    answers::bytes(value).map(Bytes::from)
}

fn pairs(flat: Value) -> Option<impl Iterator<Item = (Value, Value)>> {
    let mut flat = answers::list(flat)?.into_iter();
    Some(std::iter::from_fn(move || Some((flat.next()?, flat.next()?))))
}

impl Broker for RedisLink {
    fn node(&self) -> NodeId {
        self.core.node
    }

    fn append(&self, channel: &Channel, entry: LogEntry) -> Waiting<Appended> {
        let channel = channel.clone();
        self.with(|core| async move { core.append(&channel, entry).await })
    }

    fn pass(&self, channel: &Channel, body: Bytes) -> Waiting<()> {
        let channel = channel.clone();
        self.with(
            |core| async move { core.publish(&core.names.channel(&channel).events(), &wire::passed(&body)).await },
        )
    }

    fn put(&self, channel: &Channel, field: &str, value: Bytes) -> Waiting<()> {
        let (channel, field) = (channel.clone(), field.to_owned());
        self.with(|core| async move { core.put(&channel, &field, value).await })
    }

    fn remove(&self, channel: &Channel, field: &str) -> Waiting<()> {
        let (channel, field) = (channel.clone(), field.to_owned());
        self.with(|core| async move { core.remove(&channel, &field).await })
    }

    fn subscribe(&self, channel: &Channel) -> Waiting<()> {
        let channel = channel.clone();
        self.with(|core| async move { core.shards.subscribe(&channel).await })
    }

    fn unsubscribe(&self, channel: &Channel) -> Waiting<()> {
        self.core.shards.unsubscribe(channel);
        Box::pin(std::future::ready(Ok(())))
    }

    fn snapshot(&self, channel: &Channel, after: Option<Position>, most: usize) -> Waiting<Snapshot> {
        let channel = channel.clone();
        self.with(|core| async move { core.snapshot(&channel, after, most).await })
    }

    fn tops(&self, channels: &[Channel]) -> Waiting<Vec<Top>> {
        let channels = channels.to_vec();
        self.with(|core| async move { core.tops(&channels).await })
    }

    fn mark(&self, channel: &Channel, group: &str) -> Waiting<Marked> {
        let (channel, group) = (channel.clone(), group.to_owned());
        self.with(|core| async move {
            Ok(match core.mark(Script::Mark, &channel, group).await? {
                0 => Marked::Empty,
                1 => Marked::Known,
                _ => Marked::New,
            })
        })
    }

    fn unmark(&self, channel: &Channel, group: &str) -> Waiting<bool> {
        let (channel, group) = (channel.clone(), group.to_owned());
        self.with(|core| async move { Ok(core.mark(Script::Unmark, &channel, group).await? == 1) })
    }

    fn hand_over(&self, channel: &Channel, field: &str, value: Bytes) -> Waiting<()> {
        let (channel, field) = (channel.clone(), field.to_owned());
        self.with(|core| async move { core.hand_over(&channel, field, value).await })
    }

    fn claim(&self, name: &str, value: Bytes, age: Duration) -> Waiting<Option<Bytes>> {
        let name = name.to_owned();
        self.with(|core| async move { core.claim(&name, value, age).await })
    }

    fn settle(&self, name: &str, claimed: Bytes, value: Option<Bytes>, age: Duration) -> Waiting<()> {
        let name = name.to_owned();
        self.with(|core| async move { core.settle(&name, claimed, value, age).await })
    }

    fn read(&self, name: &str) -> Waiting<Option<Bytes>> {
        let name = name.to_owned();
        self.with(|core| async move {
            let there = core.commands.ask(Question::command("GET", &[&core.names.claim(&name)])).await?;
            Ok(bytes(there))
        })
    }

    fn take(&self, name: &str, amount: u64, rate: u64) -> Waiting<Option<Duration>> {
        let name = name.to_owned();
        self.with(|core| async move { core.take(&name, amount, rate).await })
    }

    fn tell(&self, to: Recipient, body: Bytes) -> Waiting<()> {
        self.with(|core| async move {
            let name = match to {
                Recipient::All => core.names.all(),
                Recipient::Node(node) => core.names.inbox(node),
            };
            core.publish(&name, &body).await
        })
    }

    fn nodes(&self) -> Waiting<Vec<NodeId>> {
        self.with(|core| async move { core.alive().await })
    }

    fn describe(&self, card: &str) -> Waiting<()> {
        let card = card.to_owned();
        self.with(|core| async move {
            *core.lease.card.lock().await = card;
            core.renew_lease().await.map(drop)
        })
    }

    fn cards(&self) -> Waiting<Vec<(NodeId, String)>> {
        self.with(|core| async move { core.cards().await })
    }
}
