//! Why something is refused or over, in the protocol's codes.

use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::protocol::action;
use crate::realtime::vocabulary::{DisconnectReason, Refusal};

/// What a command that was not carried out is answered with.
pub fn refused(refusal: &Refusal) -> AblyError {
    let (code, status) = match refusal {
        Refusal::Forbidden | Refusal::Closed => (40160, 401),
        Refusal::TooMany { .. } => (42911, 429),
        Refusal::TooBig { .. } => (40009, 400),
        Refusal::Immutable => (93002, 400),
        Refusal::Malformed(_) => (40000, 400),
        Refusal::Unknown | Refusal::Forgotten => (40400, 404),
        Refusal::Unavailable => (50003, 503),
        Refusal::App { .. } => (40160, 401),
    };
    let words = match refusal {
        Refusal::Forbidden => "Channel denied access based on given capability".to_owned(),
        refusal => refusal.to_string(),
    };
    AblyError::new(code, status, words)
}

/// The last word to a client: an action, and why. DISCONNECTED has it come back, ERROR and CLOSED do not.
pub fn last_word(why: &DisconnectReason) -> (u8, Option<AblyError>) {
    let come_back = |code, status, words: &str| (action::DISCONNECTED, Some(AblyError::new(code, status, words)));
    match why {
        DisconnectReason::Done => (action::CLOSED, None),
        DisconnectReason::GoingAway | DisconnectReason::Restarting => come_back(80003, 503, "The server is restarting"),
        DisconnectReason::Expired => come_back(40142, 401, "Token expired"),
        DisconnectReason::Slow => come_back(42920, 429, "The client reads too slowly"),
        DisconnectReason::Overloaded => come_back(80003, 503, "The server is overloaded"),
        DisconnectReason::Idle | DisconnectReason::Dead => come_back(80003, 408, "Nothing was heard of the client"),
        DisconnectReason::Failed => come_back(50000, 500, "Internal error"),
        DisconnectReason::Violation(violation) => {
            (action::ERROR, Some(AblyError::new(40000, 400, violation.what.clone())))
        }
        DisconnectReason::Kicked { code: Some(code @ 4000..=4999), reason } if said(*code).is_some() => {
            come_back(said(*code).unwrap_or(80003), 401, reason)
        }
        DisconnectReason::Kicked { reason, .. } => {
            let words = if reason.is_empty() { "Disconnected by the server" } else { reason };
            (action::ERROR, Some(AblyError::new(40300, 403, words)))
        }
    }
}

/// Close codes by which this protocol's own doors have its clients told something else.
pub const REVOKED: u16 = 4141;
pub const DISPLACED: u16 = 4142;

fn said(code: u16) -> Option<u32> {
    match code {
        REVOKED => Some(40141),
        DISPLACED => Some(80003),
        _ => None,
    }
}
