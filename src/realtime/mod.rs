//! River 2: WebSockets and their kin, from the upgrade to the hub.

pub mod dialect;
pub mod link;
pub mod vocabulary;

mod config;

pub use config::Config;

use http::StatusCode;

use crate::drain::Signal;
use crate::http::{Failure, Request, Response};
use crate::telemetry::Registry;

/// The realtime hub and its doors in.
pub struct Realtime {
    path: String,
}

impl Realtime {
    pub fn new(config: &Config, drain: Signal, registry: &mut Registry) -> Realtime {
        let _ = (drain, registry);
        Realtime { path: config.path.clone() }
    }

    /// True when a request for `path` is the hub's.
    pub fn serves(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Takes over another section of the config (SIGHUP).
    pub fn reload(&self, config: &Config) {
        let _ = config;
    }

    /// Answers a request on the hub's path: an upgrade, or one of the one-way doors.
    ///
    /// # Errors
    /// [`Failure`] for requests that are not for the hub to answer: 400, 403, 405, 426 (RFC 6455 section 4.4).
    pub async fn answer(&self, request: Request) -> Result<Response, Failure> {
        let _ = request;
        Err(Failure::client(StatusCode::UPGRADE_REQUIRED, "This address speaks WebSocket."))
    }
}
