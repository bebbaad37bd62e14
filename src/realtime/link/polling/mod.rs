//! A client whose frames travel in ordinary requests: what is between the tasks of its requests and that of its session.
//!
//! At most one request reads and one writes at a time. Nothing is queued here: a body that was posted is used up before
//! its request is answered, and what is to be read waits in the link until somebody reads. How frames are put into
//! bodies is the link's affair.

mod post;
mod reader;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

pub use post::ExchangePost;
pub use reader::ExchangeReader;

/// Bytes that may wait in a link between two requests of its client before its session keeps back the rest, with what
/// each message takes besides its text: about as much as the kernel's buffers hold for a WebSocket of a client that is as
/// far away. With more the link counts as not flushed: messages then stay in the outbox, and when that is full too, the
/// channel's policy for slow clients says what gives way.
pub const MAX_BETWEEN_POLLS: usize = 1024 * 1024;

/// The place where both sides of one session meet.
#[derive(Debug, Default)]
pub struct Exchange(Mutex<ExchangeState>);

#[derive(Debug, Default)]
struct ExchangeState {
    reading: ReadingSide,
    /// When the present reader came.
    reading_since: Option<Instant>,
    posted: Posted,
    fault: Option<ExchangeFault>,
    is_over: bool,
    session: Option<Waker>,
}

#[derive(Debug, Default)]
enum ReadingSide {
    #[default]
    Nobody,
    Waits(Option<Waker>),
    Answered(Bytes),
}

#[derive(Debug, Default)]
enum Posted {
    #[default]
    Nothing,
    /// Its body is still on its way.
    Coming(Option<Waker>),
    Whole(Bytes, Option<Waker>),
    InUse(Option<Waker>),
    Used,
}

/// A fault among a client's requests; its session ends for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeFault {
    /// Two of a kind at the same time.
    Overlap,
    /// One broke off before it was answered.
    BrokenOff,
    /// One had a body that is not spoken here.
    Content,
}

/// The reason why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    Overlap,
    Over,
}

impl Exchange {
    /// For a request that reads.
    ///
    /// # Errors
    /// [`Denied`]; an overlap ends the session too.
    pub fn read(self: &Arc<Self>) -> Result<ExchangeReader, Denied> {
        let mut state = self.0.lock();
        if state.ends() {
            return Err(Denied::Over);
        }
        if !matches!(state.reading, ReadingSide::Nobody) {
            state.fail(ExchangeFault::Overlap);
            return Err(Denied::Overlap);
        }
        state.reading = ReadingSide::Waits(None);
        state.reading_since = Some(tokio::time::Instant::now().into_std());
        state.wake();
        Ok(ExchangeReader::new(Arc::clone(self)))
    }

    /// For a request that writes.
    ///
    /// # Errors
    /// [`Denied`]; an overlap ends the session too.
    pub fn post(self: &Arc<Self>) -> Result<ExchangePost, Denied> {
        let mut state = self.0.lock();
        if state.ends() {
            return Err(Denied::Over);
        }
        if !matches!(state.posted, Posted::Nothing) {
            state.fail(ExchangeFault::Overlap);
            return Err(Denied::Overlap);
        }
        state.posted = Posted::Coming(None);
        Ok(ExchangePost::new(Arc::clone(self)))
    }

    /// The session ends for this, if it is the first that goes wrong.
    pub fn fail(&self, fault: ExchangeFault) {
        self.0.lock().fail(fault);
    }

    /// Wakes the session: there is something for it elsewhere.
    pub fn wake(&self) {
        self.0.lock().wake();
    }

    /// The next body that was posted, for the link. [`Exchange::used`] follows.
    ///
    /// # Errors
    /// The fault that the session ends for.
    pub fn poll_posted(&self, context: &mut Context<'_>) -> Poll<Result<Bytes, ExchangeFault>> {
        let mut state = self.0.lock();
        if let Some(fault) = state.fault {
            return Poll::Ready(Err(fault));
        }
        if let Posted::Whole(body, writer) = &mut state.posted {
            let (body, writer) = (std::mem::take(body), writer.take());
            state.posted = Posted::InUse(writer);
            return Poll::Ready(Ok(body));
        }
        state.register(context);
        Poll::Pending
    }

    /// The posted messages are used up: their request can be answered.
    pub fn used(&self) {
        let mut state = self.0.lock();
        if let Posted::InUse(writer) = &mut state.posted {
            let writer = writer.take();
            state.posted = Posted::Used;
            drop(state);
            wake(writer);
        }
    }

    /// True if a request waits for an answer. If not, the session is woken when somebody does.
    pub fn has_reader(&self, context: &mut Context<'_>) -> bool {
        let mut state = self.0.lock();
        let waits = matches!(state.reading, ReadingSide::Waits(_));
        if !waits {
            state.register(context);
        }
        waits
    }

    /// When the request came that waits for an answer.
    pub fn reader_since(&self) -> Option<Instant> {
        let state = self.0.lock();
        if matches!(state.reading, ReadingSide::Waits(_)) { state.reading_since } else { None }
    }

    /// Hands it to the waiting reader; without one, drops it.
    pub fn answer(&self, chunk: Bytes) {
        let mut state = self.0.lock();
        if let ReadingSide::Waits(reader) = &mut state.reading {
            let reader = reader.take();
            state.reading = ReadingSide::Answered(chunk);
            drop(state);
            wake(reader);
        }
    }

    /// The session is over: what was answered can still be read, and nothing more comes.
    pub fn end(&self) {
        let mut state = self.0.lock();
        state.is_over = true;
        state.session = None;
        let reader = if let ReadingSide::Waits(reader) = &mut state.reading { reader.take() } else { None };
        let writer = match &mut state.posted {
            Posted::Coming(writer) | Posted::Whole(_, writer) | Posted::InUse(writer) => writer.take(),
            Posted::Nothing | Posted::Used => None,
        };
        drop(state);
        wake(reader);
        wake(writer);
    }
}

impl ExchangeState {
    fn register(&mut self, context: &Context<'_>) {
        if !self.session.as_ref().is_some_and(|session| session.will_wake(context.waker())) {
            self.session = Some(context.waker().clone());
        }
    }

    /// Over, or about to be: its task need not have heard of the fault for the next request to come too late.
    fn ends(&self) -> bool {
        self.is_over || self.fault.is_some()
    }

    fn fail(&mut self, fault: ExchangeFault) {
        self.fault.get_or_insert(fault);
        self.wake();
    }

    fn wake(&mut self) {
        wake(self.session.take());
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
