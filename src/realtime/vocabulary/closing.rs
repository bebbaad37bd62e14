//! Why things end: a command ([`Refusal`]), a client's rights ([`Violation`]), a whole connection ([`DisconnectReason`]).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::{CloseFrame, Payload, Text};

/// Why a connection is closed by this side. Each dialect has its own close code for each.
#[derive(Debug, Clone, PartialEq)]
pub enum DisconnectReason {
    /// The dialect's conversation is over.
    Done,
    /// Doorway is stopping; come back.
    GoingAway,
    /// The same, where another Doorway is known to take its place at once.
    Restarting,
    /// The app or the operator said so.
    Kicked { code: Option<u16>, reason: Text },
    /// The client broke a rule.
    Violation(Violation),
    /// The client read too slowly for what it subscribed to; come back.
    Slow,
    /// The client said nothing for too long.
    Idle,
    /// The client answers no ping. It will not answer a close either, and is not waited for.
    Dead,
    /// The identity it came with is no longer valid.
    Expired,
    /// There is too much to do; come back later.
    Overloaded,
    /// Our own fault.
    Failed,
}

impl DisconnectReason {
    /// The code of RFC 6455 section 7.4 (or its registry), for dialects that have none of their own.
    pub fn close(&self) -> CloseFrame {
        let (code, reason) = match self {
            DisconnectReason::Done => (1000, Text::from_static("")),
            DisconnectReason::GoingAway => (1001, Text::from_static("going away")),
            DisconnectReason::Restarting => (1012, Text::from_static("restarting")),
            DisconnectReason::Kicked { code, reason } => (code.unwrap_or(1008), reason.clone()),
            DisconnectReason::Violation(violation) => (violation.breach.code(), violation.what.as_ref().into()),
            DisconnectReason::Slow => (1013, Text::from_static("reading too slowly")),
            DisconnectReason::Idle | DisconnectReason::Dead => (1001, Text::from_static("idle")),
            // In the registry: 3000 "Unauthorized".
            DisconnectReason::Expired => (3000, Text::from_static("expired")),
            DisconnectReason::Overloaded => (1013, Text::from_static("try again later")),
            DisconnectReason::Failed => (1011, Text::from_static("internal error")),
        };
        CloseFrame { code, reason }
    }

    /// One word for logs and counters.
    pub fn label(&self) -> &'static str {
        match self {
            DisconnectReason::Done => "done",
            DisconnectReason::GoingAway => "going_away",
            DisconnectReason::Restarting => "restarting",
            DisconnectReason::Kicked { .. } => "kicked",
            DisconnectReason::Violation(_) => "violation",
            DisconnectReason::Slow => "slow",
            DisconnectReason::Idle | DisconnectReason::Dead => "idle",
            DisconnectReason::Expired => "expired",
            DisconnectReason::Overloaded => "overloaded",
            DisconnectReason::Failed => "failed",
        }
    }
}

/// How far a client has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveKind {
    /// For good.
    Final,
    /// Its link is lost, and it may come back to what it had.
    Detached,
    /// It did not come back in time, or not to this: that it is away was said before.
    Expired,
}

/// What kind of rule a client broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// The framing or the dialect's grammar.
    Protocol,
    /// A kind of frame that is not spoken here.
    Unsupported,
    /// Text that is not UTF-8, or data that is not what it says.
    NotUtf8,
    /// More bytes than allowed.
    TooBig,
    /// Anything else that is not allowed.
    Policy,
}

impl Breach {
    pub fn code(self) -> u16 {
        match self {
            Breach::Protocol => 1002,
            Breach::Unsupported => 1003,
            Breach::NotUtf8 => 1007,
            Breach::Policy => 1008,
            Breach::TooBig => 1009,
        }
    }
}

/// A client broke a rule, and its connection ends for it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct Violation {
    pub breach: Breach,
    /// One sentence that the client may read.
    pub what: Cow<'static, str>,
}

impl Violation {
    pub fn new(breach: Breach, what: impl Into<Cow<'static, str>>) -> Violation {
        Violation { breach, what: what.into() }
    }
}

/// Why a command was not carried out. The connection goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// Not allowed to this client.
    Forbidden,
    /// Only the app decides who may do this here.
    Closed,
    /// Too many of them; allowed again after this.
    TooMany { wait: Duration },
    /// More bytes than the channel takes.
    TooBig { most: usize },
    /// What was said in this channel stays as it was said.
    Immutable,
    /// The message that it is about is no longer kept, or never was.
    Forgotten,
    /// The command makes no sense as it stands.
    Malformed(Cow<'static, str>),
    /// What it names is not there.
    Unknown,
    /// It cannot be done now; nothing was wrong with it.
    Unavailable,
    /// The app said no, in its own words.
    App { code: Option<u16>, reason: Text, data: Option<Payload> },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Forbidden => formatter.write_str("not allowed"),
            Refusal::Closed => formatter.write_str("not allowed: this channel is the app's"),
            Refusal::TooMany { wait } => write!(formatter, "too many; again in {} ms", wait.as_millis()),
            Refusal::TooBig { most } => write!(formatter, "longer than {most} bytes"),
            Refusal::Forgotten => formatter.write_str("the message is no longer kept, or never was"),
            Refusal::Immutable => formatter.write_str("messages of this channel cannot be changed"),
            Refusal::Malformed(what) => formatter.write_str(what),
            Refusal::Unknown => formatter.write_str("no such thing"),
            Refusal::Unavailable => formatter.write_str("not possible now"),
            Refusal::App { reason, .. } => formatter.write_str(reason),
        }
    }
}

impl Refusal {
    /// One word for programs.
    pub fn label(&self) -> &'static str {
        match self {
            Refusal::Forbidden | Refusal::Closed => "forbidden",
            Refusal::TooMany { .. } => "too_many",
            Refusal::TooBig { .. } => "too_big",
            Refusal::Immutable => "immutable",
            Refusal::Malformed(_) => "malformed",
            Refusal::Unknown | Refusal::Forgotten => "unknown",
            Refusal::Unavailable => "unavailable",
            Refusal::App { .. } => "refused",
        }
    }
}
