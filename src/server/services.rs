//! Every room, built once, and handed its section again at each reload.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;
use tracing::warn;

use super::dispatch::Dispatch;
use super::{exporter, purging, telling};
use crate::admin::{Kinds, Warnings};
use crate::cache::{self, Cache};
use crate::callbacks::{App, SECRET_VARIABLE};
use crate::config::Config;
use crate::drain::Signal;
use crate::files::Files;
use crate::http;
use crate::http::layer::{
    access::Access,
    compress::{Compress, Precompressor},
    redirect,
    rescue::Rescue,
};
use crate::listen::ConnectionSetup;
use crate::realtime::Realtime;
use crate::realtime::api::{self, Api};
use crate::releases::{self, Switch};
use crate::settings::Live;
use crate::telemetry::Registry;
use crate::telemetry::trace::{Collector, TraceConfig, Tracer};
use crate::tls::{self, Acceptor};
use crate::upstream::{self, Reloaded, StartError, Upstream};

/// What becomes of the app at a reload.
pub type Outcome = oneshot::Receiver<Result<Reloaded, StartError>>;

/// What every request passes, as far as it has numbers or settings.
#[derive(Clone)]
pub struct Layers {
    pub access: Access,
    pub rescue: Rescue,
    pub https: Live<redirect::Config>,
    pub compress: Compress,
}

/// What a running door consists of, besides its sockets.
#[derive(Clone)]
pub struct Services {
    pub entrance: ConnectionSetup,
    /// `None` where there is no TLS.
    pub certificates: Option<Acceptor>,
    pub http: Live<http::Settings>,
    pub layers: Layers,
    /// What traces begin with, and where their spans go for as long as the process lives.
    tracing: (Live<Tracer>, Option<Collector>),
    pub upstream: Arc<Upstream>,
    pub app: Arc<App>,
    pub files: Arc<Files>,
    pub cache: Arc<Cache>,
    pub realtime: Arc<Realtime>,
    pub api: Arc<Api>,
    /// `None` where the app is no release.
    pub switch: Option<Arc<Switch>>,
    api_at: Option<SocketAddr>,
}

impl Services {
    /// Builds them from the bottom up; a supervised app is yet to be started. `api_at` is where it reaches the API.
    pub fn build(
        config: &Config,
        entrance: ConnectionSetup,
        certificates: Option<Acceptor>,
        api_at: Option<SocketAddr>,
        drain: &Signal,
        registry: &mut Registry,
    ) -> Services {
        let collector = exporter::start(&config.telemetry, drain.clone(), registry);
        let tracer = Live::new(Tracer::new(&config.telemetry, collector.clone()));
        let http = Live::new(settings(config, &tracer));
        let precompressor = Precompressor::start();
        let layers = Layers {
            access: Access::new(registry),
            rescue: Rescue::new(registry),
            https: Live::new(config.https.clone()),
            compress: Compress::new(&config.compress, &precompressor, registry),
        };
        let upstream = Arc::new(Upstream::new(&supervised(config, api_at), drain.clone(), registry));
        let files =
            Arc::new(Files::start(&config.files, upstream.home(), config.app.dir.clone(), &precompressor, registry));
        let cache = Arc::new(Cache::new(&kept(&config.cache, config.app.dev), Arc::clone(&upstream), registry));
        cache.start(drain.clone());
        let app = App::new(&config.callbacks, Arc::clone(&upstream), tracer.clone(), drain.clone(), registry);
        let realtime = Arc::new(Realtime::new(
            &telling::with_policy(&config.realtime, &config.cache),
            Arc::clone(&app),
            &config.documents,
            drain.clone(),
            registry,
        ));
        cache.keep_warm(drain.clone());
        purging::start(&cache, realtime.hub(), drain.clone());
        telling::start(Arc::clone(&cache), Arc::clone(realtime.hub()), drain.clone());
        let (hub, peers) = (Arc::clone(realtime.hub()), realtime.peers().cloned());
        let api = Arc::new(Api::new(&config.api, hub, Arc::clone(&cache), peers, registry));
        realtime.answer_others(&config.realtime, &api);
        let root = config.releases.root.as_ref().and_then(|root| std::path::absolute(root).ok());
        let deploys = releases::Metrics::new(registry);
        let switch = root.map(|root| Switch::new(root, Arc::clone(&upstream), &config.releases, deploys));
        Services {
            entrance,
            certificates,
            http,
            layers,
            tracing: (tracer, collector),
            upstream,
            app,
            files,
            cache,
            realtime,
            api,
            switch,
            api_at,
        }
    }

    /// Hands every room its new section, and gives what becomes of the app. What can fail comes first, so that a refused config changes nothing.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn reload(&self, config: &Config) -> Result<Outcome, String> {
        self.entrance.reload(&config.listen, &config.tls).map_err(|error| error.to_string())?;
        let (tracer, collector) = &self.tracing;
        // Where it was on at the start by `otlp`, whose change needs a restart, that stays.
        let started = TraceConfig {
            trace: config.telemetry.trace || collector.is_some(),
            otlp: None,
            ..config.telemetry.clone()
        };
        tracer.set(Tracer::new(&started, collector.clone()));
        self.http.set(settings(config, tracer));
        self.layers.https.set(config.https.clone());
        self.layers.compress.reload(&config.compress);
        if let Some(switch) = &self.switch {
            switch.reload(&config.releases);
        }
        let app = self.upstream.reload(&supervised(config, self.api_at));
        self.files.reload(&config.files);
        self.cache.reload(&kept(&config.cache, config.app.dev));
        self.app.reload(&config.callbacks);
        self.realtime.reload(&telling::with_policy(&config.realtime, &config.cache));
        self.api.reload(&config.api);
        Ok(app)
    }

    /// How many there are of what the rooms hold open.
    pub fn kinds(&self) -> Kinds {
        let Services { entrance, certificates, layers, upstream, realtime, .. } = self.clone();
        Box::new(move || {
            let app = upstream.counts();
            let counts = [
                ("open", json!(entrance.open())),
                ("requests", json!(layers.access.in_flight())),
                ("sockets", json!(realtime.sockets())),
                ("tunnels", json!(app.tunnels)),
                ("app", json!({ "connections": app.connections, "waiting": app.waiting })),
            ];
            let days = certificates.as_ref().map(|acceptor| ("certificate_days", json!(acceptor.days_left())));
            counts.into_iter().chain(days).map(|(kind, count)| (kind.to_owned(), count)).collect()
        })
    }

    /// What the operator should know of.
    pub fn warnings(&self) -> Warnings {
        let certificates = self.certificates.clone();
        Box::new(move || certificates.as_ref().map(Acceptor::warnings).unwrap_or_default())
    }

    /// Those that answer requests.
    pub fn dispatch(&self) -> Dispatch {
        Dispatch {
            upstream: Arc::clone(&self.upstream),
            app: Arc::clone(&self.app),
            realtime: Arc::clone(&self.realtime),
            files: Arc::clone(&self.files),
            cache: Arc::clone(&self.cache),
            api: Arc::clone(&self.api),
        }
    }
}

/// By which Node trusts one more file of certificates: an app may ask itself at its own public address.
const CA_VARIABLE: &str = "NODE_EXTRA_CA_CERTS";

/// The app's section with what a supervised app must know of the door: the secret that callbacks are signed with, where
/// the API is and with which token, and the door's certificate where that is of its own making. What the config's own
/// `env` says stands.
fn supervised(config: &Config, api_at: Option<SocketAddr>) -> upstream::Config {
    let mut app = config.app.clone();
    let mut tell = |name: &str, value: String| {
        app.env.entry(name.to_owned()).or_insert(value);
    };
    tell(SECRET_VARIABLE, config.callbacks.secret().reveal());
    if let Some(address) = api_at {
        tell(api::URL_VARIABLE, api::url(&address.to_string(), &config.api));
        tell(api::TOKEN_VARIABLE, config.api.tokens().reveal().to_owned());
    }
    if config.tls.self_signed
        && let Some(file) = trusted(&app)
    {
        app.env.insert(CA_VARIABLE.to_owned(), file.display().to_string());
    }
    app
}

/// The file of certificates for the app: the door's own, and those of the file that it would trust otherwise, since
/// Node takes one alone.
fn trusted(app: &upstream::Config) -> Option<PathBuf> {
    let own = app.env.get(CA_VARIABLE).map(PathBuf::from);
    let own =
        own.or_else(|| std::env::var_os(CA_VARIABLE).map(PathBuf::from)).filter(|own| !own.as_os_str().is_empty());
    let Some(own) = own else { return tls::trusted_file() };
    // As Node finds it, which is started in the app's folder.
    let own = app.dir.as_ref().map_or_else(|| own.clone(), |folder| folder.join(&own));
    match tls::trusted_with(&own) {
        Ok(both) => both,
        Err(error) => {
            warn!(file = %own.display(), %error, "NODE_EXTRA_CA_CERTS cannot be read or written beside the self-signed certificate: the app trusts that alone");
            tls::trusted_file()
        }
    }
}

/// What is kept: of an app in development nothing.
fn kept(section: &cache::Config, is_dev: bool) -> cache::Config {
    let mut section = section.clone();
    if is_dev {
        section.paths.clear();
        section.pages = false;
    }
    section
}

/// What a connection is served by, over the sections.
fn settings(config: &Config, tracer: &Live<Tracer>) -> http::Settings {
    let tracer = Tracer::clone(&tracer.get());
    http::Settings { http: config.http.clone(), trusted: config.listen.trusted_proxies.clone(), tracer }
}
