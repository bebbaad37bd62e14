//! The protocol's error codes. Their class tells the client what to do: 4000 to 4099 stay away, 4100 to 4199 come back
//! later, 4200 to 4299 come back at once, 4300 and more go on.

use serde_json::json;

use super::encode::frame;
use crate::realtime::vocabulary::{CloseFrame, DisconnectReason, Frame, Text};

/// An error code of the protocol, with its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// 4001
    NoApp,
    /// 4003
    Disabled,
    /// 4005
    NoPath,
    /// 4006
    BadVersion,
    /// 4007
    UnsupportedVersion,
    /// 4008
    NoVersion,
    /// 4009
    Unauthorised(Text),
    /// 4100: the app has as many clients as it may, or the door has.
    Full,
    /// 4101: the door stops, and another comes.
    Restart,
    /// 4200
    Reconnect,
    /// 4201
    NoPong,
    /// What the app says, in one of the classes.
    Said(u16, Text),
}

impl Code {
    pub fn number(&self) -> u16 {
        match self {
            Code::NoApp => 4001,
            Code::Disabled => 4003,
            Code::NoPath => 4005,
            Code::BadVersion => 4006,
            Code::UnsupportedVersion => 4007,
            Code::NoVersion => 4008,
            Code::Unauthorised(_) => 4009,
            Code::Full => 4100,
            Code::Restart => 4101,
            Code::Reconnect => 4200,
            Code::NoPong => 4201,
            Code::Said(code, _) => *code,
        }
    }

    pub fn words(&self) -> Text {
        Text::from_static(match self {
            Code::NoApp => "There is no app with this key",
            Code::Disabled => "The app is disabled",
            Code::NoPath => "There is nothing at this path",
            Code::BadVersion => "The protocol's version is not a number",
            Code::UnsupportedVersion => "This version of the protocol is not supported: 5 to 7 are",
            Code::NoVersion => "No version of the protocol was given",
            Code::Full => "Over capacity",
            Code::Restart => "Restarting",
            Code::Reconnect => "Please reconnect",
            Code::NoPong => "Pong reply not received in time",
            Code::Unauthorised(words) | Code::Said(_, words) => return words.clone(),
        })
    }

    /// What the connection ends for, in the protocol's words; `None` where it has none and RFC 6455 does.
    pub fn of(why: &DisconnectReason) -> Option<Code> {
        Some(match why {
            // Its port is closed for a moment, even where another takes its place at once: `pusher-js` that is told to come
            // back at once meets nobody there, and tries again 15 seconds later.
            DisconnectReason::GoingAway | DisconnectReason::Restarting => Code::Restart,
            DisconnectReason::Expired | DisconnectReason::Failed => Code::Reconnect,
            DisconnectReason::Slow | DisconnectReason::Overloaded => Code::Full,
            DisconnectReason::Idle | DisconnectReason::Dead => Code::NoPong,
            DisconnectReason::Kicked { code: Some(code @ 4000..=4299), reason } => Code::Said(*code, reason.clone()),
            DisconnectReason::Kicked { reason, .. } => Code::Unauthorised(reason.clone()),
            DisconnectReason::Done | DisconnectReason::Violation(_) => return None,
        })
    }

    /// As a reason for the session to end.
    pub fn closing(&self) -> DisconnectReason {
        DisconnectReason::Kicked { code: Some(self.number()), reason: self.words() }
    }

    pub fn error(&self) -> Frame {
        error(Some(self.number()), &self.words(), None)
    }

    pub fn close(&self) -> Frame {
        Frame::Close(Some(CloseFrame::new(self.number(), self.words())))
    }
}

/// `pusher:error`. Without a code the client need do nothing.
pub fn error(code: Option<u16>, message: &str, channel: Option<&str>) -> Frame {
    frame("pusher:error", channel, Some(&json!({ "code": code, "message": message }).to_string()), None)
}

/// `pusher:subscription_error`, with a status as HTTP has them.
pub fn subscription_error(channel: &str, kind: &str, status: u16, message: &str) -> Frame {
    let data = json!({ "type": kind, "error": message, "status": status });
    frame("pusher:subscription_error", Some(channel), Some(&data.to_string()), None)
}
