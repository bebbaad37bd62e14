//! One server that takes writes, and the two connections to it: the only one, or one of a cluster.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::address::RedisHost;
use super::connection::Connection;
use super::health::{Health, HealthPart, ServerHealth};
use super::hearing::Hearing;
use super::names::Names;
use super::queues::Queues;
use super::slots::Moves;
use super::speaking::ServerLine;
use super::stream::Dialer;
use super::trouble::{RedisState, RedisTrouble};
use super::{Config, Metrics, finding};
use crate::realtime::broker::NodeId;

/// Between two attempts to connect: the first, which doubles, and the last. A half of it is left to chance.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// A connection that ends sooner counts as none.
const STEADY: Duration = Duration::from_secs(5);

/// So many seconds both connections may have different servers.
const PARTED: u32 = 3;

/// What all shards of a link are made of.
pub(super) struct ShardParts {
    pub(super) config: Config,
    pub(super) node: NodeId,
    pub(super) names: Names,
    pub(super) dialer: Dialer,
    pub(super) queues: Queues,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Metrics,
    /// Counts how often a server may have lost what it was told last.
    pub(super) losses: Arc<AtomicU64>,
    /// What servers said of slots that are elsewhere.
    pub(super) moves: Arc<Moves>,
}

/// One server that takes writes.
pub(super) struct Shard {
    parts: Arc<ShardParts>,
    /// Where it is, in a cluster; elsewhere the config knows who knows.
    pub(super) host: Option<RedisHost>,
    pub(super) speaking: ServerLine,
    pub(super) hearing: Arc<Hearing>,
    pub(super) health: Arc<ServerHealth>,
    /// Where the server for commands is now.
    primary: watch::Sender<Option<RedisHost>>,
}

/// Waits longer after each failure.
struct Pauses {
    next: Duration,
}

impl Pauses {
    fn new() -> Pauses {
        Pauses { next: FIRST_PAUSE }
    }

    async fn wait(&mut self) {
        let half = self.next / 2;
        sleep(half + half.mul_f64(fastrand::f64())).await;
        self.next = (self.next * 2).min(LAST_PAUSE);
    }
}

impl Shard {
    /// Nothing is connected before its tasks [run](Shard::run).
    pub(super) fn new(parts: &Arc<ShardParts>, host: Option<RedisHost>) -> Arc<Shard> {
        let name = host.as_ref().map(|host| host.to_string().into());
        let (health, metrics) = (Arc::new(parts.health.server(name)), parts.metrics.clone());
        let (moves, queues) = (Arc::clone(&parts.moves), parts.queues.clone());
        let hearing = Hearing::new(host.clone(), moves, queues, Arc::clone(&health), metrics.clone());
        Arc::new(Shard {
            parts: Arc::clone(parts),
            host,
            speaking: ServerLine::new(Arc::clone(&parts.losses), Arc::clone(&health), metrics),
            hearing: Arc::new(hearing),
            health,
            primary: watch::Sender::new(None),
        })
    }

    /// Keeps its connections, until that is dropped.
    pub(super) fn run(self: &Arc<Shard>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(self).keep_speaking());
        tasks.spawn(Arc::clone(self).keep_hearing());
        tasks.spawn(Arc::clone(self).watch_primary());
        tasks
    }

    /// Ends its connections.
    pub(super) fn end(&self) {
        self.speaking.end();
        self.hearing.end();
    }

    async fn keep_speaking(self: Arc<Shard>) {
        let mut pauses = Pauses::new();
        loop {
            let began = Instant::now();
            match self.connect_to_speak().await {
                Ok(connection) => self.speaking.serve(connection).await,
                Err(trouble) => self.health.see(HealthPart::Commands, RedisState::Down(trouble)),
            }
            // In a cluster another may have taken its place.
            self.parts.moves.look();
            if began.elapsed() >= STEADY {
                pauses = Pauses::new();
            }
            pauses.wait().await;
        }
    }

    async fn connect_to_speak(&self) -> Result<Connection, RedisTrouble> {
        let host = self.find().await?;
        let connection = Connection::open(&self.parts.config, &self.parts.dialer, &host, None).await?;
        self.primary.send_replace(Some(host));
        Ok(connection)
    }

    async fn find(&self) -> Result<RedisHost, RedisTrouble> {
        match &self.host {
            Some(host) => Ok(host.clone()),
            None => finding::find(&self.parts.config, &self.parts.dialer).await,
        }
    }

    async fn keep_hearing(self: Arc<Shard>) {
        let mut pauses = Pauses::new();
        loop {
            let began = Instant::now();
            match self.connect_to_hear().await {
                Ok(connection) => tokio::select! {
                    () = self.hearing.serve(&connection) => {}
                    () = self.parted(&connection) => {
                        warn!("Redis hears and speaks by two servers: connecting anew");
                        self.health.see(HealthPart::Hearing, RedisState::Deaf);
                        self.speaking.end();
                    }
                },
                Err(trouble) => self.health.see(HealthPart::Hearing, RedisState::Down(trouble)),
            }
            self.parts.moves.look();
            if began.elapsed() >= STEADY {
                pauses = Pauses::new();
            }
            pauses.wait().await;
        }
    }

    /// Resolves when what is said is said to another process of Redis than is heard: nobody would hear it, and the beat would
    /// come back all the same. After a failover behind one address, say.
    async fn parted(&self, hearing: &Connection) {
        let mut looks = 0;
        while looks < PARTED {
            sleep(Duration::from_secs(1)).await;
            let is_parted = self.speaking.server().is_some_and(|server| server != hearing.server());
            looks = if is_parted { looks + 1 } else { 0 };
        }
    }

    async fn connect_to_hear(&self) -> Result<Connection, RedisTrouble> {
        let host = self.find().await?;
        Connection::open(&self.parts.config, &self.parts.dialer, &host, Some(self.hearing.pushes())).await
    }

    /// Ends both connections when Sentinel knows another primary.
    async fn watch_primary(self: Arc<Shard>) {
        let primary = self.primary.subscribe();
        loop {
            finding::moved(&self.parts.config, &self.parts.dialer, &primary).await;
            warn!("Sentinel names another primary: connecting there");
            self.primary.send_replace(None);
            self.end();
        }
    }
}
