//! The door's half of a deploy: the hook, the new app beside the old, and the change from one to the other.
#![expect(clippy::disallowed_methods, reason = "a switch that has begun ends by itself; the app's stop ends it")]

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use tracing::{error, info};

use super::config::Config;
use super::failpoint;
use super::id::ReleaseId;
use super::shelf::Shelf;
use crate::settings::Live;
use crate::upstream::{Reloaded, StartError, TakeError, Takeover, Upstream};

/// More steps than there are, with the last lines of a process: nobody is waited for who does not read them.
const MAX_STEPS: usize = 128;

/// What whoever asks for a page is told before the first release.
const NOTHING_YET: &str = "Nothing has been deployed here yet.";

/// What is asked of the door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The name of a release that is whole.
    pub release: String,
    /// With the hook: not at a rollback, whose hook has run.
    pub hook: bool,
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
}

impl Switch {
    /// Of the releases in `root`.
    pub fn new(root: PathBuf, upstream: Arc<Upstream>, config: &Config) -> Arc<Switch> {
        let config = Live::new(config.clone());
        Arc::new(Switch { upstream, config, shelf: Shelf::new(root), turn: Arc::default() })
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
        let (switch, hook) = (Arc::clone(self), order.hook);
        tokio::spawn(async move {
            let before = switch.shelf.live();
            match switch.carry_out(&id, hook, &teller).await {
                Ok(()) => {
                    info!(release = %id, "the release is live");
                    let _ = teller.try_send(Step::Live { before: before.map(|before| before.to_string()) });
                }
                Err(TakeError { why, said }) => {
                    error!(release = %id, why, "the release is not live");
                    if before.is_none() {
                        switch.shelf.make_none_live();
                        switch.has_first();
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

    async fn carry_out(&self, id: &ReleaseId, hook: bool, teller: &mpsc::Sender<Step>) -> Result<(), TakeError> {
        let config = self.config.get();
        let tell = |doing: String| drop(teller.try_send(Step::Doing(doing)));
        let directory = self.shelf.folder(id);
        let directory = directory.canonicalize().map_err(|error| {
            TakeError::from(StartError(format!("there is no release {}: {error}", directory.display())))
        })?;
        if let Some(hook) = config.hook.as_deref().filter(|_| hook) {
            tell(format!("running the hook: {hook}"));
            self.upstream.run_hook(&directory, hook, config.hook_timeout).await?;
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
        let progress = teller.clone();
        let takeover = Takeover {
            directory,
            check: config.check.clone(),
            progress: Box::new(move |doing| drop(progress.try_send(Step::Doing(doing.to_owned())))),
            commit: Box::new(commit),
        };
        match self.upstream.take(takeover).await? {
            Reloaded::Replaced { .. } | Reloaded::Unchanged => Ok(()),
        }
    }
}
