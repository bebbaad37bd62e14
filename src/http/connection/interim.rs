//! Interim answers of the app (1xx, as 103 Early Hints) on their way to a client of HTTP/1.1. They pass hyper by: its server
//! sends none. Over HTTP/2 there is no way past it, since each stream's end for answers (h2's `SendResponse`, which can) is
//! hyper's own; HTTP/1.0 has no interim answers.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

/// The most bytes that wait for the socket; further ones are left out, as a client must not miss them.
const MOST: usize = 64 * 1024;

/// What was said and is not yet written. The app's side and the socket's are polled by one task, the connection's.
#[derive(Debug, Default)]
pub struct Interim {
    waits: AtomicBool,
    bytes: Mutex<Vec<u8>>,
}

impl Interim {
    /// Queues one as the bytes of HTTP/1.1.
    pub fn say(&self, status: StatusCode, headers: &HeaderMap) {
        let mut bytes = self.bytes.lock();
        let before = bytes.len();
        let reason = status.canonical_reason().unwrap_or_default();
        bytes.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).as_bytes());
        for (name, value) in headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        if bytes.len() > MOST {
            bytes.truncate(before);
        }
        self.waits.store(!bytes.is_empty(), Ordering::Relaxed);
    }

    /// Takes what waits; nearly always nothing.
    pub fn take(&self) -> Option<Bytes> {
        if !self.waits.load(Ordering::Relaxed) {
            return None;
        }
        self.waits.store(false, Ordering::Relaxed);
        Some(std::mem::take(&mut *self.bytes.lock()).into())
    }
}
