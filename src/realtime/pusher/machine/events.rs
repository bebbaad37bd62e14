//! What a machine sees that the app's server may want to hear of.

use crate::realtime::vocabulary::{Channel, Payload};

/// An occurrence that webhooks may tell of and only the machine sees.
#[derive(Debug, Clone, Copy)]
pub enum PusherEvent<'a> {
    /// A client sent an event to the others.
    ClientEvent { channel: &'a Channel, event: &'a str, data: &'a Payload, socket_id: &'a str, user: Option<&'a str> },
    /// Somebody subscribed to a cache channel that remembers nothing.
    CacheMiss { channel: &'a Channel },
}

/// Hears them. It returns at once, and bounds what it keeps of them.
pub trait PusherListener: Send + Sync {
    fn on_event(&self, event: &PusherEvent<'_>);
}
