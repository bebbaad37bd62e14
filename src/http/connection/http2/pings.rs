//! Whether a client is there: it is asked, and answers in time. On a narrow way a question waits behind all that was sent
//! before it, and so does the answer; as long as the client acknowledges more and more of that, it is there.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::debug;

use super::frames::Frame;
use crate::http::connection::lazy_timer::LazyTimer;
use crate::listen::TcpInfo;

/// The questions of one connection (PING, RFC 9113 section 6.7).
#[derive(Debug)]
pub struct Pings {
    timeout: Duration,
    /// Since when an answer is awaited, with nothing to show that the client is there.
    since: Option<Instant>,
    next_look: Instant,
    timer: LazyTimer,
}

impl Pings {
    /// `timeout` is how long an answer may take while nothing else moves.
    pub fn new(timeout: Duration) -> Pings {
        Pings { timeout, since: None, next_look: Instant::now(), timer: LazyTimer::default() }
    }

    /// We wrote `frame`.
    pub fn wrote(&mut self, frame: Frame) {
        if frame.is_ping() && self.since.is_none() {
            let now = Instant::now();
            (self.since, self.next_look) = (Some(now), now + self.timeout / 4);
        }
    }

    /// The client sent `frame`.
    pub fn came(&mut self, frame: Frame) {
        if frame.is_pong() {
            self.since = None;
        }
    }

    /// Ready when the client is gone.
    pub fn poll_gone(&mut self, tcp: &TcpStream, context: &mut Context<'_>) -> Poll<()> {
        while let Some(since) = self.since {
            if self.timer.poll(context, self.next_look.min(since + self.timeout)).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            let between = self.timeout / 4;
            // What is all acknowledged has brought the question too: then only its answer counts.
            let moves = TcpInfo::of(tcp)
                .is_ok_and(|info| info.is_unacknowledged && info.since_acknowledgement < between + between / 2);
            if moves {
                self.since = Some(now);
            } else if now >= since + self.timeout {
                debug!("a client of HTTP/2 does not answer a ping");
                return Poll::Ready(());
            }
            self.next_look = now + between;
        }
        Poll::Pending
    }
}
