//! Server-Sent Events as a link: a response's body that goes on for as long as the client listens. Nothing is received.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Frame as BodyFrame;
use parking_lot::Mutex;

use super::{Link, LinkError, Traffic};
use crate::realtime::vocabulary::{EncodedFrames, Frame};

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

/// Both ends of a stream, whose client comes back `retry` after it is lost (HTML, section 9.2.6).
pub fn open(retry: Duration) -> (EventStream, EventStreamBody) {
    let slot = Arc::new(Mutex::new(EventSlot::default()));
    let waiting = BytesMut::from(format!("retry: {}\n\n", retry.as_millis()).as_bytes());
    let link = EventStream { slot: Arc::clone(&slot), waiting, traffic: Traffic::default() };
    (link, EventStreamBody { slot })
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
