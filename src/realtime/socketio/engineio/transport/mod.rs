//! Engine.IO 4 as a link: by polling, by WebSocket, and from the one to the other under traffic.
//!
//! A frame is one *message* packet, in both directions: a text with its leading `4`, or bytes as they are. So what was
//! encoded once for many clients goes out by WebSocket as it is. All other packets stay in here: handshake, heartbeat,
//! upgrade and close.

mod ping_timer;
mod probe;
mod config;
mod close_reason;
mod packet;
mod payload;
mod polling_state;
mod sessions;
mod session;
mod sid;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::realtime::link::{Link, LinkError, PingCount, Traffic};
use crate::realtime::vocabulary::{EncodedFrames, Frame, Text};
use close_reason::CloseReason;
use packet::EnginePacket;
use ping_timer::{Due, PingTimer};
use polling_state::PollingState;
use probe::{Probe, Trial};
use sessions::SessionEntry;

pub use config::{Config, Transport};
pub use payload::{MalformedPayload, PollingPayload, encode};
pub use session::PollingSession;
pub use sessions::{Lookup, Metrics, PollingSessions};
pub use sid::Sid;

/// How long a client's close packet waits for a poll that was sent at the same moment by another connection, to answer
/// that as the Node server does, which has read the poll first.
const CLOSE_WAITS: Duration = Duration::from_millis(30);

/// How long a door that goes away waits for the next poll of a client between two: most come by a new connection, which
/// it takes no more.
const LEAVE_WAITS: Duration = Duration::from_millis(500);

/// One client's session.
pub struct Engine {
    current: CurrentTransport,
    beat: PingTimer,
    pings: PingCount,
    config: Arc<Config>,
    entry: SessionEntry,
    over: Option<Box<CloseReason>>,
    /// What travelled before the present way, without the packets that are no messages.
    before: Traffic,
}

enum CurrentTransport {
    Polling(Box<Polling>),
    Socket(Box<dyn Link>),
}

struct Polling {
    polled: PollingState,
    probe: Option<Probe>,
    /// Until when a close, the client's or this side's, waits for a poll.
    closes: Option<Pin<Box<Sleep>>>,
}

impl Engine {
    /// A session that polls, and its first packet.
    pub fn polling(sid: Sid, sessions: &Arc<PollingSessions>, config: &Arc<Config>, now: Instant) -> (Engine, String) {
        let shared = Arc::new(PollingSession::new(Arc::clone(config)));
        let entry = sessions.enter(sid, Lookup::Polling(Arc::clone(&shared)));
        let way = CurrentTransport::Polling(Box::new(Polling {
            polled: PollingState::new(shared),
            probe: None,
            closes: None,
        }));
        (Engine::new(way, entry, config, now), packet::open(sid, Transport::Polling, config))
    }

    /// A session that has come by WebSocket.
    pub fn socket(
        mut link: Box<dyn Link>,
        sid: Sid,
        sessions: &Arc<PollingSessions>,
        config: &Arc<Config>,
        now: Instant,
    ) -> Engine {
        let entry = sessions.enter(sid, Lookup::Socket);
        link.push(Frame::text(packet::open(sid, Transport::WebSocket, config)));
        let mut engine = Engine::new(CurrentTransport::Socket(link), entry, config, now);
        engine.uncount(0, 1);
        engine
    }

    fn new(current: CurrentTransport, entry: SessionEntry, config: &Arc<Config>, now: Instant) -> Engine {
        let beat = PingTimer::new(now, config.ping_interval);
        Engine {
            current,
            beat,
            pings: PingCount::default(),
            config: Arc::clone(config),
            entry,
            over: None,
            before: Traffic::default(),
        }
    }

    /// Packets that a WebSocket counts as messages, and that are none.
    fn uncount(&mut self, received: u64, sent: u64) {
        self.before.messages_in = self.before.messages_in.wrapping_sub(received);
        self.before.messages_out = self.before.messages_out.wrapping_sub(sent);
    }

    fn end(&mut self, over: CloseReason) -> LinkError {
        let error = over.error();
        self.over = Some(Box::new(over));
        error
    }

    /// The next frame by the present way, whatever packet it is.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, CloseReason>> {
        loop {
            let Polling { polled, probe, .. } = match &mut self.current {
                CurrentTransport::Polling(polling) => polling.as_mut(),
                CurrentTransport::Socket(link) => return poll_socket(link.as_mut(), context),
            };
            match polled.poll_packet(context) {
                Poll::Ready(Ok(frame)) => {
                    polled.traffic.messages_in += 1;
                    return Poll::Ready(Ok(frame));
                }
                Poll::Ready(Err(over)) => return Poll::Ready(Err(over)),
                // All that came by the old way has been read: now the new one.
                Poll::Pending if probe.as_ref().is_some_and(Probe::is_agreed) => self.go_over(),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn go_over(&mut self) {
        let CurrentTransport::Polling(polling) = &mut self.current else { return };
        let Some(probe) = polling.probe.take() else { return };
        let CurrentTransport::Polling(polling) =
            std::mem::replace(&mut self.current, CurrentTransport::Socket(probe.into_link()))
        else {
            return;
        };
        let (frames, traffic) = polling.polled.leave(clock());
        let CurrentTransport::Socket(link) = &mut self.current else { return };
        // What it has said and heard as a probe was no message.
        let tried = link.traffic();
        let sent = frames.len() as u64;
        frames.into_iter().for_each(|frame| link.push(frame));
        self.before = sum(self.before, traffic);
        self.uncount(tried.messages_in, tried.messages_out + sent);
        self.entry.upgraded();
    }

    /// By which way the end is said. A client that has seen its second transport work reads no more by the first: were
    /// both closed now, it would hear of it only when its pings stay away.
    fn poll_decision(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let CurrentTransport::Polling(polling) = &mut self.current else { return Poll::Ready(()) };
        polling.polled.disregard(context);
        let Polling { polled, probe: Some(trying), .. } = polling.as_mut() else { return Poll::Ready(()) };
        // What is left to say has a body of its own, and that may be the last that the client asks for here.
        let _ = polled.poll_flush(context);
        if polled.shared().exchange.has_reader(context) {
            return Poll::Ready(());
        }
        let has_failed = trying.poll(context) == Trial::Failed || trying.is_late(clock());
        if trying.is_agreed() {
            self.go_over();
        } else if trying.is_probed() && !has_failed {
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Ready when a door that goes away has waited long enough for a client that polls.
    fn poll_leaving(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.current {
            CurrentTransport::Polling(polling) => match &mut polling.closes {
                Some(closes) => closes.as_mut().poll(context),
                None => Poll::Pending,
            },
            CurrentTransport::Socket(_) => Poll::Pending,
        }
    }

    /// Tries the second transport, where there is one.
    fn poll_candidate(&mut self, context: &mut Context<'_>) {
        let CurrentTransport::Polling(polling) = &mut self.current else { return };
        let Polling { polled, probe, .. } = polling.as_mut();
        if probe.is_none()
            && let Some(link) = polled.shared().take()
        {
            let now = clock();
            *probe = Some(Probe::new(link, now, self.config.upgrade_timeout));
        }
        let Some(trying) = probe else { return };
        match trying.poll(context) {
            // Whoever reads is released by the probe's own time, as in the Node server.
            Trial::GoesOn => {}
            Trial::Agreed => context.waker().wake_by_ref(),
            Trial::Failed => give_up(polled, probe, context),
        }
        let is_late = |trying: &Probe| !trying.is_agreed() && trying.is_late(clock());
        if probe.as_ref().is_some_and(is_late) {
            give_up(polled, probe, context);
        }
    }
}

fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn give_up(polled: &PollingState, probe: &mut Option<Probe>, context: &mut Context<'_>) {
    if let Some(failed) = probe.take() {
        failed.give_up(context);
        polled.shared().release();
    }
}

/// The next frame of a WebSocket, past what is its own affair.
fn poll_socket(link: &mut dyn Link, context: &mut Context<'_>) -> Poll<Result<Frame, CloseReason>> {
    loop {
        return Poll::Ready(match ready!(link.poll_receive(context)) {
            Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => continue,
            Some(Ok(Frame::Close(_))) => Err(CloseReason::closed("the client closed its WebSocket")),
            Some(Ok(frame)) => Ok(frame),
            Some(Err(error)) => Err(CloseReason::transport_error(error.to_string())),
            None => Err(CloseReason::closed("the client is gone")),
        });
    }
}

impl Link for Engine {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        if self.over.is_some() {
            return Poll::Ready(None);
        }
        self.poll_candidate(context);
        loop {
            let frame = match ready!(self.poll_frame(context)) {
                Ok(frame) => frame,
                Err(over) => return Poll::Ready(Some(Err(self.end(over)))),
            };
            let packet = match &frame {
                Frame::Text(text) => EnginePacket::read(text),
                _ => Some(EnginePacket::Message),
            };
            match packet {
                Some(EnginePacket::Pong(_)) => {
                    self.pings.answered = self.pings.sent;
                    self.beat.answered(clock(), self.config.ping_interval);
                }
                _ if self.beat.listens() => self.beat.heard(clock(), self.config.ping_timeout),
                _ => {}
            }
            let over = match packet {
                Some(EnginePacket::Message) => return Poll::Ready(Some(Ok(frame))),
                Some(EnginePacket::Open | EnginePacket::Upgrade | EnginePacket::Noop | EnginePacket::Pong(_)) => {
                    self.uncount(1, 0);
                    continue;
                }
                Some(EnginePacket::Ping(_)) => CloseReason::transport_error("it is for the server to ping"),
                Some(EnginePacket::Close) => {
                    if let CurrentTransport::Polling(polling) = &mut self.current {
                        polling.closes = Some(Box::pin(tokio::time::sleep(CLOSE_WAITS)));
                    }
                    CloseReason::closed("the client said so")
                }
                None => CloseReason::parse_error("what came is no packet"),
            };
            return Poll::Ready(Some(Err(self.end(over))));
        }
    }

    fn push(&mut self, frame: Frame) {
        match &mut self.current {
            CurrentTransport::Socket(link) => link.push(frame),
            CurrentTransport::Polling(polling) => {
                // Its close is a packet, which `poll_close` says.
                if let Frame::Close(close) = frame {
                    if close.is_some_and(|close| close.is_going_away()) {
                        polling.closes = Some(Box::pin(tokio::time::sleep(LEAVE_WAITS)));
                    }
                    return;
                }
                polling.polled.traffic.messages_out += 1;
                polling.polled.push(frame);
            }
        }
    }

    fn push_encoded(&mut self, encoded: EncodedFrames) {
        match &mut self.current {
            CurrentTransport::Socket(link) => link.push_encoded(encoded),
            CurrentTransport::Polling(_) => encoded.frames().iter().for_each(|frame| self.push(frame.clone())),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_candidate(context);
        match &mut self.current {
            CurrentTransport::Socket(link) => link.poll_flush(context),
            // Who polls when its answer to a ping is too late finds no session, whatever the timer says.
            CurrentTransport::Polling(polling) if polling.polled.reads_too_late(&self.beat) => Poll::Ready(Ok(())),
            CurrentTransport::Polling(polling) => polling.polled.poll_flush(context),
        }
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.over.is_none() && self.poll_decision(context).is_pending() {
            ready!(self.poll_leaving(context));
        }
        let is_dead = self.over.as_ref().is_some_and(|over| over.is_dead);
        let Polling { polled, probe, closes } = match &mut self.current {
            CurrentTransport::Socket(link) => {
                let closed = link.poll_close(context);
                // As in the Node server: who answered no ping is not asked to answer a close.
                return if is_dead { Poll::Ready(Ok(())) } else { closed };
            }
            CurrentTransport::Polling(polling) => polling.as_mut(),
        };
        give_up(polled, probe, context);
        if self.over.is_some()
            && let Some(closes) = closes
        {
            if !polled.shared().exchange.has_reader(context) {
                ready!(closes.as_mut().poll(context));
            }
            polled.used();
        }
        if is_dead && polled.reads_too_late(&self.beat) {
            return Poll::Ready(Ok(()));
        }
        let (last, waits) = self.over.as_ref().map_or((packet::CLOSE, true), |over| (over.last, false));
        if polled.poll_last(last, waits, context).is_pending() {
            ready!(self.poll_leaving(context));
        }
        Poll::Ready(Ok(()))
    }

    fn traffic(&self) -> Traffic {
        match &self.current {
            CurrentTransport::Socket(link) => sum(self.before, link.traffic()),
            CurrentTransport::Polling(polling) => sum(self.before, polling.polled.traffic),
        }
    }

    fn is_quiet(&self) -> bool {
        matches!(&self.current, CurrentTransport::Socket(link) if self.over.is_none() && link.is_quiet())
    }

    fn ping_count(&self) -> PingCount {
        self.pings
    }

    fn next_wake(&self) -> Option<Instant> {
        let probe = match &self.current {
            CurrentTransport::Polling(polling) => polling.probe.as_ref().map(Probe::next_wake),
            CurrentTransport::Socket(_) => None,
        };
        if self.over.is_some() { None } else { probe.into_iter().chain([self.beat.due()]).min() }
    }

    fn wake(&mut self, now: Instant) -> Result<(), LinkError> {
        if let CurrentTransport::Polling(polling) = &mut self.current
            && let Some(probe) = &mut polling.probe
            && probe.wake(now)
        {
            polling.polled.release();
        }
        match self.beat.wake(now, self.config.ping_timeout) {
            Due::Nothing => {}
            Due::CloseReason => return Err(self.end(CloseReason::ping_timeout())),
            Due::Ping => {
                self.pings.sent = self.pings.sent.wrapping_add(1);
                match &mut self.current {
                    CurrentTransport::Polling(polling) => polling.polled.ping(),
                    CurrentTransport::Socket(link) => {
                        link.push(Frame::Text(Text::from_static(packet::PING)));
                        self.uncount(0, 1);
                    }
                }
            }
        }
        Ok(())
    }
}

fn sum(a: Traffic, b: Traffic) -> Traffic {
    Traffic {
        bytes_in: a.bytes_in + b.bytes_in,
        bytes_out: a.bytes_out + b.bytes_out,
        // Of packets that are no messages, more may have been taken away than were counted so far.
        messages_in: a.messages_in.wrapping_add(b.messages_in),
        messages_out: a.messages_out.wrapping_add(b.messages_out),
    }
}

#[cfg(test)]
mod tests;
