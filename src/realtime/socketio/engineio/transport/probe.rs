//! A WebSocket that a polling session may go over to: it is tried first, so that nothing is lost where a proxy in between
//! lets no WebSocket through.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::packet::{self, EnginePacket};
use crate::realtime::link::Link;
use crate::realtime::vocabulary::{Frame, Text};

/// How often whoever reads is released while the client waits for that, to read no more.
const RELEASE_INTERVAL: Duration = Duration::from_millis(100);

/// A WebSocket that is being probed before a polling session goes over to it.
pub struct Probe {
    link: Box<dyn Link>,
    /// When it has taken too long.
    deadline: Instant,
    /// When whoever reads is released next; from the probe on.
    release: Option<Instant>,
    is_agreed: bool,
}

/// What comes of trying it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    GoesOn,
    /// The client sends nothing more by the old way.
    Agreed,
    Failed,
}

impl Probe {
    pub fn new(link: Box<dyn Link>, now: Instant, timeout: Duration) -> Probe {
        Probe { link, deadline: now + timeout, release: None, is_agreed: false }
    }

    pub fn is_agreed(&self) -> bool {
        self.is_agreed
    }

    pub fn is_probed(&self) -> bool {
        self.release.is_some()
    }

    pub fn next_wake(&self) -> Instant {
        self.release.map_or(self.deadline, |release| release.min(self.deadline))
    }

    /// Whether whoever reads is to be released at `now`.
    pub fn wake(&mut self, now: Instant) -> bool {
        let is_due = self.release.is_some_and(|release| release <= now);
        if is_due {
            self.release = Some(now + RELEASE_INTERVAL);
        }
        is_due
    }

    pub fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Goes on with it as far as it goes.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Trial {
        let mut trial = Trial::GoesOn;
        while !self.is_agreed {
            let Poll::Ready(received) = self.link.poll_receive(context) else { break };
            let packet = match &received {
                Some(Ok(Frame::Text(text))) => EnginePacket::read(text),
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => continue,
                _ => None,
            };
            match packet {
                Some(EnginePacket::Ping("probe")) => {
                    self.link.push(Frame::Text(Text::from_static(packet::PROBED)));
                    self.release = Some(tokio::time::Instant::now().into_std() + RELEASE_INTERVAL);
                }
                Some(EnginePacket::Upgrade) => {
                    self.is_agreed = true;
                    trial = Trial::Agreed;
                }
                _ => return Trial::Failed,
            }
        }
        match self.link.poll_flush(context) {
            Poll::Ready(Err(_)) => Trial::Failed,
            _ => trial,
        }
    }

    /// It failed: the client is told, as far as that goes at once.
    pub fn give_up(mut self, context: &mut Context<'_>) {
        let _ = self.link.poll_close(context);
    }

    /// It is the way now.
    pub fn into_link(self) -> Box<dyn Link> {
        self.link
    }
}
