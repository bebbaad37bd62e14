//! The one body type: what a request or an answer carries, chunk by chunk.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;

use crate::listen::Passage;

/// Why a body ended before its end.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A streamed body. Most are hyper's own; the others are made at the door.
#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    Full(Full<Bytes>),
    Incoming(Incoming),
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>),
    /// One that may be carried past us.
    Carried(Pin<Box<dyn Carried>>),
}

/// A body that comes straight from a socket, or whose bytes are only counted on their way from there. Whoever looks into
/// bodies is none, and so is given all bytes.
pub trait Carried: http_body::Body<Data = Bytes, Error = BodyError> + Send {
    /// Has what is still to come put into a passage, where that can be done and is worth it; see [`crate::listen::passage`].
    /// Pieces come before that as they are, and then blank ones.
    fn carry(self: Pin<&mut Self>) -> Option<Arc<Passage>>;
}

impl Body {
    /// Has what is still to come put into a passage, where nobody between here and its socket looks into it.
    pub fn carry(&mut self) -> Option<Arc<Passage>> {
        match self {
            Body::Carried(body) => body.as_mut().carry(),
            _ => None,
        }
    }
}

impl Body {
    pub fn boxed<B>(body: B) -> Body
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        Body::Boxed(Box::pin(body.map_err(Into::into)))
    }
}

impl Body {
    /// The same body, [`Empty`](Body::Empty) where it ends before its first byte. Where it does not say of itself whether
    /// it has any, its first piece is waited for: over HTTP/2 its end may come by itself, in a frame without data.
    pub async fn unless_empty(mut self) -> Body {
        if self.is_end_stream() || self.size_hint().lower() > 0 {
            return self;
        }
        loop {
            match self.frame().await {
                None => return Body::Empty,
                Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
                // A body that broke off is not empty: whoever reads it is told.
                Some(first) => return Body::Carried(Box::pin(Begun { first: Some(first), rest: self })),
            }
        }
    }
}

impl Body {
    /// The body with `first` before what is left of it.
    pub fn put_back(&mut self, first: Result<Frame<Bytes>, BodyError>) {
        let rest = std::mem::take(self);
        *self = Body::Carried(Box::pin(Begun { first: Some(first), rest }));
    }
}

/// A body whose first piece was taken off already.
struct Begun {
    first: Option<Result<Frame<Bytes>, BodyError>>,
    rest: Body,
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut this.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // What is broken has no length: whoever believed one would not ask any more, and take the answer for whole.
        let Some(first) = self.first.as_ref().map(Result::as_ref).transpose().ok() else { return SizeHint::new() };
        let length = first.and_then(|first| first.data_ref().map(Bytes::len));
        let (mut hint, rest) = (SizeHint::new(), self.rest.size_hint());
        let length = length.unwrap_or(0) as u64;
        hint.set_lower(rest.lower().saturating_add(length));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(length)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl Carried for Begun {
    fn carry(self: Pin<&mut Self>) -> Option<Arc<Passage>> {
        self.get_mut().rest.carry()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Body::Full(Full::new(bytes.into()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Body::Empty => Poll::Ready(None),
            Body::Full(full) => Pin::new(full).poll_frame(context).map_err(|never| match never {}),
            Body::Incoming(incoming) => Pin::new(incoming).poll_frame(context).map_err(Into::into),
            Body::Boxed(boxed) => boxed.as_mut().poll_frame(context),
            Body::Carried(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full(full) => full.is_end_stream(),
            Body::Incoming(incoming) => incoming.is_end_stream(),
            Body::Boxed(boxed) => boxed.is_end_stream(),
            Body::Carried(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => Empty::<Bytes>::new().size_hint(),
            Body::Full(full) => full.size_hint(),
            Body::Incoming(incoming) => incoming.size_hint(),
            Body::Boxed(boxed) => boxed.size_hint(),
            Body::Carried(body) => body.size_hint(),
        }
    }
}
