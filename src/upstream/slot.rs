//! How many connections to one app are open, idle ones too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::metrics::gauge::Gauge;

/// The count; clones share it.
#[derive(Debug, Clone)]
pub struct OpenConnections {
    count: Arc<AtomicUsize>,
    gauge: Gauge,
}

/// One connection that is open, until dropped.
#[derive(Debug)]
pub struct Slot(OpenConnections);

impl OpenConnections {
    pub fn new(gauge: Gauge) -> OpenConnections {
        OpenConnections { count: Arc::default(), gauge }
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub fn add(&self) -> Slot {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.gauge.inc();
        Slot(self.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
        self.0.gauge.dec();
    }
}
