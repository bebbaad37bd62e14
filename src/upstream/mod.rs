//! The app as a server: where it is, whether it answers, and how a request reaches it.
//!
#![doc = include_str!("README.md")]
#![expect(clippy::disallowed_methods, reason = "the health check ends with its pool, or with the drain's signal")]

pub mod protocol;

mod address;
mod response_body;
mod config;
mod connection;
mod declarations;
mod deployment;
mod ear;
mod entry;
mod exchange;
mod availability;
mod jitter;
mod health;
mod hearing;
mod metrics;
mod pool;
mod previous;
mod process;
mod proof;
mod revalidation;
mod rewrite;
mod send;
mod sign_of_life;
mod slot;
mod socket;
mod span;
mod tally;
mod tunnel;
mod upload;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;
use tokio::sync::watch::Receiver;

pub use address::{Address, AddressError};
pub use config::{BuildPolicy, Config};
pub use deployment::in_query as deployment_in_query;
pub use entry::Entry;
pub use hearing::{Heard, Old};
pub use process::{Hears, Takeover, available_memory, is_whole, make_ready, run_hook, silence};
pub use rewrite::{CALLBACK, FromTheDoor, sent_target};
pub use tunnel::is_hot_reloading;

use crate::build::{Framework, Home};
use crate::drain::Signal;
use crate::http::{Failure, Request, Response, UpstreamTime};
use crate::settings::{Live, app_folder_name, state_folder};
use crate::telemetry::Registry;
use availability::Availability;
use hearing::Hearing;
use metrics::Metrics;
use pool::Pool;
use process::Supervisor;
use revalidation::{OwnRevalidation, Revalidation};
use sign_of_life::SignOfLife;

/// The app behind the door: one that runs already, or one that this process starts and keeps running.
pub struct Upstream {
    config: Live<Config>,
    availability: Arc<Availability>,
    drain: Signal,
    metrics: Metrics,
    tunnels: tunnel::Places,
    home: Live<Option<Home>>,
    revalidation: Revalidation,
    /// Empty when the app is somebody else's process, or yet to be started.
    supervisor: OnceLock<Supervisor>,
    /// Set where the app turned out to be pages on disk: there is nobody to ask.
    export: OnceLock<()>,
    /// `None` where the system gave no pipe: then nothing is heard.
    hearing: Option<Arc<Hearing>>,
}

/// What is open towards the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub connections: i64,
    pub tunnels: i64,
    pub waiting: i64,
}

/// What became of the app at a reload. Builds are named for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// A new process answers in place of the one before.
    Replaced { before: String, now: String },
    /// Nothing asked for another process, or it is not ours.
    Unchanged,
}

/// The app cannot be had at all; a sentence for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// Why a release is not taken over: the one before goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct TakeError {
    /// A clause for a person.
    pub why: String,
    /// The last lines of the process that failed, if there was one; a few dozen at most.
    pub said: Vec<String>,
}

impl From<StartError> for TakeError {
    fn from(error: StartError) -> TakeError {
        TakeError { why: error.0, said: Vec::new() }
    }
}
/// The build of an app that somebody else runs.
const UNKNOWN_BUILD: &str = "unknown";

impl Upstream {
    /// The way to the app of `config`. One that is a process of ours is yet to be [started](Upstream::launch).
    pub fn new(config: &Config, drain: Signal, registry: &mut Registry) -> Upstream {
        let metrics = Metrics::new(registry);
        let config = Live::new(config.clone());
        let availability = Arc::new(Availability::new(config.clone(), metrics.clone()));
        let section = config.get();
        if !section.is_supervised() {
            metrics.runs(UNKNOWN_BUILD.to_owned());
        }
        // What lies in the folder of an app of ours may be another build before it is started.
        let home = section.dir.clone().filter(|_| !section.is_supervised());
        let home = Live::new(home.map(|directory| {
            let framework = Framework::in_folder(&directory);
            Home { directory, framework, build: None }
        }));
        let tunnels = tunnel::Places::new(section.tunnel_limit, metrics.tunnels.clone());
        let revalidation = Revalidation::new(home.clone(), config.clone());
        let supervisor = OnceLock::new();
        let upstream = Upstream {
            config,
            availability,
            drain,
            metrics,
            tunnels,
            home,
            revalidation,
            supervisor,
            export: OnceLock::new(),
            hearing: Hearing::new().ok().map(Arc::new),
        };
        if !section.is_supervised() && !section.off {
            upstream.lead_to(section.url.clone().unwrap_or_else(|| Address::loopback(3000)));
        }
        upstream
    }

    /// Starts (and where needed installs and builds) an app that is a process of ours; nothing to do for another. Whoever
    /// asks for pages meanwhile is told what is being done. Dropped before it is done, it ends what it has started.
    ///
    /// # Errors
    /// [`StartError`] when there is no app to be had: not an app, a failed build.
    pub async fn launch(&self) -> Result<(), StartError> {
        if !self.config.get().is_supervised() {
            return Ok(());
        }
        let (config, availability, home) = (self.config.clone(), Arc::clone(&self.availability), self.home.clone());
        if let Some(hearing) = self.hearing.clone() {
            remember(&hearing, config.get().dir.clone()).await;
            let mut drain = self.drain.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = hearing.keep() => {}
                    () = drain.ended() => {}
                }
            });
        }
        let (metrics, drain, hearing) = (self.metrics.clone(), self.drain.clone(), self.hearing.clone());
        let supervisor = Supervisor::start(config, availability, metrics, drain, home, hearing).await?;
        match supervisor {
            Some(supervisor) => drop(self.supervisor.set(supervisor)),
            None => drop(self.export.set(())),
        }
        Ok(())
    }

    /// The folder of the app, where it is known. Of a supervised one it is the real folder in which the process runs
    /// that is asked, and its build; both are others from the moment that another process is asked.
    pub fn home(&self) -> Live<Option<Home>> {
        self.home.clone()
    }

    /// True while the app answers, or where there is none.
    pub fn is_ready(&self) -> bool {
        self.is_off() || self.availability.answers()
    }

    /// True where there is no app, on purpose.
    pub fn is_off(&self) -> bool {
        self.supervisor.get().is_none() && (self.export.get().is_some() || self.config.get().off)
    }

    /// Takes over another section of the config (SIGHUP). A supervised app of which there is a new build is replaced
    /// by it, which takes a while: what became of it comes later, [`StartError`] where the old one stays. Nothing comes
    /// when the door stops meanwhile.
    pub fn reload(&self, config: &Config) -> oneshot::Receiver<Result<Reloaded, StartError>> {
        let before = self.config.get();
        self.config.set(config.clone());
        match (self.supervisor.get(), &config.url) {
            (Some(supervisor), _) => return supervisor.reload(&self.metrics),
            (None, _) if config.off => self.availability.clear(),
            (None, Some(url)) if *before != *config => self.lead_to(url.clone()),
            _ => {}
        }
        let (reply, outcome) = oneshot::channel();
        let _ = reply.send(Ok(Reloaded::Unchanged));
        outcome
    }

    /// Stops a supervised app and starts it again; requests wait meanwhile.
    ///
    /// # Errors
    /// [`StartError`] when it is not ours, or does not start at once.
    pub async fn restart(&self) -> Result<(), StartError> {
        self.supervised()?.restart().await
    }

    /// Starts a supervised app anew, sends requests to it once it answers, then stops the one before: no request waits.
    ///
    /// # Errors
    /// [`StartError`] when it is not ours, or the new one does not start; the old one then stays.
    pub async fn replace(&self) -> Result<(), StartError> {
        self.supervised()?.replace().await
    }

    /// Runs a line of the shell in the folder of a release that is yet to be started, with the environment of its app;
    /// `hears` is told each line that it writes.
    ///
    /// # Errors
    /// [`TakeError`] with what it said last, when it fails or takes longer than `longest`.
    pub async fn run_hook(
        &self,
        directory: &Path,
        hook: &str,
        longest: Duration,
        hears: Hears,
    ) -> Result<(), TakeError> {
        process::run_hook(directory, hook, &self.config.get(), longest, Some(hears)).await
    }

    /// Looks for `span` at a release that has just been [taken](Upstream::take).
    ///
    /// # Errors
    /// A clause as soon as it is clear that it is not well: it ended, or most of its answers are errors.
    pub async fn watch(&self, span: Duration) -> Result<(), String> {
        watch::watch(&self.availability, span).await
    }

    /// Puts a release in the place of a supervised app, or starts it where there was none yet.
    ///
    /// # Errors
    /// [`TakeError`] when it does not start, or a page of it fails: what was there before then stays.
    pub async fn take(&self, takeover: Takeover) -> Result<Reloaded, TakeError> {
        if let Some(supervisor) = self.supervisor.get() {
            return supervisor.take(takeover).await;
        }
        if !self.config.get().is_supervised() {
            return Err(StartError("the app is not a process of this door".into()).into());
        }
        // It is looked for where the link leads, and nobody is served by another meanwhile.
        (takeover.commit)().map_err(|error| StartError(error.to_string()))?;
        (takeover.progress)("starting the first app");
        self.launch().await?;
        let home = self.home.get();
        let now = home.as_ref().as_ref().and_then(|home| home.build.as_ref()).map(ToString::to_string);
        Ok(Reloaded::Replaced { before: "none".to_owned(), now: now.unwrap_or_else(|| "none".to_owned()) })
    }

    /// There is nothing to start yet: whoever asks for a page is told so, in a sentence.
    pub fn wait_for_first(&self, told: &'static str) {
        self.availability.set_stage(Some(told));
    }

    /// Ends an app that this process started: asks it to, waits as long as the config says, then makes it. Called last,
    /// when no request is under way. Dropped before it is done, it ends the app at once.
    pub async fn stop(&self) {
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.stop().await;
            if let Some(hearing) = &self.hearing {
                hearing.close().await;
            }
        }
    }

    fn supervised(&self) -> Result<&Supervisor, StartError> {
        self.supervisor.get().ok_or_else(|| StartError("the app is not a process of this door".into()))
    }

    /// Asks the app.
    ///
    /// # Errors
    /// [`Failure`] with 502, 503 or 504 when the app gives no proper answer, 404 where there is none.
    pub async fn send(&self, mut request: Request) -> Result<Response, Failure> {
        if self.is_off() {
            return Err(Failure::client(StatusCode::NOT_FOUND, "There is nothing at this address."));
        }
        self.comes_first(&request)?;
        if self.revalidation.knows(request.headers()).await {
            request.extensions_mut().insert(OwnRevalidation);
        }
        let asked = Instant::now();
        let answered = send::send(&self.availability, request).await;
        // What it declared old before it answered, or failed to.
        if let Some(hearing) = &self.hearing {
            hearing.catch_up();
        }
        let mut response = answered?;
        response.extensions_mut().insert(UpstreamTime(asked.elapsed()));
        Ok(response)
    }

    /// Refuses what goes round between this door and itself, or over others: it would take all connections there are.
    fn comes_first(&self, request: &Request) -> Result<(), Failure> {
        if !rewrite::goes_round(request.headers()) {
            return Ok(());
        }
        let url = self.availability.address().map(|address| address.to_string()).unwrap_or_default();
        let failure = Failure::us(StatusCode::LOOP_DETECTED, "This request goes round and round.");
        Err(failure.detail(format!("what listens at {url} leads back to this door: give [app] url another address")))
    }

    /// Has `listener` told what a supervised Next.js declares old, before the answer that it belongs to is passed on.
    pub fn hear(&self, listener: impl Fn(Heard) + Send + Sync + 'static) {
        if let Some(hearing) = &self.hearing {
            hearing.tell(listener);
        }
    }

    /// Whether processes of the app that are started from now on say it.
    pub fn want_heard(&self, is_wanted: bool) {
        if let Some(hearing) = &self.hearing {
            hearing.want(is_wanted);
        }
    }

    /// True where the app that is asked says what it declares old.
    pub fn is_heard(&self) -> bool {
        self.hearing.as_ref().is_some_and(|hearing| hearing.proof.is_given())
    }

    /// Waits until that may be otherwise, or another app is asked; for ever where there is nothing to be heard. For one who
    /// waits.
    pub async fn hears_anew(&self) {
        match &self.hearing {
            Some(hearing) => hearing.proof.news().await,
            None => std::future::pending().await,
        }
    }

    /// Which app is asked: the number grows when it is another build, or at another address. What was asked for under
    /// one number is not the answer of the next.
    pub fn generation(&self) -> u64 {
        self.availability.generation()
    }

    /// Tells when that number has grown.
    pub fn generations(&self) -> Receiver<u64> {
        self.availability.generations()
    }

    /// True where a request is for the app of before the last deploy, which is kept for pages of its build.
    pub fn is_for_previous(&self, request: &Request) -> bool {
        self.availability.previous.find(request.uri(), request.headers()).is_some()
    }

    /// How many connections to the app are open, how many of them are tunnels, and how many requests wait for one.
    pub fn counts(&self) -> Counts {
        let Metrics { open, tunnels, waiting, .. } = &self.metrics;
        Counts { connections: open.get(), tunnels: tunnels.get(), waiting: waiting.get() }
    }

    /// True when upgrades for `path` go to the app: those the config names, those of the framework's own, and hot reloading in
    /// development.
    pub fn tunnels(&self, path: &str, headers: &HeaderMap) -> bool {
        let is_its_own = || {
            let home = self.home.get();
            let own = home.as_ref().as_ref().map(|home| home.framework.sockets).unwrap_or_default();
            own.iter().any(|pattern| tunnel::covers(pattern, path))
        };
        !self.is_off() && (tunnel::leads(&self.config.get(), path, headers) || is_its_own())
    }

    /// Asks the app for another protocol; when it agrees, bytes flow both ways until one side ends, both are silent for
    /// too long, or the door drains.
    ///
    /// # Errors
    /// As for [`send`](Upstream::send); 503 also when there are too many tunnels.
    pub async fn tunnel(&self, request: Request) -> Result<Response, Failure> {
        self.comes_first(&request)?;
        tunnel::open(&self.availability, &self.config.get(), &self.tunnels, &self.drain, request).await
    }

    /// Asks at `address` from now on, once a connection can be had there.
    fn lead_to(&self, address: Address) {
        let is_new = self.availability.address() != Some(address.clone());
        // Its build is another's business, and may be another at any time.
        let home = self.home.get();
        let framework = home.as_ref().as_ref().map(|home| home.framework);
        let sign = framework.map_or_else(SignOfLife::unknown, |framework| SignOfLife::of(framework, None));
        let pool = Pool::new(address, sign, self.config.get(), self.metrics.clone());
        if is_new {
            self.availability.set_candidate(&pool);
            self.availability.next_generation();
        } else {
            self.availability.promote(&pool);
        }
        tokio::spawn(health::keep(pool, Arc::clone(&self.availability), self.drain.clone()));
    }
}

/// Has what the app in `directory` declares old outlive the door, where there is a place for it.
async fn remember(hearing: &Arc<Hearing>, directory: Option<PathBuf>) {
    let name = directory.and_then(|directory| app_folder_name(&directory));
    let Some(file) = state_folder().zip(name).map(|(state, name)| state.join("declared-old").join(name)) else {
        return;
    };
    let hearing = Arc::clone(hearing);
    let _ = tokio::task::spawn_blocking(move || hearing.remember_in(file)).await;
}
