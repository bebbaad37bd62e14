//! The runtime of a process, and how long its end may take.

use std::time::Duration;

/// How long the end of the process waits for work on other threads (a file being compressed), and for the log.
pub const LAST_WORK: Duration = Duration::from_secs(1);

/// One thread where there is one processor: queues between threads cost without a gain.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match processors {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}
