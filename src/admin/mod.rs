//! The operator's door: health, metrics, connections, drain, reload and the API, on a listener of its own.
#![expect(clippy::disallowed_methods, reason = "the operator is answered until the very end: no drain waits for that")]

mod answer;
mod cached;
mod config;
mod documents;
mod health;
mod host;
mod connections;
mod control;
mod serve;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

pub use config::{AdminListen, Config};
pub use control::DEPLOY;
pub use documents::{BACKUP, END, LIST, ROOM};

use serve::Served;

use crate::cache::Cache;
use crate::drain::Signal;
use crate::http::HostPattern;
use crate::listen::{self, BindError, Inherited};
use crate::realtime::Realtime;
use crate::realtime::api::{Api, Listener};
use crate::releases::Switch;
use crate::telemetry::Registry;
use crate::upstream::Upstream;

/// Open from before the app starts until the process ends: it tells of both.
pub struct Admin {
    inner: Arc<Inner>,
    /// Where the app on this machine reaches the API.
    api_at: Option<SocketAddr>,
}

/// Counts the connections there are, by kind.
pub type Kinds = Box<dyn Fn() -> serde_json::Map<String, serde_json::Value> + Send + Sync>;

/// What the operator should know of, though the door is ready; a sentence each.
pub type Warnings = Box<dyn Fn() -> Vec<String> + Send + Sync>;

struct Inner {
    health: health::Health,
    registry: OnceLock<Registry>,
    api: OnceLock<Arc<Api>>,
    /// Servers that speak the API of another realtime service find it here too.
    realtime: OnceLock<Arc<Realtime>>,
    cache: OnceLock<Arc<Cache>>,
    kinds: OnceLock<Kinds>,
    warnings: OnceLock<Warnings>,
    /// None in it where the app is no release.
    releases: OnceLock<Option<Arc<Switch>>>,
    /// Further names to be asked by.
    hosts: Vec<HostPattern>,
    drain: Signal,
    asks: Asks,
}

/// What the operator asks of the roof.
#[derive(Clone)]
pub struct Asks {
    /// To drain.
    pub stop: mpsc::Sender<()>,
    /// To reload, and to be told what became of it.
    pub reload: mpsc::Sender<oneshot::Sender<ReloadReport>>,
}

/// What became of a reload.
#[derive(Debug)]
pub struct ReloadReport {
    /// Config and app are what lies on disk.
    pub is_taken: bool,
    /// The answer in JSON.
    pub told: serde_json::Value,
}

impl Admin {
    /// Opens the listener, unless the config wants none: the inherited socket `admin` if there is one. `asks` is where
    /// `POST /drain` and `POST /reload` go. `has_app` where this process starts the app: it reaches the API here, and where there is no
    /// listener, on a private one that has nothing else.
    ///
    /// # Errors
    /// [`BindError`] when its port is in use or not ours to take.
    pub fn open(
        config: &Config,
        inherited: &mut Inherited,
        drain: Signal,
        asks: Asks,
        has_app: bool,
    ) -> Result<Admin, BindError> {
        let health = health::Health::new(drain.clone());
        let inner = Inner {
            health,
            registry: OnceLock::new(),
            api: OnceLock::new(),
            realtime: OnceLock::new(),
            cache: OnceLock::new(),
            kinds: OnceLock::new(),
            warnings: OnceLock::new(),
            releases: OnceLock::new(),
            hosts: config.hosts.clone(),
            drain,
            asks,
        };
        let mut admin = Admin { inner: Arc::new(inner), api_at: None };
        match config.listen {
            AdminListen::At(address) => {
                let listener = listen::open_one("admin", "admin.listen", address, inherited)?;
                if !address.ip().is_loopback() {
                    warn!(%address, "admin.listen is not on loopback: whoever reaches it may read the metrics and drain the door");
                }
                let bound = listener.local_addr().unwrap_or(address);
                // Whoever is elsewhere must show a token, as on any other listener.
                let door = if bound.ip().is_loopback() { Listener::Admin } else { Listener::Public };
                admin.serve(listener, Served::Everything(door));
            }
            AdminListen::Off if has_app => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let listener = listen::open_one("api", "admin.listen", address, inherited)?;
                admin.serve(listener, Served::Api);
            }
            AdminListen::Off => {}
        }
        Ok(admin)
    }

    fn serve(&mut self, listener: TcpListener, served: Served) {
        self.api_at = listener.local_addr().ok().map(reachable);
        tokio::spawn(serve::serve(listener, Arc::clone(&self.inner), served));
    }

    /// Where programs on this machine reach the API, as in `127.0.0.1:9080`.
    pub fn api_at(&self) -> Option<SocketAddr> {
        self.api_at
    }

    /// Every room is built: their metrics, their counts, what the app's server may ask.
    pub fn built(
        &self,
        registry: Registry,
        (api, realtime): (Arc<Api>, Arc<Realtime>),
        kinds: Kinds,
        warnings: Warnings,
    ) {
        let _ = self.inner.registry.set(registry);
        let _ = self.inner.kinds.set(kinds);
        let _ = self.inner.warnings.set(warnings);
        self.inner.health.joins_in(Arc::clone(&realtime));
        let _ = self.inner.realtime.set(realtime);
        let _ = self.inner.api.set(api);
    }

    /// What is kept can be looked at.
    pub fn cached(&self, cache: Arc<Cache>) {
        let _ = self.inner.cache.set(cache);
    }

    /// Answers who runs the door over a socket of the file system, too.
    pub fn listen_to_owner(&self, socket: UnixListener) {
        tokio::spawn(serve::serve(socket, Arc::clone(&self.inner), Served::Owner));
    }

    /// The app is started: from now on its health counts, and `releases` may be put in its place.
    pub fn ready(&self, upstream: Arc<Upstream>, releases: Option<Arc<Switch>>) {
        self.inner.health.opened(upstream);
        let _ = self.inner.releases.set(releases);
    }
}

/// An address that can be dialled, of one that may stand for all of this machine's.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port())),
        address => address,
    }
}
