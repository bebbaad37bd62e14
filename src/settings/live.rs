//! A section that a reload may replace while everything runs.

use std::sync::Arc;

use tokio::sync::watch;

/// The section as it is now. Clones share it: what one [`set`](Live::set)s, all [`get`](Live::get).
///
/// Take it once a request (or once a connection) and keep the `Arc` for that long, so that one request sees one config.
#[derive(Debug)]
pub struct Live<T>(watch::Sender<Arc<T>>);

impl<T> Live<T> {
    pub fn new(section: T) -> Live<T> {
        Live(watch::Sender::new(Arc::new(section)))
    }

    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.borrow())
    }

    pub fn set(&self, section: T) {
        self.0.send_replace(Arc::new(section));
    }

    /// For whoever must act when it changes, rather than look when it is needed.
    pub fn changes(&self) -> watch::Receiver<Arc<T>> {
        self.0.subscribe()
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Live(self.0.clone())
    }
}
