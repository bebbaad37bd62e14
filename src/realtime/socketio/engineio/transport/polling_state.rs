//! The session's side of polling: what waits to be read, and what was posted.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::close_reason::CloseReason;
use super::packet;
use super::payload::{self, MalformedPayload, PollingPayload};
use super::ping_timer::PingTimer;
use super::session::PollingSession;
use crate::realtime::link::Traffic;
use crate::realtime::link::polling::{ExchangeFault, MAX_BETWEEN_POLLS};
use crate::realtime::vocabulary::{Frame, Text};

/// A request that was read so shortly before the packet that goes over to the WebSocket may have been sent behind it:
/// two connections are served by several threads here, and by one in the Node server.
const LATEST_POLL: Duration = Duration::from_millis(30);

/// The polling transport of one session, as the session sees it.
pub struct PollingState {
    shared: Arc<PollingSession>,
    /// The body that is read at the moment.
    payload: Option<PollingPayload>,
    /// What nobody has read yet. Bounded as [`crate::realtime::link::Link::push`] says.
    frames: Vec<Frame>,
    bytes: usize,
    /// Whoever reads is answered even if there is nothing to say.
    releases: bool,
    pub traffic: Traffic,
}

impl PollingState {
    pub fn new(shared: Arc<PollingSession>) -> PollingState {
        PollingState {
            shared,
            payload: None,
            frames: Vec::new(),
            bytes: 0,
            releases: false,
            traffic: Traffic::default(),
        }
    }

    pub fn shared(&self) -> &Arc<PollingSession> {
        &self.shared
    }

    pub fn push(&mut self, frame: Frame) {
        self.bytes += frame.len() + size_of::<Frame>();
        self.frames.push(frame);
    }

    pub fn ping(&mut self) {
        self.push(Frame::Text(Text::from_static(packet::PING)));
    }

    /// Somebody may wait for what comes by another way now.
    pub fn release(&mut self) {
        self.releases = true;
    }

    /// The next packet that was posted.
    pub fn poll_packet(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, CloseReason>> {
        loop {
            if let Some(payload) = &mut self.payload {
                match payload.next() {
                    Some(Ok(frame)) => return Poll::Ready(Ok(frame)),
                    Some(Err(malformed)) => return Poll::Ready(Err(self.malformed(malformed))),
                    None => self.used(),
                }
            }
            let body = match ready!(self.shared.exchange.poll_posted(context)) {
                Ok(body) => body,
                Err(fault) => return Poll::Ready(Err(self::fault(fault))),
            };
            self.traffic.bytes_in += body.len() as u64;
            match PollingPayload::new(body, self.shared.config.max_packets) {
                Ok(payload) => self.payload = Some(payload),
                Err(malformed) => return Poll::Ready(Err(self.malformed(malformed))),
            }
        }
    }

    /// The rest of a body is not looked at.
    pub fn used(&mut self) {
        self.payload = None;
        self.shared.exchange.used();
    }

    fn malformed(&mut self, malformed: MalformedPayload) -> CloseReason {
        self.payload = None;
        CloseReason::parse_error(malformed.to_string())
    }

    /// Whether whoever reads at the moment has come when the answer to a ping was due already.
    pub fn reads_too_late(&self, beat: &PingTimer) -> bool {
        self.shared.exchange.reader_since().is_some_and(|since| beat.is_over_at(since))
    }

    /// Ready while little waits.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.frames.is_empty() || self.releases {
            let noop = self.frames.is_empty().then_some(packet::NOOP);
            if self.shared.exchange.has_reader(context) {
                self.answer(noop);
            }
            self.releases = false;
        }
        if self.bytes < MAX_BETWEEN_POLLS { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// The client is no longer listened to: what it has posted is taken, as if it had been in time.
    pub fn disregard(&mut self, context: &mut Context<'_>) {
        self.used();
        while let Poll::Ready(Ok(_)) = self.shared.exchange.poll_posted(context) {
            self.used();
        }
    }

    /// Says what is left to say, with `last` behind it. Where it `waits`, to the next who reads; else to who reads now.
    pub fn poll_last(&mut self, last: &str, waits: bool, context: &mut Context<'_>) -> Poll<()> {
        if self.shared.exchange.has_reader(context) {
            if waits && !self.frames.is_empty() {
                // A client acts on a close at once, and on messages a moment later: they have a body of their own.
                self.answer(None);
                if !self.shared.exchange.has_reader(context) {
                    return Poll::Pending;
                }
            }
            self.answer(Some(last));
        } else if waits {
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn answer(&mut self, last: Option<&str>) {
        let body = payload::encode(self.frames.iter(), last);
        self.traffic.bytes_out += body.len() as u64;
        self.frames = Vec::new();
        self.bytes = 0;
        self.shared.exchange.answer(body);
    }

    /// Goes over to another way at `now`: what waits, for that. Whoever still reads here is released; whoever has come
    /// only just now is refused, as it would be a moment later.
    pub fn leave(mut self, now: Instant) -> (Vec<Frame>, Traffic) {
        let frames = std::mem::take(&mut self.frames);
        self.shared.gone_over();
        let since = self.shared.exchange.reader_since();
        if since.is_some_and(|since| now.saturating_duration_since(since) > LATEST_POLL) {
            self.answer(Some(packet::NOOP));
        }
        (frames, self.traffic)
    }
}

impl Drop for PollingState {
    fn drop(&mut self) {
        self.shared.exchange.end();
    }
}

fn fault(fault: ExchangeFault) -> CloseReason {
    CloseReason::transport_error(match fault {
        ExchangeFault::Overlap => "two requests of a kind at the same time",
        ExchangeFault::BrokenOff => "a request broke off",
        ExchangeFault::Content => "a body that is not text",
    })
}
