//! Whether the door should get traffic, and if not, why.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use crate::drain::Signal;
use crate::realtime::Realtime;
use crate::upstream::Upstream;

/// Asks those who know, each time.
#[derive(Clone)]
pub struct Health {
    drain: Signal,
    upstream: Arc<OnceLock<Arc<Upstream>>>,
    realtime: Arc<OnceLock<Arc<Realtime>>>,
}

impl Health {
    pub fn new(drain: Signal) -> Health {
        Health { drain, upstream: Arc::default(), realtime: Arc::default() }
    }

    /// Documents that cannot be written count from now on, and other doors that are not heard.
    pub fn joins_in(&self, realtime: Arc<Realtime>) {
        let _ = self.realtime.set(realtime);
    }

    /// From now on the door is open, and the app decides.
    pub fn opened(&self, upstream: Arc<Upstream>) {
        let _ = self.upstream.set(upstream);
    }

    /// Why it is not ready; empty when it is.
    pub fn reasons(&self) -> Vec<Cow<'static, str>> {
        let mut reasons: Vec<Cow<'static, str>> = Vec::new();
        if !self.drain.is_running() {
            reasons.push("draining".into());
        }
        match self.upstream.get() {
            None => reasons.push("starting".into()),
            Some(upstream) if !upstream.is_ready() => reasons.push("the app does not answer".into()),
            Some(_) => {}
        }
        if self.realtime.get().is_some_and(|realtime| realtime.documents_health().is_err()) {
            reasons.push("documents cannot be written".into());
        }
        if let Some(trouble) = self.realtime.get().and_then(|realtime| realtime.sharing_trouble()) {
            reasons.push(format!("Redis: {trouble}").into());
        }
        reasons
    }
}
