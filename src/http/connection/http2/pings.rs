//! Whether a client is there: it is asked, and answers in time. On a narrow way a question waits behind all that was sent
//! before it, and so does the answer; as long as the client acknowledges more and more of that, it is there. Where the socket
//! takes no more, the question cannot even be written: then what is not acknowledged is the question.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::debug;

use super::frames::Frame;
use crate::http::Config;
use crate::http::connection::lazy_timer::LazyTimer;
use crate::http::connection::vanished::Vanished;
use crate::listen::TcpInfo;

/// The questions of one connection (PING, RFC 9113 section 6.7).
#[derive(Debug)]
pub struct Pings {
    timeout: Duration,
    /// Since when an answer is awaited, with nothing to show that the client is there.
    since: Option<Instant>,
    next_look: Instant,
    timer: LazyTimer,
    /// From one question to the end of the time for the answer to the next.
    patience: Duration,
    /// While the socket takes no more.
    holding_up: Option<Vanished>,
    holding_up_timer: LazyTimer,
}

impl Pings {
    pub fn new(config: &Config) -> Pings {
        Pings {
            timeout: config.h2_ping_timeout,
            since: None,
            next_look: Instant::now(),
            timer: LazyTimer::default(),
            patience: config.h2_ping_interval + config.h2_ping_timeout,
            holding_up: None,
            holding_up_timer: LazyTimer::default(),
        }
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

    /// The socket took something: the client acknowledges.
    pub fn goes_on(&mut self) {
        self.holding_up = None;
    }

    /// The socket takes no more, and the library need not read until it does. Ready when the client is gone.
    pub fn poll_gone_holding_up(&mut self, tcp: &TcpStream, context: &mut Context<'_>) -> Poll<()> {
        let vanished = self.holding_up.get_or_insert_with(|| Vanished::holding_up(self.patience, Instant::now()));
        while self.holding_up_timer.poll(context, vanished.next_look()).is_ready() {
            if vanished.look(tcp, Instant::now()) {
                debug!("a client of HTTP/2 acknowledges nothing of what it was sent");
                return Poll::Ready(());
            }
        }
        self.poll_gone(tcp, context)
    }
}
