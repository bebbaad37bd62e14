//! One large buffer a thread, so that no connection has to keep one of its own.

use std::cell::RefCell;

/// Length of the buffer, in bytes.
pub const SCRATCH_LEN: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's buffer. Its content means nothing; it is lent again when `use_it` returns.
pub fn with<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(SCRATCH_LEN, 0);
        use_it(buffer)
    })
}
