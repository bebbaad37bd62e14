//! Engine.IO 4 as a link: by polling, by WebSocket, and from the one to the other under traffic.
//!
//! A frame is one *message* packet, in both directions: a text with its leading `4`, or bytes as they are. So what was
//! encoded once for many clients goes out by WebSocket as it is. All other packets stay in here: handshake, heartbeat,
//! upgrade and close.

mod beat;
mod candidate;
mod config;
mod over;
mod packet;
mod payload;
mod polled;
mod sessions;
mod shared;
mod sid;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::realtime::link::{Beats, Link, LinkError, Traffic};
use crate::realtime::vocabulary::{Frame, Parcel, Text};
use beat::{Beat, Due};
use candidate::{Candidate, Trial};
use over::Over;
use packet::Packet;
use polled::Polled;
use sessions::Seat;

pub use config::{Config, Transport};
pub use payload::{Malformed, Payload, encode};
pub use sessions::{Numbers, Place, Sessions};
pub use shared::Shared;
pub use sid::Sid;

/// One client's session.
pub struct Engine {
    way: Way,
    beat: Beat,
    beats: Beats,
    config: Arc<Config>,
    seat: Seat,
    over: Option<Box<Over>>,
    /// What travelled before the present way, without the packets that are no messages.
    before: Traffic,
}

enum Way {
    Polling(Box<Polling>),
    Socket(Box<dyn Link>),
}

struct Polling {
    polled: Polled,
    candidate: Option<Candidate>,
}

impl Engine {
    /// A session that polls, and its first packet.
    pub fn polling(sid: Sid, sessions: &Arc<Sessions>, config: &Arc<Config>, now: Instant) -> (Engine, String) {
        let shared = Arc::new(Shared::new(Arc::clone(config)));
        let seat = sessions.enter(sid, Place::Polling(Arc::clone(&shared)));
        let way = Way::Polling(Box::new(Polling { polled: Polled::new(shared), candidate: None }));
        (Engine::new(way, seat, config, now), packet::open(sid, Transport::Polling, config))
    }

    /// A session that has come by WebSocket.
    pub fn socket(
        mut link: Box<dyn Link>,
        sid: Sid,
        sessions: &Arc<Sessions>,
        config: &Arc<Config>,
        now: Instant,
    ) -> Engine {
        let seat = sessions.enter(sid, Place::Socket);
        link.push(Frame::text(packet::open(sid, Transport::WebSocket, config)));
        let mut engine = Engine::new(Way::Socket(link), seat, config, now);
        engine.uncount(0, 1);
        engine
    }

    fn new(way: Way, seat: Seat, config: &Arc<Config>, now: Instant) -> Engine {
        let beat = Beat::new(now, config.ping_interval);
        Engine {
            way,
            beat,
            beats: Beats::default(),
            config: Arc::clone(config),
            seat,
            over: None,
            before: Traffic::default(),
        }
    }

    /// Packets that a WebSocket counts as messages, and that are none.
    fn uncount(&mut self, received: u64, sent: u64) {
        self.before.messages_in = self.before.messages_in.wrapping_sub(received);
        self.before.messages_out = self.before.messages_out.wrapping_sub(sent);
    }

    fn end(&mut self, over: Over) -> LinkError {
        let error = over.error();
        self.over = Some(Box::new(over));
        error
    }

    /// The next frame by the present way, whatever packet it is.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, Over>> {
        loop {
            let Polling { polled, candidate } = match &mut self.way {
                Way::Polling(polling) => polling.as_mut(),
                Way::Socket(link) => return poll_socket(link.as_mut(), context),
            };
            match polled.poll_packet(context) {
                Poll::Ready(Ok(frame)) => {
                    polled.traffic.messages_in += 1;
                    return Poll::Ready(Ok(frame));
                }
                Poll::Ready(Err(over)) => return Poll::Ready(Err(over)),
                // All that came by the old way has been read: now the new one.
                Poll::Pending if candidate.as_ref().is_some_and(Candidate::is_agreed) => self.go_over(),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn go_over(&mut self) {
        let Way::Polling(polling) = &mut self.way else { return };
        let Some(candidate) = polling.candidate.take() else { return };
        let Way::Polling(polling) = std::mem::replace(&mut self.way, Way::Socket(candidate.into_link())) else {
            return;
        };
        let (frames, traffic) = polling.polled.leave();
        let Way::Socket(link) = &mut self.way else { return };
        // What it has said and heard as a candidate was no message.
        let tried = link.traffic();
        let sent = frames.len() as u64;
        frames.into_iter().for_each(|frame| link.push(frame));
        self.before = sum(self.before, traffic);
        self.uncount(tried.messages_in, tried.messages_out + sent);
        self.seat.upgraded();
    }

    /// By which way the end is said. A client that has seen its second transport work reads no more by the first: were
    /// both closed now, it would hear of it only when its pings stay away.
    fn poll_decision(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Way::Polling(polling) = &mut self.way else { return Poll::Ready(()) };
        polling.polled.disregard(context);
        let Polling { polled, candidate: Some(trying) } = polling.as_mut() else { return Poll::Ready(()) };
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

    /// Tries the second transport, where there is one.
    fn poll_candidate(&mut self, context: &mut Context<'_>) {
        let Way::Polling(polling) = &mut self.way else { return };
        let Polling { polled, candidate } = polling.as_mut();
        if candidate.is_none()
            && let Some(link) = polled.shared().take()
        {
            let now = clock();
            *candidate = Some(Candidate::new(link, now, self.config.upgrade_timeout));
        }
        let Some(trying) = candidate else { return };
        match trying.poll(context) {
            Trial::GoesOn => {}
            Trial::Probed => polled.release(),
            Trial::Agreed => context.waker().wake_by_ref(),
            Trial::Failed => give_up(polled, candidate, context),
        }
        let is_late = |trying: &Candidate| !trying.is_agreed() && trying.is_late(clock());
        if candidate.as_ref().is_some_and(is_late) {
            give_up(polled, candidate, context);
        }
    }
}

fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn give_up(polled: &Polled, candidate: &mut Option<Candidate>, context: &mut Context<'_>) {
    if let Some(failed) = candidate.take() {
        failed.give_up(context);
        polled.shared().release();
    }
}

/// The next frame of a WebSocket, past what is its own affair.
fn poll_socket(link: &mut dyn Link, context: &mut Context<'_>) -> Poll<Result<Frame, Over>> {
    loop {
        return Poll::Ready(match ready!(link.poll_receive(context)) {
            Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => continue,
            Some(Ok(Frame::Close(_))) => Err(Over::closed("the client closed its WebSocket")),
            Some(Ok(frame)) => Ok(frame),
            Some(Err(error)) => Err(Over::transport_error(error.to_string())),
            None => Err(Over::closed("the client is gone")),
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
                Frame::Text(text) => Packet::read(text),
                _ => Some(Packet::Message),
            };
            match packet {
                Some(Packet::Pong(_)) => {
                    self.beats.answered = self.beats.asked;
                    self.beat.answered(clock(), self.config.ping_interval);
                }
                _ if self.beat.listens() => self.beat.heard(clock(), self.config.ping_timeout),
                _ => {}
            }
            let over = match packet {
                Some(Packet::Message) => return Poll::Ready(Some(Ok(frame))),
                Some(Packet::Open | Packet::Upgrade | Packet::Noop | Packet::Pong(_)) => {
                    self.uncount(1, 0);
                    continue;
                }
                Some(Packet::Ping(_)) => Over::transport_error("it is for the server to ping"),
                Some(Packet::Close) => {
                    if let Way::Polling(polling) = &mut self.way {
                        polling.polled.used();
                    }
                    Over::closed("the client said so")
                }
                None => Over::parse_error("what came is no packet"),
            };
            return Poll::Ready(Some(Err(self.end(over))));
        }
    }

    fn push(&mut self, frame: Frame) {
        match &mut self.way {
            Way::Socket(link) => link.push(frame),
            // Its close is a packet, which `poll_close` says.
            Way::Polling(_) if matches!(frame, Frame::Close(_)) => {}
            Way::Polling(polling) => {
                polling.polled.traffic.messages_out += 1;
                polling.polled.push(frame);
            }
        }
    }

    fn push_parcel(&mut self, parcel: Parcel) {
        match &mut self.way {
            Way::Socket(link) => link.push_parcel(parcel),
            Way::Polling(_) => parcel.frames().iter().for_each(|frame| self.push(frame.clone())),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_candidate(context);
        match &mut self.way {
            Way::Socket(link) => link.poll_flush(context),
            Way::Polling(polling) => polling.polled.poll_flush(context),
        }
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.over.is_none() {
            ready!(self.poll_decision(context));
        }
        let Polling { polled, candidate } = match &mut self.way {
            Way::Socket(link) => return link.poll_close(context),
            Way::Polling(polling) => polling.as_mut(),
        };
        give_up(polled, candidate, context);
        let (last, waits) = self.over.as_ref().map_or((packet::CLOSE, true), |over| (over.last, false));
        polled.poll_last(last, waits, context).map(Ok)
    }

    fn traffic(&self) -> Traffic {
        match &self.way {
            Way::Socket(link) => sum(self.before, link.traffic()),
            Way::Polling(polling) => sum(self.before, polling.polled.traffic),
        }
    }

    fn is_quiet(&self) -> bool {
        matches!(&self.way, Way::Socket(link) if self.over.is_none() && link.is_quiet())
    }

    fn beats(&self) -> Beats {
        self.beats
    }

    fn next_wake(&self) -> Option<Instant> {
        let candidate = match &self.way {
            Way::Polling(polling) => polling.candidate.as_ref().map(Candidate::next_wake),
            Way::Socket(_) => None,
        };
        if self.over.is_some() { None } else { candidate.into_iter().chain([self.beat.due()]).min() }
    }

    fn wake(&mut self, now: Instant) -> Result<(), LinkError> {
        if let Way::Polling(polling) = &mut self.way
            && let Some(candidate) = &mut polling.candidate
            && candidate.wake(now)
        {
            polling.polled.release();
        }
        match self.beat.wake(now, self.config.ping_timeout) {
            Due::Nothing => {}
            Due::Over => return Err(self.end(Over::ping_timeout())),
            Due::Ping => {
                self.beats.asked = self.beats.asked.wrapping_add(1);
                match &mut self.way {
                    Way::Polling(polling) => polling.polled.ping(),
                    Way::Socket(link) => {
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
