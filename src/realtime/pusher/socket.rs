//! `/app/KEY`: from an upgrade to a session, or to the protocol's own word for why not.

use hyper::upgrade::OnUpgrade;
use tokio::time::timeout;

use crate::drain::Guard;
use crate::http::{Failure, Request, Response};
use crate::realtime::dialect::pusher::{Code, refusal};
use crate::realtime::entrance::{Greeting, Guest, facts};
use crate::realtime::link::websocket::{self, Agreed, Offer};
use crate::realtime::session::{Record, Session, Who};
use crate::realtime::vocabulary::Moment;
use crate::realtime::{Realtime, place, upgrade};

pub const DIALECT: &str = "pusher";

/// The versions of the protocol that are spoken: those that close with codes.
const VERSIONS: std::ops::RangeInclusive<u32> = 5..=7;

impl Realtime {
    /// Opens a socket of the app with this key, unless its path is an error.
    ///
    /// A client of this protocol learns why it is not let in from a close code, and acts by it: so what is wrong with the
    /// app or the version is said on an open socket.
    ///
    /// # Errors
    /// As [`Realtime::upgrade`], for what is wrong with the upgrade itself, and 503 for who may come back.
    pub(in crate::realtime) async fn pusher_socket(
        &self,
        mut request: Request,
        key: &str,
        path: Result<(), Code>,
    ) -> Result<Response, Failure> {
        let settings = self.settings.get();
        let config = &settings.config;
        let offer = Offer::read(&request, &config.websocket)?;
        let upgrade = hyper::upgrade::on(&mut request);
        let (request, _) = request.into_parts();
        let facts = facts(&request)?;
        self.check_origin(&config.origins, &request.headers, &facts)?;
        let response = offer.accept(offer.protocols().next());
        let agreed = offer.agreed().cloned();
        let app =
            path.and_then(|()| version(request.uri.query())).and_then(|()| self.pusher.by_key(key).ok_or(Code::NoApp));
        let app = app.and_then(|app| app.closed().map_or(Ok(app), Err));
        let app = match app {
            Ok(app) => app,
            Err(code) => {
                self.turned.count("pusher");
                tokio::spawn(turn_away(upgrade, code, agreed, config.websocket, self.drain.guard()));
                return Ok(response);
            }
        };
        let guest = self.let_in(&settings, &request, &facts, DIALECT, Greeting::WithoutChannel).await;
        let guest = match guest.map_err(Failure::from) {
            Ok(guest) => guest,
            // A status would have it come back for ever.
            Err(failure) if matches!(failure.status.as_u16(), 401 | 403) => {
                let code = Code::Unauthorised(failure.reason.as_ref().into());
                tokio::spawn(turn_away(upgrade, code, agreed, config.websocket, self.drain.guard()));
                return Ok(response);
            }
            Err(failure) => return Err(failure),
        };
        let Guest { client, permit, gate, first } = guest;
        let machine = match app.connect(client.id(), Moment::now()) {
            Ok(machine) => machine,
            Err(code) => {
                self.turned.count("pusher");
                tokio::spawn(turn_away(upgrade, code, agreed, config.websocket, self.drain.guard()));
                return Ok(response);
            }
        };
        let who = Who {
            dialect: DIALECT,
            client: facts.client,
            path: request.uri.path().into(),
            request_id: facts.request_id,
            numbers: self.numbers.clone(),
        };
        let record = Record::new(who, permit);
        let session = Session::begin(Box::new(machine), client, gate, first, record, self.drain.guard()).await;
        tokio::spawn(upgrade::open(upgrade, session, agreed, config.websocket));
        Ok(response)
    }
}

/// The version that the client speaks must be one of ours.
pub fn version(query: Option<&str>) -> Result<(), Code> {
    let version = place::parameter(query, "protocol").ok_or(Code::NoVersion)?;
    let version: u32 = version.parse().map_err(|_| Code::BadVersion)?;
    if VERSIONS.contains(&version) { Ok(()) } else { Err(Code::UnsupportedVersion) }
}

/// Says why on the open socket, and closes it; within the time for a closing handshake.
async fn turn_away(upgrade: OnUpgrade, code: Code, agreed: Option<Agreed>, config: websocket::Config, _guard: Guard) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut link = websocket::open(upgraded, agreed.as_ref(), &config);
    refusal(code).into_iter().for_each(|frame| link.push(frame));
    let closing = std::future::poll_fn(|context| link.poll_close(context));
    // Too slow or gone already: all the same.
    let _ = timeout(config.close_timeout, closing).await;
}
