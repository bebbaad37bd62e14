//! The sessions that requests can name. Each holds one of the permits of admission, which bounds them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::session::PollingSession;
use super::sid::{Sid, SidSecret};
use crate::realtime::broker::NodeId;
use crate::telemetry::Registry;

/// All of one door.
#[derive(Debug)]
pub struct PollingSessions {
    /// By the secrets of their ids.
    places: Mutex<HashMap<SidSecret, Lookup>>,
    metrics: Metrics,
    /// The door that their ids name.
    home: Option<NodeId>,
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
    pub fn new(metrics: Metrics, home: Option<NodeId>) -> PollingSessions {
        PollingSessions { places: Mutex::default(), metrics, home }
    }

    /// A new id of this door's; `None` when the system has no randomness to give.
    pub fn new_id(&self) -> Option<Sid> {
        Some(Sid::random()?.at(self.home))
    }

    pub fn find(&self, sid: Sid) -> Option<Lookup> {
        if sid.home() != self.home {
            return None;
        }
        self.places.lock().get(&sid.secret()).cloned()
    }

    pub(super) fn enter(self: &Arc<Self>, sid: Sid, place: Lookup) -> SessionEntry {
        if matches!(place, Lookup::Polling(_)) {
            self.metrics.polling.inc();
        }
        self.places.lock().insert(sid.secret(), place);
        SessionEntry { sessions: Arc::clone(self), secret: sid.secret() }
    }
}

/// A session's entry; dropped, nobody finds it any more.
#[derive(Debug)]
pub struct SessionEntry {
    sessions: Arc<PollingSessions>,
    secret: SidSecret,
}

impl SessionEntry {
    /// From now on it is reached by its WebSocket only.
    pub fn upgraded(&self) {
        self.sessions.places.lock().insert(self.secret, Lookup::Socket);
        self.sessions.metrics.polling.dec();
        self.sessions.metrics.upgraded.inc();
    }
}

impl Drop for SessionEntry {
    fn drop(&mut self) {
        let mut places = self.sessions.places.lock();
        let gone = places.remove(&self.secret);
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
