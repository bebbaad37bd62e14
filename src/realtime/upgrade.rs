//! From a request to an open socket: place, dialect, and the answer that makes it one.

use hyper::upgrade::OnUpgrade;

use super::entrance::{Greeting, Guest, facts};
use super::link::websocket::{self, Agreed, Offer};
use super::session::{Record, Session, Who};
use super::token::SUBPROTOCOL;
use super::vocabulary::Moment;
use super::{Realtime, place};
use crate::http::{Failure, Request, Response};

const DIALECT: &str = "plain";

impl Realtime {
    /// Opens a WebSocket.
    ///
    /// # Errors
    /// 400, 405, 426 for what is no right upgrade; 403, 404, 429, 503 for who is not let in.
    pub(super) async fn upgrade(&self, mut request: Request) -> Result<Response, Failure> {
        let settings = self.settings.get();
        let config = &settings.config;
        let offer = Offer::read(&request, &config.websocket)?;
        let upgrade = hyper::upgrade::on(&mut request);
        let (request, _) = request.into_parts();
        let facts = facts(&request)?;
        self.check_origin(&config.origins, &request.headers, &facts)?;
        let channel = place::channel(&config.path, request.uri.path())?;
        let channel = channel.unwrap_or_else(|| settings.plain.channel().clone());
        let since = place::since(request.uri.query())?;
        let guest = match self.let_in(&settings, &request, &facts, DIALECT, Greeting::AtTheDoor(&channel)).await {
            Ok(guest) => guest,
            Err(not_in) => return self.turn_away(not_in, &request.headers, &offer, upgrade, config.websocket),
        };
        let response = offer.accept(chosen(&offer));
        let who = Who {
            dialect: DIALECT,
            client: facts.client,
            path: request.uri.path().into(),
            request_id: facts.request_id,
            numbers: self.numbers.clone(),
        };
        let machine = settings.plain.socket(channel, since, Moment::now());
        let machine = Box::new(machine.with_token(guest.client.rights().is_some()));
        let Guest { client, permit, gate, first } = guest;
        let record = Record::new(who, permit);
        let session = Session::begin(machine, client, gate, first, record, self.drain.guard()).await;
        tokio::spawn(open(upgrade, session, offer.agreed().cloned(), config.websocket));
        Ok(response)
    }
}

/// The subprotocol that is agreed to. A browser that offers some closes the socket when none is chosen; here they mean
/// nothing, and one that carries a token is not said aloud where there is another.
pub fn chosen(offer: &Offer) -> Option<&str> {
    let other = offer.protocols().find(|protocol| !protocol.starts_with(SUBPROTOCOL));
    other.or_else(|| offer.protocols().next())
}

/// Waits until the connection is the socket's, and serves it.
pub async fn open(upgrade: OnUpgrade, session: Session, agreed: Option<Agreed>, config: websocket::Config) {
    match upgrade.await {
        Ok(upgraded) => {
            let link = websocket::open(upgraded, agreed.as_ref(), &config);
            // A task of its own, which holds nothing but the session.
            tokio::spawn(session.run(link, config.close_timeout));
        }
        Err(_) => session.abandon(),
    }
}
