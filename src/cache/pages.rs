//! Pages that need no pattern of the config: those that a Next.js of ours keeps itself, and by its own word declares old.
//! The build's manifests say which paths nobody looks at before they are answered.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::build::{Home, Prerendered};
use crate::upstream::Upstream;

/// What is known of the build that answers.
#[derive(Debug, Default)]
pub struct Pages(watch::Sender<Known>);

#[derive(Debug, Default)]
struct Known {
    generation: Option<u64>,
    /// `None` where there is nothing to go by.
    build: Option<Arc<Prerendered>>,
}

/// Why no page is kept that the config does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The app is not a Next.js that the door started, or does not say what it declares old.
    Unheard,
    /// Its manifests are being read, or cannot be.
    Unread,
}

impl Unknown {
    /// For people.
    pub fn clause(self) -> &'static str {
        match self {
            Unknown::Unheard => "the app is no Next.js 15 or 16 of which the door hears what it declares old",
            Unknown::Unread => "the manifests of its build cannot be read, or not yet",
        }
    }
}

impl Pages {
    /// What is known of the build that answers now.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn of(&self, upstream: &Upstream) -> Result<Arc<Prerendered>, Unknown> {
        if !upstream.is_heard() {
            return Err(Unknown::Unheard);
        }
        let known = self.0.borrow();
        let build = known.build.as_ref().filter(|_| known.generation == Some(upstream.generation()));
        build.cloned().ok_or(Unknown::Unread)
    }

    /// The same, as soon as it is known: for one who waits no longer than he likes.
    pub async fn known(&self, upstream: &Upstream) -> Arc<Prerendered> {
        let mut news = self.0.subscribe();
        loop {
            if let Ok(build) = self.of(upstream) {
                return build;
            }
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Reads the manifests of each build that answers, until it is dropped.
    pub async fn watch(&self, upstream: &Upstream) {
        loop {
            upstream.hears_anew().await;
            let (generation, home) = (upstream.generation(), upstream.home().get());
            if !upstream.is_heard() || self.0.borrow().generation == Some(generation) {
                // What is known may count again.
                self.0.send_modify(|_| ());
                continue;
            }
            let build = spawn_blocking(move || home.as_ref().as_ref().and_then(prerendered)).await;
            self.0.send_replace(Known { generation: Some(generation), build: build.ok().flatten() });
        }
    }
}

/// What the manifests of the build at `home` say. Blocks.
fn prerendered(home: &Home) -> Option<Arc<Prerendered>> {
    let build = home.build.as_ref().filter(|_| home.framework.is_next())?;
    match Prerendered::read(&build.dist) {
        // Another lies there by now, which will be asked soon.
        Ok(_) if !build.is_there() => None,
        Ok(read) => {
            say(&read);
            Some(Arc::new(read))
        }
        Err(error) => {
            warn!(%error, "the manifests of the build cannot be read: only what [cache] paths names is kept");
            None
        }
    }
}

fn say(read: &Prerendered) {
    let counts = read.counts();
    let touched = counts.proxy + counts.rule + counts.language;
    if counts.all > 0 && touched == counts.all {
        let help = "[cache] paths = [...] vouches for paths that are the same for everybody all the same";
        info!(
            pages = counts.all,
            by_proxy = counts.proxy,
            by_rules = counts.rule,
            help,
            "no page is kept: a proxy.ts or a rule of next.config looks at requests for each of them"
        );
        return;
    }
    info!(
        kept = counts.all - touched,
        by_proxy = counts.proxy,
        by_rules = counts.rule,
        by_language = counts.language,
        "pages that Next.js keeps are kept here too, but for those that something looks at first"
    );
}
