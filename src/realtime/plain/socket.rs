//! From an upgrade to an open socket in a channel.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

use super::{DIALECT, PlainDoor, RequestConfig, path};
use crate::http::connection::switch;
use crate::http::{Failure, Request, Response};
use crate::realtime::entrance::token::subprotocol;
use crate::realtime::entrance::{AuthorizeAt, facts};
use crate::realtime::link::websocket::Offer;
use crate::realtime::vocabulary::Moment;

impl PlainDoor {
    /// Opens a WebSocket.
    ///
    /// # Errors
    /// 400, 405, 426 for what is no right upgrade; 403, 404, 429, 503 for who is not let in.
    pub(super) async fn upgrade(&self, config: &RequestConfig, mut request: Request) -> Result<Response, Failure> {
        let RequestConfig { entrance, plain } = config;
        let offer = Offer::read(&request, &entrance.websocket)?;
        let upgrade = switch::on(&mut request);
        let (request, _) = request.into_parts();
        let facts = facts(&request)?;
        self.entrance.check_origin(&entrance.origins, &request.headers, &facts)?;
        let channel = config.channel(&request)?;
        let since = path::since(request.uri.query())?;
        let admitted = self.entrance.admit(entrance, &request, &facts, DIALECT, AuthorizeAt::Upgrade(&channel)).await;
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(rejection) => {
                let limits = entrance.websocket;
                return self.entrance.rejections().on_socket(rejection, &request.headers, &offer, upgrade, limits);
            }
        };
        let response = offer.accept(subprotocol(&offer));
        let machine = plain.socket(channel, since, Moment::now());
        let machine = machine.with_token(admitted.client.rights().is_some());
        let session = self.sessions.begin(admitted, Box::new(machine)).await;
        tokio::spawn(session.open(upgrade, offer.agreed().cloned(), entrance.websocket));
        Ok(response)
    }
}
