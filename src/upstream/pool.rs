//! Connections to one app: those that are idle, and how many may be open.
//!
//! Sharded by thread, so that workers do not meet at one lock. Last in, first out: few connections stay warm and
//! the rest grow old. A new one is dialled only when no idle one is there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use super::address::Address;
use super::config::Config;
use super::connection::Connection;
use super::metrics::Metrics;
use crate::telemetry::Seldom;

/// An idle connection is dropped this long before the app says that it closes it, or at half of a shorter time.
const MARGIN: Duration = Duration::from_secs(1);

pub struct Pool {
    pub address: Address,
    /// That the app does not know itself by this address.
    pub said_misnamed: Seldom,
    pub config: Arc<Config>,
    pub metrics: Metrics,
    /// Rung when a connection could not be had: the keeper looks at once.
    pub lost: Notify,
    /// Full when it holds its part of `idle_connections`: what is given back then is closed.
    shards: Box<[Mutex<Vec<Idle>>]>,
    slots: Mutex<Slots>,
    /// How many stand in the queue; spares the lock while nobody does.
    queued: AtomicUsize,
    is_retired: AtomicBool,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

struct Slots {
    open: usize,
    /// Bounded by `wait_limit`; whoever comes when it is full is refused ([`NoConnection::Crowded`]).
    queue: VecDeque<oneshot::Sender<Turn>>,
}

/// What one in the queue gets: a connection that was given back, or leave to dial.
enum Turn {
    Use(Box<Connection>),
    Dial(Slot),
}

/// Leave to have one connection open, until dropped.
pub struct Slot {
    /// `None` once the leave was handed on.
    pool: Option<Arc<Pool>>,
}

/// There is no connection to be had.
#[derive(Debug, thiserror::Error)]
pub enum NoConnection {
    #[error("cannot connect to the app at {address}: {source}")]
    Dial { address: Address, source: std::io::Error },
    #[error("the app at {0} did not take the connection in time")]
    DialTimeout(Address),
    #[error("all connections to the app are in use, and too many requests wait for one")]
    Crowded,
    #[error("all connections to the app stayed in use")]
    WaitTimeout,
}

impl Pool {
    pub fn new(address: Address, config: Arc<Config>, metrics: Metrics) -> Arc<Pool> {
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Pool {
            address,
            said_misnamed: Seldom::default(),
            config,
            metrics,
            lost: Notify::new(),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            slots: Mutex::new(Slots { open: 0, queue: VecDeque::new() }),
            queued: AtomicUsize::new(0),
            is_retired: AtomicBool::new(false),
        })
    }

    /// An idle connection, or a new one.
    ///
    /// # Errors
    /// [`NoConnection`] when the app does not take it, or all are in use for too long.
    pub async fn connect(self: &Arc<Self>) -> Result<Connection, NoConnection> {
        match self.take_idle() {
            Some(connection) => Ok(connection),
            None => self.connect_anew().await,
        }
    }

    /// A connection that has carried no request before, where the limit allows it.
    ///
    /// # Errors
    /// As for [`connect`](Pool::connect).
    pub async fn connect_anew(self: &Arc<Self>) -> Result<Connection, NoConnection> {
        let slot = match self.try_slot() {
            Some(slot) => slot,
            None => match self.queue().await? {
                Turn::Use(connection) => return Ok(*connection),
                Turn::Dial(slot) => slot,
            },
        };
        self.metrics.dials.inc();
        let address = || self.address.clone();
        match timeout(self.config.connect_timeout, self.address.dial()).await {
            Ok(Ok(halves)) => Ok(Connection::new(halves, slot)),
            Ok(Err(source)) => Err(NoConnection::Dial { address: address(), source }),
            Err(_) => Err(NoConnection::DialTimeout(address())),
        }
    }

    /// The idle connection that was used last, of this thread's shard first.
    fn take_idle(&self) -> Option<Connection> {
        let own = shard_of_thread();
        let count = self.shards.len();
        let now = Instant::now();
        for shard in (0..count).map(|offset| &self.shards[(own + offset) % count]) {
            loop {
                let Some(Idle { connection, until }) = lock(shard).pop() else { break };
                self.metrics.idle.dec();
                if until > now && connection.is_quiet() {
                    self.metrics.reuses.inc();
                    return Some(connection);
                }
            }
        }
        None
    }

    /// Keeps `connection` for the next request.
    pub fn give_back(&self, mut connection: Connection) {
        if !connection.input.is_empty() || connection.writer.is_none() {
            return;
        }
        let idle =
            connection.keep_alive.map_or(self.config.idle_timeout, |said| said.saturating_sub(MARGIN).max(said / 2));
        if idle.is_zero() || self.config.idle_connections == 0 {
            return;
        }
        connection.rest();
        let room = self.config.idle_connections.div_ceil(self.shards.len());
        let mut shard = lock(&self.shards[shard_of_thread() % self.shards.len()]);
        if shard.len() >= room {
            // Closing is a system call, and not one to make under the lock.
            drop(shard);
            drop(connection);
            return;
        }
        shard.push(Idle { connection, until: Instant::now() + idle });
        drop(shard);
        self.metrics.idle.inc();
        // Looked at only now, as the queue looks here only once it stands: one of the two sees the other.
        fence(Ordering::SeqCst);
        if self.queued.load(Ordering::SeqCst) > 0 {
            self.serve_queue();
        }
        if self.is_retired() {
            self.retire();
        }
    }

    /// Hands an idle connection to the first who waits for one.
    fn serve_queue(&self) {
        let Some(connection) = self.take_idle() else { return };
        let mut turn = Turn::Use(Box::new(connection));
        while let Some(waiting) = self.next_in_queue() {
            match waiting.send(turn) {
                Ok(()) => return,
                Err(back) => turn = back,
            }
        }
        if let Turn::Use(connection) = turn {
            self.give_back(*connection);
        }
    }

    fn next_in_queue(&self) -> Option<oneshot::Sender<Turn>> {
        let mut slots = lock(&self.slots);
        let waiting = slots.queue.pop_front();
        self.queued.store(slots.queue.len(), Ordering::SeqCst);
        waiting
    }

    fn try_slot(self: &Arc<Self>) -> Option<Slot> {
        let mut slots = lock(&self.slots);
        if slots.open >= self.config.connections {
            return None;
        }
        slots.open += 1;
        self.metrics.open.inc();
        Some(Slot { pool: Some(Arc::clone(self)) })
    }

    async fn queue(self: &Arc<Self>) -> Result<Turn, NoConnection> {
        let mut turn = {
            let mut slots = lock(&self.slots);
            slots.queue.retain(|waiting| !waiting.is_closed());
            if slots.queue.len() >= self.config.wait_limit {
                return Err(NoConnection::Crowded);
            }
            let (sender, receiver) = oneshot::channel();
            slots.queue.push_back(sender);
            self.queued.store(slots.queue.len(), Ordering::SeqCst);
            receiver
        };
        fence(Ordering::SeqCst);
        // One may have been given back, or closed, before this stood in the queue.
        if let Some(connection) = self.take_idle() {
            return Ok(Turn::Use(Box::new(connection)));
        }
        if let Some(slot) = self.try_slot() {
            return Ok(Turn::Dial(slot));
        }
        self.metrics.waits.inc();
        match timeout(self.config.wait_timeout, &mut turn).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(NoConnection::WaitTimeout),
        }
    }

    /// Closes idle connections that grew old or that the app closed.
    pub fn sweep(&self) {
        let now = Instant::now();
        let is_over = |idle: &mut Idle| idle.until <= now || !idle.connection.is_quiet();
        for shard in &self.shards {
            let over: Vec<Idle> = lock(shard).extract_if(.., is_over).collect();
            self.metrics.idle.dec_by(over.len() as i64);
        }
    }

    /// Another pool stands in its place: idle connections close now, the others after their answers.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
        for shard in &self.shards {
            let idle = std::mem::take(&mut *lock(shard));
            self.metrics.idle.dec_by(idle.len() as i64);
        }
    }

    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    /// How many connections carry a request now.
    pub fn in_use(&self) -> usize {
        let idle: usize = self.shards.iter().map(|shard| lock(shard).len()).sum();
        lock(&self.slots).open.saturating_sub(idle)
    }
}

impl Slot {
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        self.pool.as_ref()
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        loop {
            let waiting = {
                let mut slots = lock(&pool.slots);
                let waiting = slots.queue.pop_front();
                pool.queued.store(slots.queue.len(), Ordering::SeqCst);
                if waiting.is_none() {
                    slots.open -= 1;
                }
                waiting
            };
            let Some(waiting) = waiting else { break };
            match waiting.send(Turn::Dial(Slot { pool: Some(Arc::clone(&pool)) })) {
                Err(Turn::Dial(mut heir)) => heir.pool = None, // it left the queue: the leave goes to the next
                _ => return,
            }
        }
        pool.metrics.open.dec();
    }
}

/// A thread keeps its number for life.
fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    OWN.with(|own| *own)
}

/// No code here panics while it holds a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
