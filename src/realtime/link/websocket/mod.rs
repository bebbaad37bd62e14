//! WebSocket (RFC 6455, with RFC 7692) as a link, over any stream: plain, TLS, or a stream of HTTP/2 (RFC 8441).
//!
//! Why not tokio-tungstenite's own stream: it keeps a read buffer for every silent socket, copies a frame once for each
//! client it goes to, sends no close code for what a client did wrong, and knows no permessage-deflate. Its header type
//! is used, and it is the other side in the tests.

mod assembly;
mod config;
mod decode;
mod deflate;
mod encode;
mod extension;
mod handshake;
mod inflate;
mod mask;
mod outgoing;
mod scratch;
mod stream;
mod violation;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::{Link, LinkError, Traffic};
use crate::realtime::vocabulary::{CloseFrame, EncodedFrames, Frame, Violation};
use deflate::Deflater;
use outgoing::OutgoingFrames;

pub use config::Config;
pub use decode::{DecodedFrame, FrameDecoder, FrameLimits};
pub use extension::Agreed;
pub use handshake::{Offer, is_upgrade, not_asked};
pub use stream::open;

/// One WebSocket. While nothing travels it holds no buffer, and no compressor where windows are not kept.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: S,
    decoder: FrameDecoder,
    deflater: Option<Box<Deflater>>,
    /// Bytes read behind a frame that was given out: at most one read's worth.
    carried: BytesMut,
    outgoing: OutgoingFrames,
    heard: Heard,
    /// Our close frame is written or waits to be. Nothing follows it.
    said_close: bool,
    /// A pong or a close of our own making waits to be written.
    owes: bool,
    /// A pong waits to be written; another ping replaces `pong` meanwhile, so that at most two wait.
    has_pong: bool,
    is_shut: bool,
    /// It is a stream of HTTP/2, which is over when our side has ended.
    is_h2_stream: bool,
    pong: Option<Box<Bytes>>,
    traffic: Traffic,
}

/// The other side's half of the connection, as last heard.
#[derive(Debug, PartialEq)]
enum Heard {
    Open,
    Closed,
    Violated(Box<Violation>),
    Gone,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> WebSocket<S> {
    /// A server's side of `stream`, after the handshake; `first` was read with it.
    pub fn new(stream: S, first: &[u8], agreed: Option<&Agreed>, config: &Config) -> WebSocket<S> {
        let limits = FrameLimits { message: config.max_message.bytes(), frame: config.max_frame.bytes() };
        WebSocket {
            stream,
            decoder: FrameDecoder::new(limits, agreed),
            deflater: agreed.and_then(|agreed| Deflater::new(agreed, config.deflate_threshold.bytes())).map(Box::new),
            carried: BytesMut::from(first),
            outgoing: OutgoingFrames::default(),
            heard: Heard::Open,
            said_close: false,
            owes: false,
            has_pong: false,
            is_shut: false,
            is_h2_stream: false,
            pong: None,
            traffic: Traffic { bytes_in: first.len() as u64, ..Traffic::default() },
        }
    }

    /// The same where `stream` is one of HTTP/2 (RFC 8441).
    #[must_use]
    pub fn on_h2_stream(self) -> WebSocket<S> {
        WebSocket { is_h2_stream: true, ..self }
    }

    /// The next frame out of what was read before, or of one more read.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Result<Frame, Violation>>>> {
        while !self.carried.is_empty() {
            let decoded = match self.decoder.decode(&mut self.carried) {
                Ok(decoded) => decoded,
                Err(violation) => return Poll::Ready(Ok(Some(Err(violation)))),
            };
            self.carried.advance(decoded.used);
            if self.carried.is_empty() {
                self.carried = BytesMut::new();
            }
            if let Some(frame) = decoded.frame {
                return Poll::Ready(Ok(Some(Ok(frame))));
            }
        }
        loop {
            let found = scratch::with(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
                let bytes = buffer.filled_mut();
                self.traffic.bytes_in += bytes.len() as u64;
                if bytes.is_empty() {
                    return Poll::Ready(Ok(Some(None)));
                }
                let decoded = match self.decoder.decode(bytes) {
                    Ok(decoded) => decoded,
                    Err(violation) => return Poll::Ready(Ok(Some(Some(Err(violation))))),
                };
                if decoded.used < bytes.len() {
                    self.carried.extend_from_slice(&bytes[decoded.used..]);
                }
                Poll::Ready(Ok::<_, io::Error>(decoded.frame.map(|frame| Some(Ok(frame)))))
            });
            if let Some(frame) = ready!(found)? {
                return Poll::Ready(Ok(frame));
            }
        }
    }

    /// Does what a frame asks of the link itself.
    fn heed(&mut self, frame: &Frame) {
        match frame {
            Frame::Text(_) | Frame::Binary(_) => self.traffic.messages_in += 1,
            Frame::Ping(payload) if !self.said_close => {
                self.owes = true;
                if self.has_pong {
                    self.pong = Some(Box::new(payload.clone()));
                } else {
                    self.answer_ping(payload);
                }
            }
            Frame::Close(close) => {
                self.heard = Heard::Closed;
                if !self.said_close {
                    let echoed = close.as_ref().map(|close| CloseFrame::new(close.code, ""));
                    self.say_close(echoed.as_ref());
                }
            }
            Frame::Ping(_) | Frame::Pong(_) => {}
        }
    }

    fn answer_ping(&mut self, payload: &[u8]) {
        self.has_pong = true;
        self.push_control(Control::Pong, payload);
    }

    fn push_control(&mut self, kind: Control, payload: &[u8]) {
        self.outgoing.append(encode::MAX_HEADER_LEN + payload.len(), |output| encode::control(kind, payload, output));
    }

    fn say_close(&mut self, close: Option<&CloseFrame>) {
        self.said_close = true;
        self.owes = true;
        self.pong = None;
        self.outgoing.append(encode::MAX_HEADER_LEN, |output| encode::close(close, output));
    }

    fn push_data(&mut self, kind: Data, payload: Bytes) {
        self.traffic.messages_out += 1;
        if let Some(deflater) = &mut self.deflater {
            let mut deflated = Vec::new();
            if deflater.deflate(&payload, &mut deflated) {
                self.outgoing.append(encode::MAX_HEADER_LEN, |output| {
                    encode::header(OpCode::Data(kind), true, deflated.len(), output)
                });
                self.outgoing.push(deflated.into());
                return;
            }
        }
        let length = if payload.len() > outgoing::LONG_FRAME { 0 } else { payload.len() };
        self.outgoing.append(encode::MAX_HEADER_LEN + length, |output| {
            encode::header(OpCode::Data(kind), false, payload.len(), output);
        });
        self.outgoing.push(payload);
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Link for WebSocket<S> {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        if self.owes
            && let Poll::Ready(Err(error)) = self.poll_flush(context)
        {
            self.heard = Heard::Gone;
            return Poll::Ready(Some(Err(error.into())));
        }
        if self.heard != Heard::Open {
            return Poll::Ready(None);
        }
        match ready!(self.poll_frame(context)) {
            Ok(Some(Ok(frame))) => {
                self.heed(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Ok(Some(Err(violation))) => {
                self.heard = Heard::Violated(Box::new(violation.clone()));
                Poll::Ready(Some(Err(violation.into())))
            }
            Ok(None) => {
                self.heard = Heard::Gone;
                Poll::Ready(None)
            }
            Err(error) => {
                self.heard = Heard::Gone;
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn push(&mut self, frame: Frame) {
        if self.said_close {
            return;
        }
        match frame {
            Frame::Text(text) => self.push_data(Data::Text, text.into_bytes()),
            Frame::Binary(bytes) => self.push_data(Data::Binary, bytes),
            Frame::Ping(payload) => self.push_control(Control::Ping, &payload),
            Frame::Pong(payload) => self.push_control(Control::Pong, &payload),
            Frame::Close(close) => self.say_close(close.as_ref()),
        }
    }

    fn push_encoded(&mut self, encoded: EncodedFrames) {
        if self.said_close {
            return;
        }
        let class = self.deflater.as_ref().map(|deflater| deflater.class());
        let wire = match class {
            None => Some(encoded.wire(|frames| encode::render(frames, None))),
            Some(class) => {
                class.and_then(|class| encoded.deflated(class.window, |frames| encode::render(frames, Some(class))))
            }
        };
        let has_close = encoded.frames().iter().any(|frame| matches!(frame, Frame::Close(_)));
        match wire {
            Some(wire) if !has_close => {
                self.traffic.messages_out += encoded.frames().len() as u64;
                self.outgoing.push(wire.clone());
            }
            _ => encoded.frames().iter().for_each(|frame| self.push(frame.clone())),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let count = &mut self.traffic.bytes_out;
            ready!(self.outgoing.poll_flush(Pin::new(&mut self.stream), context, count))?;
            (self.owes, self.has_pong) = (false, false);
            match self.pong.take() {
                Some(payload) => self.answer_ping(&payload),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_close && self.heard != Heard::Gone {
            let close = match &self.heard {
                Heard::Violated(violation) => Some(CloseFrame::new(violation.breach.code(), &*violation.what)),
                _ => None,
            };
            self.say_close(close.as_ref());
        }
        if self.heard != Heard::Gone {
            ready!(self.poll_flush(context))?;
        }
        while self.heard == Heard::Open {
            if let Some(Err(LinkError::Broken(error))) = ready!(self.poll_receive(context)) {
                return Poll::Ready(Err(error));
            }
        }
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.is_shut = true;
        }
        // Not so a stream: its reset comes behind all that was sent (RFC 9113 section 8.1), and browsers leave their half
        // open for ever.
        if self.is_h2_stream {
            self.heard = Heard::Gone;
        }
        // A connection that is closed while bytes wait to be read is reset, and a reset may overtake our close frame.
        while self.heard != Heard::Gone {
            let read = scratch::with(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                Pin::new(&mut self.stream).poll_read(context, &mut buffer).map_ok(|()| buffer.filled().len())
            });
            if ready!(read).unwrap_or_default() == 0 {
                self.heard = Heard::Gone;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn is_quiet(&self) -> bool {
        self.heard == Heard::Open && !self.said_close && !self.owes
    }
}

#[cfg(test)]
mod tests;
