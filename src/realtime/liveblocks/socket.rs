//! The socket: from an upgrade to a session, or to the protocol's own word for why not.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

use std::sync::Arc;

use http::request::Parts;
use tracing::error;

use super::access::{AccessDenied, RoomCredentials, Visitor};
use super::machine::{EXPIRED, Editor, LiveblocksMachine, NO_ACCESS, close_frame};
use super::{DIALECT, LiveblocksDoor};
use crate::http::connection::switch;
use crate::http::query::parameter;
use crate::http::{Facts, Failure, Request, Response};
use crate::realtime::entrance::{self, Admitted, AuthorizeAt, Vouched, facts};
use crate::realtime::hub::documents::OpenError;
use crate::realtime::link::websocket::Offer;
use crate::realtime::vocabulary::{Channel, CloseFrame, DisconnectReason, Frame, Identity, Moment, Payload, Text};

/// The longest name of a room, in characters.
const LONGEST_NAME: usize = 128;

impl LiveblocksDoor {
    /// Opens a socket. What is wrong with who comes is said on the open socket: a refused upgrade looks to clients of this
    /// protocol like a network that fails.
    ///
    /// # Errors
    /// 400, 403, 405, 426 for what is wrong with the upgrade itself, and 429, 503 for who may come back.
    pub(super) async fn socket(
        self: &Arc<Self>,
        config: &entrance::Config,
        request: Request,
        room: &str,
    ) -> Result<Response, Failure> {
        let mut request = match (&self.peers, self.hub.documents(), Channel::new(room)) {
            (Some(peers), Some(documents), Ok(channel)) => match peers.pass(documents, &channel, request).await? {
                Ok(response) => return Ok(response),
                Err(request) => request,
            },
            _ => request,
        };
        let mut limits = config.websocket;
        limits.max_message = self.config.get().max_frame;
        limits.max_frame = limits.max_message;
        let offer = Offer::read(&request, &limits)?;
        let upgrade = switch::on(&mut request);
        let (request, _) = request.into_parts();
        let facts = facts(&request)?;
        self.entrance.check_origin(&config.origins, &request.headers, &facts)?;
        let response = offer.accept(offer.protocols().next());
        let agreed = offer.agreed().cloned();
        match self.enter(config, &request, &facts, room).await? {
            Ok((admitted, machine)) => {
                let session = self.sessions.begin(admitted, Box::new(machine)).await;
                tokio::spawn(session.open(upgrade, agreed, limits));
            }
            Err(close) => {
                self.entrance.rejections().count(DIALECT);
                self.sessions.refuse(upgrade, agreed, [Frame::Close(Some(close))], limits);
            }
        }
        Ok(response)
    }

    /// Lets a client into a room: who it is, its place, the room's documents, its number there. Else what it is told.
    ///
    /// # Errors
    /// For who may come back: 429, 503.
    async fn enter(
        self: &Arc<Self>,
        config: &entrance::Config,
        request: &Parts,
        facts: &Facts,
        room: &str,
    ) -> Result<Result<(Admitted, LiveblocksMachine), CloseFrame>, Failure> {
        let no_access = |reason: &str| Ok(Err(CloseFrame::new(NO_ACCESS, reason)));
        let channel = match Channel::new(room) {
            Ok(channel) if room.chars().count() <= LONGEST_NAME => channel,
            Ok(_) => return no_access("the room's name is longer than 128 characters"),
            Err(bad) => return no_access(&bad.to_string()),
        };
        let query = request.uri.query();
        let (token, key) = (parameter(query, "tok"), parameter(query, "pubkey"));
        let now = Moment::now();
        let name = room.to_owned();
        let record = match self.rooms.with(move |rooms| rooms.get(&name)).await {
            Ok(record) => record,
            Err(error) => {
                error!(room, %error, "a client cannot be let into a room");
                return Ok(Err(close_frame(&DisconnectReason::Failed)));
            }
        };
        let visitor = match (&token, &key) {
            (Some(token), _) => self.access.admit(RoomCredentials::Token(token), &channel, record, now),
            (None, Some(key)) => self.access.admit(RoomCredentials::PublicKey(key), &channel, record, now),
            (None, None) => Err(AccessDenied::Nothing),
        };
        let visitor = match visitor {
            Ok(visitor) => visitor,
            Err(AccessDenied::Expired) => return Ok(Err(CloseFrame::new(EXPIRED, AccessDenied::Expired.to_string()))),
            Err(denied) => return no_access(&denied.to_string()),
        };
        let mut admitted = match self.admit(config, request, facts, &visitor).await {
            Ok(admitted) => admitted,
            Err(failure) if matches!(failure.status.as_u16(), 401 | 403) => return no_access(&failure.reason),
            Err(failure) => return Err(failure),
        };
        let organization = visitor.organization.clone();
        let editor = match self.editor(&mut admitted, &channel, visitor).await {
            Ok(editor) => editor,
            Err(why) => {
                admitted.leave();
                return Ok(Err(close_frame(&why)));
            }
        };
        let name = room.to_owned();
        let entered = self.rooms.with(move |rooms| rooms.entered(&name, organization, now.unix_ms)).await;
        if let Err(error) = entered {
            error!(room, %error, "the record of a room cannot be written");
            admitted.leave();
            return Ok(Err(close_frame(&DisconnectReason::Failed)));
        }
        let connection = admitted.client.id();
        let machine = LiveblocksMachine::new(&self.encodings, channel, editor, connection, Moment::now());
        Ok(Ok((admitted, machine)))
    }

    pub(super) async fn admit(
        &self,
        config: &entrance::Config,
        request: &Parts,
        facts: &Facts,
        visitor: &Visitor,
    ) -> Result<Admitted, Failure> {
        let when = AuthorizeAt::UpgradeWithoutChannel;
        let Some(rights) = visitor.rights.clone() else {
            return Ok(self.entrance.admit(config, request, facts, DIALECT, when).await?);
        };
        let info = visitor.info.clone().map(Payload::Json);
        let identity = visitor.user.as_ref().map(|user| Identity { user: Arc::clone(user), info });
        let vouched = Vouched { identity, rights };
        let request = entrance::without(request, &["tok", "pubkey"]);
        Ok(self.entrance.admit_vouched(config, &request, facts, (DIALECT, vouched), when).await?)
    }

    /// Who it is in the room, whose documents it holds from now on.
    async fn editor(
        &self,
        admitted: &mut Admitted,
        channel: &Channel,
        visitor: Visitor,
    ) -> Result<Editor, DisconnectReason> {
        let documents = self.hub.documents().ok_or(DisconnectReason::Failed)?;
        let mut lease = documents.open(channel).await.map_err(|error| match error {
            OpenError::Full { .. } => DisconnectReason::Overloaded,
            OpenError::Leaving => DisconnectReason::GoingAway,
            OpenError::Store(_) | OpenError::Damaged { .. } | OpenError::Elsewhere(..) => DisconnectReason::Failed,
        })?;
        let actor = lease.room().enter(Some(admitted.client.id())).await;
        let actor = actor.map_err(|_| DisconnectReason::Failed)?;
        lease.edit_as(actor);
        admitted.client.edits(lease);
        let Visitor { mut user, mut info, mut scopes, .. } = visitor;
        // The app may have said who a client with the public key is.
        if let (None, Some(identity)) = (&user, admitted.client.identity()) {
            user = Some(Arc::clone(&identity.user));
            info = identity.info.as_ref().and_then(|info| match info {
                Payload::Json(info) => Some(info.clone()),
                Payload::Text(_) | Payload::Binary(_) => None,
            });
        }
        if !admitted.client.may_edit(channel) {
            scopes = scopes.reading();
        }
        Ok(Editor { actor, user, info: info.map(|info| Text::from(info.as_str())), scopes })
    }
}
