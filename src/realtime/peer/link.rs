//! The link of a client whose connection is at another door.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::codec::{FrameStream, PeerFrame};
use crate::realtime::link::{Link, LinkError, PingCount, Traffic};
use crate::realtime::vocabulary::{EncodedFrames, Frame};

/// How often it is asked what has arrived.
const MARK_INTERVAL: Duration = Duration::from_secs(10);

/// Pings go to and fro between the client and the door that has its connection. Here a mark among what is sent stands
/// for one: it is answered when what was sent before it has arrived.
pub struct PeerLink<S = TokioIo<Upgraded>> {
    frames: FrameStream<S>,
    marks: PingCount,
    /// Something was sent since the last one.
    is_marked: bool,
    next: Instant,
    has_closed: bool,
    is_over: bool,
    traffic: Traffic,
}

impl<S> PeerLink<S>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    pub fn new(stream: S) -> PeerLink<S> {
        PeerLink {
            frames: FrameStream::new(stream),
            marks: PingCount::default(),
            is_marked: true,
            next: now() + MARK_INTERVAL,
            has_closed: false,
            is_over: false,
            traffic: Traffic::default(),
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl<S> Link for PeerLink<S>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send,
{
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        while !self.is_over {
            match ready!(self.frames.poll_next(context)) {
                Some(Ok(PeerFrame::Frame(frame))) => {
                    self.traffic.messages_in += 1;
                    self.traffic.bytes_in += frame.len() as u64;
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Ok(PeerFrame::Marked(number))) => self.marks.answered = number,
                Some(Ok(PeerFrame::Mark(_))) => {}
                Some(Ok(PeerFrame::Ended(word))) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(LinkError::Ended { word, detail: "at the other door".into() })));
                }
                Some(Err(error)) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(LinkError::Broken(error))));
                }
                None => self.is_over = true,
            }
        }
        Poll::Ready(None)
    }

    fn push(&mut self, frame: Frame) {
        if self.has_closed {
            return;
        }
        self.has_closed = matches!(frame, Frame::Close(_));
        self.is_marked = false;
        self.traffic.messages_out += u64::from(!self.has_closed);
        self.traffic.bytes_out += frame.len() as u64;
        self.frames.push(&PeerFrame::Frame(frame));
    }

    fn push_encoded(&mut self, encoded: EncodedFrames) {
        encoded.frames().iter().for_each(|frame| self.push(frame.clone()));
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.frames.poll_flush(context)
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.push(Frame::Close(None));
        self.frames.poll_shutdown(context)
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn ping_count(&self) -> PingCount {
        self.marks
    }

    fn next_wake(&self) -> Option<Instant> {
        let waits = self.marks.sent != self.marks.answered;
        (!waits && !self.is_marked && !self.is_over).then_some(self.next)
    }

    fn wake(&mut self, now: Instant) -> Result<(), LinkError> {
        if self.next_wake().is_some_and(|due| due <= now) {
            self.marks.sent = self.marks.sent.wrapping_add(1);
            self.frames.push(&PeerFrame::Mark(self.marks.sent));
            self.is_marked = true;
            self.next = now + MARK_INTERVAL;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn marks_stand_for_pings() {
        let (one, other) = tokio::io::duplex(1000);
        let (mut link, mut other) = (PeerLink::new(one), FrameStream::new(other));
        assert_eq!(link.next_wake(), None, "nothing was sent");
        link.push(Frame::text("a"));
        let due = link.next_wake().unwrap();
        link.wake(due - Duration::from_millis(1)).unwrap();
        assert_eq!(link.ping_count(), PingCount::default(), "it is early");
        link.wake(due).unwrap();
        assert_eq!((link.ping_count().sent, link.next_wake()), (1, None), "one at a time");
        poll_fn(|context| link.poll_flush(context)).await.unwrap();
        let mut heard = Vec::new();
        for _ in 0..2 {
            heard.push(poll_fn(|context| other.poll_next(context)).await.unwrap().unwrap());
        }
        assert_eq!(heard, [PeerFrame::Frame(Frame::text("a")), PeerFrame::Mark(1)]);
        other.push(&PeerFrame::Marked(1));
        other.push(&PeerFrame::Ended("ping timeout"));
        poll_fn(|context| other.poll_flush(context)).await.unwrap();
        let ended = poll_fn(|context| link.poll_receive(context)).await;
        assert!(matches!(ended, Some(Err(LinkError::Ended { word: "ping timeout", .. }))), "{ended:?}");
        assert_eq!(link.ping_count().answered, 1);
        assert!(poll_fn(|context| link.poll_receive(context)).await.is_none());
    }
}
