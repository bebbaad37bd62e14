//! Socket.IO (protocol 5) on an Engine.IO link: namespaces, events, acknowledgements, binary, rooms.
//!
//! The link carries Engine.IO *messages*: text frames begin with `4`, binary frames are attachments as they are. What a
//! server's code does elsewhere is the app's here: `connect` and every event are asked of its callbacks. Where it wants
//! to hear nothing, a relay does what the usual tutorial server does.

pub mod rooms;

mod config;
mod draft;
mod emit;
mod encode;
mod incoming;
mod inline;
mod msgpack;
mod outgoing;
mod packet;
mod recovery;
mod relay;
mod shared;
mod sid;
mod namespace;
mod replay;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

pub use config::{Config, Parser, RecoveryMode, Relay};
pub use draft::attached;
pub use emit::{Emit, answer, connection, event};
pub use inline::inline;
pub use recovery::Metrics;
pub use shared::SocketIo;

use crate::realtime::broker::NodeId;
use crate::realtime::dialect::{Dialect, Encoding, OnLeft, Resumable, Step};
use crate::realtime::vocabulary::{
    Breach, Channel, ConnectionId, DisconnectReason, EncodedFrames, Event, Extras, Frame, LeaveKind, Moment, Ref,
    Violation,
};
use namespace::{Namespace, NamespaceState};
use packet::Packet;
use replay::ReplayBuffer;

pub struct Machine {
    shared: Arc<SocketIo>,
    connection: ConnectionId,
    asked: bool,
    /// At most `max_namespaces`.
    namespaces: Vec<Namespace>,
    /// What waits for an outcome. Bounded by what a session lets wait.
    pending: Vec<(Ref, Pending)>,
    next: Ref,
    /// A packet whose attachments are still to come: at most `max_attachments`.
    assembly: Option<Box<(Packet, Vec<Bytes>)>>,
    /// In a namespace by then, or closed.
    deadline: Option<Instant>,
    /// Where clients may come back.
    replay: Option<Box<ReplayBuffer>>,
}

/// What to do about the outcome of a command.
#[derive(Debug)]
enum Pending {
    Acknowledge { scope: Arc<str>, id: u64 },
    Join { scope: Arc<str>, room: String, id: Option<u64> },
    Leave { scope: Arc<str>, room: String, id: Option<u64> },
}

impl Machine {
    fn new(shared: Arc<SocketIo>, connection: ConnectionId, asked: bool, now: Moment) -> Machine {
        let deadline = Some(now.instant + shared.config.connect_timeout);
        Machine {
            shared,
            connection,
            asked,
            namespaces: Vec::new(),
            pending: Vec::new(),
            next: 0,
            assembly: None,
            deadline,
            replay: None,
        }
    }

    #[cfg(test)]
    pub fn sids(&self) -> Vec<Arc<str>> {
        self.namespaces.iter().map(|namespace| Arc::clone(&namespace.sid)).collect()
    }

    fn ticket(&mut self) -> Ref {
        self.next += 1;
        self.next
    }

    fn wait(&mut self, what: Pending) -> Ref {
        let ticket = self.ticket();
        self.pending.push((ticket, what));
        ticket
    }

    fn waiting(&mut self, ticket: Ref) -> Option<Pending> {
        let place = self.pending.iter().position(|(known, _)| *known == ticket)?;
        Some(self.pending.swap_remove(place).1)
    }

    fn place(&self, scope: &str) -> Option<usize> {
        self.namespaces
            .iter()
            .position(|namespace| &*namespace.scope == scope && !matches!(namespace.state, NamespaceState::Leaving(_)))
    }

    fn joined(&self, scope: &str) -> Option<&Namespace> {
        self.namespaces.iter().find(|namespace| &*namespace.scope == scope && namespace.state == NamespaceState::Joined)
    }
}

impl Dialect for Machine {
    fn open(&mut self, _now: Moment, _step: &mut Step) {}

    fn receive(&mut self, frame: Frame, now: Moment, step: &mut Step) -> Result<(), Violation> {
        let outcome = match frame {
            Frame::Text(text) => self.text(&text, now, step),
            Frame::Binary(bytes) => self.binary(bytes, now, step),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => Ok(()),
        };
        outcome.map_err(|bad| Violation::new(Breach::Protocol, bad.to_string()))
    }

    fn deliver(&mut self, event: &Event, _now: Moment, step: &mut Step) {
        match event {
            Event::Connected { ticket, .. } => self.connected(*ticket, step),
            Event::Subscribed(subscribed) => self.subscribed(subscribed.ticket, &subscribed.channel, step),
            Event::Unsubscribed { ticket, channel, .. } => self.unsubscribed(*ticket, channel, step),
            Event::Refused { ticket, refusal, .. } => self.refused(*ticket, refusal, step),
            Event::Direct(draft) => self.direct(draft, step),
            Event::Kicked { scope } => self.dismiss(scope, step),
            Event::Answered { ticket, data, extras } => {
                // Without data the app has not answered, as a handler that never calls back.
                if let Some(Pending::Acknowledge { scope, id }) = self.waiting(*ticket)
                    && data.is_some()
                    && self.joined(&scope).is_some()
                {
                    self.acknowledge(&scope, id, data.as_ref(), extras, step);
                }
            }
            Event::Accepted { ticket, .. } => {
                if let Some(Pending::Acknowledge { scope, id }) = self.waiting(*ticket) {
                    self.acknowledge(&scope, id, None, &Extras::default(), step);
                }
            }
            // It goes on without what it missed, as its channel has it; but it does not come back to before that.
            Event::Lost { .. } => {
                if let Some(replay) = &mut self.replay {
                    replay.gap();
                }
            }
            // Presence, positions and histories have no words here.
            _ => {}
        }
    }

    fn encoding(&self, _channel: &Channel) -> Encoding {
        self.shared.encoding.clone()
    }

    fn wake(&mut self, now: Moment, step: &mut Step) {
        if self.deadline.is_some_and(|deadline| deadline <= now.instant) {
            self.deadline = None;
            step.close(DisconnectReason::Idle);
        }
        self.give_up(now, step);
    }

    fn next_wake(&self) -> Option<Instant> {
        let until = self.replay.as_ref().and_then(|replay| replay.until);
        self.deadline.into_iter().chain(until).min()
    }

    fn has_namespaces(&self) -> bool {
        true
    }

    fn resumable(&mut self) -> Option<&mut dyn Resumable> {
        Some(self)
    }

    fn close_frames(&mut self, why: &DisconnectReason, _now: Moment, step: &mut Step) {
        // A client that is told so does not come back by itself; one that only loses its link does.
        if let DisconnectReason::Kicked { .. } = why {
            for namespace in self.namespaces.iter().filter(|namespace| namespace.state == NamespaceState::Joined) {
                step.send_encoded(self.shared.encoder.notice(write::DISCONNECT, &namespace.scope, None));
            }
        }
        step.send(Frame::Close(Some(why.close())));
    }

    fn left_scopes(&mut self, word: &'static str, each: &mut OnLeft<'_>) {
        for namespace in self.namespaces.drain(..) {
            let kind = match namespace.state {
                // Whoever was still at the door has not been here.
                NamespaceState::Asking(_) | NamespaceState::Leaving(_) => continue,
                NamespaceState::Away(_) | NamespaceState::Returning(_) => LeaveKind::Expired,
                NamespaceState::Joining(_) | NamespaceState::Joined => LeaveKind::Final,
            };
            each(namespace.scope, Some(namespace.sid), reason(word), kind);
        }
    }
}

impl Resumable for Machine {
    fn resume_key(&self, frame: &Frame) -> Option<u128> {
        self.claimed(frame).map(|claimed| claimed.key)
    }

    fn resume_home(&self, frame: &Frame) -> Option<NodeId> {
        self.claimed(frame)?.home
    }

    fn is_resumed_by(&self, frame: &Frame) -> bool {
        self.has_claimed(frame)
    }

    fn link_lost(&mut self, label: &'static str, now: Moment, step: &mut Step) -> bool {
        self.lost(reason(label), now, step)
    }

    fn record(&mut self, encoded: &EncodedFrames, numbered: bool, step: &mut Step) -> bool {
        self.passes(encoded, numbered, step)
    }

    fn on_ping_sent(&mut self) {
        if let Some(replay) = &mut self.replay {
            replay.mark();
        }
    }

    fn on_pong(&mut self) {
        let Some(replay) = &mut self.replay else { return };
        let namespaces = self.namespaces.iter_mut().filter(|namespace| namespace.state == NamespaceState::Joined);
        replay.confirm(namespaces.filter_map(|namespace| Some((&*namespace.scope, namespace.cursor.as_deref_mut()?))));
    }
}

/// Why a client's connection ended, in the words of the Node server.
fn reason(word: &'static str) -> &'static str {
    match word {
        "idle" => "ping timeout",
        "kicked" => "server namespace disconnect",
        "going_away" => "server shutting down",
        "violation" => "forced close",
        "slow" | "overloaded" | "expired" | "failed" | "done" => "forced server close",
        "ping timeout" | "transport error" | "parse error" => word,
        _ => "transport close",
    }
}
