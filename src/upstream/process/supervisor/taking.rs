//! Another release in place of the one that runs: started beside it, tried, made the live one, and only then asked.

use tracing::error;

use super::{Running, Task};
use crate::build::is_usual;
use crate::upstream::health::answers;
use crate::upstream::process::dist;
use crate::upstream::process::project::Project;
use crate::upstream::process::taken::Takeover;
use crate::upstream::{Reloaded, StartError, TakeError};

impl Task {
    /// Puts another release in the place of `running`, which goes on where anything fails.
    pub(super) async fn take_over(&mut self, takeover: Takeover, running: &mut Running) -> Result<Reloaded, TakeError> {
        self.make_room();
        let before = running.build.clone();
        let new = self.start_taken(takeover).await.map_err(|why| self.not_taken(why))?;
        self.availability.set_ended(false);
        self.put_in_place(running, new).await;
        Ok(self.replaced(before.as_ref(), running))
    }

    /// Starts it and tries it; when it is here it is the live one on disk.
    pub(super) async fn start_taken(&mut self, takeover: Takeover) -> Result<Running, TakeError> {
        let Takeover { directory, check, progress, commit } = takeover;
        let config = self.config.get();
        if config.dev {
            return Err(StartError(
                "in development there are no releases: changes are taken over by themselves".into(),
            )
            .into());
        }
        let mut project = Project::inspect(&directory, &self.dist())?;
        // Another release may have moved its distDir.
        if is_usual(&config.dist) && project.framework.is_next() && project.build().is_err() {
            project = Project::inspect(&directory, &config.dist)?;
            if let Some(found) = dist::find(&project, &config).await {
                project.dist = project.directory.join(found);
            }
        }
        if project.exported().is_some() {
            return Err(StartError(
                "it is an export, pages without a process, and cannot take the place of one".into(),
            )
            .into());
        }
        progress("starting the new app beside the old");
        let before = self.project.clone();
        let failed =
            |task: &Task, error: StartError| TakeError { why: error.0, said: std::mem::take(&mut *task.said.lock()) };
        let running = self.start_other(project).await.map_err(|error| failed(self, error))?;
        let mut wrong = None;
        for path in &check {
            progress(&format!("asking the new app for {path}"));
            if let Err(why) = answers(&running.pool, path).await {
                wrong = Some(TakeError {
                    why: format!("the new app is not well: {why}"),
                    said: running.child.last_lines(),
                });
                break;
            }
        }
        let wrong = wrong.or_else(|| {
            progress("the new app answers: switching over");
            let why = commit().err()?;
            Some(TakeError { why: why.to_string(), said: Vec::new() })
        });
        match wrong {
            None => Ok(running),
            Some(wrong) => {
                self.give_up(running).await;
                self.project = before;
                Err(wrong)
            }
        }
    }

    pub(super) fn not_taken(&self, why: TakeError) -> TakeError {
        error!(%why, "the release is not taken, the old app stays");
        self.metrics.reloads.failed.inc();
        why
    }
}
