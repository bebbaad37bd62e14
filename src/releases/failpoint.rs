//! Places at which a test ends the process at once, as a crash or a kill would; in debug builds alone.

/// Names the place at which a process is to end.
const VARIABLE: &str = "DOORWAY_FAILPOINT";

/// Ends this process without any farewell if it is to end at `place`.
pub fn failpoint(place: &str) {
    if cfg!(debug_assertions) && std::env::var_os(VARIABLE).is_some_and(|named| named == place) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal may be taken on another thread a moment later.
        loop {
            std::thread::park();
        }
    }
}
