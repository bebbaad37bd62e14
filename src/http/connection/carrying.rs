//! Bodies of HTTP/1.1 without TLS that are carried past the library: it is given blank bytes, counts them, and writes and
//! reads the heads; the guard beneath it knows the passages that the real ones are in. See [`crate::listen::passage`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::http::Body;
use crate::listen::Passage;

/// The passages of one connection: one answer is on its way at a time, and one request.
#[derive(Debug, Default)]
pub struct Carrying {
    outbound: Mutex<Option<Arc<Passage>>>,
    inbound: Mutex<Option<Inbound>>,
}

/// The passage of a request's body.
#[derive(Debug, Clone)]
pub struct Inbound {
    pub passage: Arc<Passage>,
    /// The request, by its number.
    number: u64,
    /// So many bytes of the body were to come when it was first used.
    begun: Arc<AtomicU64>,
}

/// What [`Inbound::begun`] holds before that.
const NOT_BEGUN: u64 = u64::MAX;

impl Carrying {
    /// Where the answer's body is, as far as it is carried.
    pub fn outbound(&self) -> Option<Arc<Passage>> {
        self.outbound.lock().clone()
    }

    /// Has the body of the answer that comes next carried, where it may be and all before it is written.
    pub fn carry_answer(&self, body: &mut Body) {
        let mut outbound = self.outbound.lock();
        if outbound.is_none() {
            *outbound = body.carry();
        }
    }

    /// What was in `passage` is written: where nobody fills it any more, its files are closed.
    pub fn drained(&self, passage: Arc<Passage>) {
        let mut outbound = self.outbound.lock();
        // The one that is kept here, and ours.
        if Arc::strong_count(&passage) <= 2 {
            *outbound = None;
        }
    }

    /// Where the body of the request by this number goes, if it is to be carried.
    pub fn inbound(&self, number: u64) -> Option<Inbound> {
        let mut inbound = self.inbound.lock();
        if inbound.as_ref().is_some_and(|inbound| inbound.passage.is_abandoned()) {
            *inbound = None;
        }
        inbound.clone().filter(|inbound| inbound.number == number)
    }

    /// Has the body of the request by this number go into `passage`.
    pub fn carry_request(&self, passage: Arc<Passage>, number: u64) -> Inbound {
        let inbound = Inbound { passage, number, begun: Arc::new(AtomicU64::new(NOT_BEGUN)) };
        *self.inbound.lock() = Some(inbound.clone());
        inbound
    }

    /// The body of the request by this number is not carried any more.
    pub fn leave_request(&self, number: u64) {
        self.inbound.lock().take_if(|inbound| inbound.number == number);
    }
}

impl Inbound {
    /// Something of it was put into the passage.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed) != NOT_BEGUN
    }

    /// How many of the next `length` bytes are themselves, where `left` are to come; those behind them are in the passage.
    pub fn real(&self, length: usize, left: u64) -> usize {
        let begun = self.begun.load(Ordering::Acquire);
        if begun == NOT_BEGUN {
            return length;
        }
        usize::try_from(left.saturating_sub(begun)).unwrap_or(usize::MAX).min(length)
    }

    /// What comes from here on is in the passage; `left` bytes are to come.
    pub fn begin(&self, left: u64) {
        let _ = self.begun.compare_exchange(NOT_BEGUN, left, Ordering::Release, Ordering::Relaxed);
    }
}
