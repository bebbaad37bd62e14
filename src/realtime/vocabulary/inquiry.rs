//! What a handler of the app asks clients, and who it is at work for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{ConnectionId, Publish, Ref};

/// An event that asks those who hear it; what they answer is told the app.
#[derive(Debug, Clone, PartialEq)]
pub struct Inquiry {
    /// The app's own name for it.
    pub id: Box<str>,
    pub publish: Publish,
    /// How long answers are waited for.
    pub timeout: Duration,
    pub turn: Arc<Turn>,
}

/// A handler's work on one event, which goes on when what it asked is answered. Over when nobody holds it any more.
pub struct Turn {
    pub connection: ConnectionId,
    pub scope: Arc<str>,
    /// What its dialect calls the client in this scope.
    pub alias: Option<Arc<str>>,
    /// What an acknowledgement is for.
    pub ticket: Ref,
    over: Mutex<Option<Over>>,
}

type Over = Box<dyn FnOnce() + Send>;

impl Turn {
    pub fn new(connection: ConnectionId, scope: Arc<str>, alias: Option<Arc<str>>, ticket: Ref) -> Turn {
        Turn { connection, scope, alias, ticket, over: Mutex::default() }
    }

    /// What happens when it is over, perhaps under some lock.
    pub fn at_the_end(&self, over: impl FnOnce() + Send + 'static) {
        *self.over.lock() = Some(Box::new(over));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(over) = self.over.get_mut().take() {
            over();
        }
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Turn) -> bool {
        std::ptr::eq(self, other)
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Turn({}, {:?}, {})", self.connection, self.scope, self.ticket)
    }
}
