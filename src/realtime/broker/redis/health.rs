//! Whether all is well, put together from what each part sees.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Metrics;
use super::trouble::{RedisState, RedisTrouble};

/// Who sees something.
#[derive(Debug, Clone, Copy)]
pub(super) enum HealthPart {
    /// The connection for commands.
    Commands,
    /// The connection that hears.
    Hearing,
    /// What writes are answered.
    Writes,
}

/// What the parts of each server saw last.
pub(super) struct Health {
    seen: Mutex<Seen>,
    whole: watch::Sender<RedisState>,
    metrics: Metrics,
}

#[derive(Default)]
struct Seen {
    servers: Vec<(u64, [RedisState; 3])>,
    next: u64,
}

/// The share of one server.
pub(super) struct ServerHealth {
    health: Arc<Health>,
    number: u64,
    /// Its name, where there are several.
    host: Option<Arc<str>>,
}

impl Health {
    pub(super) fn new(metrics: Metrics) -> Health {
        let whole = watch::Sender::new(RedisState::Down(RedisTrouble::NotYet));
        Health { seen: Mutex::default(), whole, metrics }
    }

    /// Adds a server, of which nothing is known yet.
    pub(super) fn server(self: &Arc<Health>, host: Option<Arc<str>>) -> ServerHealth {
        let down = RedisState::Down(RedisTrouble::NotYet);
        let mut seen = self.seen.lock();
        seen.next += 1;
        let number = seen.next;
        seen.servers.push((number, [down.clone(), down, RedisState::Up]));
        self.put_together(&seen);
        drop(seen);
        ServerHealth { health: Arc::clone(self), number, host }
    }

    fn put_together(&self, seen: &Seen) {
        let all = || seen.servers.iter().flat_map(|(_, parts)| parts);
        let is_down = |state: &&RedisState| matches!(state, RedisState::Down(_));
        let worst = all().find(is_down).or_else(|| all().find(|state| **state != RedisState::Up));
        let worst = worst.cloned().unwrap_or(RedisState::Up);
        self.metrics.connected.set(i64::from(worst == RedisState::Up));
        self.whole.send_if_modified(|whole| {
            let is_new = *whole != worst;
            *whole = worst;
            is_new
        });
    }

    pub(super) fn watch(&self) -> watch::Receiver<RedisState> {
        self.whole.subscribe()
    }
}

impl ServerHealth {
    pub(super) fn see(&self, part: HealthPart, state: RedisState) {
        let state = match (state, &self.host) {
            (RedisState::Down(trouble), Some(host)) => RedisState::Down(trouble.of_one(host)),
            (state, _) => state,
        };
        let mut seen = self.health.seen.lock();
        let Some((_, parts)) = seen.servers.iter_mut().find(|(number, _)| *number == self.number) else { return };
        if parts[part as usize] != state {
            parts[part as usize] = state;
            self.health.put_together(&seen);
        }
    }

    /// What to say of why something was not done there.
    pub(super) fn trouble(&self) -> RedisTrouble {
        let seen = self.health.seen.lock();
        let own = seen.servers.iter().find(|(number, _)| *number == self.number);
        let down = own.into_iter().flat_map(|(_, parts)| parts).find_map(|state| match state {
            RedisState::Down(trouble) => Some(trouble.clone()),
            _ => None,
        });
        drop(seen);
        down.unwrap_or(RedisTrouble::Silent(super::connection::SILENCE.as_secs()))
    }
}

impl Drop for ServerHealth {
    fn drop(&mut self) {
        let mut seen = self.health.seen.lock();
        seen.servers.retain(|(number, _)| *number != self.number);
        // The last one takes the state with it: the link is closed.
        if !seen.servers.is_empty() {
            self.health.put_together(&seen);
        }
    }
}
