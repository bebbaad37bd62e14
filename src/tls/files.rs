//! Certificates renewed on disk: noticed, and taken without a restart.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error, warn};

use super::fingerprint::Fingerprint;
use super::{Acceptor, Config, TlsError};
use crate::drain::Signal;

/// A renewal writes several files: when nothing has happened for so long, it is complete.
const QUIET_TIME: Duration = Duration::from_millis(300);
/// Folders that are never quiet are looked at all the same.
const MAX_UNREST: Duration = Duration::from_secs(3);
/// For file systems that tell nobody of their changes, and links that are swapped further up the path.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const COMPLAIN_EVERY: Duration = Duration::from_secs(12 * 60 * 60);

/// Takes new certificates as they appear, until the door drains.
pub async fn follow(acceptor: Acceptor, mut drain: Signal) {
    let _guard = drain.guard();
    tokio::select! {
        () = follow_forever(&acceptor) => {}
        _ = drain.draining() => {}
    }
}

async fn follow_forever(acceptor: &Acceptor) {
    let changed = Arc::new(Notify::new());
    let mut folders = Folders::new(Arc::clone(&changed));
    let mut reloads = acceptor.changes();
    let mut refused = None;
    let mut complained = Instant::now();
    loop {
        let serving = reloads.borrow_and_update().clone();
        // First watched, then looked at: what happens in between is noticed.
        folders.watch(&serving.config);
        let found = Fingerprint::of(&serving.config);
        // What the clock spoke against is looked at again when it does no more.
        let is_refused =
            refused.as_ref().is_some_and(|(fingerprint, valid): &(_, Option<RangeInclusive<SystemTime>>)| {
                *fingerprint == found && !valid.as_ref().is_some_and(|valid| valid.contains(&SystemTime::now()))
            });
        if found != serving.fingerprint && !is_refused {
            // Reading and checking certificates takes its time on a slow disk.
            let acceptor = acceptor.clone();
            let outcome = tokio::task::spawn_blocking(move || acceptor.refresh()).await;
            if let Ok(Err(why)) = outcome {
                error!(%why, "the new certificate is refused, the old one stays");
                let valid = if let TlsError::Outdated { valid, .. } = why { Some(valid) } else { None };
                refused = Some((found, valid));
            }
            continue;
        }
        tokio::select! {
            () = changed.notified() => settle(&changed).await,
            _ = reloads.changed() => {}
            () = sleep(LOOK_EVERY) => {}
        }
        if complained.elapsed() >= COMPLAIN_EVERY {
            complained = Instant::now();
            serving.complain();
        }
    }
}

/// Waits until a burst of changes is over.
async fn settle(changed: &Notify) {
    let begun = Instant::now();
    while begun.elapsed() < MAX_UNREST && timeout(QUIET_TIME, changed.notified()).await.is_ok() {}
}

/// The folders of the files: a file that is replaced, or a link that is swapped, is a change of its folder.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Folders {
    fn new(changed: Arc<Notify>) -> Folders {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is no change, and we read ourselves.
            let is_change = |event: &notify::Event| match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
                EventKind::Access(_) => false,
                _ => true,
            };
            if event.as_ref().map_or(true, is_change) {
                changed.notify_one();
            }
        });
        if let Err(error) = &watcher {
            warn!(%error, every = ?LOOK_EVERY, "changes of certificates cannot be watched: looking from time to time");
        }
        Folders { watcher: watcher.ok(), watched: BTreeSet::new() }
    }

    fn watch(&mut self, config: &Config) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<_> = config.files().into_iter().flat_map(|file| folders_of(&file)).collect();
        for gone in self.watched.difference(&wanted) {
            let _ = watcher.unwatch(gone);
        }
        for new in wanted.difference(&self.watched) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                debug!(folder = %new.display(), %error, "cannot be watched");
            }
        }
        self.watched = wanted;
    }
}

/// The folder of the path as it is written, and of the file that it leads to.
fn folders_of(file: &Path) -> Vec<PathBuf> {
    let folder = |file: &Path| match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(PathBuf::from(".")),
        parent => parent.map(Path::to_owned),
    };
    let real = file.canonicalize().ok();
    [folder(file), real.as_deref().and_then(folder)].into_iter().flatten().collect()
}
