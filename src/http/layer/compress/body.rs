//! A body that is coded on its way, and holds no chunk back: what the source has given is flushed when it pauses.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::OwnedSemaphorePermit;

use super::encoder::Encoder;
use crate::http::Body;
use crate::http::body::BodyError;

/// At most this much is coded before other tasks get their turn: about a millisecond's work.
const BYTES_PER_TURN: usize = 32 * 1024;
/// Coded bytes leave in frames of about this size.
const FRAME_LEN: usize = 16 * 1024;

/// Counts the bytes on both sides of the encoders.
#[derive(Debug, Clone, Default)]
pub struct Bytecount {
    pub plain: Counter,
    pub coded: Counter,
}

/// The coded form of `source`.
pub struct Coded {
    source: Body,
    encoder: Option<Encoder>,
    /// Given by the source, not coded yet.
    rest: Bytes,
    /// Coded bytes are inside the encoder that a flush would bring out.
    unflushed: bool,
    /// The source paused, and has had one more turn since.
    paused: bool,
    /// How much may be coded yet in this turn.
    turn: usize,
    trailers: Option<HeaderMap>,
    count: Bytecount,
    /// Memory of the budget; given back with the encoder.
    permit: Option<OwnedSemaphorePermit>,
}

impl Coded {
    pub fn new(source: Body, encoder: Encoder, count: Bytecount, permit: OwnedSemaphorePermit) -> Coded {
        Coded {
            source,
            encoder: Some(encoder),
            rest: Bytes::new(),
            unflushed: false,
            paused: false,
            turn: BYTES_PER_TURN,
            trailers: None,
            count,
            permit: Some(permit),
        }
    }

    /// Codes a slice of what is left; the frame that is full now, if one is.
    fn code(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        let slice = self.rest.split_to(self.rest.len().min(self.turn));
        self.turn -= slice.len();
        self.count.plain.inc_by(slice.len() as u64);
        encoder.write(&slice)?;
        self.unflushed = true;
        Ok((encoder.waiting() >= FRAME_LEN).then(|| encoder.take()))
    }

    /// Brings out what the encoder holds.
    fn flush(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some(encoder) = self.encoder.as_mut().filter(|_| self.unflushed) else { return Ok(None) };
        encoder.flush()?;
        self.unflushed = false;
        Ok(Some(encoder.take()).filter(|coded| !coded.is_empty()))
    }

    /// Ends the stream and gives its memory back.
    fn finish(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some(encoder) = self.encoder.take() else { return Ok(None) };
        let coded = encoder.finish()?;
        self.permit = None;
        Ok(Some(coded).filter(|coded| !coded.is_empty()))
    }

    fn data(&self, coded: Bytes) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.count.coded.inc_by(coded.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(coded))))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if self.encoder.is_none() {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            if !self.rest.is_empty() {
                if self.turn == 0 {
                    self.turn = BYTES_PER_TURN;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if let Some(coded) = self.code()? {
                    return self.data(coded);
                }
                continue;
            }
            // Asked first because its end, known now, spares a flush.
            let frame = if http_body::Body::is_end_stream(&self.source) {
                None
            } else {
                match http_body::Body::poll_frame(Pin::new(&mut self.source), context) {
                    Poll::Ready(frame) => frame,
                    Poll::Pending => return self.pause(context),
                }
            };
            self.paused = false;
            match frame.transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => {
                    self.rest = data;
                    continue;
                }
                Some(Err(last)) => self.trailers = last.into_trailers().ok(),
                None => {}
            }
            if let Some(coded) = self.finish()? {
                return self.data(coded);
            }
        }
    }

    /// The source has nothing now. What lies ready somewhere behind it comes with one more turn, and small chunks then
    /// share a block; what does not come with it is not waited for.
    fn pause(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.turn = BYTES_PER_TURN;
        if !self.unflushed {
            return Poll::Pending;
        }
        if !std::mem::replace(&mut self.paused, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.flush()? {
            Some(coded) => self.data(coded),
            None => Poll::Pending,
        }
    }
}

impl http_body::Body for Coded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(this.poll(context));
        if !matches!(frame, Some(Ok(_))) {
            // Also after an error: nothing of a broken stream is kept, and its end is never written.
            this.encoder = None;
            this.permit = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Contexts, Use};
    use super::*;
    use crate::http::encoding::Encoding;
    use http_body_util::{BodyExt, Channel};
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    fn coded(source: Body) -> (Coded, Bytecount, Arc<Semaphore>) {
        let (count, budget) = (Bytecount::default(), Arc::new(Semaphore::new(10)));
        let encoder = Encoder::new(Encoding::Zstd, Use::Page(None), &Config::default(), &Contexts::default()).unwrap();
        let permit = Arc::clone(&budget).try_acquire_many_owned(10).unwrap();
        (Coded::new(source, encoder, count.clone(), permit), count, budget)
    }

    #[tokio::test]
    async fn whole_answer_is_one_frame_and_returns_its_memory() {
        let (mut body, count, budget) = coded(Body::from("hello ".repeat(1000)));
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(zstd::decode_all(&frame[..]).unwrap(), "hello ".repeat(1000).as_bytes());
        assert!(http_body::Body::is_end_stream(&body));
        assert_eq!(budget.available_permits(), 10);
        assert_eq!((count.plain.get(), count.coded.get()), (6000, frame.len() as u64));
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn trailers_come_after_the_end_of_the_coded_stream() {
        let (mut feed, source) = Channel::<Bytes, BodyError>::new(4);
        let (body, ..) = coded(Body::boxed(source));
        let mut trailers = HeaderMap::new();
        trailers.insert("server-timing", "db;dur=5".parse().unwrap());
        feed.send_data(Bytes::from("hello")).await.unwrap();
        feed.send_trailers(trailers.clone()).await.unwrap();
        drop(feed);
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(zstd::decode_all(&collected.to_bytes()[..]).unwrap(), b"hello");
    }

    #[tokio::test]
    async fn small_chunks_that_lie_ready_share_a_block() {
        let (mut feed, source) = Channel::<Bytes, BodyError>::new(100);
        for _ in 0..100 {
            feed.send_data(Bytes::from("a small chunk ")).await.unwrap();
        }
        let (mut body, ..) = coded(Body::boxed(source));
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(frame.len() < 100, "{} bytes: flushed once", frame.len());
        drop(feed);
    }

    #[tokio::test]
    async fn an_error_of_the_source_is_passed_on_and_ends_everything() {
        let (mut feed, source) = Channel::<Bytes, BodyError>::new(4);
        feed.send_data(Bytes::from("hello")).await.unwrap();
        feed.abort("the app is gone".into());
        let (body, _, budget) = coded(Body::boxed(source));
        let mut body = std::pin::pin!(body);
        let error = loop {
            match body.frame().await {
                Some(Ok(_)) => continue,
                Some(Err(error)) => break error,
                None => panic!("it ended as if it were whole"),
            }
        };
        assert_eq!(error.to_string(), "the app is gone");
        assert_eq!(budget.available_permits(), 10);
    }
}
