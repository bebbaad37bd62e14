//! What is declared old: by a request that changes something, by the app, by whoever runs the door.

use http::header::{CONTENT_LOCATION, LOCATION};
use http::{Method, Uri};

use super::announcements::Announcements;
use super::bypass::Bypass;
use super::metrics::Outcome;
use super::status::CacheStatus;
use super::{Cache, marked};
use crate::http::{Facts, Failure, Request, Response, path};

impl Cache {
    /// Declares what is kept of `path`, in any spelling, to be old.
    pub fn purge_path(&self, path: &str) {
        self.metrics.purges.inc();
        let path = path::canonical(path).unwrap_or(path.into());
        self.purges.path(&path);
        self.elsewhere.add(|old| {
            old.paths.insert(path.as_ref().into());
        });
        if self.config.get().tell {
            self.announcements.path(&path);
        }
    }

    /// Declares what carries `tag` (in `Cache-Tag`) to be old.
    pub fn purge_tag(&self, tag: &str) {
        self.metrics.purges.inc();
        self.purges.tag(tag);
        self.elsewhere.add(|old| {
            old.tags.insert(tag.into());
        });
        if self.config.get().tell {
            self.announcements.tag(tag);
        }
    }

    /// Declares everything to be old, and lets go of it.
    pub fn purge_everything(&self) {
        self.metrics.purges.inc();
        self.purges.everything();
        self.store.clear();
        self.elsewhere.add(|old| old.everything = true);
        if self.config.get().tell {
            self.announcements.everything();
        }
    }

    /// What was declared old, where `tell` has it gathered.
    pub fn announcements(&self) -> &Announcements {
        &self.announcements
    }

    /// What may change things: where it did, what is kept of its address, and of those that the answer names, is old
    /// (RFC 9111 section 4.4), before whoever asked for it can know.
    pub(super) async fn change(&self, request: Request) -> Result<Response, Failure> {
        let is_safe = matches!(*request.method(), Method::OPTIONS | Method::TRACE);
        let facts = request.extensions().get::<Facts>().map(|facts| facts.authority.clone());
        let path = request.uri().path().to_owned();
        let answered = self.upstream.send(request).await;
        self.metrics.request(Outcome::Bypass(Bypass::Method));
        if let Ok(response) = &answered
            && !is_safe
            && (response.status().is_success() || response.status().is_redirection())
        {
            self.purge_path(&path);
            for name in [LOCATION, CONTENT_LOCATION] {
                let named = response.headers().get(&name).and_then(|value| value.to_str().ok()?.parse::<Uri>().ok());
                // Another host's answers are not this app's to declare old.
                let is_ours = |uri: &Uri| uri.authority().is_none_or(|authority| Some(authority) == facts.as_ref());
                if let Some(uri) = named.filter(is_ours) {
                    self.purge_path(uri.path());
                }
            }
        }
        self.settled().await;
        marked(answered, CacheStatus::Bypass(Bypass::Method))
    }
}
