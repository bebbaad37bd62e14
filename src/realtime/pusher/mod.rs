//! The doors of Pusher Channels: sockets at `/app/KEY` and the REST API at `/apps/ID/…`, both also below the hub's path.

mod config;
mod index;
mod auth;
mod fallback;
mod place;
mod rest;
mod socket;
mod webhooks;

pub use config::Config;
pub use index::Apps;
pub use place::Place;
pub use webhooks::Webhooks;

/// The sessions of clients without WebSockets.
pub type Sessions = std::sync::Arc<sockjs::Sessions<fallback::SessionKey>>;

/// A request of an app's server to the REST API.
#[derive(Debug)]
pub struct Asked {
    id: String,
    path: String,
}

use super::{Realtime, Settings};
use crate::http::{Failure, Request, Response};
use crate::realtime::dialect::pusher::Code;
use crate::realtime::link::{sockjs, websocket};
use place::Wish;

impl Realtime {
    /// The dialect's door that a request means, if any.
    pub(super) fn pusher_place(&self, settings: &Settings, request: &Request) -> Option<Place> {
        if self.pusher.is_empty() {
            return None;
        }
        let uri = request.uri();
        let wish = Wish { path: uri.path(), query: uri.query(), is_upgrade: websocket::asks(request) };
        Place::find(&settings.config.path, &self.pusher, wish)
    }

    /// What `request` asks, if an app's server asks it: for a listener of the door's own, which the app reaches without
    /// knowing the site's address.
    pub fn asked_by_server(&self, request: &Request) -> Option<Asked> {
        match self.pusher_place(&self.settings.get(), request)? {
            Place::Rest { id, path } => Some(Asked { id, path }),
            Place::Socket { .. } | Place::Nowhere { .. } | Place::Fallback { .. } | Place::Auth { .. } => None,
        }
    }

    /// Answers it, if it is signed as anywhere.
    pub async fn answer_server(&self, request: Request, Asked { id, path }: Asked) -> Response {
        self.pusher_rest(request, &id, &path).await
    }

    /// Answers at one of the dialect's doors.
    ///
    /// # Errors
    /// [`Failure`], by the door.
    pub(super) async fn pusher(&self, request: Request, place: Place) -> Result<Response, Failure> {
        match place {
            Place::Socket { key } => self.pusher_socket(request, &key, Ok(())).await,
            Place::Nowhere { key } => self.pusher_socket(request, &key, Err(Code::NoPath)).await,
            Place::Fallback { key, session, what } => self.pusher_fallback(request, &key, &session, what).await,
            Place::Rest { id, path } => Ok(self.pusher_rest(request, &id, &path).await),
            Place::Auth { is_user } => self.pusher_auth(request, is_user).await,
        }
    }
}
