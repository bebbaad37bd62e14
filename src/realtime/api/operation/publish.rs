//! Publishing: to a channel or several, to a user, to a connection, to everyone.

use std::sync::Arc;

use crate::realtime::hub::Hub;
use crate::realtime::vocabulary::{Audience, Channel, ConnectionId, Draft, Moment, Position, Publish, Refusal};

/// A message on the app's authority: no policy says who may publish it, but what a channel can take holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    pub to: To,
    pub draft: Draft,
}

/// Who is to hear it.
#[derive(Debug, Clone, PartialEq)]
pub enum To {
    /// The subscribers of these (at least one), each client once, but for the connections in `except`.
    Channels {
        channels: Vec<Channel>,
        except: Vec<ConnectionId>,
    },
    User(Arc<str>),
    Connection(ConnectionId),
    Everyone,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It was said; the position where there is one channel and somebody to number it for.
    Said(Option<Position>),
    /// It is on its way to so many connections.
    Sent(usize),
}

impl Publication {
    /// Says it; for a request of this name, where it has one, once.
    ///
    /// # Errors
    /// [`Refusal`]: too big for a channel, too many channels, no such connection.
    pub async fn perform(self, hub: &Arc<Hub>, request: Option<Arc<str>>, now: Moment) -> Result<Published, Refusal> {
        let Publication { to, draft } = self;
        let (mut channels, except) = match to {
            To::Channels { channels, except } => (channels, except),
            To::User(user) => return hub.send_to_user(user, draft).await.map(Published::Sent),
            To::Everyone => return hub.send_to_everyone(draft).await.map(Published::Sent),
            To::Connection(id) => return hub.send_to_connection(id, draft).await.map(Published::Sent),
        };
        let audience = if channels.len() == 1 && except.is_empty() {
            Audience::Channel(channels.remove(0))
        } else {
            Audience::Several { channels, connections: Vec::new(), except: Vec::new(), but: except }
        };
        hub.publish_once(Publish { ticket: 0, audience, draft, echo: true }, request, now).await.map(Published::Said)
    }
}
