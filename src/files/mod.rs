//! Answers on disk: what `next build` put into `.next/static`, or another framework into its like, without waking Node.
//!
//! A file that is not there is the app's to answer: it may be of a build the door has not seen, and the app's 404 is the
//! one that users know. `headers()` of next.config holds here too; `proxy.ts` is not asked about static files.

mod builds;
pub mod conditional;
mod config;
mod disk;
mod entry;
mod export;
mod media;
mod metrics;
mod path;
mod previous;
pub mod range;
mod reply;
mod rules;
mod site;
mod store;

use std::path::PathBuf;
use std::sync::Arc;

use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, StatusCode};

pub use config::Config;

use crate::build::{Framework, Home};
use crate::http::layer::compress::Precompressor;
use crate::http::{Failure, Request, Response};
use crate::settings::Live;
use crate::telemetry::Registry;
use crate::upstream::deployment_in_query;
use builds::Builds;
use entry::Entry;
use export::NOT_FOUND;
use metrics::Metrics;
use reply::Draft;
use site::{FileKind, FileLocation, Site};
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
        precompressor: &Precompressor,
        registry: &mut Registry,
    ) -> Files {
        let live = Live::new(config.clone());
        let store = Arc::new(Store::new(config.memory));
        let metrics = Metrics::new(registry, Arc::clone(&store));
        let precompressor = precompressor.counting(&metrics.compressed);
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

    /// The answer of a file that is in memory, without waiting; `None` where the disk has to be asked.
    ///
    /// # Errors
    /// [`Failure`] with 405, 412 or 416.
    pub fn peek(&self, request: &Request) -> Option<Result<Response, Failure>> {
        let site = self.builds.current()?;
        let place = self.place(&site, request)?;
        let entry = self.store.peek(&site, &place)?;
        if let Some(response) = own_address(&site, &place, &entry, request) {
            return Some(Ok(response));
        }
        let answered = self.draft(&entry, request).map(Draft::in_memory);
        let answered = answered.map_or_else(|failure| Some(Err(failure)), |made| made.ok().map(Ok))?;
        Some(answered.inspect(|response| self.count(&entry, request, response, true)))
    }

    /// Answers with a file, if there is one.
    ///
    /// # Errors
    /// [`Failure`] with 405, 412 or 416; with 500 when the disk fails.
    pub async fn answer(&self, request: Request) -> Result<Reply, Failure> {
        let Some(site) = self.builds.current() else { return Ok(Reply::NotHere(request)) };
        let Some(place) = self.place(&site, &request) else { return self.missing(&site, request).await };
        let Ok((entry, from_memory)) = self.store.get(&self.builds, &site, &place).await else {
            return self.missing(&site, request).await;
        };
        if let Some(response) = own_address(&site, &place, &entry, &request) {
            return Ok(Reply::Response(response));
        }
        let response = self.draft(&entry, &request)?.whole().await?;
        self.count(&entry, &request, &response, from_memory);
        Ok(Reply::Response(response))
    }

    /// Where the file of `request` is in `site`, or in the earlier build that its address names.
    fn place<'a>(&self, site: &Site, request: &'a Request) -> Option<FileLocation<'a>> {
        let place = site.locate(request.uri().path())?;
        Some(self.builds.of_deployment(place, site, request.uri().query().and_then(deployment_in_query)))
    }

    fn draft<'a>(&self, entry: &'a Arc<Entry>, request: &Request) -> Result<Draft<'a>, Failure> {
        let (method, headers) = (request.method(), request.headers());
        reply::draft(entry, method, headers, &self.config.get().encodings, &self.precompressor)
    }

    fn count(&self, entry: &Entry, request: &Request, response: &Response, from_memory: bool) {
        self.metrics.answered(request.method(), response, from_memory);
        if entry.from_earlier_build {
            self.metrics.previous.inc();
        }
    }

    /// The file is not there: an export has a page that says so, and else the app is asked.
    async fn missing(&self, site: &Arc<Site>, request: Request) -> Result<Reply, Failure> {
        if site.export.is_none() {
            return Ok(Reply::NotHere(request));
        }
        let Ok((entry, _)) = self.store.get(&self.builds, site, &site.page(NOT_FOUND)).await else {
            return Ok(Reply::NotHere(request));
        };
        // It is no file of which a client has a version or wants a part.
        let mut accepted = HeaderMap::new();
        accepted.extend(request.headers().get(ACCEPT_ENCODING).map(|value| (ACCEPT_ENCODING, value.clone())));
        let (config, method) = (self.config.get(), request.method());
        let draft = reply::draft(&entry, method, &accepted, &config.encodings, &self.precompressor)?;
        let mut response = draft.whole().await?;
        *response.status_mut() = StatusCode::NOT_FOUND;
        Ok(Reply::Response(response))
    }
}

/// What is answered of an export in place of the file, where a page has another address.
fn own_address(site: &Site, place: &FileLocation<'_>, entry: &Entry, request: &Request) -> Option<Response> {
    let export = site.export.as_ref().filter(|_| place.kind == FileKind::Page)?;
    export.own_address(request.uri(), &place.name, entry.is_page(&place.name))
}
