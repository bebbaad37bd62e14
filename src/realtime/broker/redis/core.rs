//! What all clones of a link share, and the tasks that keep its connections.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::address::RedisHost;
use super::commands::Commands;
use super::connection::Connection;
use super::health::{Health, HealthPart};
use super::hearing::Hearing;
use super::lease::Lease;
use super::names::Names;
use super::own_fields::OwnFields;
use super::replicas::Replicas;
use super::stream::Dialer;
use super::trouble::{RedisState, RedisTrouble};
use super::{Config, Metrics, finding};
use crate::realtime::broker::{BrokerListener, NodeId};

/// Between two attempts to connect: the first, which doubles, and the last. A half of it is left to chance.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// A connection that ends sooner counts as none.
const STEADY: Duration = Duration::from_secs(5);

/// So many seconds both connections may have different servers.
const PARTED: u32 = 3;

/// What all clones of a link share.
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) node: NodeId,
    pub(super) names: Names,
    pub(super) commands: Commands,
    pub(super) hearing: Arc<Hearing>,
    pub(super) health: Arc<Health>,
    pub(super) lease: Lease,
    pub(super) replicas: Replicas,
    pub(super) own_fields: OwnFields,
    pub(super) listener: Arc<dyn BrokerListener>,
    pub(super) metrics: Metrics,
    pub(super) dialer: Dialer,
    /// Where the server for commands is now.
    pub(super) primary: watch::Sender<Option<RedisHost>>,
    /// It renews its lease no more.
    pub(super) is_leaving: AtomicBool,
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

impl Core {
    /// Keeps the connection for commands.
    pub(super) async fn keep_commands(self: Arc<Core>) {
        let mut pauses = Pauses::new();
        loop {
            let began = Instant::now();
            match self.connect_commands().await {
                Ok(connection) => self.commands.serve(connection).await,
                Err(trouble) => self.health.see(HealthPart::Commands, RedisState::Down(trouble)),
            }
            if began.elapsed() >= STEADY {
                pauses = Pauses::new();
            }
            pauses.wait().await;
        }
    }

    async fn connect_commands(&self) -> Result<Connection, RedisTrouble> {
        let host = finding::find(&self.config, &self.dialer).await?;
        let connection = Connection::open(&self.config, &self.dialer, &host, None).await?;
        self.primary.send_replace(Some(host));
        Ok(connection)
    }

    /// Keeps the connection that hears.
    pub(super) async fn keep_hearing(self: Arc<Core>) {
        let mut pauses = Pauses::new();
        loop {
            let began = Instant::now();
            match self.connect_hearing().await {
                Ok(connection) => tokio::select! {
                    () = self.hearing.serve(&connection) => {}
                    () = self.parted(&connection) => {
                        warn!("Redis hears and speaks by two servers: connecting anew");
                        self.health.see(HealthPart::Hearing, RedisState::Deaf);
                        self.commands.end();
                    }
                },
                Err(trouble) => self.health.see(HealthPart::Hearing, RedisState::Down(trouble)),
            }
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
            let is_parted = self.commands.server().is_some_and(|server| server != hearing.server());
            looks = if is_parted { looks + 1 } else { 0 };
        }
    }

    async fn connect_hearing(&self) -> Result<Connection, RedisTrouble> {
        let host = finding::find(&self.config, &self.dialer).await?;
        Connection::open(&self.config, &self.dialer, &host, Some(self.hearing.pushes())).await
    }

    /// Ends both connections when the primary is another.
    pub(super) async fn watch_primary(self: Arc<Core>) {
        let primary = self.primary.subscribe();
        loop {
            finding::moved(&self.config, &self.dialer, &primary).await;
            warn!("Sentinel names another primary: connecting there");
            self.primary.send_replace(None);
            self.commands.end();
            self.hearing.end();
        }
    }
}
