//! Another app in place of the one that runs, without a gap: at a reload, or because somebody asked for it.
#![expect(
    clippy::disallowed_methods,
    reason = "the app outlives the drain: who stops it waits for it, see Upstream::stop"
)]

use std::sync::Arc;

use tracing::{error, info};

use super::{Running, Task, label, retire};
use crate::build::Build;
use crate::upstream::pool::Pool;
use crate::upstream::{Reloaded, StartError};

impl Task {
    /// Another build or other settings of the process want another process; all else only another pool.
    pub(super) async fn reload(&mut self, running: &mut Running) -> Result<Reloaded, StartError> {
        let config = self.config.get();
        // Of an app that only its scripts know there may be another build each time.
        let is_new_build =
            !config.dev && (self.project.framework.is_other() || self.is_another(running.build.as_ref()));
        let is_new_process = config.env != running.config.env || config.node != running.config.node;
        if is_new_build
            && !self.project.framework.is_other()
            && let Err(why) = self.whole()
        {
            error!(%why, "the new build is not whole, the old app stays");
            self.metrics.reloads.unfinished.inc();
            return Err(why);
        }
        if is_new_build || is_new_process {
            let before = running.build.clone();
            if let Err(why) = self.replace(running).await {
                error!(%why, "the new app does not start, the old one stays");
                self.metrics.reloads.failed.inc();
                return Err(why);
            }
            return Ok(self.replaced(before.as_ref(), running));
        }
        if config != running.config {
            let (address, sign) = (running.pool.address.clone(), running.pool.sign.clone());
            let deployment = running.pool.deployment.clone();
            running.pool = Pool::of_build(address, sign, deployment, Arc::clone(&config), self.metrics.clone());
            running.config = config;
            self.install_pool(&running.pool);
        }
        info!(build = label(running.build.as_ref()), "app unchanged");
        self.metrics.reloads.unchanged.inc();
        Ok(Reloaded::Unchanged)
    }

    /// Says that `running` has taken the place of the build `before`.
    pub(super) fn replaced(&self, before: Option<&Build>, running: &Running) -> Reloaded {
        let (before, now) = (label(before), label(running.build.as_ref()));
        info!(before, now, "app replaced");
        self.metrics.reloads.replaced.inc();
        Reloaded::Replaced { before, now }
    }

    pub(super) async fn replace(&mut self, running: &mut Running) -> Result<(), StartError> {
        // Two of `next dev` fight for one folder.
        if self.config.get().dev {
            let tool = if self.project.framework.is_other() {
                "npm run dev".into()
            } else {
                self.project.framework.dev.words()
            };
            return Err(StartError(format!("{tool} is not replaced: it takes over changes by itself")));
        }
        self.make_room();
        let new = self.start_anew().await?;
        self.put_in_place(running, new).await;
        Ok(())
    }

    /// Not three at once: memory is what a small machine has least of.
    pub(super) fn make_room(&mut self) {
        if let Some(previous) = self.previous.take() {
            previous.make_room();
        }
    }

    /// Requests go to `new` from now on; the one before ends when it has answered its own, or is kept for pages that are open.
    pub(super) async fn put_in_place(&mut self, running: &mut Running, new: Running) {
        let is_kept = self.is_kept(running, &new).await;
        if is_kept {
            self.availability.previous.keep(&running.pool);
        }
        self.install(&new);
        let old = std::mem::replace(running, new);
        if is_kept {
            self.previous = Some(self.linger(old));
        } else {
            info!(pid = old.child.id(), "the app before is asked to end");
            tokio::spawn(retire(old, self.config.get().stop_timeout));
        }
    }
}
