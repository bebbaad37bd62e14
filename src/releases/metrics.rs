//! The metrics of this room.

use prometheus_client::metrics::counter::Counter;

use crate::telemetry::{Registry, labelled};

/// How far a release came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// All the way.
    Live,
    /// It was not made: its packages, or its build.
    Build,
    /// Its hook failed.
    Hook,
    /// It did not start, or a page of it failed.
    Start,
    /// It failed once requests went to it, and the one before is back.
    Watch,
}

/// Handles, looked up once.
pub struct Metrics([Counter; 5]);

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let help = "Releases that were to be put in place: live, or where they failed";
        Metrics(labelled(registry, "deploys", help, "outcome", ["live", "build", "hook", "start", "watch"]))
    }

    pub fn count(&self, stage: Stage) {
        let [live, build, hook, start, watch] = &self.0;
        let counter = match stage {
            Stage::Live => live,
            Stage::Build => build,
            Stage::Hook => hook,
            Stage::Start => start,
            Stage::Watch => watch,
        };
        counter.inc();
    }
}
