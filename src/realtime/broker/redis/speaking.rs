//! The connection by which one server is asked, and whether it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::redis::{Pipeline, Value};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Metrics;
use super::connection::{Answer, Connection, SILENCE};
use super::health::{HealthPart, ServerHealth};
use super::trouble::{RedisState, RedisTrouble};

/// Between two signs of life that are asked for.
const PING: Duration = Duration::from_secs(1);

/// The connection, as it is now.
pub(super) struct ServerLine {
    connection: watch::Sender<Option<Connection>>,
    served: Mutex<Served>,
    /// What is written now and then in a cluster, where nothing else may be asked of this server for long.
    probe: Mutex<Option<String>>,
    /// Counts how often a server may have lost what it was told last.
    losses: Arc<AtomicU64>,
    health: Arc<ServerHealth>,
    metrics: Metrics,
}

#[derive(Default)]
struct Served {
    /// The latest process of Redis.
    server: Option<String>,
    /// It has answered without a break since then.
    since: Option<Instant>,
}

impl ServerLine {
    pub(super) fn new(losses: Arc<AtomicU64>, health: Arc<ServerHealth>, metrics: Metrics) -> ServerLine {
        let (served, probe) = Default::default();
        ServerLine { connection: watch::Sender::new(None), served, probe, losses, health, metrics }
    }

    /// A key of a slot that it has, to see whether it takes writes.
    pub(super) fn set_probe(&self, key: String) {
        *self.probe.lock() = Some(key);
    }

    /// The connection now and from now on.
    pub(super) fn watch(&self) -> watch::Receiver<Option<Connection>> {
        self.connection.subscribe()
    }

    pub(super) fn connection(&self) -> Option<Connection> {
        self.connection.borrow().clone()
    }

    /// Which process of Redis is asked.
    pub(super) fn server(&self) -> Option<String> {
        Some(self.connection.borrow().as_ref()?.server().to_owned())
    }

    /// It has answered without a break for so long.
    pub(super) fn is_steady_for(&self, time: Duration) -> bool {
        self.served.lock().since.is_some_and(|since| since.elapsed() >= time)
    }

    /// Ends the connection, so that another is made.
    pub(super) fn end(&self) {
        if let Some(connection) = &*self.connection.borrow() {
            connection.end();
        }
    }

    /// Asks by `connection` until it ends, and sees that it answers.
    pub(super) async fn serve(&self, connection: Connection) {
        self.metrics.connects.inc();
        self.begin(&connection);
        let why = self.see_that_it_answers(&connection).await;
        self.served.lock().since = None;
        self.connection.send_replace(None);
        self.health.see(HealthPart::Commands, RedisState::Down(why));
        connection.end();
    }

    fn begin(&self, connection: &Connection) {
        let server = connection.server().to_owned();
        let before = {
            let mut served = self.served.lock();
            served.since = Some(Instant::now());
            served.server.replace(server.clone())
        };
        if before.is_some_and(|before| before != server) {
            self.losses.fetch_add(1, Ordering::AcqRel);
        }
        self.health.see(HealthPart::Commands, RedisState::Up);
        self.connection.send_replace(Some(connection.clone()));
    }

    async fn see_that_it_answers(&self, connection: &Connection) -> RedisTrouble {
        let mut ticks = tokio::time::interval(PING);
        loop {
            tokio::select! {
                () = connection.ended() => return RedisTrouble::Unreachable("the connection ended".into()),
                _ = ticks.tick() => {}
            }
            let mut ping = Pipeline::new();
            match &*self.probe.lock() {
                None => ping.cmd("PING"),
                Some(key) => ping.cmd("SET").arg(&[key.as_str(), "1", "PX", "10000"]),
            };
            match tokio::time::timeout(SILENCE, connection.send(&ping)).await {
                Ok(Ok(answers)) => answers.into_iter().for_each(|answer| self.weigh(answer)),
                // It ends, then.
                Ok(Err(_)) => {}
                Err(_) => return RedisTrouble::Silent(SILENCE.as_secs()),
            }
        }
    }

    fn weigh(&self, answer: Answer) {
        let state = match answer.map_err(|refusal| refusal.trouble()) {
            Ok(Value::SimpleString(_)) => return,
            Ok(_) => RedisState::Up,
            Err(trouble @ (RedisTrouble::Full | RedisTrouble::CannotSave(_))) => RedisState::Down(trouble),
            // What else may be is noticed elsewhere.
            Err(_) => return,
        };
        self.health.see(HealthPart::Writes, state);
    }
}
