//! The door's half of a deploy: the hook, the new app beside the old, and the change from one to the other.
#![expect(clippy::disallowed_methods, reason = "a switch that has begun ends by itself; the app's stop ends it")]

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use tracing::{error, info};

use super::config::Config;
use super::failpoint;
use super::id::ReleaseId;
use super::metrics::{Metrics, Stage};
use super::shelf::Shelf;
use crate::settings::Live;
use crate::upstream::{Reloaded, StartError, TakeError, Takeover, Upstream};

/// More steps than there are, with the last lines of a process: nobody is waited for who does not read them.
const MAX_STEPS: usize = 256;

/// So many places are left for steps when a hook is heard that writes faster than it is read.
const PLACES_LEFT: usize = 128;

/// What whoever asks for a page is told before the first release.
const NOTHING_YET: &str = "Nothing has been deployed here yet.";

/// What is asked of the door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The name of a release that is whole.
    pub release: String,
    pub kind: OrderKind,
}

/// What kind of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// With the hook, and watched.
    Deploy,
    /// Its hook has run, and nothing is known that would be better.
    Rollback,
    /// It could not be made: only to be counted.
    Unmade,
}

/// What is told meanwhile, a line of JSON each. The last is an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// What is being done.
    Doing(String),
    /// A line of the process that failed.
    Said(String),
    /// The new app answers in place of the old.
    Live { before: Option<String> },
    /// Nothing has changed, and why.
    Failed(String),
}

/// Puts releases in the place of one another, one at a time.
pub struct Switch {
    upstream: Arc<Upstream>,
    config: Live<Config>,
    shelf: Shelf,
    turn: Arc<Mutex<()>>,
    metrics: Metrics,
}

impl Switch {
    /// Of the releases in `root`.
    pub fn new(root: PathBuf, upstream: Arc<Upstream>, config: &Config, metrics: Metrics) -> Arc<Switch> {
        let config = Live::new(config.clone());
        Arc::new(Switch { upstream, config, shelf: Shelf::new(root), turn: Arc::default(), metrics })
    }

    /// Takes another section of the config.
    pub fn reload(&self, config: &Config) {
        self.config.set(config.clone());
    }

    /// Whether something has been deployed; where not, pages say so from now on. Blocks.
    pub fn has_first(&self) -> bool {
        let has_first = self.shelf.current().exists();
        if !has_first {
            self.upstream.wait_for_first(NOTHING_YET);
        }
        has_first
    }

    /// Begins what is ordered, and gives what is told of it. When nobody listens any more before the new app is asked for
    /// the first time, the old one stays.
    ///
    /// # Errors
    /// A sentence: another switch is under way, or the name is none.
    pub fn begin(self: &Arc<Self>, order: &Order) -> Result<mpsc::Receiver<Step>, String> {
        let id: ReleaseId = order.release.parse().map_err(|error| format!("{error}"))?;
        let busy = "another release is being switched to: wait until that is done";
        let turn = Arc::clone(&self.turn).try_lock_owned().map_err(|_| busy.to_owned())?;
        let (teller, told) = mpsc::channel(MAX_STEPS);
        let (switch, kind) = (Arc::clone(self), order.kind);
        if kind == OrderKind::Unmade {
            error!(release = %id, "the release could not be made");
            self.metrics.count(Stage::Build);
            return Ok(told);
        }
        tokio::spawn(async move {
            let before = switch.shelf.live();
            let outcome = match switch.carry_out(&id, kind, &teller).await {
                Ok(()) if kind == OrderKind::Deploy => switch.watch(before.as_ref(), &teller).await,
                outcome => outcome,
            };
            match outcome {
                Ok(()) => {
                    info!(release = %id, "the release is live");
                    switch.metrics.count(Stage::Live);
                    let _ = teller.try_send(Step::Live { before: before.map(|before| before.to_string()) });
                }
                Err((stage, TakeError { why, said })) => {
                    error!(release = %id, why, "the release is not live");
                    switch.metrics.count(stage);
                    if before.is_none() {
                        switch.shelf.make_none_live();
                        switch.has_first();
                    }
                    if kind == OrderKind::Deploy {
                        let shelf = switch.shelf.clone();
                        let _ = tokio::task::spawn_blocking(move || shelf.discard(&id)).await;
                    }
                    for line in said {
                        let _ = teller.try_send(Step::Said(line));
                    }
                    let _ = teller.try_send(Step::Failed(why));
                }
            }
            drop(turn);
        });
        Ok(told)
    }

    async fn carry_out(&self, id: &ReleaseId, kind: OrderKind, teller: &Teller) -> Result<(), (Stage, TakeError)> {
        let config = self.config.get();
        let directory = self.directory(id).map_err(|error| (Stage::Start, error))?;
        if let Some(hook) = config.hook.as_deref().filter(|_| kind == OrderKind::Deploy) {
            tell(teller, format!("running the hook: {hook}"));
            let missed = Arc::new(AtomicBool::new(false));
            let (misses, hearer) = (Arc::clone(&missed), teller.clone());
            let hears = move |line: &str| {
                if hearer.capacity() <= PLACES_LEFT || hearer.try_send(Step::Said(line.to_owned())).is_err() {
                    misses.store(true, Ordering::Relaxed);
                }
            };
            let ran = self.upstream.run_hook(&directory, hook, config.hook_timeout, Arc::new(hears)).await;
            ran.map_err(|mut error| {
                // Not twice.
                if !missed.load(Ordering::Relaxed) {
                    error.said.clear();
                }
                (Stage::Hook, error)
            })?;
        }
        failpoint("hooked");
        let (shelf, new, asker) = (self.shelf.clone(), id.clone(), teller.clone());
        let commit = move || {
            failpoint("started");
            if asker.is_closed() {
                return Err(io::Error::other("who asked for it has gone"));
            }
            shelf.make_live(&new).map_err(io::Error::other)?;
            failpoint("linked");
            Ok(())
        };
        let taken = self.take(directory, config.check.clone(), teller, Box::new(commit)).await;
        taken.map_err(|error| (Stage::Start, error))
    }

    /// Looks whether the release is well now that it is asked by everybody, and goes back to the one `before` where it is
    /// not. The first has nothing to go back to.
    async fn watch(&self, before: Option<&ReleaseId>, teller: &Teller) -> Result<(), (Stage, TakeError)> {
        let span = self.config.get().watch;
        let Some(before) = before.filter(|_| !span.is_zero()) else { return Ok(()) };
        tell(teller, format!("requests go to it: watching it for {}", humantime::format_duration(span)));
        let Err(why) = self.upstream.watch(span).await else { return Ok(()) };
        error!(why, to = %before, "the release is not well: going back");
        failpoint("going back");
        tell(teller, format!("{why}: going back to {before}"));
        let back = async {
            let (shelf, old) = (self.shelf.clone(), before.clone());
            let commit = move || shelf.make_live(&old).map_err(io::Error::other);
            self.take(self.directory(before)?, Vec::new(), teller, Box::new(commit)).await
        };
        let back = back.await;
        failpoint("gone back");
        let error = match back {
            Ok(()) => TakeError { why, said: Vec::new() },
            Err(TakeError { why: other, said }) => {
                TakeError { why: format!("{why}; and {before} is not back: {other}"), said }
            }
        };
        Err((Stage::Watch, error))
    }

    fn directory(&self, id: &ReleaseId) -> Result<PathBuf, TakeError> {
        let directory = self.shelf.folder(id);
        let missing = |error| StartError(format!("there is no release {}: {error}", directory.display()));
        Ok(directory.canonicalize().map_err(missing)?)
    }

    async fn take(
        &self,
        directory: PathBuf,
        check: Vec<String>,
        teller: &Teller,
        commit: Box<dyn FnOnce() -> io::Result<()> + Send>,
    ) -> Result<(), TakeError> {
        let progress = teller.clone();
        let progress = Box::new(move |doing: &str| tell(&progress, doing.to_owned()));
        match self.upstream.take(Takeover { directory, check, progress, commit }).await? {
            Reloaded::Replaced { .. } | Reloaded::Unchanged => Ok(()),
        }
    }
}

/// Who listens to what is done.
type Teller = mpsc::Sender<Step>;

fn tell(teller: &Teller, doing: String) {
    let _ = teller.try_send(Step::Doing(doing));
}
