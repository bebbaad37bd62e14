//! Why a session's transport is over, in the words of the Node server.

use std::borrow::Cow;

use super::packet;
use crate::realtime::link::LinkError;

/// The reason why a session's transport is over: a word of Engine.IO's, and a detail for the log.
#[derive(Debug, Clone)]
pub struct CloseReason {
    word: &'static str,
    detail: Cow<'static, str>,
    /// What whoever still reads is told.
    pub last: &'static str,
    /// The client shows no sign of life: nothing is waited for.
    pub is_dead: bool,
}

impl CloseReason {
    /// The client has closed it.
    pub fn closed(detail: &'static str) -> CloseReason {
        CloseReason { word: "transport close", detail: detail.into(), last: packet::NOOP, is_dead: false }
    }

    pub fn transport_error(detail: impl Into<Cow<'static, str>>) -> CloseReason {
        CloseReason { word: "transport error", detail: detail.into(), last: packet::CLOSE, is_dead: false }
    }

    pub fn parse_error(detail: impl Into<Cow<'static, str>>) -> CloseReason {
        CloseReason { word: "parse error", detail: detail.into(), last: packet::CLOSE, is_dead: false }
    }

    pub fn ping_timeout() -> CloseReason {
        let detail = "the client answered no ping".into();
        CloseReason { word: "ping timeout", detail, last: packet::CLOSE, is_dead: true }
    }

    /// For the session.
    pub fn error(&self) -> LinkError {
        LinkError::Ended { word: self.word, detail: self.detail.clone() }
    }
}
