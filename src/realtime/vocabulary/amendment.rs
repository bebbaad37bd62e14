//! What changes a message that was said before: other content, its end, more of it, or a mark that somebody puts on it.

use std::sync::Arc;

use super::summary::Annotation;
use super::{Origin, Position};

/// What is to be done to an earlier message of the same channel, by a message with what it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Amendment {
    /// Where that message is; the place of one of its changes means the message itself.
    pub target: Position,
    pub change: Change,
    /// It must be of this user; `None`: anybody's.
    pub only_of: Option<Arc<str>>,
    /// The content stays as it is: there is none here.
    pub keeps_data: bool,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It has other content.
    Update,
    /// It is no more: what is left of it is the new content.
    Delete,
    /// It goes on with this.
    Append,
    /// It stays as it is, and somebody has said something of it.
    Annotate(Annotation),
}

impl Change {
    /// One word for programs.
    pub fn label(&self) -> &'static str {
        match self {
            Change::Update => "update",
            Change::Delete => "delete",
            Change::Append => "append",
            Change::Annotate(_) => "annotate",
        }
    }
}

/// What a message of the channel has to do with an earlier one: it changes it, or shows it as it is by now.
#[derive(Debug, Clone, PartialEq)]
pub struct Amended {
    /// The place of the message that was changed, and when it was said, in milliseconds since the Unix epoch.
    pub target: Position,
    pub target_ms: u64,
    pub change: Change,
    /// The place of the change, and when it was made.
    pub version: Position,
    pub version_ms: u64,
    /// Who made it; `None` for the app and the operator.
    pub by: Option<Origin>,
}
