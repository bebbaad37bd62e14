//! What a process writes goes to the log line by line, under a name of its own: `app`.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tracing::{info, warn};

use crate::telemetry::log;

/// A longer line is logged in pieces of this many bytes.
const MAX_LINE: usize = 8 * 1024;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Logs `source` until it ends. A process that writes faster than lines are taken waits in its own `write`.
pub async fn copy(source: impl AsyncRead + Unpin, stream: Stream, step: &'static str) {
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
            say(&line, stream, step);
            line.clear();
        }
    }
    say(&line, stream, step);
}

fn say(line: &[u8], stream: Stream, step: &'static str) {
    let line = String::from_utf8_lossy(line);
    // What is read by a program, or by people without a terminal, has no colours.
    let plain = (!log::has_colours()).then(|| anstream::adapter::strip_str(&line).to_string());
    let line = plain.as_deref().unwrap_or(&line).trim_end();
    if line.is_empty() {
        return;
    }
    match stream {
        // npm and `next build` write their progress there.
        Stream::Stderr if step == "run" => warn!(target: "app", step, "{line}"),
        _ => info!(target: "app", step, "{line}"),
    }
}
