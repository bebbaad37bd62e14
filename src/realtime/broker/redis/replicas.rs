//! Waits until replicas have what was written: one question for all that wait at the same time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::redis::cmd;
use tokio::sync::Mutex;

use super::answers;
use super::commands::{Commands, Question};
use super::trouble::RedisError;

/// The longest wait. Nothing else is answered on the connection meanwhile.
const LONGEST: Duration = Duration::from_secs(1);

/// Who waits for replicas.
#[derive(Default)]
pub(super) struct Replicas {
    begun: AtomicU64,
    latest: Mutex<Latest>,
}

/// The latest question: which it was, and how many replicas had all that was written before it.
#[derive(Default)]
struct Latest {
    number: u64,
    got: u32,
    server: Option<String>,
}

impl Replicas {
    /// How many replicas have what this process of Redis was told before: `wanted`, or all that have it in time.
    ///
    /// # Errors
    /// [`RedisError`].
    pub(super) async fn have(
        &self,
        commands: &Commands,
        (key, wanted): (&str, u32),
        server: Option<String>,
    ) -> Result<u32, RedisError> {
        let before = self.begun.load(Ordering::Acquire);
        let mut latest = self.latest.lock().await;
        // Whoever waited for the lock may have been waited for by another, whose question began after.
        if latest.number <= before {
            latest.number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
            (latest.got, latest.server) = (0, commands.server());
            // The question is about what this connection has written, and all that was written before it by any.
            let (mut write, mut wait) = (cmd("SET"), cmd("WAIT"));
            write.arg(&[key, "1", "PX", "60000"]);
            wait.arg(wanted).arg(u64::try_from(LONGEST.as_millis()).unwrap_or(u64::MAX));
            let answers = commands.ask_all(&[Question::Command(write), Question::Command(wait)]).await?;
            let got = answers.get(1).and_then(answers::number).and_then(|got| u32::try_from(got).ok());
            latest.got = got.unwrap_or(0);
            if latest.server != commands.server() {
                latest.server = None;
            }
        }
        Ok(if latest.server.is_some() && latest.server == server { latest.got } else { 0 })
    }
}
