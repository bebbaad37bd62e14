//! What a process writes goes to the log line by line, under a name of its own: `app`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::telemetry::log;

/// A longer line is logged in pieces of this many bytes.
const MAX_LINE: usize = 8 * 1024;

/// How many lines are kept.
const LAST_LINES: usize = 64;

/// When an app of ours wrote its last line.
static SAID: Mutex<Option<Instant>> = Mutex::new(None);

/// Waits until no app of ours has written a line for `pause`; at most for `longest`.
pub async fn silence(pause: Duration, longest: Duration) {
    let deadline = Instant::now() + longest;
    let mut since = Instant::now();
    loop {
        since = since.max(SAID.lock().unwrap_or(since));
        let quiet = (since + pause).min(deadline);
        if Instant::now() >= quiet {
            return;
        }
        sleep_until(quiet).await;
    }
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Told each line of a process as it comes; not to be kept waiting.
pub type Hears = Arc<dyn Fn(&str) + Send + Sync>;

/// The last that a process wrote; older lines are forgotten. Clones share them.
#[derive(Clone, Default)]
pub struct LastLines {
    lines: Arc<Mutex<VecDeque<String>>>,
    hears: Option<Hears>,
}

impl LastLines {
    /// Those that `hears` is told, too.
    pub fn heard_by(hears: Option<Hears>) -> LastLines {
        LastLines { lines: Arc::default(), hears }
    }

    fn push(&self, line: &str) {
        if let Some(hears) = &self.hears {
            hears(line);
        }
        let mut lines = self.lines.lock();
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    pub fn get(&self) -> Vec<String> {
        self.lines.lock().iter().cloned().collect()
    }
}

/// Logs `source` until it ends. A process that writes faster than lines are taken waits in its own `write`.
pub async fn copy(source: impl AsyncRead + Unpin, stream: Stream, step: &'static str, last: LastLines) {
    let mut source = BufReader::with_capacity(MAX_LINE, source);
    let mut line = Vec::new();
    loop {
        let (taken, ended) = match source.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(bytes) => match memchr::memchr(b'\n', bytes) {
                Some(end) => (end + 1, true),
                None => (bytes.len(), false),
            },
        };
        line.extend_from_slice(&source.buffer()[..taken]);
        source.consume(taken);
        if ended || line.len() >= MAX_LINE {
            say(&line, stream, step, &last);
            line.clear();
        }
    }
    say(&line, stream, step, &last);
}

fn say(line: &[u8], stream: Stream, step: &'static str, last: &LastLines) {
    let line = String::from_utf8_lossy(line);
    // What is read by a program, or by people without a terminal, has no colours.
    let plain = (!log::has_colours()).then(|| anstream::adapter::strip_str(&line).to_string());
    let line = plain.as_deref().unwrap_or(&line).trim_end();
    if line.is_empty() {
        return;
    }
    last.push(line);
    *SAID.lock() = Some(Instant::now());
    match stream {
        // npm and `next build` write their progress there.
        Stream::Stderr if step == "run" => warn!(target: "app", step, "{line}"),
        _ => info!(target: "app", step, "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// No other test has a process that writes lines.
    #[tokio::test(start_paused = true)]
    async fn silence_is_that_behind_the_last_line() {
        let begun = Instant::now();
        let lines = async {
            for _ in 0..3 {
                sleep(Duration::from_millis(300)).await;
                say(b"a line\n", Stream::Stdout, "run", &LastLines::default());
            }
        };
        tokio::join!(lines, async {
            silence(Duration::from_millis(500), Duration::from_secs(5)).await;
            assert_eq!(begun.elapsed(), Duration::from_millis(1400));
        });
        let begun = Instant::now();
        let endless = async {
            loop {
                sleep(Duration::from_millis(100)).await;
                say(b"and on\n", Stream::Stdout, "run", &LastLines::default());
            }
        };
        tokio::select! {
            () = endless => {}
            () = silence(Duration::from_millis(500), Duration::from_secs(5)) => {}
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
