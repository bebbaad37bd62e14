//! Keeps the app running: starts it again when it ends, and puts a new one in its place without a gap.
#![expect(
    clippy::disallowed_methods,
    reason = "the app outlives the drain: who stops it waits for it, see Upstream::stop"
)]

mod lingering;
mod replacing;
mod starting;
mod taking;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::build::{Build, Home, is_usual};
use crate::drain::Signal;
use crate::settings::Live;
use crate::upstream::availability::Availability;
use crate::upstream::health::keep;
use crate::upstream::hearing::Hearing;
use crate::upstream::jitter::jitter;
use crate::upstream::metrics::Metrics;
use crate::upstream::pool::Pool;
use crate::upstream::process::child::Child;
use crate::upstream::process::orphans;
use crate::upstream::process::prepare::prepare;
use crate::upstream::process::project::Project;
use crate::upstream::process::taken::Takeover;
use crate::upstream::{Config, Reloaded, StartError, TakeError};
use lingering::Lingering;

/// An app that ended sooner than this after its start is started again after a longer delay than before.
const EARLY_EXIT: Duration = Duration::from_secs(60);

/// The way to the task that keeps the app running. Dropped, the app ends at once.
pub struct Supervisor {
    /// Holds a few; who asks for more waits, as each takes seconds.
    orders: mpsc::Sender<SupervisorOrder>,
    /// A start that is under way is given up, so that the order to stop is heard.
    closing: CancellationToken,
}

enum SupervisorOrder {
    /// Stop the app, then start it.
    Restart(oneshot::Sender<Result<(), StartError>>),
    /// Start another, then stop this one.
    Replace(oneshot::Sender<Result<(), StartError>>),
    /// The config is another, or the build may be.
    Reload(oneshot::Sender<Result<Reloaded, StartError>>),
    /// Start what lies in another folder, then stop this one.
    Take(Takeover, oneshot::Sender<Result<Reloaded, TakeError>>),
    Stop(oneshot::Sender<()>),
}

struct Running {
    child: Child,
    pool: Arc<Pool>,
    since: Instant,
    build: Option<Build>,
    config: Arc<Config>,
}

struct Task {
    /// The app's folder as the config wrote it: a link in it is followed at each look.
    directory: PathBuf,
    /// Where the app runs that answers, and which build it is.
    home: Live<Option<Home>>,
    /// What lay there when it was last started.
    project: Project,
    config: Live<Config>,
    availability: Arc<Availability>,
    metrics: Metrics,
    drain: Signal,
    orders: mpsc::Receiver<SupervisorOrder>,
    closing: CancellationToken,
    delay: Duration,
    /// The app of before the last deploy, while it is kept.
    previous: Option<Lingering>,
    /// The last lines of the process that did not start, when it was last tried.
    said: Mutex<Vec<String>>,
    /// Where its processes say what they declare old.
    hearing: Option<Arc<Hearing>>,
}

impl Supervisor {
    /// Makes the project ready, starts it, and waits for its first answer. `home` is told the real folder and the build of
    /// the app that is asked, whenever it is another.
    ///
    /// # Errors
    /// A sentence: not an app, a failed build, an app that ends or never answers.
    pub async fn start(
        config: Live<Config>,
        availability: Arc<Availability>,
        metrics: Metrics,
        drain: Signal,
        home: Live<Option<Home>>,
        hearing: Option<Arc<Hearing>>,
    ) -> Result<Option<Supervisor>, StartError> {
        let section = config.get();
        let directory = section.dir.clone().unwrap_or_default();
        orphans::end(&directory, section.stop_timeout).await;
        let mut project = Project::inspect(&directory, &section.dist)?;
        prepare(&mut project, &section, &|stage| availability.set_stage(Some(stage))).await?;
        availability.set_stage(None);
        if !section.dev && project.exported().is_some() {
            info!("the app is an export: its pages are answered from disk, and no process is started");
            // As it was named: a link is followed anew at each reload.
            home.set(Some(Home { directory, framework: project.framework, build: None }));
            return Ok(None);
        }
        let (orders, receiver) = mpsc::channel(4);
        let delay = section.restart_delay;
        let closing = CancellationToken::new();
        let stop = closing.clone();
        let task = Task {
            directory,
            home,
            project,
            config,
            availability,
            metrics,
            drain,
            orders: receiver,
            closing: stop,
            delay,
            previous: None,
            said: Mutex::default(),
            hearing,
        };
        let running = task.start().await?;
        task.install(&running);
        tokio::spawn(task.run(running));
        Ok(Some(Supervisor { orders, closing }))
    }

    /// Stops the app and starts it again; requests wait meanwhile.
    ///
    /// # Errors
    /// A sentence, when it does not start at once; it is tried again until it does.
    pub async fn restart(&self) -> Result<(), StartError> {
        self.order(SupervisorOrder::Restart).await
    }

    /// Starts another app, sends requests to it once it answers, and stops the first when its requests are done.
    ///
    /// # Errors
    /// A sentence, when the new one does not start; the old one then stays.
    pub async fn replace(&self) -> Result<(), StartError> {
        self.order(SupervisorOrder::Replace).await
    }

    /// Takes over the config, and a new build if there is one; what became of it comes later.
    pub fn reload(&self, metrics: &Metrics) -> oneshot::Receiver<Result<Reloaded, StartError>> {
        let (reply, outcome) = oneshot::channel();
        if let Err(
            TrySendError::Full(SupervisorOrder::Reload(reply)) | TrySendError::Closed(SupervisorOrder::Reload(reply)),
        ) = self.orders.try_send(SupervisorOrder::Reload(reply))
        {
            let why = StartError("the app is being started just now: reload again when it answers".into());
            warn!("{why}");
            metrics.reloads.failed.inc();
            let _ = reply.send(Err(why));
        }
        outcome
    }

    /// Starts what `takeover` says beside the app, and puts it in its place.
    ///
    /// # Errors
    /// [`TakeError`], when it does not start or the door is being stopped: the one before then stays.
    pub async fn take(&self, takeover: Takeover) -> Result<Reloaded, TakeError> {
        let gone = || TakeError::from(StartError("the app is being stopped".into()));
        let (reply, done) = oneshot::channel();
        self.orders.send(SupervisorOrder::Take(takeover, reply)).await.map_err(|_| gone())?;
        done.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Asks the app to end, and after `stop_timeout` makes it.
    pub async fn stop(&self) {
        self.closing.cancel();
        let (reply, stopped) = oneshot::channel();
        if self.orders.send(SupervisorOrder::Stop(reply)).await.is_ok() {
            let _ = stopped.await;
        }
    }

    async fn order(
        &self,
        order: fn(oneshot::Sender<Result<(), StartError>>) -> SupervisorOrder,
    ) -> Result<(), StartError> {
        let gone = || StartError("the app is being stopped".into());
        let (reply, done) = oneshot::channel();
        self.orders.send(order(reply)).await.map_err(|_| gone())?;
        done.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Task {
    async fn run(mut self, mut running: Running) {
        loop {
            let order = tokio::select! {
                status = running.child.wait() => {
                    self.availability.set_ended(true);
                    self.availability.dismiss(&running.pool);
                    let lived = running.since.elapsed();
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    warn!(pid = running.child.id(), status, ?lived, "app ended");
                    if lived >= EARLY_EXIT {
                        self.delay = self.config.get().restart_delay;
                    }
                    match self.revive(running.build.take()).await {
                        Some(again) => running = again,
                        None => return,
                    }
                    continue;
                }
                order = self.orders.recv() => order,
            };
            let config = self.config.get();
            match order {
                None => return,
                Some(SupervisorOrder::Stop(reply)) => {
                    tokio::join!(running.child.stop(config.stop_timeout), self.end_previous());
                    let _ = reply.send(());
                    return;
                }
                Some(SupervisorOrder::Restart(reply)) => {
                    self.availability.dismiss(&running.pool);
                    running.child.stop(config.stop_timeout).await;
                    let started = self.start_anew().await;
                    running = match started {
                        Ok(again) => {
                            self.install(&again);
                            let _ = reply.send(Ok(()));
                            again
                        }
                        Err(error) => {
                            let _ = reply.send(Err(error));
                            let Some(again) = self.revive(None).await else { return };
                            again
                        }
                    };
                }
                Some(SupervisorOrder::Replace(reply)) => {
                    let replaced = self.replace(&mut running).await;
                    let _ = reply.send(replaced);
                }
                Some(SupervisorOrder::Reload(reply)) => {
                    let outcome = self.reload(&mut running).await;
                    let _ = reply.send(outcome);
                }
                Some(SupervisorOrder::Take(takeover, reply)) => {
                    let outcome = self.take_over(takeover, &mut running).await;
                    let _ = reply.send(outcome);
                }
            }
        }
    }

    /// Tries until the app runs again; `None` when it is to stop instead. As long as the build that ran is there, it is
    /// this one: another is taken over when somebody asks for it.
    async fn revive(&mut self, mut build: Option<Build>) -> Option<Running> {
        let before = build.clone();
        loop {
            let config = self.config.get();
            let delay = self.delay / 2 + jitter(self.delay / 2);
            self.delay = (self.delay * 2).min(config.restart_delay_max).max(config.restart_delay);
            let (mut reply, mut reload) = (None, None);
            tokio::select! {
                () = sleep(delay) => {}
                order = self.orders.recv() => match order {
                    None => return None,
                    Some(SupervisorOrder::Stop(reply)) => {
                        self.end_previous().await;
                        let _ = reply.send(());
                        return None;
                    }
                    // Somebody knows that it will do now.
                    Some(SupervisorOrder::Restart(asked) | SupervisorOrder::Replace(asked)) => {
                        reply = Some(asked);
                        build = None;
                    }
                    Some(SupervisorOrder::Reload(asked)) => {
                        reload = Some(asked);
                        build = None;
                    }
                    // The way out of a release that cannot be kept running.
                    Some(SupervisorOrder::Take(takeover, reply)) => match self.start_taken(takeover).await {
                        Ok(running) => {
                            self.availability.set_ended(false);
                            self.install(&running);
                            let _ = reply.send(Ok(self.replaced(before.as_ref(), &running)));
                            return Some(running);
                        }
                        Err(why) => {
                            let _ = reply.send(Err(self.not_taken(why)));
                            continue;
                        }
                    },
                },
            }
            let is_there = build.as_ref().is_some_and(Build::is_there);
            let started = if is_there { self.start().await } else { self.start_anew().await };
            match started {
                Ok(running) => {
                    self.install(&running);
                    if let Some(reply) = reply {
                        let _ = reply.send(Ok(()));
                    }
                    if let Some(reload) = reload {
                        let _ = reload.send(Ok(self.replaced(before.as_ref(), &running)));
                    }
                    return Some(running);
                }
                Err(why) => {
                    error!(%why, "the app does not start");
                    if let Some(reload) = reload {
                        self.metrics.reloads.failed.inc();
                        let _ = reload.send(Err(StartError(why.0.clone())));
                    }
                    if let Some(reply) = reply {
                        let _ = reply.send(Err(why));
                    }
                }
            }
        }
    }

    fn install(&self, running: &Running) {
        info!(pid = running.child.id(), address = %running.pool.address, "app started");
        // Files first: those of the new build are there when its first page is.
        let Project { directory, framework, .. } = self.project.clone();
        let home = Home { directory, framework, build: running.build.clone() };
        let is_another = self.home.get().as_ref().as_ref() != Some(&home);
        if is_another {
            self.home.set(Some(home));
        }
        if let Some(hearing) = &self.hearing {
            hearing.ask(running.child.id());
        }
        self.install_pool(&running.pool);
        if is_another {
            self.availability.next_generation();
        }
        if let Some(hearing) = &self.hearing {
            hearing.proof.settle();
        }
        self.metrics.runs(label(running.build.as_ref()));
        self.availability.mark_up();
    }

    fn install_pool(&self, pool: &Arc<Pool>) {
        self.availability.promote(pool);
        tokio::spawn(keep(Arc::clone(pool), Arc::clone(&self.availability), self.drain.clone()));
    }

    /// Where a build goes, below the app's folder: where that of the process went, unless the config says something else.
    fn dist(&self) -> PathBuf {
        let (named, found) = (self.config.get().dist.clone(), self.project.dist.strip_prefix(&self.project.directory));
        match found {
            Ok(found) if is_usual(&named) => found.to_owned(),
            _ => named,
        }
    }

    /// Whether what lies in the app's folder now, whole or not, is another build than `running`, or in another folder.
    fn is_another(&self, running: Option<&Build>) -> bool {
        let Ok(project) = Project::inspect(&self.directory, &self.dist()) else { return running.is_some() };
        project.directory != self.project.directory || project.look().as_ref() != running
    }

    /// Whether what lies there can be started at all.
    fn whole(&self) -> Result<Build, StartError> {
        Project::inspect(&self.directory, &self.dist())?.build()
    }
}

/// A build for people; in development there is none.
fn label(build: Option<&Build>) -> String {
    build.map_or_else(|| "none".to_owned(), Build::to_string)
}

/// Lets the requests of an app that was replaced come to their end, then ends it.
async fn retire(old: Running, grace: Duration) {
    let Running { child, pool, .. } = old;
    let idle = async {
        while pool.in_use() > 0 {
            sleep(starting::LOOK_INTERVAL).await;
        }
    };
    let _ = timeout(grace, idle).await;
    child.stop(grace).await;
}
