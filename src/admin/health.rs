//! Whether the door should get traffic, and if not, why.

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

    /// Documents that cannot be written count from now on.
    pub fn keeps_documents(&self, realtime: Arc<Realtime>) {
        let _ = self.realtime.set(realtime);
    }

    /// From now on the door is open, and the app decides.
    pub fn opened(&self, upstream: Arc<Upstream>) {
        let _ = self.upstream.set(upstream);
    }

    /// Why it is not ready; empty when it is.
    pub fn reasons(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if !self.drain.is_running() {
            reasons.push("draining");
        }
        match self.upstream.get() {
            None => reasons.push("starting"),
            Some(upstream) if !upstream.is_ready() => reasons.push("the app does not answer"),
            Some(_) => {}
        }
        if self.realtime.get().is_some_and(|realtime| realtime.documents_health().is_err()) {
            reasons.push("documents cannot be written");
        }
        reasons
    }
}
