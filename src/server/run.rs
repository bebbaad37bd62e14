//! From a config to open doors, and from a signal to closed ones.
#![expect(
    clippy::disallowed_methods,
    reason = "accepting ends with the drain's signal, and what becomes of a reload is only told"
)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tracing::{info, warn};

use super::metrics::Metrics;
use super::reload::{Reloading, refused, reload, report};
use super::running::Note;
use super::services::Services;
use super::signals::{Asked, Signals};
use super::source::Source;
use super::{banner, certifying, stack, systemd};
use crate::admin::{Admin, AdminListen, ReloadReport};
use crate::config::Config;
use crate::drain::Drain;
use crate::http::connection;
use crate::http::layer::certification::Certification;
use crate::http::layer::redirect::Redirect;
use crate::listen::{self, BindError, ConnectionSetup, Inherited, InheritedError, Listener};
use crate::telemetry::{Registry, log, registry};
use crate::tls::acme::{AcmeService, Reachable};
use crate::tls::{self, Acceptor, ChallengeKind, TlsError};
use crate::upstream;

/// How long what the deadline cut may take to say so to its clients.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The door, from its start to its end.
pub struct Doorway {
    config: Config,
    source: Source,
    signals: Signals,
    drain: Drain,
    admin: Admin,
}

/// The door cannot open.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot hear signals: {0}")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Inherited(#[from] InheritedError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("{0}; certificates come over listen.https alone, too, with listen.http = []")]
    HttpTaken(#[source] BindError),
    #[error("there is nothing to listen on: give listen.http or listen.https an address")]
    Nowhere,
    #[error("a socket for https was inherited, but [tls] has no certificate to show")]
    NoCertificate,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    App(#[from] upstream::StartError),
    #[error("the app is looked for at {url}, where the door itself listens (a socket that it was handed)")]
    OwnUpstream { url: String },
}

impl Doorway {
    /// Opens the door (and with `opens` a browser), serves until a signal asks to stop, drains, and ends a supervised app last.
    ///
    /// # Errors
    /// [`StartError`]: a port in use, a certificate without its key, an app that cannot be had.
    pub async fn run(config: Config, source: Source, opens: bool) -> Result<(), StartError> {
        let (signals, asks) = Signals::listen().map_err(StartError::Signals)?;
        let drain = Drain::default();
        let mut inherited = Inherited::receive()?;
        let has_app = config.app.is_supervised();
        let admin = Admin::open(&config.admin, &mut inherited, drain.signal(), asks, has_app)?;
        let mut door = Doorway { config, source, signals, drain, admin };
        let mut registry = registry();
        let acceptor = door.acceptor(&mut registry)?;
        let listeners = door.bind(&mut inherited, acceptor.is_some())?;
        let mut acme = acceptor.clone().map(|acceptor| AcmeService::new(acceptor, &mut registry));
        let entrance = ConnectionSetup::new(&door.config.listen, acceptor.clone(), &mut registry);
        let metrics = Metrics::new(&mut registry, door.drain.signal());
        let (api_at, signal) = (door.admin.api_at(), door.drain.signal());
        let services = Services::build(&door.config, entrance, acceptor, api_at, &signal, &mut registry);
        let asked = (Arc::clone(&services.api), Arc::clone(&services.realtime));
        door.admin.cached(Arc::clone(&services.cache));
        door.admin.built(registry, asked, services.kinds(), services.warnings());
        // Before the app is there: its pages say so themselves, and sockets are the hub's.
        let urls = banner::urls(&listeners, &door.config.tls.domains);
        let is_open = |is_secure| listeners.iter().any(|listener| listener.is_secure == is_secure);
        let is_at =
            |port| listeners.iter().any(|listener| listener.socket.local_addr().is_ok_and(|at| at.port() == port));
        let prefers_https = is_at(443) && !is_at(80);
        let reachable = Reachable { http: is_open(false), https: is_open(true), prefers_https };
        certifying::start(acme.as_mut(), services.realtime.hub());
        door.serve(listeners, &services);
        // `doorway status` finds a door that still builds, too.
        let (_note, socket) = door.note(&urls).post();
        if let Some(socket) = socket.and_then(|socket| tokio::net::UnixListener::from_std(socket).ok()) {
            door.admin.listen_to_owner(socket);
        }
        // Authorities can look now; the app may take minutes.
        if let Some(acme) = acme {
            acme.start(reachable, door.drain.signal());
        }
        if let Some(why) = door.launch(&services).await? {
            info!("stopped before it was ready");
            door.close(why, &services).await;
            return Ok(());
        }
        // Those of the build that answers now, before anybody is told that it does.
        services.files.reload(&door.config.files);
        door.admin.ready(Arc::clone(&services.upstream), services.switch.clone());
        systemd::ready(&banner::say(&door.config, &urls));
        if door.config.app.is_supervised() && log::is_read_along() {
            let (said, mut signal) = (banner::say_last(urls.clone()), door.drain.signal());
            tokio::spawn(async move {
                tokio::select! {
                    () = said => {}
                    _ = signal.draining() => {}
                }
            });
        }
        if opens {
            banner::open(&urls);
        }
        let why = door.attend(&services, &metrics).await;
        door.close(why, &services).await;
        Ok(())
    }

    /// None where `[tls]` has nothing to show.
    fn acceptor(&self, registry: &mut Registry) -> Result<Option<Acceptor>, StartError> {
        let config = &self.config.tls;
        Ok(if config.is_configured() { Some(tls::start(config, &self.drain.signal(), registry)?) } else { None })
    }

    /// Before anything slow: a port that cannot be had is said at once, and early clients wait instead of being refused.
    fn bind(&self, inherited: &mut Inherited, has_tls: bool) -> Result<Vec<Listener>, StartError> {
        let listeners = listen::open(&self.config.listen, inherited).map_err(|error| self.not_bound(error))?;
        match listeners.iter().any(|listener| listener.is_secure) {
            true if !has_tls => return Err(StartError::NoCertificate),
            false if listeners.is_empty() => return Err(StartError::Nowhere),
            _ => {}
        }
        // The config's addresses were looked at when it was read; these may be others.
        let own = |listener: &Listener| listener.socket.local_addr().ok();
        match self.config.app.url.as_ref() {
            Some(url) if listeners.iter().filter_map(own).any(|address| url.leads_to(address)) => {
                Err(StartError::OwnUpstream { url: url.to_string() })
            }
            _ => Ok(listeners),
        }
    }

    /// Port 80 is often another server's already, and not everybody knows that it can be done without.
    fn not_bound(&self, error: BindError) -> StartError {
        let is_taken = error.key == "listen.http" && error.source.kind() == std::io::ErrorKind::AddrInUse;
        let orders = !self.config.tls.domains.is_empty() && self.config.tls.acme.challenge != ChallengeKind::Http01;
        if is_taken && orders { StartError::HttpTaken(error) } else { error.into() }
    }

    /// What `doorway reload` and `doorway status` know it by.
    fn note(&self, urls: &str) -> Note {
        let has_admin = self.config.admin.listen != AdminListen::Off;
        Note {
            pid: std::process::id(),
            admin: self.admin.api_at().filter(|_| has_admin),
            config: self.source.file(),
            dir: self.config.app.dir.as_ref().and_then(|dir| std::path::absolute(dir).ok()),
            urls: urls.to_owned(),
            root: self.config.releases.root.as_ref().and_then(|root| std::path::absolute(root).ok()),
            socket: None,
        }
    }

    /// Starts the app, which may mean to install and build it. A signal to stop ends that: then it says which.
    async fn launch(&mut self, services: &Services) -> Result<Option<&'static str>, StartError> {
        if services.switch.as_ref().is_some_and(|switch| !switch.has_first()) {
            info!("nothing is deployed yet: `doorway deploy` does it");
            return Ok(None);
        }
        let mut launching = std::pin::pin!(services.upstream.launch());
        let mut extension = tokio::time::interval(systemd::START_EXTENSION / 2);
        loop {
            tokio::select! {
                launched = &mut launching => return Ok(launched.map(|()| None)?),
                asked = self.signals.next() => match asked {
                    Asked::Stop(why) => return Ok(Some(why)),
                    Asked::Reload(asked) => {
                        info!("not reloaded: still starting");
                        let told = json!({ "ok": false, "config": "unchanged", "reason": "not reloaded: still starting" });
                        let _ = asked.map(|asked| asked.send(ReloadReport { is_taken: false, told }));
                    }
                },
                _ = extension.tick() => systemd::starting(),
            }
        }
    }

    fn serve(&self, listeners: Vec<Listener>, services: &Services) {
        let secure = listeners.iter().find(|listener| listener.is_secure);
        let port = secure.and_then(|listener| listener.socket.local_addr().ok()).map(|address| address.port());
        let redirect = Redirect::new(services.layers.https.clone(), port);
        let stack = stack::build(
            services.dispatch(),
            services.layers.access.clone(),
            services.layers.rescue.clone(),
            Certification::new(services.certificates.as_ref().map(|acceptor| Arc::clone(acceptor.challenges()))),
            redirect,
            services.layers.compress.clone(),
        );
        let mut accepting = Vec::new();
        for listener in listeners {
            let (stack, http, signal) = (stack.clone(), services.http.clone(), self.drain.signal());
            let serve = move |stream, peer| connection::serve(stream, peer, stack.clone(), http.get(), signal.clone());
            accepting.push(tokio::spawn(listen::accept(
                listener,
                services.entrance.clone(),
                self.drain.signal(),
                serve,
            )));
        }
        let signal = self.drain.signal();
        systemd::watchdog(move || accepting.iter().all(|task| !task.is_finished()) || !signal.is_running());
    }

    /// Reloads as often as it is asked, until it is asked to stop.
    async fn attend(&mut self, services: &Services, metrics: &Metrics) -> &'static str {
        // What only a restart changes is compared with this one, however often there was a reload since.
        let started = self.config.clone();
        loop {
            match self.signals.next().await {
                Asked::Stop(why) => return why,
                Asked::Reload(asked) => {
                    systemd::reloading();
                    let reloaded = reload(&mut self.source, &started, services);
                    metrics.reloaded(reloaded.is_ok());
                    match reloaded {
                        Ok(Reloading { config, app, pending, changes }) => {
                            self.config = config;
                            // An app takes its time to start, and signals are heard meanwhile.
                            tokio::spawn(report(app, pending, changes, asked, self.drain.signal()));
                        }
                        Err(reason) => refused(&reason, asked),
                    }
                }
            }
        }
    }

    async fn close(&mut self, why: &'static str, services: &Services) {
        let timeout = self.config.drain.timeout;
        info!(why, under_way = self.drain.under_way(), ?timeout, "draining");
        systemd::stopping("draining");
        let cut = tokio::select! {
            cut = self.drain.drain(timeout) => cut,
            why = self.signals.stop() => return self.end_at_once(why),
        };
        if cut > 0 {
            warn!(cut, "time is up");
            self.drain.settle(LAST_WORDS).await;
        }
        tokio::select! {
            () = services.upstream.stop() => {}
            why = self.signals.stop() => return self.end_at_once(why),
        }
        services.realtime.leave_others().await;
        if let Err(error) = services.realtime.save() {
            warn!(%error, "documents cannot be forced to the disk");
        }
        info!(cut, "stopped");
    }

    fn end_at_once(&self, why: &'static str) {
        self.drain.end();
        warn!(why, cut = self.drain.under_way(), "asked twice: stopped at once");
    }
}
