//! How an app is started: on a port of its own, until it gives its first answer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::info;

use super::{Running, Task};
use crate::build::deployment_id;
use crate::upstream::StartError;
use crate::upstream::health::probe;
use crate::upstream::hearing::Hearing;
use crate::upstream::pool::Pool;
use crate::upstream::process::launch;
use crate::upstream::process::prepare::named;
use crate::upstream::process::project::Project;
use crate::upstream::sign_of_life::SignOfLife;

/// Between two looks whether a starting app answers.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often a start is tried on another port when the first was taken meanwhile.
const MAX_PORT_TRIES: usize = 3;
/// How often, when another build was put into its place meanwhile.
const MAX_BUILD_TRIES: usize = 3;

impl Task {
    /// Starts what lies in the app's folder now, which may be another than before.
    pub(super) async fn start_anew(&mut self) -> Result<Running, StartError> {
        let project = Project::inspect(&self.directory, &self.dist())?;
        self.start_other(project).await
    }

    /// Starts `project`, which is the app from then on if it answers.
    pub(super) async fn start_other(&mut self, project: Project) -> Result<Running, StartError> {
        let config = self.config.get();
        let place = project.directory.display();
        let name = named(&project);
        project.installed().ok_or_else(|| StartError(format!("{name} is not installed in {place}")))?;
        if !config.dev && !project.framework.is_other() {
            project.build()?;
        }
        let project = std::mem::replace(&mut self.project, project);
        let started = self.start().await;
        if started.is_err() {
            // The one before runs on, and is what is started again if it ends.
            self.project = project;
        }
        started
    }

    /// Starts the app and waits for its first answer.
    pub(super) async fn start(&self) -> Result<Running, StartError> {
        let (mut ports, mut builds) = (1, 1);
        self.said.lock().clear();
        loop {
            let port = launch::free_port().map_err(|error| StartError(format!("there is no free port: {error}")))?;
            match self.start_on(port).await {
                Err(_) if ports < MAX_PORT_TRIES && launch::is_taken(port) => ports += 1,
                Ok(running) if running.build.as_ref().is_some_and(|build| !build.is_there()) => {
                    // It may have read files of both.
                    self.give_up(running).await;
                    if builds == MAX_BUILD_TRIES {
                        let place = self.project.dist.display();
                        return Err(StartError(format!("the build in {place} changes while the app starts")));
                    }
                    builds += 1;
                    self.project.build()?;
                }
                outcome => return outcome,
            }
        }
    }

    /// Ends an app that was never asked anything.
    pub(super) async fn give_up(&self, running: Running) {
        running.pool.retire();
        running.child.stop(self.config.get().stop_timeout).await;
    }

    async fn start_on(&self, port: u16) -> Result<Running, StartError> {
        let config = self.config.get();
        let build = if config.dev { None } else { self.project.look() };
        let program = launch::program(&self.project, &config, port)?;
        let voice = self
            .hearing
            .as_deref()
            .filter(|_| self.project.framework.is_next() && program.before.is_some())
            .and_then(Hearing::voice);
        let deployment = if config.dev { None } else { deployment_id(&self.project.dist) }.map(Arc::from);
        let sign = SignOfLife::of(self.project.framework, build.as_ref());
        let line = program.command_line();
        info!(command = line, "starting the app");
        self.metrics.starts.inc();
        let mut child = program.spawn(voice).map_err(|error| StartError(format!("{line:?} cannot be run: {error}")))?;
        let (found, group) = (OnceLock::new(), child.id());
        let answered = timeout(config.start_timeout, async {
            let address = loop {
                match launch::listening(group, port).await {
                    Some(address) => break address,
                    None => sleep(LOOK_INTERVAL).await,
                }
            };
            let pool = found.get_or_init(|| {
                let (sign, deployment, config) = (sign.clone(), deployment.clone(), Arc::clone(&config));
                Pool::of_build(address, sign, deployment, config, self.metrics.clone())
            });
            // Next listens before it is ready; what counts is an answer.
            while probe(pool).await.is_err() {
                sleep(LOOK_INTERVAL).await;
            }
            Arc::clone(pool)
        });
        let early = tokio::select! {
            answered = answered => match answered {
                Ok(pool) => return Ok(Running { child, pool, since: Instant::now(), build, config: Arc::clone(&config) }),
                Err(_) => None,
            },
            status = child.wait() => Some(status),
            () = self.closing.cancelled() => return Err(StartError("the app is being stopped".into())),
        };
        if let Some(pool) = found.get() {
            pool.retire();
        }
        *self.said.lock() = child.last_lines();
        let cure = launch::missing_host().await.map_or_else(String::new, |cure| format!(". {cure}"));
        Err(StartError(match early {
            Some(Ok(status)) => {
                format!("the app ended before it answered ({status}): its last lines above say why{cure}")
            }
            Some(Err(error)) => format!("the app cannot be waited for: {error}"),
            None => {
                let elsewhere = launch::ports(group).await;
                child.stop(config.stop_timeout).await;
                let elsewhere = match elsewhere[..] {
                    [] => String::new(),
                    _ if elsewhere.contains(&port) => String::new(),
                    _ => format!(": {line:?} listens on port {}, and not on that of PORT, {port}", list(&elsewhere)),
                };
                format!("the app gave no answer within {:?}{elsewhere}{cure}", config.start_timeout)
            }
        }))
    }
}

fn list(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}
