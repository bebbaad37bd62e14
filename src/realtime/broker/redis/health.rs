//! Whether all is well, put together from what each part sees.

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

/// What the parts saw last.
pub(super) struct Health {
    seen: Mutex<[RedisState; 3]>,
    whole: watch::Sender<RedisState>,
    metrics: Metrics,
}

impl Health {
    pub(super) fn new(metrics: Metrics) -> Health {
        let down = RedisState::Down(RedisTrouble::NotYet);
        let seen = Mutex::new([down.clone(), down.clone(), RedisState::Up]);
        Health { seen, whole: watch::Sender::new(down), metrics }
    }

    pub(super) fn see(&self, part: HealthPart, state: RedisState) {
        let mut seen = self.seen.lock();
        seen[part as usize] = state;
        let is_down = |state: &&RedisState| matches!(state, RedisState::Down(_));
        let worst = seen.iter().find(is_down).or_else(|| seen.iter().find(|state| **state != RedisState::Up));
        let worst = worst.cloned().unwrap_or(RedisState::Up);
        self.metrics.connected.set(i64::from(worst == RedisState::Up));
        self.whole.send_if_modified(|whole| {
            let is_new = *whole != worst;
            *whole = worst;
            is_new
        });
    }

    /// What to say of why something was not done.
    pub(super) fn trouble(&self) -> RedisTrouble {
        match &*self.whole.borrow() {
            RedisState::Down(trouble) => trouble.clone(),
            RedisState::Up | RedisState::Deaf => RedisTrouble::Silent(super::connection::SILENCE.as_secs()),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<RedisState> {
        self.whole.subscribe()
    }
}
