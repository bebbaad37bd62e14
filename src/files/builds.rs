//! Which build is on disk now, and which earlier ones are kept: looked at again as time passes, so that a deploy needs
//! no word to the door.
#![expect(clippy::disallowed_methods, reason = "it follows the app's folder for as long as there are files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};

use super::FRESH_MILLIS;
use super::config::Config;
use super::previous::{self, Previous};
use super::site::{self, FileKind, FileLocation, Found, Site};
use crate::build::{Build, Framework, Home, is_usual};
use crate::settings::{Live, state_folder};

/// The builds of one app.
pub struct Builds {
    config: Live<Config>,
    /// Where the upstream says that the app is, and which build answers.
    home: Live<Option<Home>>,
    /// The same as the config wrote it: perhaps a link.
    written: Option<PathBuf>,
    site: Live<Option<Arc<Site>>>,
    /// Folders with files of this and earlier builds, newest first.
    kept: Live<Vec<PathBuf>>,
    epoch: Instant,
    /// When the disk was last looked at, in ms since `epoch`.
    looked: AtomicU64,
}

/// Where a build is looked for, and of which framework the app is.
struct Place {
    framework: &'static Framework,
    app: PathBuf,
    dist: PathBuf,
}

impl Builds {
    /// Reads the build that is there. Earlier ones follow behind the caller's back, and so does another `home`.
    pub fn new(config: Live<Config>, home: Live<Option<Home>>, written: Option<PathBuf>) -> Arc<Builds> {
        let moves = home.changes();
        let builds = Arc::new(Builds {
            config,
            home,
            written,
            site: Live::new(None),
            kept: Live::new(Vec::new()),
            epoch: Instant::now(),
            looked: AtomicU64::new(0),
        });
        if let Some(place) = builds.place() {
            builds.read(&place);
        }
        builds.keep_behind();
        tokio::spawn(follow(Arc::downgrade(&builds), moves));
        builds
    }

    /// The build on disk, as of the last look.
    pub fn current(&self) -> Option<Arc<Site>> {
        Option::clone(&self.site.get())
    }

    /// `location` in `site`, or where its address names an earlier build, in that: a name such as that of a list of pages may
    /// be in both, with other content.
    pub fn of_deployment<'a>(&self, location: FileLocation<'a>, site: &Site, named: Option<&str>) -> FileLocation<'a> {
        let is_another = |named: &&str| location.kind == FileKind::Static && site.deployment.as_deref() != Some(named);
        let Some(named) = named.filter(is_another) else { return location };
        let kept = self.kept.get();
        let kept = kept.iter().find(|folder| previous::is_of_deployment(folder, named)).cloned();
        FileLocation { kept, ..location }
    }

    /// Looks for the file in `first`, in `site`, and then in what was kept. Blocks.
    pub fn find(&self, site: &Site, kind: FileKind, name: &str, first: Option<&Path>) -> Option<Found> {
        if let Some(found) = first.and_then(|folder| site::find_kept(folder, name)) {
            return Some(found);
        }
        let (kept, own) = (self.kept.get(), site.kept_name());
        let own = kept.iter().find(|folder| folder.file_name().is_some_and(|name| name == own.as_str()));
        site.find(kind, name, own.map(PathBuf::as_path), &kept)
    }

    /// Takes the config as it is now.
    pub fn reload(self: &Arc<Self>) {
        let (config, before) = (self.config.get(), self.current());
        self.site.set(None);
        if let Some(place) = self.place()
            && !self.read(&place)
            && let Some(site) = before.filter(|site| self.answering().as_ref() == Some(&site.build))
        {
            // Its files are elsewhere by now; its process still answers.
            self.site.set(Some(Arc::new(site.with_public(&config.public))));
        }
        self.keep_behind();
    }

    /// Looks whether there is another build, at most once in [`FRESH_MILLIS`] ms and behind the caller's back.
    pub fn look(self: &Arc<Self>) {
        let (now, looked) = (self.now(), self.looked.load(Ordering::Relaxed));
        let is_due = now.saturating_sub(looked) >= FRESH_MILLIS
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
        let Some(place) = self.place() else { return };
        let is_current = self.current().is_some_and(|site| match self.answering() {
            Some(build) => site.build == build,
            // A build under way, which has no `BUILD_ID` yet, is none.
            None => Build::of(place.framework, &place.dist).is_none_or(|build| build == site.build),
        });
        if is_current {
            return;
        }
        if self.read(&place) {
            self.keep();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The build that a process of ours answers from. Pages name the files of theirs, so that files follow the process,
    /// not the disk. `None` where whatever is on disk counts.
    fn answering(&self) -> Option<Build> {
        let is_elsewhere = self.config.get().dir.is_some();
        self.home.get().as_ref().as_ref().filter(|_| !is_elsewhere)?.build.clone()
    }

    /// The app's folder and that of its build, without links, so that all files are of one build even when a link leads
    /// elsewhere a moment later; `None` where nobody named one. Blocks.
    fn place(&self) -> Option<Place> {
        let config = self.config.get();
        let home = self.home.get();
        let home = home.as_ref().as_ref();
        let app = config.dir.clone().or_else(|| home.map(|home| home.directory.clone()));
        let app = app.filter(|_| config.enabled)?;
        let app = app.canonicalize().unwrap_or(app);
        // Of a process of ours it is known, and need not be read anew at each look.
        let known = home.filter(|home| config.dir.is_none() && home.build.is_some()).map(|home| home.framework);
        let framework = known.unwrap_or_else(|| Framework::in_folder(&app));
        // Where the process has its build from, unless the config says something else.
        let found = self.answering().filter(|_| framework.is_next() && is_usual(&config.dist));
        let dist = found.map_or_else(|| app.join(framework.output(&config.dist)), |build| build.dist);
        let dist = dist.canonicalize().unwrap_or(dist);
        Some(Place { framework, app, dist })
    }

    /// Reads the build at `place`; false where there is none, or not the one that answers: then the last one stays.
    fn read(&self, Place { framework, app, dist }: &Place) -> bool {
        match Site::read(framework, app, dist, &self.config.get().public) {
            Ok(site) if self.answering().is_some_and(|build| build != site.build) => {
                debug!(build = %site.build, "this build is not the one that answers");
                false
            }
            Ok(site) => {
                info!(build = site.build.name, folder = %site.folder.display(), "static files are answered from disk");
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
        let Some(site) = site.filter(|_| !config.keep_previous.is_zero()) else {
            self.kept.set(Vec::new());
            return;
        };
        if !site.build.is_there() {
            // What lies there is another build's: not to be kept under this one's name.
            return;
        }
        let Some(places) = self.places() else {
            self.kept.set(Vec::new());
            return;
        };
        let mut refused = None;
        for folder in places {
            let previous = Previous { folder, keep: config.keep_previous };
            match previous.adopt(&site.kept_name(), &site.folder) {
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

    /// Where builds may be kept, best first: what replaces a build, or a link anywhere in the path to it, leaves them
    /// alone. Not in `dist`, which a deploy may delete; not in a release, which the next one does not share.
    fn places(&self) -> Option<Vec<PathBuf>> {
        let config = self.config.get();
        if let Some(folder) = &config.keep_dir {
            return Some(vec![folder.clone()]);
        }
        // Without a slash at the end, behind which a link is not seen.
        let written = std::path::absolute(config.dir.clone().or_else(|| self.written.clone())?).ok()?;
        let written: PathBuf = written.components().collect();
        let state = state_folder().and_then(|folder| previous::folder_of(&folder.join("static"), &written));
        // Where nothing may be written there.
        let is_link = fs::symlink_metadata(&written).is_ok_and(|metadata| metadata.is_symlink());
        let beside = match written.file_name().filter(|_| is_link) {
            Some(link) => written.with_file_name(format!(".{}.doorway", link.to_string_lossy())),
            None => written.join(".doorway"),
        };
        Some(state.into_iter().chain([beside]).collect())
    }
}

/// Looks at once when the upstream says that another build answers, or that it is elsewhere.
async fn follow(builds: Weak<Builds>, mut moves: watch::Receiver<Arc<Option<Home>>>) {
    while moves.changed().await.is_ok() {
        let Some(builds) = builds.upgrade() else { return };
        let _ = spawn_blocking(move || builds.look_now()).await;
    }
}
