//! What belongs to another door: requests of its sessions, and its clients that come back here.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

use http::StatusCode;
use http::request::Parts;
use hyper_util::rt::TokioIo;

use super::bare;
use super::query::Query;
use super::transport::Sid;
use crate::http::{Facts, Failure, Request, Response};
use crate::realtime::entrance;
use crate::realtime::peer::{PeerError, PeerLink, Way, is_from_peer};
use crate::realtime::socketio::{Endpoint, SocketIoDoor};

impl SocketIoDoor {
    /// The way to the door that has the session which a request names; `None` where that is this one, or nobody knows it:
    /// a door that died took its sessions with it.
    ///
    /// # Errors
    /// 503 where it lives and does not answer.
    pub(super) async fn elsewhere(&self, request: &Parts, query: &Query) -> Result<Option<Way>, Failure> {
        let Some(peers) = self.peers.as_ref().filter(|_| !is_from_peer(request)) else { return Ok(None) };
        let home = Sid::parse(&query.sid).and_then(Sid::home).filter(|home| *home != peers.node());
        let Some(home) = home else { return Ok(None) };
        match peers.reach(home).await {
            Ok(way) => Ok(Some(way)),
            Err(PeerError::Gone) => Ok(None),
            Err(PeerError::Away(detail)) => Err(PeerError::failure(&detail)),
        }
    }

    /// Lets a client of this door back in that came to another one: it is let in as if it had come here, and its frames
    /// travel by that door. 404 where nothing of it is left.
    ///
    /// # Errors
    /// Those of the entrance.
    pub(super) async fn take_back(
        &self,
        config: &entrance::Config,
        endpoint: &Endpoint,
        key: u128,
        mut request: Request,
        facts: Facts,
    ) -> Result<Response, Failure> {
        if !self.resume_registry.knows(key, &endpoint.place) {
            return Ok(bare(StatusCode::NOT_FOUND));
        }
        let upgrade = hyper::upgrade::on(&mut request);
        let (request, _) = request.into_parts();
        let session = self.begin(config, endpoint, &request, facts).await?;
        let close_timeout = config.websocket.close_timeout;
        tokio::spawn(async move {
            match upgrade.await {
                Ok(stream) => {
                    // A task of its own, which holds nothing but the session.
                    tokio::spawn(session.run(Box::new(PeerLink::new(TokioIo::new(stream))), close_timeout));
                }
                Err(_) => session.abandon(),
            }
        });
        Ok(bare(StatusCode::OK))
    }
}
