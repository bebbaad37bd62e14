//! Certificates by themselves (ACME, RFC 8555): ordered for the names of `[tls] domains`, kept, and renewed.
//!
//! `schedule` says when, and is tested hardest; `store` keeps what must outlive the process; `order` is one order, and
//! `keeper` one name's life. What is shown to the authority is in [`challenges`](super::challenges).
#![expect(clippy::disallowed_methods, reason = "names are kept until the drain's signal")]

mod account;
mod client;
mod directory;
mod hook;
mod keeper;
mod metrics;
mod order;
mod schedule;
mod sharing;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{error, info};

use self::client::AcmeClient;
pub use self::directory::survey;
use self::keeper::Shared;
use self::metrics::AcmeMetrics;
use self::order::OrderError;
pub use self::order::Reachable;
pub use self::sharing::{AskedOfDoors, CommonCertificates, DoorTurn, DoorsAway, OtherDoors};
use self::store::StoreError;
use super::{Acceptor, AcmeConfig};
use crate::drain::Signal;
use crate::telemetry::{LogThrottle, Registry};

/// How often it is tried to register with the fallback.
const REGISTER_EVERY: Duration = Duration::from_secs(3600);

/// Orders certificates from when it is [started](AcmeService::start) on.
#[derive(Debug)]
pub struct AcmeService {
    acceptor: Acceptor,
    metrics: AcmeMetrics,
    common: Option<Arc<CommonCertificates>>,
}

impl AcmeService {
    pub fn new(acceptor: Acceptor, registry: &mut Registry) -> AcmeService {
        AcmeService { acceptor, metrics: AcmeMetrics::new(registry), common: None }
    }

    /// Has certificates in common with `doors` where the config has a secret for that. What those ask to be looked at is for
    /// what is given.
    pub fn share(&mut self, doors: Arc<dyn OtherDoors>) -> Arc<CommonCertificates> {
        let common = Arc::new(CommonCertificates::new(doors, self.acceptor.clone()));
        self.common = Some(Arc::clone(&common));
        common
    }

    /// Keeps the names of the config in certificates, also those that a reload adds, until the door drains. `reachable`
    /// says where an authority can look: the listeners must be open.
    pub fn start(self, reachable: Reachable, mut drain: Signal) {
        let said_locked = Arc::new(LogThrottle::new());
        let AcmeService { acceptor, metrics, common } = self;
        let (registrar, said_away) = (Arc::default(), Arc::new(LogThrottle::new()));
        let shared = Shared { acceptor, registrar, metrics, reachable, said_locked, said_away, common };
        // On a thread of its own: what is kept is waited for until it is on the disk, and nobody is to wait with it.
        let work = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return error!(%error, "no certificate is ordered: cannot start its runtime"),
            };
            runtime.block_on(async {
                tokio::select! {
                    () = keep_all(shared) => {}
                    _ = drain.draining() => {}
                }
            });
        };
        if let Err(error) = std::thread::Builder::new().name("acme".to_owned()).spawn(work) {
            error!(%error, "no certificate is ordered: cannot start its thread");
        }
    }
}

/// The names that are kept now; those that go, and all when this goes, are let go of.
struct Kept(BTreeMap<String, JoinHandle<()>>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

/// The fallback, with the task that registers there ahead: an account that cannot be had is not to be found out on the day
/// on which it is needed.
#[derive(Default)]
struct Fallback(Option<(AcmeConfig, JoinHandle<()>)>);

impl Fallback {
    fn set(&mut self, wanted: Option<AcmeConfig>, shared: &Shared) {
        if self.0.as_ref().map(|(config, _)| config) == wanted.as_ref() {
            return;
        }
        self.let_go();
        self.0 = wanted.map(|config| {
            let (shared, asked) = (shared.clone(), config.clone());
            (config, tokio::spawn(async move { register(&asked, &shared).await }))
        });
    }

    fn let_go(&mut self) {
        if let Some((_, task)) = self.0.take() {
            task.abort();
        }
    }
}

impl Drop for Fallback {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Until it is done, or another door does it.
async fn register(config: &AcmeConfig, shared: &Shared) {
    let authority = config.directory.host();
    loop {
        let registered = match AcmeClient::new(config) {
            Ok(client) => shared.registrar.account(config, &client).await.map(drop),
            Err(why) => Err(OrderError::Failed(why)),
        };
        match registered {
            Ok(()) => return info!(authority, "the fallback has an account for us"),
            Err(OrderError::Store(StoreError::Locked(_))) => return,
            Err(why) => {
                let again = humantime::format_duration(REGISTER_EVERY).to_string();
                error!(authority, %why, again_in = again, "the fallback cannot be used");
            }
        }
        sleep(REGISTER_EVERY).await;
    }
}

async fn keep_all(shared: Shared) {
    let mut kept = Kept(BTreeMap::new());
    let mut changes = shared.acceptor.changes();
    let mut fallback = Fallback::default();
    loop {
        let (domains, acme) = {
            let serving = changes.borrow_and_update();
            (serving.config.domains.clone(), serving.config.acme.clone())
        };
        fallback.set(acme.for_fallback().filter(|_| !domains.is_empty()), &shared);
        kept.0.retain(|domain, task| {
            let stays = domains.contains(domain);
            if !stays {
                task.abort();
                shared.metrics.forget(domain);
            }
            stays
        });
        for domain in domains {
            let shared = shared.clone();
            kept.0.entry(domain.clone()).or_insert_with(|| tokio::spawn(keeper::keep(domain, shared)));
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
