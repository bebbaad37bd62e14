//! The operator's door: health, metrics, connections and drain, on a listener of its own.

mod answer;
mod config;
mod health;
mod serve;

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tracing::warn;

pub use config::{Config, Place};

use crate::drain::Signal;
use crate::listen::{self, BindError, Inherited};
use crate::telemetry::Registry;
use crate::upstream::Upstream;

/// Open from before the app starts until the process ends: it tells of both.
pub struct Admin(Arc<Inner>);

struct Inner {
    health: health::Health,
    registry: OnceLock<Registry>,
    drain: Signal,
    /// Asks the roof to drain.
    stop: mpsc::Sender<()>,
}

impl Admin {
    /// Opens the listener, unless the config wants none: the inherited socket `admin` if there is one. `stop` is where
    /// `POST /drain` goes.
    ///
    /// # Errors
    /// [`BindError`] when its port is in use or not ours to take.
    pub fn open(
        config: &Config,
        inherited: &mut Inherited,
        drain: Signal,
        stop: mpsc::Sender<()>,
    ) -> Result<Admin, BindError> {
        let health = health::Health::new(drain.clone());
        let inner = Arc::new(Inner { health, registry: OnceLock::new(), drain, stop });
        if let Place::At(address) = config.listen {
            let listener = listen::open_one("admin", "admin.listen", address, inherited)?;
            if !address.ip().is_loopback() {
                warn!(%address, "admin.listen is not on loopback: whoever reaches it may read the metrics and drain the door");
            }
            tokio::spawn(serve::serve(listener, Arc::clone(&inner)));
        }
        Ok(Admin(inner))
    }

    /// Every room is built: their numbers, and the app whose health counts.
    pub fn ready(&self, registry: Registry, upstream: Arc<Upstream>) {
        let _ = self.0.registry.set(registry);
        self.0.health.opened(upstream);
    }
}
