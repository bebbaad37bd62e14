//! Answers on disk: what `next build` put into `.next/static`, or another framework into its like, without waking Node.
//!
//! A file that is not there is the app's to answer: it may be of a build the door has not seen, and the app's 404 is the
//! one that users know. `headers()` of next.config holds here too; `proxy.ts` is not asked about static files.

mod builds;
mod conditional;
mod config;
mod disk;
mod entry;
mod media;
mod metrics;
mod path;
mod precompress;
mod previous;
mod range;
mod reply;
mod rules;
mod site;
mod store;

use std::path::PathBuf;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};

pub use config::Config;

use crate::build::{Framework, Home};
use crate::http::{Failure, Request, Response};
use crate::settings::Live;
use crate::telemetry::Registry;
use builds::Builds;
use metrics::Metrics;
use precompress::Precompressor;
use store::Store;

/// How old a look at the disk may be, in milliseconds: for a build as for a single file.
const FRESH_MILLIS: u64 = 1000;

/// The files of one app.
pub struct Files {
    config: Live<Config>,
    builds: Arc<Builds>,
    store: Arc<Store>,
    precompressor: Precompressor,
    metrics: Metrics,
}

/// An answer, or the request back: the file is not there.
pub enum Reply {
    Response(Response),
    NotHere(Request),
}

impl Files {
    /// Looks for the app in the folder that the config names, or else where `home` says that it runs, and then for the
    /// build of its process alone.
    /// `written` is the same as the config wrote it.
    pub fn start(
        config: &Config,
        home: Live<Option<Home>>,
        written: Option<PathBuf>,
        registry: &mut Registry,
    ) -> Files {
        let live = Live::new(config.clone());
        let store = Arc::new(Store::new(config.memory));
        let metrics = Metrics::new(registry, Arc::clone(&store));
        let precompressor = Precompressor::start(metrics.compressed.clone());
        Files { builds: Builds::new(live.clone(), home, written), config: live, store, precompressor, metrics }
    }

    /// Takes over another section of the config (SIGHUP).
    pub fn reload(&self, config: &Config) {
        self.config.set(config.clone());
        self.store.reload(config.memory);
        self.builds.reload();
    }

    /// True for paths that may be files here: those are for [`Files::answer`].
    pub fn serves(&self, path: &str) -> bool {
        let covers = self.builds.current().is_some_and(|site| site.covers(path));
        // Also where there is no build yet, or where the next one will have another base path.
        if covers || Framework::may_be_immutable(path) {
            self.builds.look();
        }
        covers
    }

    /// Answers with a file, if there is one.
    ///
    /// # Errors
    /// [`Failure`] with 405, 412 or 416; with 500 when the disk fails.
    pub async fn answer(&self, request: Request) -> Result<Reply, Failure> {
        let Some(site) = self.builds.current() else { return Ok(Reply::NotHere(request)) };
        let Some(place) = site.locate(request.uri().path()) else { return Ok(Reply::NotHere(request)) };
        let Ok((entry, from_memory)) = self.store.get(&self.builds, &site, place).await else {
            return Ok(Reply::NotHere(request));
        };
        let config = self.config.get();
        let (method, headers) = (request.method(), request.headers());
        let response = reply::reply(&entry, method, headers, &config.encodings, &self.precompressor).await?;
        self.metrics.answers.inc();
        if from_memory {
            self.metrics.memory_hits.inc();
        }
        if entry.from_earlier_build {
            self.metrics.previous.inc();
        }
        if response.status() == StatusCode::NOT_MODIFIED {
            self.metrics.not_modified.inc();
        } else if request.method() != Method::HEAD {
            let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            self.metrics.bytes.inc_by(length.unwrap_or(0));
        }
        Ok(Reply::Response(response))
    }
}
