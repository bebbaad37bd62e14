//! Waits until replicas have what was written: one question for all that wait for one server at the same time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::redis::cmd;
use parking_lot::Mutex;
use tokio::sync::Mutex as Turn;

use super::answers;
use super::commands::{Commands, Question};
use super::trouble::RedisError;

/// The longest wait. Nothing else is answered on the connection meanwhile.
const LONGEST: Duration = Duration::from_secs(1);

/// Servers of which nobody waits any more are forgotten above so many.
const MANY: usize = 64;

/// Who waits for replicas, by the process of Redis that was told.
#[derive(Default)]
pub(super) struct Replicas {
    servers: Mutex<HashMap<String, Arc<Waiters>>>,
}

#[derive(Default)]
struct Waiters {
    begun: AtomicU64,
    latest: Turn<Latest>,
}

/// The latest question: which it was, and how many replicas had all that was written before it.
#[derive(Default)]
struct Latest {
    number: u64,
    got: u32,
}

impl Replicas {
    /// How many replicas have what this process of Redis was told before: `wanted`, or all that have it in time. `key` lies
    /// there, and may be written.
    ///
    /// # Errors
    /// [`RedisError`].
    pub(super) async fn have(
        &self,
        commands: &Commands,
        key: &str,
        wanted: u32,
        server: Option<String>,
    ) -> Result<u32, RedisError> {
        let Some(server) = server else { return Ok(0) };
        let waiters = self.waiters(&server);
        let before = waiters.begun.load(Ordering::Acquire);
        let mut latest = waiters.latest.lock().await;
        // Whoever waited for the lock may have been waited for by another, whose question began after.
        if latest.number <= before {
            latest.number = waiters.begun.fetch_add(1, Ordering::AcqRel) + 1;
            latest.got = 0;
            // The question is about what this connection has written, and all that was written before it by any.
            let (mut write, mut wait) = (cmd("SET"), cmd("WAIT"));
            write.arg(&[key, "1", "PX", "1000"]);
            wait.arg(wanted).arg(u64::try_from(LONGEST.as_millis()).unwrap_or(u64::MAX));
            let is_there = || commands.server_of(key).as_ref() == Some(&server);
            let was_there = is_there();
            let answers = commands.ask_all(&[Question::Command(write), Question::FollowUp(wait)]).await?;
            let got = answers.get(1).and_then(answers::number).and_then(|got| u32::try_from(got).ok());
            // Another process knows nothing of what was written to this one.
            latest.got = got.filter(|_| was_there && is_there()).unwrap_or(0);
        }
        Ok(latest.got)
    }

    fn waiters(&self, server: &str) -> Arc<Waiters> {
        let mut servers = self.servers.lock();
        if servers.len() >= MANY && !servers.contains_key(server) {
            servers.retain(|_, waiters| Arc::strong_count(waiters) > 1);
        }
        Arc::clone(servers.entry(server.to_owned()).or_default())
    }
}
