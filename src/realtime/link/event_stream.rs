//! Server-Sent Events as a link: a response's body that goes on for as long as the client listens. Nothing is received.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use http_body::Frame as BodyFrame;
use parking_lot::Mutex;

use super::{Link, LinkError, Traffic};
use crate::http::{Body, Response};
use crate::realtime::vocabulary::{EncodedFrames, Frame};

/// How long the last events may take to reach a client that is closed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The writing end. Text frames are written as they are: whoever makes them writes `data:` and `id:`.
pub struct EventStream {
    slot: Arc<Mutex<EventSlot>>,
    waiting: BytesMut,
    traffic: Traffic,
}

/// The reading end, for the response.
pub struct EventStreamBody {
    slot: Arc<Mutex<EventSlot>>,
}

/// The chunk between them: one at most. A client that does not read leaves it there, and the link is not flushed.
#[derive(Default)]
struct EventSlot {
    chunk: Option<Bytes>,
    is_over: bool,
    is_gone: bool,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

/// When a client comes back whose stream is lost, in milliseconds: Chromium would wait for 3 s, each of them as long as
/// every other.
const RETRY: Range<u64> = 1000..2000;

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Both ends of a stream of Server-Sent Events, whose client is told when to come back (HTML, section 9.2.6).
pub fn open() -> (EventStream, EventStreamBody) {
    begin(BytesMut::from(format!("retry: {}\n\n", fastrand::u64(RETRY)).as_bytes()))
}

/// Both ends of a stream in another form, of which its reader knows.
pub fn open_raw() -> (EventStream, EventStreamBody) {
    begin(BytesMut::new())
}

fn begin(waiting: BytesMut) -> (EventStream, EventStreamBody) {
    let slot = Arc::new(Mutex::new(EventSlot::default()));
    let link = EventStream { slot: Arc::clone(&slot), waiting, traffic: Traffic::default() };
    (link, EventStreamBody { slot })
}

impl EventStreamBody {
    /// The answer to whoever listens, of this content type.
    pub fn into_response(self, kind: &'static str) -> Response {
        let mut response = Response::new(Body::boxed(self));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
        response
    }
}

impl Link for EventStream {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        let mut slot = self.slot.lock();
        if slot.is_gone {
            return Poll::Ready(None);
        }
        slot.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn push(&mut self, frame: Frame) {
        if let Frame::Text(text) = frame {
            self.traffic.messages_out += 1;
            self.waiting.extend_from_slice(text.as_bytes());
        }
    }

    fn push_encoded(&mut self, encoded: EncodedFrames) {
        encoded.frames().iter().for_each(|frame| self.push(frame.clone()));
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slot = self.slot.lock();
        if slot.is_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if slot.chunk.is_none() && !self.waiting.is_empty() {
            self.traffic.bytes_out += self.waiting.len() as u64;
            slot.chunk = Some(std::mem::take(&mut self.waiting).freeze());
            if let Some(reader) = slot.reader.take() {
                reader.wake();
            }
        }
        if slot.chunk.is_none() {
            return Poll::Ready(Ok(()));
        }
        slot.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.poll_flush(context);
        if flushed.is_ready() {
            let mut slot = self.slot.lock();
            slot.is_over = true;
            if let Some(reader) = slot.reader.take() {
                reader.wake();
            }
        }
        flushed
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let mut slot = self.slot.lock();
        slot.is_over = true;
        if let Some(reader) = slot.reader.take() {
            reader.wake();
        }
    }
}

impl http_body::Body for EventStreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, io::Error>>> {
        let mut slot = self.slot.lock();
        if let Some(chunk) = slot.chunk.take() {
            if let Some(writer) = slot.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(BodyFrame::data(chunk))));
        }
        if slot.is_over {
            return Poll::Ready(None);
        }
        slot.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for EventStreamBody {
    fn drop(&mut self) {
        let mut slot = self.slot.lock();
        slot.is_gone = true;
        if let Some(writer) = slot.writer.take() {
            writer.wake();
        }
    }
}
