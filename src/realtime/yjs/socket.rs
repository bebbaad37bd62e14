//! From an upgrade to an editor in a room.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

use http::StatusCode;
use percent_encoding::percent_decode_str;

use super::machine::YjsMachine;
use super::{Config, DIALECT, YjsDoor};
use crate::http::connection::switch;
use crate::http::{Failure, Request, Response};
use crate::realtime::entrance::rejection::{Rejection, RejectionClose};
use crate::realtime::entrance::token::subprotocol;
use crate::realtime::entrance::{self, Admitted, AuthorizeAt, facts};
use crate::realtime::hub::documents::OpenError;
use crate::realtime::link::websocket::Offer;
use crate::realtime::vocabulary::{Channel, CloseFrame, Moment};

impl YjsDoor {
    /// Opens a socket in the room of this name.
    ///
    /// # Errors
    /// 400, 405, 426 for what is no right upgrade; 403, 404, 429, 503 for who is not let in.
    pub(super) async fn socket(
        &self,
        entrance: &entrance::Config,
        config: &Config,
        request: Request,
        room: &str,
    ) -> Result<Response, Failure> {
        let channel = channel(config, room)?;
        let mut request = match (&self.peers, self.hub.documents()) {
            (Some(peers), Some(documents)) => match peers.pass(documents, &channel, request).await? {
                Ok(response) => return Ok(response),
                Err(request) => request,
            },
            _ => request,
        };
        let mut limits = entrance.websocket;
        limits.max_message = config.max_frame;
        limits.max_frame = limits.max_message;
        let offer = Offer::read(&request, &limits)?;
        let upgrade = switch::on(&mut request);
        let (request, _) = request.into_parts();
        let facts = facts(&request)?;
        self.entrance.check_origin(&entrance.origins, &request.headers, &facts)?;
        let admitted = self.entrance.admit(entrance, &request, &facts, DIALECT, AuthorizeAt::Upgrade(&channel)).await;
        let mut admitted = match admitted {
            Ok(admitted) => admitted,
            Err(rejection) => {
                let rejection = for_good(rejection);
                return self.entrance.rejections().on_socket(rejection, &request.headers, &offer, upgrade, limits);
            }
        };
        if let Err(failure) = self.hold(&mut admitted, &channel).await {
            admitted.leave();
            return Err(failure);
        }
        let response = offer.accept(subprotocol(&offer));
        let may_edit = admitted.client.may_edit(&channel);
        let machine = YjsMachine::new(&self.encoding, channel, may_edit, Moment::now());
        let session = self.sessions.begin(admitted, Box::new(machine)).await;
        tokio::spawn(session.open(upgrade, offer.agreed().cloned(), limits));
        Ok(response)
    }

    async fn hold(&self, admitted: &mut Admitted, channel: &Channel) -> Result<(), Failure> {
        let unavailable = |why: &str| Failure::us(StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
        let documents = self.hub.documents().ok_or_else(|| unavailable("There are no documents here."))?;
        let lease = documents.open(channel).await.map_err(|error| match error {
            OpenError::Full { .. } => unavailable("Too many rooms are open."),
            OpenError::Leaving => unavailable("The server stops."),
            OpenError::Elsewhere(..) => unavailable("Another door has this room: try again."),
            OpenError::Store(_) | OpenError::Damaged { .. } => unavailable("This room cannot be opened."),
        })?;
        admitted.client.edits(lease);
        Ok(())
    }
}

fn channel(config: &Config, room: &str) -> Result<Channel, Failure> {
    let bad = |why: String| Failure::client(StatusCode::BAD_REQUEST, why);
    let name = percent_decode_str(room).decode_utf8().map_err(|_| bad("A room's name is UTF-8.".into()))?;
    let channel = Channel::new(&name).map_err(|error| bad(format!("No such room: {error}.")))?;
    if config.rooms.iter().any(|pattern| pattern.fits(channel.as_str())) {
        return Ok(channel);
    }
    Err(Failure::client(StatusCode::NOT_FOUND, "This room is not offered (realtime.yjs.rooms)."))
}

/// A client that is told one of 4400 to 4499 does not come back.
fn for_good(mut rejection: Rejection) -> Rejection {
    let status = rejection.failure.status.as_u16();
    if matches!(status, 401 | 403) {
        let close = CloseFrame::new(4000 + status, rejection.failure.reason.as_ref());
        rejection.close = Some(RejectionClose { close, pages_only: true });
    }
    rejection
}
