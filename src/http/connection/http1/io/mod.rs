//! The guard on a socket: hyper reads and writes through it and sees clean bytes only. While nothing travels it holds
//! no buffer; whole heads and bodies go straight into hyper's.

mod awaited;
mod beneath;
mod carried;
mod spoken_tls;
mod timeout;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

pub use beneath::{Promised, serve};
use timeout::Waiting;

use super::aside::Aside;
use super::early::{Early, Taken};
use super::head::{Limits, respelt};
use super::held::Held;
use super::request_validator::{Inspection, Next, RequestValidator, refusal_line};
use crate::http::connection::Connected;
use crate::http::connection::http10::StatusLine;
use crate::http::connection::lazy_timer::LazyTimer;
use crate::http::connection::stall::Stall;
use crate::http::connection::vanished::Vanished;
use crate::http::{Config, Refusal};
use crate::listen::passage::before_blank;
use crate::listen::{Offprint, Stream};

/// How much is read at once of a head that comes in pieces.
const READ_PIECE: usize = 4 * 1024;
/// How long what a refused client still sends is read and thrown away. Closing at once would reset the connection, and
/// the client might never see why it was refused.
const LINGER_TIMEOUT: Duration = Duration::from_secs(3);

/// A client's socket behind the guard.
#[derive(Debug)]
pub struct Guarded {
    stream: Stream,
    guard: RequestValidator,
    connected: Arc<Connected>,
    /// The beginning of a head, or what hyper has no room for yet.
    held: Held,
    end: Option<End>,
    waiting: Waiting,
    timer: LazyTimer,
    stall: Stall,
    vanished: Vanished,
    lingering: Option<Instant>,
    status_line: StatusLine,
    /// hyper has handed over all that it holds: what it writes next begins something new.
    is_flushed: bool,
    /// What is written before all else.
    aside: Aside,
    early: Early,
}

/// Why nothing more is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// An answer is all there is to come.
    Answer,
    /// The body broke off in its middle.
    BadBody,
}

impl Guarded {
    pub fn new(stream: Stream, connected: Arc<Connected>, early: Early) -> Guarded {
        let config = &connected.settings.http;
        let limits =
            Limits { head: config.max_head.bytes(), headers: config.max_headers, target: config.max_target.bytes() };
        Guarded {
            stream,
            guard: RequestValidator::new(limits),
            stall: Stall::new(config.write_timeout, config.min_progress.0),
            vanished: Vanished::new(config.write_timeout, Instant::now()),
            connected,
            held: Held::default(),
            end: None,
            waiting: Waiting::No,
            timer: LazyTimer::default(),
            lingering: None,
            status_line: StatusLine::default(),
            is_flushed: true,
            aside: Aside::default(),
            early,
        }
    }

    /// The socket, and what was read of it already (nothing, unless the client was quick after its 101).
    pub fn into_parts(self) -> (Stream, Bytes) {
        (self.stream, self.held.into_bytes().freeze())
    }

    fn config(&self) -> &Config {
        &self.connected.settings.http
    }

    /// What follows from a inspection on `bytes`; they are shown for the refusal's sake.
    fn conclude(&mut self, mut inspection: Inspection, mut rest: &[u8]) {
        let mut has_passed = inspection.pass > 0;
        while let Next::Respell(length) = inspection.next {
            let (head, behind) = rest.split_at(length);
            inspection = self.guard.inspect(behind);
            let (clean, behind) = behind.split_at(inspection.pass);
            self.held.replace_rest(&[&respelt(head), clean].concat());
            if inspection.next == Next::More {
                self.held.keep_rest(behind);
            }
            (rest, has_passed) = (behind, true);
        }
        match inspection.next {
            // The last of those above is another, and none is offered that was not asked for.
            Next::More | Next::Respell(_) | Next::Offer(_) => {}
            Next::Refuse(refusal) => self.refuse(refusal, rest),
            Next::BadBody => self.end = Some(End::BadBody),
            Next::TooEager => {
                self.connected.spoil_upgrade();
                self.end = Some(End::Answer);
            }
        }
        if self.guard.is_upgrading() {
            self.connected.ask_upgrade(self.guard.heads());
        }
        self.waiting = match self.waiting {
            Waiting::Head(since) if !has_passed => Waiting::Head(since),
            _ => Waiting::No,
        };
    }

    /// Lets hyper see a harmless request in place of `rest`; the service knows by its number what to answer.
    fn refuse(&mut self, refusal: Refusal, rest: &[u8]) {
        self.connected.refuse(self.guard.heads(), refusal);
        self.held.replace_rest(&refusal_line(rest));
        self.end = Some(End::Answer);
    }

    /// Looks at what was read; a plain head at its beginning is taken, if it may be.
    fn look(&mut self, bytes: &[u8], context: &mut Context<'_>) -> Looked {
        let Guarded { guard, connected, early, aside, .. } = self;
        guard.offer(aside.is_empty() && early.may_take(guard.heads() + 1, connected));
        let inspection = guard.inspect(bytes);
        let Next::Offer(length) = inspection.next else { return Looked::Inspected(inspection) };
        let (head, rest) = bytes.split_at(length);
        if let Some(taken) = early.take(head, connected, context) {
            self.waiting = Waiting::No;
            return Looked::Taken(length, taken);
        }
        let inspection = guard.inspect(rest);
        Looked::Inspected(Inspection { pass: length + inspection.pass, ..inspection })
    }

    /// Follows what became of a head that was taken: what hyper is to see in its place.
    fn follow(&mut self, taken: Taken) -> &'static [u8] {
        match taken {
            Taken::Answered(head, body) => {
                self.set_answer(head, body);
                &[]
            }
            Taken::Begun => &[],
            Taken::HandedOver(stand_in) => stand_in,
        }
    }

    /// Has an answer written of which hyper knows nothing.
    fn set_answer(&mut self, head: Vec<u8>, body: Bytes) {
        let offprint = if self.connected.may_carry() { Offprint::of(&body) } else { None };
        self.aside.set_answer(head, body, offprint);
    }

    /// Reads straight into hyper's buffer.
    fn poll_direct(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<Read>> {
        if let Some(read) = self.poll_carry_in(context, buffer) {
            return read;
        }
        let start = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let length = buffer.filled().len() - start;
        if length == 0 {
            return Poll::Ready(Ok(Read::End));
        }
        if self.is_tls(context, &buffer.filled()[start..]) {
            buffer.set_filled(start);
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let inspection = match self.look(&buffer.filled()[start..], context) {
            Looked::Inspected(inspection) => inspection,
            Looked::Taken(length, taken) => {
                let stand_in = self.follow(taken);
                self.held.keep_unseen(stand_in, &buffer.filled()[start + length..]);
                buffer.set_filled(start);
                return Poll::Ready(Ok(Read::Nothing));
            }
        };
        if inspection.pass < length {
            let rest = BytesMut::from(&buffer.filled()[start + inspection.pass..]);
            buffer.set_filled(start + inspection.pass);
            self.conclude(inspection, &rest);
            if inspection.next == Next::More {
                self.held.keep(rest, 0);
            }
        } else {
            self.conclude(inspection, &[]);
        }
        Poll::Ready(Ok(if inspection.pass > 0 { Read::Some } else { Read::Nothing }))
    }

    /// Reads more of a head that has begun, and looks at it.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Read>> {
        if !self.held.is_unseen() {
            let stream = Pin::new(&mut self.stream);
            let room = self.held.room(READ_PIECE);
            let read = tokio_util::io::poll_read_buf(stream, context, room);
            if !matches!(read, Poll::Ready(Ok(1..))) {
                // As it was.
                let bytes = self.held.look_at();
                self.held.keep(bytes, 0);
                return read.map_ok(|_| Read::End);
            }
        }
        let bytes = self.held.look_at();
        Poll::Ready(self.take_or_keep(context, bytes))
    }

    /// Looks at `bytes`, and keeps what is not answered at once.
    fn take_or_keep<B: AsRef<[u8]> + Into<BytesMut>>(
        &mut self,
        context: &mut Context<'_>,
        bytes: B,
    ) -> io::Result<Read> {
        if self.is_tls(context, bytes.as_ref()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match self.look(bytes.as_ref(), context) {
            Looked::Inspected(inspection) => {
                let mut bytes = bytes.into();
                let is_kept = inspection.next == Next::More;
                let rest = if is_kept { BytesMut::new() } else { bytes.split_off(inspection.pass) };
                self.held.keep(bytes, inspection.pass);
                self.conclude(inspection, &rest);
            }
            Looked::Taken(length, taken) => {
                let stand_in = self.follow(taken);
                self.held.keep_unseen(stand_in, &bytes.as_ref()[length..]);
            }
        }
        Ok(Read::Nothing)
    }

    /// Writes what comes before all else: an answer that hyper knows nothing of, and interim ones, between two writes of
    /// hyper's, where an answer has not begun.
    fn poll_aside(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Where the answer before it is not out yet, its place is not known: a client must not miss it.
        if let Some(bytes) = self.connected.interim.take().filter(|_| self.is_flushed) {
            self.aside.add_interim(bytes);
        }
        self.aside.poll_write(&mut self.stream, &mut self.stall, context)
    }

    /// Writes `slices`, the head of an answer to HTTP/1.0 in the form of HTTP/1.1.
    fn poll_write_slices(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_aside(context))?;
        let slices = match (before_blank(slices), slices) {
            ([], [blank, ..]) => return self.poll_carry_out(context, blank.len()),
            (real, _) => real,
        };
        if self.connected.takes_http10() && self.is_flushed {
            self.status_line.expect();
        }
        let first = slices.first().map(|slice| &**slice).unwrap_or_default();
        let written = match self.status_line.replaced(first) {
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
            Some(version) => {
                let rest = IoSlice::new(&first[version.len()..]);
                let slices: Vec<_> =
                    [IoSlice::new(version), rest].into_iter().chain(slices[1..].iter().copied()).collect();
                Pin::new(&mut self.stream).poll_write_vectored(context, &slices)
            }
        };
        if let Poll::Ready(Ok(length)) = written {
            self.is_flushed = false;
            self.status_line.wrote(length);
        }
        self.stall.watch(context, written, |length| *length)
    }

    /// Takes over how an upgrade was answered.
    fn settle_upgrade(&mut self) {
        if self.guard.is_upgrading()
            && let Some(granted) = self.connected.upgrade_answer()
        {
            self.guard.upgraded(granted);
        }
    }
}

/// What became of bytes that were read.
enum Looked {
    Inspected(Inspection),
    /// The head at their beginning, of so many bytes, went another way.
    Taken(usize, Taken),
}

enum Read {
    Some,
    Nothing,
    End,
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.settle_upgrade();
        loop {
            if this.held.has_clean() {
                this.held.give(buffer);
                return Poll::Ready(Ok(()));
            }
            if this.aside.is_answer() {
                // Nobody is asked anything before the client takes what it asked for.
                ready!(this.poll_aside(context))?;
            }
            match this.end {
                // Not an end of file: hyper would take the client for gone and drop the answer.
                Some(End::Answer) => return Poll::Pending,
                Some(End::BadBody) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                None => {}
            }
            let read = if this.held.is_empty() { this.poll_direct(context, buffer) } else { this.poll_held(context) };
            match read {
                Poll::Ready(Ok(Read::Nothing)) => continue,
                Poll::Ready(Ok(Read::Some | Read::End)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    ready!(this.poll_timeout(context))?;
                    if !this.held.has_clean() {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_slices(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_slices(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.is_flushed = true;
        this.early.flushed(&this.connected);
        ready!(this.poll_aside(context))?;
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        if let Poll::Ready(Ok(())) = flushed {
            this.connected.wrote_all();
        }
        this.stall.watch_flush(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(this.poll_aside(context))?;
            let shut = Pin::new(&mut this.stream).poll_shutdown(context);
            ready!(this.stall.watch_flush(context, shut))?;
            if this.end.is_none() && this.guard.is_at_head() {
                return Poll::Ready(Ok(()));
            }
        }
        let until = *this.lingering.get_or_insert_with(|| Instant::now() + LINGER_TIMEOUT);
        let mut block = [0; 4 * 1024];
        loop {
            if this.timer.poll(context, until).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut block);
            match ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
