//! How clients speak. A dialect is a state machine without socket, clock or runtime: frames in, commands out;
//! events in, frames out. Its tests are conversations on a clock of their own.
//!
//! A protocol has its machine ([`Dialect`]) and its encoder ([`Encode`]) in the folder `machine` of its own. Hub and
//! broker do not know it.

pub mod heartbeat;

use std::sync::Arc;
use std::time::Instant;

pub use super::vocabulary::{Encode, Encoded, Encoding};

use super::vocabulary::{
    Channel, Command, DisconnectReason, EncodedFrames, Event, Frame, LeaveKind, Moment, Violation,
};

/// One client's side of a conversation.
///
/// Everything it wants is pushed to a [`Step`], in order; the session carries it out in that order.
pub trait Dialect: Send {
    /// The link is open: the first words, the first subscriptions.
    fn open(&mut self, now: Moment, step: &mut Step);

    /// A frame came. Pings, pongs and the client's close come here too, as signs of life; the link answers them.
    ///
    /// # Errors
    /// [`Violation`] when the client broke a rule that ends the connection: [`Dialect::close_frames`] follows.
    fn receive(&mut self, frame: Frame, now: Moment, step: &mut Step) -> Result<(), Violation>;

    /// Something for this client only, or something shared that its encoder left to the machine.
    fn deliver(&mut self, event: &Event, now: Moment, step: &mut Step);

    /// How this client's form of `channel` is encoded. The same every time it is asked for one subscription.
    fn encoding(&self, channel: &Channel) -> Encoding;

    /// The time of [`Dialect::next_wake`] has come, or a little earlier: heartbeats, time-outs.
    fn wake(&mut self, now: Moment, step: &mut Step);

    /// When to be woken next. Asked after every call.
    fn next_wake(&self) -> Option<Instant>;

    /// The connection ends by this side: the dialect's last words and its close code.
    /// Where it pushes no close frame, the session sends [`DisconnectReason::close`].
    fn close_frames(&mut self, why: &DisconnectReason, now: Moment, step: &mut Step);

    /// The connection is over, for the reason of this word: says of each of its parts which it was (its scope, and
    /// what the client was called there) and why it ended, in the dialect's own words where it has such.
    fn left_scopes(&mut self, word: &'static str, each: &mut OnLeft<'_>) {
        each(Arc::from(""), None, word, LeaveKind::Final);
    }

    /// Whether it has namespaces: then it lets clients into them, and names those only that they are in.
    fn has_namespaces(&self) -> bool {
        false
    }

    /// Where clients of this protocol may come back by another link: the rest of the machine. `None` where they begin anew.
    fn resumable(&mut self) -> Option<&mut dyn Resumable> {
        None
    }
}

/// A machine whose client may lose its link and go on over another one: session resumption.
pub trait Resumable {
    /// The key of the connection that a client asks for with this frame, to go on from there. Only where it has nothing
    /// yet on this one.
    fn resume_key(&self, frame: &Frame) -> Option<u128>;

    /// The link is lost, for the reason of this label. True where the client may come back by another one: until the
    /// machine closes, the session goes on without a link, and whatever is sent is dropped.
    fn link_lost(&mut self, label: &'static str, now: Moment, step: &mut Step) -> bool;

    /// Something shared is about to be sent, `numbered` in its channel or not; false where it is not to be now. Only
    /// asked where the session can be resumed.
    fn record(&mut self, encoded: &EncodedFrames, numbered: bool, step: &mut Step) -> bool;

    /// The client is asked whether it lives: what was sent before this has arrived when it answers.
    fn on_ping_sent(&mut self);

    /// The client has answered.
    fn on_pong(&mut self);
}

/// Hears which of its scopes a client was in, what it was called there, why it ended, and how far.
pub type OnLeft<'a> = dyn FnMut(Arc<str>, Option<Arc<str>>, &'static str, LeaveKind) + 'a;

/// What a machine wants done, in order.
#[derive(Debug, Default)]
pub struct Step {
    pub actions: Vec<Action>,
}

/// An action that a dialect's machine wants done.
#[derive(Debug)]
pub enum Action {
    Send(Frame),
    /// Frames that are shared or belong together.
    SendEncoded(EncodedFrames),
    Do(Command),
    /// What was agreed to already with something else: policies hold, but nobody is asked again, and it waits for
    /// nothing.
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
