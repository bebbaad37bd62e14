//! Frames of a client between the door that has its connection and the one that has its session: a byte for the kind,
//! four for the length, and what is in it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::realtime::vocabulary::{CloseFrame, Frame, Text};

/// The longest frame: no endpoint takes a longer one.
const MOST: usize = 256 * 1024 * 1024;

/// What is read at once.
const READ: usize = 16 * 1024;

/// Why links end, in the words of their transports. Any other is as if the client had closed its own.
const WORDS: [&str; 4] = ["transport close", "transport error", "parse error", "ping timeout"];

/// What travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerFrame {
    /// The client's, or one for it.
    Frame(Frame),
    /// To the door with the connection: when what was sent before this has arrived, it is to say so.
    Mark(u32),
    /// The answer.
    Marked(u32),
    /// The client's link has ended, for this reason.
    Ended(&'static str),
}

impl PeerFrame {
    fn write(&self, out: &mut BytesMut) {
        let (kind, length) = match self {
            PeerFrame::Frame(Frame::Text(text)) => (0, text.len()),
            PeerFrame::Frame(Frame::Binary(bytes)) => (1, bytes.len()),
            PeerFrame::Frame(frame @ Frame::Close(_)) => (2, frame.len()),
            PeerFrame::Frame(Frame::Ping(_) | Frame::Pong(_)) => (3, 0),
            PeerFrame::Mark(_) => (4, 4),
            PeerFrame::Marked(_) => (5, 4),
            PeerFrame::Ended(word) => (6, word.len()),
        };
        out.put_u8(kind);
        out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        match self {
            PeerFrame::Frame(Frame::Text(text)) => out.put_slice(text.as_bytes()),
            PeerFrame::Frame(Frame::Binary(bytes)) => out.put_slice(bytes),
            PeerFrame::Frame(Frame::Close(Some(close))) => {
                out.put_u16(close.code);
                out.put_slice(close.reason.as_bytes());
            }
            PeerFrame::Frame(_) => {}
            PeerFrame::Mark(number) | PeerFrame::Marked(number) => out.put_u32(*number),
            PeerFrame::Ended(word) => out.put_slice(word.as_bytes()),
        }
    }

    /// The first of what was read, once all of it is there.
    fn read(from: &mut BytesMut) -> io::Result<Option<PeerFrame>> {
        let Some((mut head, rest)) = from.split_at_checked(5) else { return Ok(None) };
        let (kind, length) = (head.get_u8(), head.get_u32() as usize);
        if length > MOST {
            return Err(wrong("a frame of another door is too long"));
        }
        if rest.len() < length {
            from.reserve(5 + length - from.len());
            return Ok(None);
        }
        from.advance(5);
        let mut body = from.split_to(length).freeze();
        let number = |mut body: Bytes| if body.len() == 4 { Ok(body.get_u32()) } else { Err(wrong("no number")) };
        Ok(Some(match kind {
            0 => PeerFrame::Frame(Frame::Text(Text::try_from(body).map_err(|_| wrong("a text is no UTF-8"))?)),
            1 => PeerFrame::Frame(Frame::Binary(body)),
            2 if body.len() < 2 => PeerFrame::Frame(Frame::Close(None)),
            2 => {
                let code = body.get_u16();
                let reason = Text::try_from(body).map_err(|_| wrong("a reason is no UTF-8"))?;
                PeerFrame::Frame(Frame::Close(Some(CloseFrame { code, reason })))
            }
            3 => PeerFrame::Frame(Frame::Pong(Bytes::new())),
            4 => PeerFrame::Mark(number(body)?),
            5 => PeerFrame::Marked(number(body)?),
            6 => {
                let known = WORDS.iter().find(|word| *body == *word.as_bytes());
                PeerFrame::Ended(known.unwrap_or(&WORDS[0]))
            }
            _ => return Err(wrong("a frame of another door is of no known kind")),
        }))
    }
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Both directions, over a stream between two doors.
#[derive(Debug)]
pub struct FrameStream<S> {
    stream: S,
    incoming: BytesMut,
    outgoing: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> FrameStream<S> {
    pub fn new(stream: S) -> FrameStream<S> {
        FrameStream { stream, incoming: BytesMut::new(), outgoing: BytesMut::new() }
    }

    /// Bytes that are not written yet.
    pub fn unwritten(&self) -> usize {
        self.outgoing.len()
    }

    /// Queues a frame. The caller bounds how much it queues.
    pub fn push(&mut self, frame: &PeerFrame) {
        frame.write(&mut self.outgoing);
    }

    /// The next whole frame; `None` at the end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<PeerFrame>>> {
        loop {
            match PeerFrame::read(&mut self.incoming) {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            let mut chunk = [0; READ];
            let mut buffer = ReadBuf::new(&mut chunk);
            if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                return Poll::Ready(Some(Err(error)));
            }
            if buffer.filled().is_empty() {
                let is_whole = self.incoming.is_empty();
                let end = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Poll::Ready(if is_whole { None } else { Some(Err(end)) });
            }
            self.incoming.extend_from_slice(buffer.filled());
        }
    }

    /// Writes what is queued.
    ///
    /// # Errors
    /// The other door is gone.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
        }
        if self.outgoing.capacity() > 0 {
            // Nothing is held while nothing travels.
            self.outgoing = BytesMut::new();
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Writes what is queued, and says that this was all.
    ///
    /// # Errors
    /// The other door is gone.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn all() -> Vec<PeerFrame> {
        let frames = [
            Frame::text("é"),
            Frame::text(""),
            Frame::Binary(Bytes::from(vec![7; 100_000])),
            Frame::Close(None),
            Frame::Close(Some(CloseFrame::new(1012, "later"))),
            Frame::Pong(Bytes::new()),
        ];
        let own = [PeerFrame::Mark(7), PeerFrame::Marked(u32::MAX), PeerFrame::Ended("ping timeout")];
        frames.into_iter().map(PeerFrame::Frame).chain(own).collect()
    }

    #[tokio::test]
    async fn frames_arrive_as_they_were() {
        let (one, other) = tokio::io::duplex(1000);
        let (mut one, mut other) = (FrameStream::new(one), FrameStream::new(other));
        let writes = async {
            for frame in all() {
                one.push(&frame);
                poll_fn(|context| one.poll_flush(context)).await.unwrap();
            }
            assert_eq!(one.unwritten(), 0);
            poll_fn(|context| one.poll_shutdown(context)).await.unwrap();
        };
        let reads = async {
            for frame in all() {
                assert_eq!(poll_fn(|context| other.poll_next(context)).await.unwrap().unwrap(), frame);
            }
            assert!(poll_fn(|context| other.poll_next(context)).await.is_none());
        };
        tokio::join!(writes, reads);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let read = |bytes: &[u8]| PeerFrame::read(&mut BytesMut::from(bytes));
        for bytes in [
            &[9, 0, 0, 0, 0][..],
            &[0, 0, 0, 0, 1, 255],
            &[4, 0, 0, 0, 1, 1],
            &[0, 255, 255, 255, 255],
            &[2, 0, 0, 0, 3, 0, 0, 255],
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        assert!(read(&[0, 0, 0, 0]).unwrap().is_none());
        assert!(read(&[0, 0, 0, 0, 2, 65]).unwrap().is_none());
        let strange = read(&[6, 0, 0, 0, 1, 65]).unwrap();
        assert_eq!(strange, Some(PeerFrame::Ended("transport close")));
    }
}
