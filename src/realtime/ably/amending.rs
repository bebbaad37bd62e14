//! Who may change what was said: by a capability, what is its own or anybody's.

use std::sync::Arc;

use super::capability::{Capability, Operation};
use super::wire::error::AblyError;
use super::wire::message::AblyMessage;
use crate::realtime::vocabulary::{Change, Draft};

/// On whose behalf something is said in a channel, and by what right.
pub struct Speaking<'a> {
    pub may: &'a Capability,
    /// The channel, as the app calls it.
    pub name: &'a str,
    pub user: Option<&'a Arc<str>>,
}

impl Speaking<'_> {
    /// What is published of `message`: something new, or a change. `id` is its name on the wire, where the client gave it
    /// none.
    ///
    /// # Errors
    /// 40160, and what is wrong with it.
    pub fn draft(
        &self,
        message: AblyMessage,
        id: impl FnOnce() -> String,
        connection: Option<&str>,
    ) -> Result<Draft, AblyError> {
        match message.change()? {
            None if !self.may.allows(Operation::Publish, self.name) => Err(denied(Operation::Publish)),
            None => message.draft(id, connection),
            Some(change) => {
                let only_of = self.may_change(&change)?;
                // The id that it has is that of the message which is changed.
                message.amendment(change, id(), only_of)
            }
        }
    }

    /// Whose messages it may change so: anybody's where there is no name.
    fn may_change(&self, change: &Change) -> Result<Option<Arc<str>>, AblyError> {
        let (any, own) = match change {
            Change::Delete => (Operation::MessageDeleteAny, Operation::MessageDeleteOwn),
            _ => (Operation::MessageUpdateAny, Operation::MessageUpdateOwn),
        };
        if self.may.allows(any, self.name) {
            return Ok(None);
        }
        match self.user.filter(|_| self.may.allows(own, self.name)) {
            Some(user) => Ok(Some(Arc::clone(user))),
            None => Err(denied(own)),
        }
    }
}

/// The capability lacks `operation`.
pub fn denied(operation: Operation) -> AblyError {
    let words = format!("Channel denied access based on given capability; {} is needed", operation.word());
    AblyError::new(40160, 401, words)
}

/// What changes a message, or is said of one, comes alone: of several not all might be done.
///
/// # Errors
/// 40000.
pub fn check_alone(drafts: &[Draft]) -> Result<(), AblyError> {
    if drafts.len() > 1 && drafts.iter().any(|draft| draft.amends.is_some()) { Err(not_alone()) } else { Ok(()) }
}

/// Of several not all might be done.
fn not_alone() -> AblyError {
    AblyError::new(40000, 400, "An update, delete, append or annotation is published by itself, not with others")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_messages_or_anybodys() {
        let ann: Arc<str> = "ann".into();
        let may = |capability: &str, action: u8, user: Option<&Arc<str>>| {
            let may = Capability::parse(capability).unwrap();
            let message = AblyMessage { action: Some(action), serial: Some("1-7".into()), ..AblyMessage::default() };
            let draft = Speaking { may: &may, name: "a", user }.draft(message, || "i".into(), None);
            draft.map(|draft| draft.amends.and_then(|amendment| amendment.only_of)).map_err(|error| error.code)
        };
        let own = r#"{"a":["message-update-own"]}"#;
        assert_eq!(may(own, 1, Some(&ann)), Ok(Some(Arc::clone(&ann))));
        assert_eq!(may(own, 5, Some(&ann)), Ok(Some(Arc::clone(&ann))), "appending is updating");
        assert_eq!((may(own, 1, None), may(own, 2, Some(&ann))), (Err(40160), Err(40160)));
        assert_eq!(may(own, 0, Some(&ann)), Err(40160), "nor may it say anything new");
        assert_eq!(may(r#"{"a":["message-delete-any"]}"#, 2, None), Ok(None));
        assert_eq!(may(r#"{"b":["*"]}"#, 1, Some(&ann)), Err(40160));
        assert_eq!((may(r#"{"*":["*"]}"#, 1, None), may(r#"{"*":["*"]}"#, 3, None)), (Ok(None), Err(40003)));
    }

    #[test]
    fn a_change_comes_alone() {
        let may = Capability::all();
        let speaking = Speaking { may: &may, name: "a", user: None };
        let draft = |action| {
            let message = AblyMessage { action: Some(action), serial: Some("1-7".into()), ..AblyMessage::default() };
            speaking.draft(message, || "i".into(), None).unwrap()
        };
        assert!(check_alone(&[draft(0), draft(0)]).is_ok() && check_alone(&[draft(1)]).is_ok());
        assert!(check_alone(&[draft(0), draft(2)]).is_err());
    }
}
