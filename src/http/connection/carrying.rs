//! Bodies of HTTP/1.1 without TLS that are carried past the library: it is given blank bytes, counts them, and writes and
//! reads the heads; the guard beneath it knows the passages that the real ones are in. See [`crate::listen::passage`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;

use super::Connected;
use crate::http::body::{BodyError, Carried};
use crate::http::{Body, Request};
use crate::listen::Passage;
use crate::listen::passage::{WORTH_CARRYING, blank};

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

    /// The body that is on its way in is not carried any more.
    pub fn leave_inbound(&self) {
        *self.inbound.lock() = None;
    }
}

impl Inbound {
    /// Something of it was put into the passage.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed) != NOT_BEGUN
    }

    /// What comes from here on is in the passage; `left` bytes are to come.
    pub fn begin(&self, left: u64) {
        let _ = self.begun.compare_exchange(NOT_BEGUN, left, Ordering::Release, Ordering::Relaxed);
    }
}

/// Has the body of `request`, the one by this number, carried if whoever reads it wants that.
pub fn offer(request: &mut Request, connected: &Arc<Connected>, number: u64) {
    let length = request.body().size_hint().exact().filter(|length| *length >= WORTH_CARRYING);
    let Some(left) = length.filter(|_| request.version() < http::Version::HTTP_2 && connected.may_carry()) else {
        return;
    };
    let source = std::mem::take(request.body_mut());
    let connected = Arc::clone(connected);
    *request.body_mut() =
        Body::Carried(Box::pin(FromClient { source, connected, number, left, inbound: None, pending: None }));
}

/// A request's body as the library gives it, blank where it is carried.
struct FromClient {
    source: Body,
    connected: Arc<Connected>,
    /// The request, by its number.
    number: u64,
    /// Bytes that the library is still to give.
    left: u64,
    inbound: Option<Inbound>,
    /// Given already, and goes next.
    pending: Option<Bytes>,
}

impl FromClient {
    /// How many of the next `length` bytes are themselves; those behind them are in the passage.
    fn real(&self, length: usize) -> usize {
        let begun = self.inbound.as_ref().map_or(NOT_BEGUN, |inbound| inbound.begun.load(Ordering::Acquire));
        if begun == NOT_BEGUN {
            return length;
        }
        usize::try_from(self.left.saturating_sub(begun)).unwrap_or(usize::MAX).min(length)
    }
}

impl Carried for FromClient {
    fn carry(self: Pin<&mut Self>) -> Option<Arc<Passage>> {
        let this = self.get_mut();
        if this.left < WORTH_CARRYING || this.inbound.is_some() {
            return None;
        }
        let passage = Passage::open()?;
        let begun = Arc::new(AtomicU64::new(NOT_BEGUN));
        let inbound = Inbound { passage: Arc::clone(&passage), number: this.number, begun };
        *this.connected.carrying.inbound.lock() = Some(inbound.clone());
        this.inbound = Some(inbound);
        Some(passage)
    }
}

impl http_body::Body for FromClient {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(data) = this.pending.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let mut data = match ready!(Pin::new(&mut this.source).poll_frame(context)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            },
            end => return Poll::Ready(end),
        };
        let (length, real) = (data.len(), this.real(data.len()));
        this.left = this.left.saturating_sub(length as u64);
        if real < length {
            let rest = blank(length - real);
            data.truncate(real);
            if real == 0 {
                data = rest;
            } else {
                this.pending = Some(rest);
            }
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_none() && self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left + self.pending.as_ref().map_or(0, |pending| pending.len() as u64))
    }
}
