//! The limit on open files, raised as far as we may: every connection is one, and the usual default is 1,024.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Below this a warning tells what to do; a busy door needs two descriptors a request and one a socket.
const FEW: u64 = 4096;

pub fn raise() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let now = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    if now < FEW {
        warn!(limit = now, "few open files are allowed: raise LimitNOFILE= of the unit, or `ulimit -n`");
    } else {
        debug!(limit = now, "open files");
    }
}
