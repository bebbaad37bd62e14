//! Room on the stack for documents whose types are within each other.
//!
//! `yrs` deletes what is within a type by recursion, a call a level, and a stack that overflows ends the process. A document is
//! no deeper than it has types: where those are many, its changes are merged on a thread whose stack is large enough.

use std::thread;

use super::UpdateError;

/// Types that a document may have: maps, arrays, texts, elements.
pub const MAX_TYPES: usize = 200_000;

/// As many as fit on any stack.
const FEW: usize = 200;

/// Of one level, in bytes: twice what it takes without optimisation.
const LEVEL: usize = 2 * 1024;

/// What else is on the stack.
const REST: usize = 2 * 1024 * 1024;

/// Does something with a document of so many types.
///
/// # Errors
/// [`UpdateError::TooBig`]: there are too many, or no memory for them.
pub fn with_room<T: Send>(types: usize, act: impl FnOnce() -> T + Send) -> Result<T, UpdateError> {
    if types <= FEW {
        return Ok(act());
    }
    if types > MAX_TYPES {
        return Err(UpdateError::TooBig);
    }
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(REST + types * LEVEL).spawn_scoped(scope, act);
        let done = thread.map_err(|_| UpdateError::TooBig)?.join();
        done.map_err(|_| UpdateError::Malformed("it cannot be merged".to_owned()))
    })
}
