//! Which build is on disk now, and which earlier ones are kept: looked at again as time passes, so that a deploy needs
//! no word to the door.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};

use super::FRESH;
use super::config::Config;
use super::previous::Previous;
use super::site::{Found, Kind, Site};
use crate::settings::Live;

/// The builds of one app.
pub struct Builds {
    config: Live<Config>,
    /// The app's folder as the upstream knows it.
    directory: Live<Option<PathBuf>>,
    /// The same as the config wrote it: perhaps a link.
    written: Option<PathBuf>,
    site: Live<Option<Arc<Site>>>,
    /// Folders with files of this and earlier builds, newest first.
    kept: Live<Vec<PathBuf>>,
    epoch: Instant,
    /// When the disk was last looked at, in ms since `epoch`.
    looked: AtomicU64,
}

impl Builds {
    /// Reads the build that is there. Earlier ones follow behind the caller's back, and so does another `directory`.
    pub fn new(config: Live<Config>, directory: Live<Option<PathBuf>>, written: Option<PathBuf>) -> Arc<Builds> {
        let moves = directory.changes();
        let builds = Arc::new(Builds {
            config,
            directory,
            written,
            site: Live::new(None),
            kept: Live::new(Vec::new()),
            epoch: Instant::now(),
            looked: AtomicU64::new(0),
        });
        if let Some((app, dist)) = builds.folders() {
            builds.read(&app, &dist);
        }
        builds.keep_behind();
        tokio::spawn(follow(Arc::downgrade(&builds), moves));
        builds
    }

    /// The build on disk, as of the last look.
    pub fn current(&self) -> Option<Arc<Site>> {
        Option::clone(&self.site.get())
    }

    /// Looks for the file in `site` and then in what was kept. Blocks.
    pub fn find(&self, site: &Site, kind: Kind, name: &str) -> Option<Found> {
        site.find(kind, name, &self.kept.get())
    }

    /// Takes the config as it is now.
    pub fn reload(self: &Arc<Self>) {
        self.site.set(None);
        if let Some((app, dist)) = self.folders() {
            self.read(&app, &dist);
        }
        self.keep_behind();
    }

    /// Looks whether there is another build, at most once in [`FRESH`] ms and behind the caller's back.
    pub fn look(self: &Arc<Self>) {
        let (now, looked) = (self.now(), self.looked.load(Ordering::Relaxed));
        let is_due = now.saturating_sub(looked) >= FRESH
            && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if !is_due {
            return;
        }
        let builds = Arc::clone(self);
        spawn_blocking(move || {
            builds.look_now();
        });
    }

    /// Blocks.
    fn look_now(&self) {
        let Some((app, dist)) = self.folders() else { return };
        if self.current().is_some_and(|site| site.is_current(&dist)) {
            return;
        }
        if self.read(&app, &dist) {
            self.keep();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The app's folder and that of its build, without links, so that all files are of one build even when a link leads
    /// elsewhere a moment later; `None` where nobody named one.
    fn folders(&self) -> Option<(PathBuf, PathBuf)> {
        let config = self.config.get();
        let app = config.dir.clone().or_else(|| self.directory.get().as_ref().clone()).filter(|_| config.enabled)?;
        let app = app.canonicalize().unwrap_or(app);
        let dist = app.join(&config.dist);
        let dist = dist.canonicalize().unwrap_or(dist);
        Some((app, dist))
    }

    /// Reads the build in `dist`; false where there is none that is whole: then the last one stays.
    fn read(&self, app: &Path, dist: &Path) -> bool {
        match Site::read(app, dist, &self.config.get().public) {
            Ok(site) => {
                info!(build = site.build, folder = %site.folder.display(), "static files are answered from disk");
                self.site.set(Some(Arc::new(site)));
                true
            }
            Err(error) => {
                debug!(%error, folder = %dist.display(), "no build to answer static files from");
                false
            }
        }
    }

    fn keep_behind(self: &Arc<Self>) {
        let builds = Arc::clone(self);
        spawn_blocking(move || builds.keep());
    }

    /// Keeps the files of this build for when it is replaced. Blocks.
    fn keep(&self) {
        let (config, site) = (self.config.get(), self.current());
        let Some((site, places)) = site.zip(self.places()).filter(|_| !config.keep_previous.is_zero()) else {
            self.kept.set(Vec::new());
            return;
        };
        let mut refused = None;
        for folder in places {
            let previous = Previous { folder, keep: config.keep_previous };
            match previous.adopt(&site.identity(), &site.folder) {
                Ok(kept) => {
                    let folder = previous.folder.display();
                    debug!(builds = kept.len(), %folder, "static files are kept for open tabs");
                    self.kept.set(kept);
                    return;
                }
                Err(error) => refused = refused.or(Some((error, previous.folder))),
            }
        }
        let Some((error, folder)) = refused else { return };
        warn!(
            %error,
            folder = %folder.display(),
            "after the next build, open tabs will miss the static files of this one; files.keep_dir names a better place"
        );
    }

    /// Where builds may be kept, best first: what replaces a build, or the link to it, leaves them alone. Not in `dist`,
    /// which a deploy may delete; not in a release, which the next one does not share.
    fn places(&self) -> Option<Vec<PathBuf>> {
        let config = self.config.get();
        if let Some(folder) = &config.keep_dir {
            return Some(vec![folder.clone()]);
        }
        let written = config.dir.clone().or_else(|| self.written.clone())?;
        // Without a slash at the end, behind which a link is not seen.
        let written: PathBuf = written.components().collect();
        let is_link = fs::symlink_metadata(&written).is_ok_and(|metadata| metadata.is_symlink());
        let beside = match written.file_name().filter(|_| is_link) {
            Some(link) => written.with_file_name(format!(".{}.doorway", link.to_string_lossy())),
            None => written.join(".doorway"),
        };
        // Where nothing else may be written, under systemd.
        let state = std::env::var_os("STATE_DIRECTORY").map(|folder| PathBuf::from(folder).join("static"));
        Some([Some(beside), state].into_iter().flatten().collect())
    }
}

/// Looks at once when the upstream says that the app is in another folder.
async fn follow(builds: Weak<Builds>, mut moves: watch::Receiver<Arc<Option<PathBuf>>>) {
    while moves.changed().await.is_ok() {
        let Some(builds) = builds.upgrade() else { return };
        let _ = spawn_blocking(move || builds.look_now()).await;
    }
}
