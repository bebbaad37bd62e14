//! The app as a server: where it is, whether it answers, and how a request reaches it.

mod address;
mod answer;
mod config;
mod connection;
mod exchange;
mod gate;
mod jitter;
mod keeper;
mod metrics;
mod pool;
mod protocol;
mod rewrite;
mod send;
mod socket;
mod tunnel;
mod upload;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub use address::Address;
pub use config::Config;

use crate::drain::Signal;
use crate::http::{Failure, Request, Response, UpstreamTime};
use crate::settings::Live;
use crate::telemetry::Registry;
use gate::Gate;
use metrics::Metrics;
use pool::Pool;

/// The app behind the door: one that runs already, or one that this process starts and keeps running.
pub struct Upstream {
    config: Live<Config>,
    gate: Arc<Gate>,
    drain: Signal,
    metrics: Metrics,
    directory: Option<PathBuf>,
}

/// The app cannot be had at all; a sentence for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

impl Upstream {
    /// Starts (and where needed installs and builds) the app of `config`.
    ///
    /// # Errors
    /// [`StartError`] when there is no app to be had: not a Next.js project, a failed build.
    pub async fn start(config: &Config, drain: Signal, registry: &mut Registry) -> Result<Upstream, StartError> {
        let metrics = Metrics::new(registry);
        let config = Live::new(config.clone());
        let gate = Arc::new(Gate::new(config.clone(), metrics.clone()));
        let directory = config.get().dir.clone();
        let upstream = Upstream { config, gate, drain, metrics, directory };
        if let Some(url) = upstream.config.get().url.clone() {
            upstream.lead_to(url);
        }
        Ok(upstream)
    }

    /// The folder of the app, where it is known.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// True while the app answers.
    pub fn is_ready(&self) -> bool {
        self.gate.answers()
    }

    /// Takes over another section of the config (SIGHUP).
    pub fn reload(&self, config: &Config) {
        let before = self.config.get();
        self.config.set(config.clone());
        if *before != *config
            && let Some(url) = &config.url
        {
            self.lead_to(url.clone());
        }
    }

    /// Ends an app that this process started: asks it to, waits as long as the config says, then makes it. Called last,
    /// when no request is under way. Dropped before it is done, it ends the app at once.
    pub async fn stop(&self) {}

    /// Asks the app.
    ///
    /// # Errors
    /// [`Failure`] with 502, 503 or 504 when the app gives no proper answer.
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        let asked = Instant::now();
        let mut response = send::send(&self.gate, request).await?;
        response.extensions_mut().insert(UpstreamTime(asked.elapsed()));
        Ok(response)
    }

    /// True when upgrades for `path` go to the app: those the config names, and Next's hot reloading in development.
    pub fn tunnels(&self, path: &str) -> bool {
        tunnel::leads(&self.config.get(), path)
    }

    /// Asks the app for another protocol; when it agrees, bytes flow both ways until one side ends, both are silent for
    /// too long, or the door drains.
    ///
    /// # Errors
    /// As for [`send`](Upstream::send); 503 also when there are too many tunnels.
    pub async fn tunnel(&self, request: Request) -> Result<Response, Failure> {
        tunnel::open(&self.gate, &self.config.get(), &self.metrics, &self.drain, request).await
    }

    /// Asks at `address` from now on, once a connection can be had there.
    fn lead_to(&self, address: Address) {
        let is_new = self.gate.address() != Some(address.clone());
        let pool = Pool::new(address, self.config.get(), self.metrics.clone());
        if is_new {
            self.gate.appoint(&pool)
        } else {
            self.gate.install(&pool)
        }
        tokio::spawn(keeper::keep(pool, Arc::clone(&self.gate), self.drain.clone()));
    }
}
