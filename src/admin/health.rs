//! Whether the door should get traffic, and if not, why.

use std::sync::{Arc, OnceLock};

use crate::drain::Signal;
use crate::upstream::Upstream;

/// Asks those who know, each time.
#[derive(Clone)]
pub struct Health {
    drain: Signal,
    upstream: Arc<OnceLock<Arc<Upstream>>>,
}

impl Health {
    pub fn new(drain: Signal) -> Health {
        Health { drain, upstream: Arc::default() }
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
        reasons
    }
}
