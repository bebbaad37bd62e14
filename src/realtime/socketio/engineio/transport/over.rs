//! Why a session's transport is over, in the words of the Node server.

use std::borrow::Cow;

use super::packet;
use crate::realtime::link::LinkError;

#[derive(Debug, Clone)]
pub struct Over {
    word: &'static str,
    detail: Cow<'static, str>,
    /// What whoever still reads is told.
    pub last: &'static str,
}

impl Over {
    /// The client has closed it.
    pub fn closed(detail: &'static str) -> Over {
        Over { word: "transport close", detail: detail.into(), last: packet::NOOP }
    }

    pub fn transport_error(detail: impl Into<Cow<'static, str>>) -> Over {
        Over { word: "transport error", detail: detail.into(), last: packet::CLOSE }
    }

    pub fn parse_error(detail: impl Into<Cow<'static, str>>) -> Over {
        Over { word: "parse error", detail: detail.into(), last: packet::CLOSE }
    }

    pub fn ping_timeout() -> Over {
        Over { word: "ping timeout", detail: "the client answered no ping".into(), last: packet::CLOSE }
    }

    /// For the session.
    pub fn error(&self) -> LinkError {
        LinkError::Ended { word: self.word, detail: self.detail.clone() }
    }
}
