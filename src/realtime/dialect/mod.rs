//! The seam between session and protocol. A dialect is a state machine without socket, clock or runtime: frames in,
//! commands out; events in, frames out. Its tests are conversations on a clock of their own.
//!
//! A protocol keeps its machine ([`Dialect`]) and its encoder ([`Encode`]) in its folder `machine`. Hub and broker do
//! not know any protocol by name.

pub mod heartbeat;
pub mod server_sent;

use std::sync::Arc;
use std::time::Instant;

pub use super::vocabulary::{Encode, Encoded, Encoding};

use super::broker::NodeId;
use super::vocabulary::{
    Channel, Command, DisconnectReason, EncodedFrames, Event, Frame, LeaveKind, Moment, Violation,
};

/// The protocol machine of one client. Only its session calls it, from one task, never while another call runs.
///
/// A machine does nothing by itself: it pushes frames and commands to the [`Step`] it is given, and the session carries
/// them out in that order. Times are those of the [`Moment`] passed in; a machine reads no clock.
pub trait Dialect: Send {
    /// Called once, first: pushes the protocol's greeting and the first subscriptions.
    fn open(&mut self, now: Moment, step: &mut Step);

    /// A whole frame from the client. Pings, pongs and the client's close frame are shown too, as signs of life: the link
    /// has answered them already.
    ///
    /// # Errors
    /// [`Violation`] when the client broke a rule that ends the connection: the session calls
    /// [`Dialect::close_frames`] next.
    fn receive(&mut self, frame: Frame, now: Moment, step: &mut Step) -> Result<(), Violation>;

    /// An event for this client only (the answer to a command, a message sent to it alone), or a shared one for which
    /// the encoder said [`Encoded::PerClient`].
    fn deliver(&mut self, event: &Event, now: Moment, step: &mut Step);

    /// The encoding of `channel` for this client. It must not change while the subscription lasts.
    fn encoding(&self, channel: &Channel) -> Encoding;

    /// The time of [`Dialect::next_wake`] has come: heartbeats and timeouts. The call may come earlier than asked for.
    fn wake(&mut self, now: Moment, step: &mut Step);

    /// The time of the next [`Dialect::wake`], or `None`. Asked after every other call.
    fn next_wake(&self) -> Option<Instant>;

    /// The server ends the connection: pushes the protocol's last frames, its close frame among them. If none is pushed,
    /// the session sends [`DisconnectReason::close`].
    fn close_frames(&mut self, why: &DisconnectReason, now: Moment, step: &mut Step);

    /// The connection is over; `word` is the session's reason. Calls `each` once for every scope (namespace) the client
    /// was in, with the scope, the client's name there, the reason in the protocol's own words, and the kind of leave.
    /// By default there is one scope without a name.
    fn left_scopes(&mut self, word: &'static str, each: &mut OnLeft<'_>) {
        each(Arc::from(""), None, word, LeaveKind::Final);
    }

    /// True if the protocol has namespaces: the machine then admits clients to them and names only those they are in.
    fn has_namespaces(&self) -> bool {
        false
    }

    /// The machine's resumption part, if clients of this protocol can resume a session over another link. By default they
    /// cannot, and begin anew.
    fn resumable(&mut self) -> Option<&mut dyn Resumable> {
        None
    }
}

/// Session resumption: the client may lose its link and go on over another.
pub trait Resumable {
    /// The key of the session that the client asks to resume with this frame; `None` for any other frame. Asked only
    /// while the client has done nothing else on this link.
    fn resume_key(&self, frame: &Frame) -> Option<u128>;

    /// The door on which that session is, as far as the frame says.
    fn resume_home(&self, frame: &Frame) -> Option<NodeId>;

    /// True if this machine still has the part of the session that a client on another link asks to resume with `frame`.
    fn is_resumed_by(&self, frame: &Frame) -> bool;

    /// The link is lost, for the reason `label`. True if the client may resume: the session then goes on without a link,
    /// and drops what is sent, until the machine closes it.
    fn link_lost(&mut self, label: &'static str, now: Moment, step: &mut Step) -> bool;

    /// A shared event is about to be sent; `numbered` if it has a position in its channel. False keeps it back. Asked
    /// only of sessions that can be resumed.
    fn record(&mut self, encoded: &EncodedFrames, numbered: bool, step: &mut Step) -> bool;

    /// A ping was sent. When its pong comes, everything sent before the ping has arrived.
    fn on_ping_sent(&mut self);

    /// The pong to the oldest open ping has come.
    fn on_pong(&mut self);
}

/// Receives scope, the client's name in it, the reason and the kind of leave, for each scope the client was in.
pub type OnLeft<'a> = dyn FnMut(Arc<str>, Option<Arc<str>>, &'static str, LeaveKind) + 'a;

/// The actions that a machine wants done, in order.
#[derive(Debug, Default)]
pub struct Step {
    pub actions: Vec<Action>,
}

/// One action of a [`Step`].
#[derive(Debug)]
pub enum Action {
    /// A frame for this client.
    Send(Frame),
    /// Frames that are shared with other clients, or that must follow each other.
    SendEncoded(EncodedFrames),
    /// A command: checked against policies, and put to the authorizer if the app wants that.
    Do(Command),
    /// A command that the authorizer has agreed to as part of another one: checked against policies, and carried out at
    /// once.
    Agreed(Command),
}

impl Step {
    pub fn send(&mut self, frame: Frame) {
        self.actions.push(Action::Send(frame));
    }

    pub fn send_encoded(&mut self, encoded: EncodedFrames) {
        self.actions.push(Action::SendEncoded(encoded));
    }

    pub fn command(&mut self, command: Command) {
        self.actions.push(Action::Do(command));
    }

    pub fn agreed(&mut self, command: Command) {
        self.actions.push(Action::Agreed(command));
    }

    pub fn close(&mut self, why: DisconnectReason) {
        self.command(Command::Close(why));
    }
}
