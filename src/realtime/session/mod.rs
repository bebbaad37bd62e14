//! One client: the only place that holds link, dialect and hub together. One task a connection, polled by hand: it
//! reads, has commands written out, and writes what waits in as few writes as there can be.

mod abroad;
mod resume;
mod commands;
mod ending;
mod link_state;
mod direct_write;
mod open;
mod pending;
mod record;
mod resumption;
mod returning;
mod shared;

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;

use super::dialect::{Action, Dialect, Step};
use super::entrance::authorizer::{Authorizer, ConnectionInfo, Left};
use super::hub::outbox::{Item, OutboxEntry};
use super::hub::{Authority, Client};
use super::link::{Link, LinkError};
use super::vocabulary::{Command, DisconnectReason, Event, Frame, Moment, Position};
use crate::drain::Guard;
use direct_write::SharedLink;
use ending::CloseTimer;
use link_state::LinkState;
use pending::PendingCommands;

pub use abroad::Abroad;
pub use open::Sessions;
pub use record::{Metrics, SessionEnd, SessionRecord};
pub use resume::{ResumeHandle, ResumeLimits, ResumeRegistry};

/// A session that talks. A future by hand: one that the compiler makes of it is twice as large, for each open socket.
pub struct RunningSession(Session);

impl Future for RunningSession {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        ready!(self.0.poll(context));
        self.0.count();
        self.0.part();
        Poll::Ready(())
    }
}

thread_local! {
    /// Memory for steps, one at a time: a silent client keeps none of it.
    static SPARE: Cell<Vec<Action>> = const { Cell::new(Vec::new()) };
}

/// Frames read before others get a turn.
const FRAMES_PER_TURN: usize = 32;

/// Bytes that may wait in the link: with more, nothing is read until it is written. A client that does not read is
/// not listened to for ever, and its heartbeat ends it.
const MAX_UNWRITTEN: usize = 64 * 1024;

/// The progress of one direction in a turn.
#[derive(Debug, Clone, Copy)]
struct Progress {
    any: bool,
    /// Whatever comes next wakes the session.
    is_all: bool,
}

impl Progress {
    const NOWHERE: Progress = Progress { any: false, is_all: false };
}

/// One client's conversation, from its first word to its last.
pub struct Session {
    link_state: LinkState,
    dialect: Box<dyn Dialect>,
    client: Client,
    authorizer: Option<(Arc<dyn Authorizer>, Arc<ConnectionInfo>)>,
    /// Only while the authorizer is asked something.
    pending: Option<Box<PendingCommands>>,
    /// Bytes pushed to the link since it last had written everything.
    unwritten: usize,
    /// The link, while the flusher may use it.
    shared_link: Option<Arc<SharedLink>>,
    /// True if the direct writer has written to the link since the session last ran.
    has_heard: bool,
    timer: Option<Pin<Box<Sleep>>>,
    close_timer: Option<Box<CloseTimer>>,
    /// Of the present link; none while there is none.
    record: Option<SessionRecord>,
    /// The slot by which the client may resume, if it may.
    resume: Option<Box<ResumeHandle>>,
    /// The time a link gets for its closing handshake.
    close_timeout: Duration,
    _guard: Guard,
}

impl Session {
    /// Begins a conversation, before there is a link: when this is done, the client is in its first channels, or the
    /// authorizer has said that it may not be. `first` are commands that the app gave when it let the client in.
    async fn begin(
        dialect: Box<dyn Dialect>,
        client: Client,
        authorizer: Option<(Arc<dyn Authorizer>, Arc<ConnectionInfo>)>,
        first: Vec<Command>,
        record: SessionRecord,
        guard: Guard,
    ) -> Session {
        let mut session = Session {
            link_state: LinkState::Early(Vec::new()),
            dialect,
            client,
            authorizer,
            pending: None,
            unwritten: 0,
            shared_link: None,
            has_heard: false,
            timer: None,
            close_timer: None,
            record: Some(record),
            resume: None,
            close_timeout: Duration::ZERO,
            _guard: guard,
        };
        session.client.set_namespaces(session.dialect.has_namespaces());
        let now = Moment::now();
        let mut step = Step::default();
        session.dialect.open(now, &mut step);
        session.perform(step, now);
        for command in first {
            session.carry_out(command, Authority::App, now);
        }
        std::future::poll_fn(|context| session.poll_pending(Moment::now(), context)).await;
        session
    }

    /// Talks over `link` until it is over. `close_timeout` is how long the link may take to close.
    pub fn run(mut self, link: Box<dyn Link>, close_timeout: Duration) -> RunningSession {
        self.link_state.open(link);
        self.close_timeout = close_timeout;
        RunningSession(self)
    }

    /// The client left before there was a link.
    pub fn abandon(mut self) {
        self.lost("the client left before it was answered".to_owned(), Moment::now());
        self.part();
    }

    fn part(&mut self) {
        let Session { authorizer: Some((authorizer, connection)), client, dialect, record, .. } = self else { return };
        let word = record.as_ref().map_or("lost", |record| record.end().label());
        dialect.left_scopes(word, &mut |scope, alias, reason, kind| {
            authorizer.disconnected(connection, client.identity(), Left { scope, alias, reason, kind });
        });
    }

    fn count(&mut self) {
        if let (Some(link), Some(record)) = (self.link_state.link(), &mut self.record) {
            record.count(link.traffic());
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.take_back();
        let now = Moment::now();
        self.poll_return(now, context);
        self.keep_time(now, context);
        let over = self.talk(now, context);
        // After the talk, in which the link may have been lost.
        self.poll_last_words(context);
        self.poll_handed(now, context);
        self.note_pings();
        self.count();
        if over.is_pending() && self.close_timer.is_none() {
            self.set_timer(now, context);
            self.lend();
        }
        over
    }

    fn talk(&mut self, now: Moment, context: &mut Context<'_>) -> Poll<()> {
        let mut left = FRAMES_PER_TURN;
        loop {
            if self.link_state.link().is_none() {
                // It was said to nobody.
                self.unwritten = 0;
            }
            let _ = self.poll_pending(now, context);
            let is_written = self.unwritten == 0;
            let read = self.read(&mut left, now, context);
            // A link that was lost just now leaves nothing to wait for: what it could not take is to be kept.
            let hears = is_written || self.link_state.link().is_none();
            let heard = if hears { self.hear(now, context) } else { Progress::NOWHERE };
            if self.close_timer.is_some() {
                let _ = self.poll_pending(now, context);
                return self.poll_ending(context);
            }
            let Some(link) = self.link_state.link() else {
                if heard.any {
                    continue;
                }
                return Poll::Pending;
            };
            match link.poll_flush(context) {
                Poll::Ready(Ok(())) => self.unwritten = 0,
                Poll::Ready(Err(error)) => {
                    self.lost(error.to_string(), now);
                    continue;
                }
                Poll::Pending => {
                    self.unwritten = self.unwritten.max(1);
                    self.client.writing(now, self.close_timeout, context);
                }
            }
            let went_on = read.any || heard.any || (!is_written && self.unwritten == 0);
            let is_all = read.is_all && (heard.is_all || self.unwritten > 0) && self.pending.is_none();
            if is_all || !went_on {
                return Poll::Pending;
            }
            if left == 0 {
                // More may wait to be read: after the others had a turn.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Reads what has come, as far as this turn goes.
    fn read(&mut self, left: &mut usize, now: Moment, context: &mut Context<'_>) -> Progress {
        let before = *left;
        while *left > 0 && self.close_timer.is_none() && self.unwritten < MAX_UNWRITTEN && self.has_room_for_commands()
        {
            if self.client.hub().is_crowded() {
                // Those whose mailboxes fill up come first.
                *left = 0;
                return Progress { any: true, is_all: false };
            }
            let Some(link) = self.link_state.link() else { break };
            match link.poll_receive(context) {
                Poll::Pending => return Progress { any: before != *left, is_all: true },
                Poll::Ready(Some(Ok(frame))) => {
                    *left -= 1;
                    self.receive(frame, now);
                }
                Poll::Ready(Some(Err(LinkError::Violation(violation)))) => {
                    self.end(DisconnectReason::Violation(violation), now)
                }
                Poll::Ready(Some(Err(LinkError::Ended { word, detail }))) => {
                    self.ended_by_link(word, detail.into_owned(), now);
                }
                Poll::Ready(Some(Err(LinkError::Broken(error)))) => self.lost(error.to_string(), now),
                Poll::Ready(None) => self.lost("the client is gone".to_owned(), now),
            }
        }
        Progress { any: before != *left, is_all: false }
    }

    fn receive(&mut self, frame: Frame, now: Moment) {
        let frame = if self.resume.is_some() {
            let Some(frame) = self.hand_over(frame) else { return };
            frame
        } else {
            frame
        };
        self.heed(frame, now);
    }

    fn heed(&mut self, frame: Frame, now: Moment) {
        let closed = if let Frame::Close(close) = &frame { Some(close.as_ref().map(|close| close.code)) } else { None };
        let mut step = Step { actions: SPARE.take() };
        let outcome = self.dialect.receive(frame, now, &mut step);
        self.perform(step, now);
        if let Err(violation) = outcome {
            self.end(DisconnectReason::Violation(violation), now);
        } else if let Some(code) = closed {
            self.closed_by_client(code);
        }
    }

    /// Tells the machine of pings and pongs: what was sent before an answered ping has arrived.
    fn note_pings(&mut self) {
        let (Some(resume), Some(link)) = (&mut self.resume, self.link_state.link()) else { return };
        let pings = link.ping_count();
        let before = std::mem::replace(&mut resume.pings, pings);
        let Some(machine) = self.dialect.resumable() else { return };
        if pings.answered != before.answered {
            machine.on_pong();
        }
        if pings.sent != before.sent {
            machine.on_ping_sent();
        }
    }

    /// Hands on what waits for the client, as much as may be unwritten.
    fn hear(&mut self, now: Moment, context: &mut Context<'_>) -> Progress {
        let mut any = false;
        while self.unwritten < MAX_UNWRITTEN && self.close_timer.is_none() {
            if self.client.poll_fill(now, context).is_pending() {
                self.client.goes_on();
                return Progress { any, is_all: true };
            }
            any = true;
            while let Some(entry) = self.client.next_entry() {
                self.has_heard = true;
                self.hand_on(entry, now);
            }
            if let Some(why) = self.client.closing() {
                self.end(why, now);
            } else if self.client.has_all() {
                self.client.goes_on();
                return Progress { any, is_all: true };
            }
        }
        Progress { any, is_all: false }
    }

    fn hand_on(&mut self, entry: OutboxEntry, now: Moment) {
        match entry.item {
            Item::Encoded(encoded) => {
                if self.resume.is_some() && !self.keep(&encoded, entry.offset > 0, now) {
                    return;
                }
                self.unwritten += encoded.bytes() + 1;
                self.link_state.push_encoded(encoded);
            }
            Item::Event(event) => {
                if let Some(resume) = &self.resume {
                    resume.make_room();
                }
                self.deliver(&event, now);
            }
            Item::Command(command) => self.carry_out(*command, Authority::App, now),
            Item::Lost { after } => {
                if let Some((channel, after)) = self.client.position(entry.channel, after) {
                    let upto = Position { offset: entry.offset, ..after };
                    self.client.lags(&channel);
                    self.deliver(&Event::Lost { channel, after, upto }, now);
                }
            }
        }
    }

    /// Has the machine put an event into words.
    fn deliver(&mut self, event: &Event, now: Moment) {
        let mut step = Step::default();
        self.dialect.deliver(event, now, &mut step);
        self.perform(step, now);
    }

    /// Does what a machine wants, in order.
    fn perform(&mut self, mut step: Step, now: Moment) {
        for action in step.actions.drain(..) {
            match action {
                Action::Send(frame) => {
                    self.unwritten += frame.len() + 1;
                    self.link_state.push(frame);
                }
                Action::SendEncoded(encoded) => {
                    self.unwritten += encoded.bytes() + 1;
                    self.link_state.push_encoded(encoded);
                }
                Action::Do(command) => self.command(command, now),
                Action::Agreed(command) => self.carry_out(command, Authority::Client, now),
            }
        }
        if step.actions.capacity() > 0 {
            SPARE.set(step.actions);
        }
    }

    /// Wakes link and machine when their time has come.
    fn keep_time(&mut self, now: Moment, context: &mut Context<'_>) {
        // The timer rings when the first of them is due, or before.
        let is_early = self.timer.as_ref().is_some_and(|timer| timer.deadline().into_std() > now.instant);
        if is_early || self.close_timer.is_some() {
            return;
        }
        if let Some(link) = self.link_state.link()
            && link.next_wake().is_some_and(|due| due <= now.instant)
            && let Err(LinkError::Ended { word, detail }) = link.wake(now.instant)
        {
            return self.ended_by_link(word, detail.into_owned(), now);
        }
        self.note_pings();
        if self.client.has_expired(now.instant) {
            return self.end(DisconnectReason::Expired, now);
        }
        if self.client.ends_by().is_some_and(|due| due <= now.instant) {
            self.hear_out(now, context);
        }
        if self.dialect.next_wake().is_some_and(|due| due <= now.instant) {
            let mut step = Step::default();
            self.dialect.wake(now, &mut step);
            self.perform(step, now);
        }
    }

    /// Sees to being woken when link or machine want it. A timer that comes too early is left alone.
    fn set_timer(&mut self, now: Moment, context: &mut Context<'_>) {
        let by_link = self.link_state.link().and_then(|link| link.next_wake());
        let expiry = self.client.rights().and_then(|rights| rights.until);
        let own = [expiry, self.client.ends_by()].into_iter().flatten();
        let Some(due) = self.dialect.next_wake().into_iter().chain(by_link).chain(own).min() else { return };
        let due = tokio::time::Instant::from_std(due);
        match &mut self.timer {
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(due))),
            Some(timer) if due < timer.deadline() || timer.deadline().into_std() <= now.instant => {
                timer.as_mut().reset(due);
            }
            Some(_) => return,
        }
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(context).is_ready()
        {
            context.waker().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_client_costs_little() {
        // With what the runtime adds, 512 bytes: the next size that the allocator has is 640. What a session points to
        // is about three times as much.
        assert!(size_of::<RunningSession>() <= 408, "{}", size_of::<RunningSession>());
    }
}
