//! How many files and sockets the system lets us hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Below this a warning tells what to do: a connection is one, and a request on its way to the app another.
const FEW_DESCRIPTORS: usize = 4096;

/// Raises the limit as far as we may, and gives the new one. The default of most systems (1,024, for the sake of
/// `select`) is far below what they allow.
pub fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.or(limit.current);
    let now = match setrlimit(Resource::Nofile, Rlimit { current: most, maximum: limit.maximum }) {
        Ok(()) => most,
        Err(_) => limit.current,
    };
    // None means that there is no limit.
    let now = now.map_or(usize::MAX, |now| usize::try_from(now).unwrap_or(usize::MAX));
    if now < FEW_DESCRIPTORS {
        warn!(limit = now, "few open files are allowed: raise LimitNOFILE= of the unit, or `ulimit -n`");
    } else {
        debug!(limit = now, "open files");
    }
    now
}

/// How many of `descriptors` clients may take; the rest is for the app's side, files and ourselves.
pub fn for_clients(descriptors: usize) -> usize {
    (descriptors / 5 * 4).clamp(1, 10_000_000)
}
