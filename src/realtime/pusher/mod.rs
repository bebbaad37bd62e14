//! The doors of Pusher Channels: sockets at `/app/KEY` and the REST API at `/apps/ID/…`, both also below the hub's path.

mod config;
mod index;
mod place;
mod socket;

pub use config::Config;
pub use index::Apps;
pub use place::Place;

use super::{Realtime, Settings};
use crate::http::{Failure, Request, Response};
use crate::realtime::link::websocket;
use place::Wish;

impl Realtime {
    /// The dialect's door that a request means, if any.
    pub(super) fn pusher_place(&self, settings: &Settings, request: &Request) -> Option<Place> {
        if self.pusher.is_empty() {
            return None;
        }
        let wish = Wish { path: request.uri().path(), is_upgrade: websocket::asks(request) };
        Place::find(&settings.config.path, wish)
    }

    /// Answers at one of the dialect's doors.
    ///
    /// # Errors
    /// [`Failure`], by the door.
    pub(super) async fn pusher(&self, request: Request, place: Place) -> Result<Response, Failure> {
        match place {
            Place::Socket { key } => self.pusher_socket(request, &key).await,
        }
    }
}
