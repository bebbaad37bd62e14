//! The sessions that requests can name. Each holds one of the permits of admission, which bounds them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::session::PollingSession;
use super::sid::Sid;
use crate::telemetry::Registry;

/// All of one door.
#[derive(Debug)]
pub struct PollingSessions {
    places: Mutex<HashMap<Sid, Lookup>>,
    metrics: Metrics,
}

/// What all sessions count.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    polling: Gauge,
    upgraded: Counter,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        registry.register("engine_polling", "Engine.IO sessions that poll now", metrics.polling.clone());
        registry.register(
            "engine_upgraded",
            "Engine.IO sessions that went over from polling to a WebSocket",
            metrics.upgraded.clone(),
        );
        metrics
    }
}

/// How a session is reached.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// By requests that name it.
    Polling(Arc<PollingSession>),
    /// By its WebSocket only.
    Socket,
}

impl PollingSessions {
    pub fn new(metrics: Metrics) -> PollingSessions {
        PollingSessions { places: Mutex::default(), metrics }
    }

    pub fn find(&self, sid: Sid) -> Option<Lookup> {
        self.places.lock().get(&sid).cloned()
    }

    pub(super) fn enter(self: &Arc<Self>, sid: Sid, place: Lookup) -> SessionEntry {
        if matches!(place, Lookup::Polling(_)) {
            self.metrics.polling.inc();
        }
        self.places.lock().insert(sid, place);
        SessionEntry { sessions: Arc::clone(self), sid }
    }
}

/// A session's entry; dropped, nobody finds it any more.
#[derive(Debug)]
pub struct SessionEntry {
    sessions: Arc<PollingSessions>,
    sid: Sid,
}

impl SessionEntry {
    /// From now on it is reached by its WebSocket only.
    pub fn upgraded(&self) {
        self.sessions.places.lock().insert(self.sid, Lookup::Socket);
        self.sessions.metrics.polling.dec();
        self.sessions.metrics.upgraded.inc();
    }
}

impl Drop for SessionEntry {
    fn drop(&mut self) {
        let mut places = self.sessions.places.lock();
        let gone = places.remove(&self.sid);
        // After a storm of them, its memory goes back.
        if places.len() < places.capacity() / 4 {
            let keep = places.len() * 2;
            places.shrink_to(keep);
        }
        drop(places);
        if matches!(gone, Some(Lookup::Polling(_))) {
            self.sessions.metrics.polling.dec();
        }
    }
}
