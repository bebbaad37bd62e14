//! What happens in the hub, for whoever watches it from outside: a neutral word each, said as it happens.

use std::sync::Arc;

use super::Hub;
use crate::realtime::vocabulary::{Channel, Member};

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub enum HubEvent<'a> {
    /// So many subscribe to the channel now, and `here` of them at this door; it has changed on another door where it
    /// says so.
    Subscribers { channel: &'a Channel, here: usize, subscribers: usize, elsewhere: bool },
    /// A member has come into a channel's presence; another of its user may be there already.
    Came { channel: &'a Channel, member: &'a Arc<Member>, user_stays: bool },
    /// A member has left it, and its grace is over; another of its user may stay. With several doors each that knows of
    /// it hears so, and that it was at another one.
    Went { channel: &'a Channel, member: &'a Arc<Member>, user_stays: bool, elsewhere: bool },
    /// A door has gone and had this member, or subscribers where there is none. It may be that they come back to another.
    Departed { channel: &'a Channel, member: Option<&'a Arc<Member>> },
    /// A channel's documents were changed: its tree, or one of Yjs.
    Edited { channel: &'a Channel, is_tree: bool },
    /// All documents of a channel were taken away.
    Deleted { channel: &'a Channel },
}

/// Hears events. It is called under the channel's lock, so that it hears them in the order in which they happen: it must
/// return at once, and must not call the hub. What it keeps of them it bounds itself.
pub trait Observer: Send + Sync {
    fn on_event(&self, event: &HubEvent<'_>);
}

impl Hub {
    /// Has `observer` hear all events from now on.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.observers.write().push(observer);
    }

    pub(super) fn emit(&self, event: &HubEvent<'_>) {
        for observer in &*self.observers.read() {
            observer.on_event(event);
        }
    }
}
