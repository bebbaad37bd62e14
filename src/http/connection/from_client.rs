//! A request's body of HTTP/1.1 without TLS, which whoever reads it may have carried past the library.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::Connected;
use super::carrying::Inbound;
use crate::http::body::{BodyError, Carried};
use crate::http::{Body, Request};
use crate::listen::Passage;
use crate::listen::passage::{WORTH_CARRYING, blank};

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

impl Drop for FromClient {
    fn drop(&mut self) {
        // A connection that waits for its next request keeps no files open.
        if self.inbound.is_some() {
            self.connected.carrying.leave_request(self.number);
        }
    }
}

impl Carried for FromClient {
    fn carry(self: Pin<&mut Self>) -> Option<Arc<Passage>> {
        let this = self.get_mut();
        if this.left < WORTH_CARRYING || this.inbound.is_some() {
            return None;
        }
        let passage = Passage::open()?;
        let inbound = this.connected.carrying.carry_request(Arc::clone(&passage), this.number);
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
        let length = data.len();
        let real = this.inbound.as_ref().map_or(length, |inbound| inbound.real(length, this.left));
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
