//! Connections to one app: those that are idle, and how many may be open.
//!
//! Sharded by thread, so that workers do not meet at one lock. Last in, first out: few connections stay warm and
//! the rest grow old. A new one is dialled only when no idle one is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::address::Address;
use super::config::Config;
use super::connection::Connection;
use super::metrics::{Metrics, Waiting};
use super::sign_of_life::SignOfLife;
use super::slot::OpenConnections;
use super::tally::Tally;
use crate::shares::{Holder, Share, Shares};
use crate::telemetry::LogThrottle;

/// An idle connection is dropped this long before the app says that it closes it, or at half of a shorter time.
const IDLE_MARGIN: Duration = Duration::from_secs(1);

/// The connections to one address of the app: at most `connections` open, at most `idle_connections` of them idle.
pub struct Pool {
    pub address: Address,
    /// What the app is asked when there is no traffic.
    pub sign: SignOfLife,
    /// By what name its pages call its build, where they do.
    pub deployment: Option<Arc<str>>,
    /// That the app does not know itself by this address.
    pub said_misnamed: LogThrottle,
    pub config: Arc<Config>,
    pub metrics: Metrics,
    /// Rung when a connection could not be had: the keeper looks at once.
    pub lost: Notify,
    /// Full when it holds its part of `idle_connections`: what is given back then is closed.
    shards: Box<[Mutex<Vec<Idle>>]>,
    /// Those that carry a request, by who asked. All in use, or as many as one client may have: requests wait.
    in_use: Arc<Shares>,
    /// Those who wait for one. Full, or as many as one client may have: refused ([`NoConnection::Crowded`]).
    places: Arc<Shares>,
    open: OpenConnections,
    is_retired: AtomicBool,
    /// A newer build answers by now.
    is_of_earlier_build: AtomicBool,
    pub tally: Tally,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

/// There is no connection to be had.
#[derive(Debug, thiserror::Error)]
pub enum NoConnection {
    #[error("cannot connect to the app at {address}: {source}")]
    Dial { address: Address, source: std::io::Error },
    #[error("no connection to the app at {address} could be begun: {what} ({source})")]
    Shortage { address: Address, what: &'static str, source: std::io::Error },
    #[error("the app at {0} did not take the connection in time")]
    DialTimeout(Address),
    #[error("all connections to the app are in use, and too many requests wait for one")]
    Crowded,
    #[error("all connections to the app stayed in use")]
    WaitTimeout,
}

impl NoConnection {
    /// In a few words, without the address.
    pub fn cause(&self) -> String {
        match self {
            NoConnection::Dial { source, .. } if source.raw_os_error().is_some() => source.kind().to_string(),
            NoConnection::Dial { source, .. } => source.to_string(),
            NoConnection::Shortage { what, .. } => (*what).to_owned(),
            NoConnection::DialTimeout(_) => "no answer in time".to_owned(),
            NoConnection::Crowded | NoConnection::WaitTimeout => self.to_string(),
        }
    }
}

impl Pool {
    pub fn new(address: Address, sign: SignOfLife, config: Arc<Config>, metrics: Metrics) -> Arc<Pool> {
        Pool::of_build(address, sign, None, config, metrics)
    }

    /// The same of an app whose build is called `deployment`.
    pub fn of_build(
        address: Address,
        sign: SignOfLife,
        deployment: Option<Arc<str>>,
        config: Arc<Config>,
        metrics: Metrics,
    ) -> Arc<Pool> {
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Pool {
            address,
            sign,
            deployment,
            said_misnamed: LogThrottle::default(),
            open: OpenConnections::new(metrics.open.clone()),
            metrics,
            lost: Notify::new(),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            in_use: Shares::new("app.connections", config.connections),
            places: Shares::new("app.wait_limit", config.wait_limit),
            config,
            is_retired: AtomicBool::new(false),
            is_of_earlier_build: AtomicBool::new(false),
            tally: Tally::default(),
        })
    }

    /// An idle connection, or a new one, for a request of `holder`.
    ///
    /// # Errors
    /// [`NoConnection`] when the app does not take it, or all are in use for too long.
    pub async fn connect(self: &Arc<Self>, holder: Holder) -> Result<Connection, NoConnection> {
        let share = self.share(holder).await?;
        match self.take_idle() {
            Some(mut connection) => {
                self.metrics.reuses.inc();
                connection.share = Some(share);
                Ok(connection)
            }
            None => self.dial(share).await,
        }
    }

    /// A connection that has carried no request before.
    ///
    /// # Errors
    /// As for [`connect`](Pool::connect).
    pub async fn connect_anew(self: &Arc<Self>, holder: Holder) -> Result<Connection, NoConnection> {
        let share = self.share(holder).await?;
        self.dial(share).await
    }

    /// Leave for `holder` to use one.
    async fn share(&self, holder: Holder) -> Result<Share, NoConnection> {
        match self.in_use.try_take(holder) {
            Some(share) => Ok(share),
            None => self.wait(holder).await,
        }
    }

    #[cold]
    async fn wait(&self, holder: Holder) -> Result<Share, NoConnection> {
        let _place = self.places.try_take(holder).ok_or(NoConnection::Crowded)?;
        let _waiting = Waiting::new(&self.metrics);
        timeout(self.config.wait_timeout, self.in_use.take(holder)).await.map_err(|_| NoConnection::WaitTimeout)
    }

    async fn dial(self: &Arc<Self>, share: Share) -> Result<Connection, NoConnection> {
        if self.open.count() >= self.config.connections {
            // Those in use are fewer, so one is idle: it makes room.
            drop(self.take_idle());
        }
        self.metrics.dials.inc();
        let slot = self.open.add();
        let address = || self.address.clone();
        match timeout(self.config.connect_timeout, self.address.dial()).await {
            Ok(Ok(halves)) => Ok(Connection::new(halves, slot, share)),
            Ok(Err(source)) => Err(match shortage(&source) {
                Some(what) => NoConnection::Shortage { address: address(), what, source },
                None => NoConnection::Dial { address: address(), source },
            }),
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
        let idle = connection
            .keep_alive
            .map_or(self.config.idle_timeout, |said| said.saturating_sub(IDLE_MARGIN).max(said / 2));
        if idle.is_zero() || self.config.idle_connections == 0 {
            return;
        }
        connection.rest();
        // Given back last: whoever waits for it finds the connection.
        let _share = connection.share.take();
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
        if self.is_retired() {
            self.retire();
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

    /// Another build answers whoever names none; this one is kept for its own pages.
    pub fn becomes_earlier(&self) {
        self.is_of_earlier_build.store(true, Ordering::Relaxed);
    }

    pub fn is_of_earlier_build(&self) -> bool {
        self.is_of_earlier_build.load(Ordering::Relaxed)
    }

    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    /// How many connections carry a request now.
    pub fn in_use(&self) -> usize {
        self.in_use.taken()
    }
}

/// What this machine lacks, where a connection failed for that: it says nothing of the app.
fn shortage(error: &std::io::Error) -> Option<&'static str> {
    Some(match Errno::from_io_error(error)? {
        Errno::ADDRNOTAVAIL => "no local port is left, see net.ipv4.ip_local_port_range",
        Errno::MFILE => "too many files are open, see LimitNOFILE= of the unit or `ulimit -n`",
        Errno::NFILE => "too many files are open on this machine, see fs.file-max",
        Errno::NOBUFS | Errno::NOMEM => "the system has no memory for it",
        _ => return None,
    })
}

/// A thread keeps its number for life.
fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    OWN.with(|own| *own)
}

/// No code here panics while it holds a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Registry;

    /// A pool of an app that takes every connection, for as long as the listener is held.
    async fn pool(config: Config) -> (Arc<Pool>, tokio::net::TcpListener) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = Address::Tcp { host: "127.0.0.1".into(), port };
        let metrics = Metrics::new(&mut Registry::default());
        (Pool::new(address, SignOfLife::unknown(), Arc::new(config), metrics), listener)
    }

    fn holder() -> Holder {
        Holder::of([192, 0, 2, 1].into())
    }

    #[tokio::test]
    async fn a_new_connection_takes_the_place_of_an_idle_one() {
        let (pool, _app) = pool(Config { connections: 1, ..Config::default() }).await;
        pool.give_back(pool.connect(holder()).await.unwrap());
        assert_eq!((pool.open.count(), pool.in_use()), (1, 0));
        let anew = pool.connect_anew(holder()).await.unwrap();
        assert_eq!((pool.open.count(), pool.in_use()), (1, 1), "no more than there may be");
        drop(anew);
    }

    #[tokio::test]
    async fn no_more_are_kept_idle_than_may_be() {
        let (pool, _app) = pool(Config { idle_connections: 1, ..Config::default() }).await;
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(pool.connect(holder()).await.unwrap());
        }
        all.into_iter().for_each(|connection| pool.give_back(connection));
        assert_eq!(pool.open.count(), 1);
        let used = pool.connect(holder()).await.unwrap();
        pool.retire();
        pool.give_back(used);
        assert_eq!(pool.open.count(), 0, "none of an app that another has replaced");
    }

    #[tokio::test]
    async fn what_the_app_has_closed_is_swept_away() {
        let hour = Duration::from_secs(3600);
        let (pool, app) = pool(Config { idle_timeout: hour, ..Config::default() }).await;
        pool.give_back(pool.connect(holder()).await.unwrap());
        let taken = app.accept().await.unwrap();
        pool.sweep();
        assert_eq!(pool.open.count(), 1, "it is open, and young");
        drop(taken);
        let swept = async {
            while pool.open.count() > 0 {
                tokio::task::yield_now().await;
                pool.sweep();
            }
        };
        timeout(Duration::from_secs(20), swept).await.unwrap();
    }
}
