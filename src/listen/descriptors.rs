//! How many files and sockets the system lets us hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Raises the limit as far as it goes without asking anybody, and gives the new one. The default of most systems
/// (1,024, for the sake of `select`) is far below what they allow.
pub fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.or(limit.current).unwrap_or(u64::MAX);
    if limit.current.is_some_and(|current| current < most) {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }) {
            Ok(()) => debug!(from = limit.current, to = most, "the limit of open files is raised"),
            Err(error) => {
                warn!(%error, limit = limit.current, "the limit of open files cannot be raised");
                return usize::try_from(limit.current.unwrap_or(most)).unwrap_or(usize::MAX);
            }
        }
    }
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// How many of `descriptors` clients may take; the rest is for the app's side, files and ourselves.
pub fn for_clients(descriptors: usize) -> usize {
    (descriptors / 5 * 4).clamp(1, 10_000_000)
}
