//! What happens in the hub, for whoever watches it from outside: a neutral word each, said as it happens.

use std::sync::Arc;

use super::Hub;
use crate::realtime::vocabulary::{Channel, Member};

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub enum HubEvent<'a> {
    /// So many subscribe to the channel now.
    Subscribers { channel: &'a Channel, subscribers: usize },
    /// A member has come into a channel's presence.
    Came { channel: &'a Channel, member: &'a Arc<Member> },
    /// A member has left it, and its grace is over.
    Went { channel: &'a Channel, member: &'a Arc<Member> },
    /// A channel's documents were changed: its tree, or one of Yjs.
    Edited { channel: &'a Channel, is_tree: bool },
}

/// Hears events. It is called under the channel's lock, so that it hears them in the order in which they happen: it must
/// return at once, and must not call the hub. What it keeps of them it bounds itself.
pub trait Observer: Send + Sync {
    fn on_event(&self, event: &HubEvent<'_>);
}

impl Hub {
    /// Has `observers` hear all events from now on. Only the first call counts.
    pub fn observe(&self, observers: Vec<Arc<dyn Observer>>) {
        let _ = self.observers.set(observers);
    }

    pub(super) fn emit(&self, event: &HubEvent<'_>) {
        for observer in self.observers.get().into_iter().flatten() {
            observer.on_event(event);
        }
    }
}
