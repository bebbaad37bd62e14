//! Room to work on records in: the thread's own, lent for as long as a few of them are worked on.

use std::cell::RefCell;

/// The most that one record carries (RFC 8446 section 5.1), in bytes.
pub const MAX_RECORD_LEN: usize = 16 * 1024;

/// What a record has besides, with some to spare: header, content type, tag (RFC 8446 section 5.2), in bytes.
pub const RECORD_OVERHEAD: usize = 64;

/// What is encrypted at a time at most, in bytes.
pub const AT_ONCE: usize = 4 * MAX_RECORD_LEN;

/// Room for incomplete messages and what is read next: handshake messages have at most 64 KiB here.
pub const INBOUND: usize = AT_ONCE + 2 * MAX_RECORD_LEN;

/// Room for what is encrypted at a time, its records, small ones too, and an announcement of new keys.
pub const OUTBOUND: usize = AT_ONCE + 64 * RECORD_OVERHEAD;

thread_local! {
    static INBOUND_OF_THREAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static OUTBOUND_OF_THREAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's room for what is received.
pub fn inbound<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    INBOUND_OF_THREAD.with_borrow_mut(|buffer| {
        buffer.resize(INBOUND, 0);
        use_it(buffer)
    })
}

pub fn outbound<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    OUTBOUND_OF_THREAD.with_borrow_mut(|buffer| {
        buffer.resize(OUTBOUND, 0);
        use_it(buffer)
    })
}
