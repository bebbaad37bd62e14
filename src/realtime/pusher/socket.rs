//! `/app/KEY`: from an upgrade to a session, or to the protocol's own word for why not.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

use super::machine::{Code, Machine, refusal};
use super::{DIALECT, PusherDoor};
use crate::http::connection::switch;
use crate::http::query::parameter;
use crate::http::{Facts, Failure, Request, Response};
use crate::realtime::entrance::{self, Admitted, AuthorizeAt, facts};
use crate::realtime::link::websocket::Offer;
use crate::realtime::vocabulary::Moment;
use crate::shares::Holder;
use http::request::Parts;

/// The versions of the protocol that are spoken: those that close with codes.
const VERSIONS: std::ops::RangeInclusive<u32> = 5..=7;

impl PusherDoor {
    /// Opens a socket of the app with this key, unless its path is an error.
    ///
    /// A client of this protocol learns why it is not let in from a close code, and acts by it: so what is wrong with the
    /// app or the version is said on an open socket.
    ///
    /// # Errors
    /// 400, 405, 426 for what is wrong with the upgrade itself, and 503 for who may come back.
    pub(super) async fn socket(
        &self,
        config: &entrance::Config,
        mut request: Request,
        key: &str,
        path: Result<(), Code>,
    ) -> Result<Response, Failure> {
        let offer = Offer::read(&request, &config.websocket)?;
        let upgrade = switch::on(&mut request);
        let (request, _) = request.into_parts();
        let facts = facts(&request)?;
        self.entrance.check_origin(&config.origins, &request.headers, &facts)?;
        let response = offer.accept(offer.protocols().next());
        let agreed = offer.agreed().cloned();
        let (admitted, machine) = match self.admit(config, &request, &facts, key, path).await? {
            Ok(both) => both,
            // A status would have it come back for ever.
            Err(code) => {
                self.sessions.refuse(upgrade, agreed, refusal(code), config.websocket);
                return Ok(response);
            }
        };
        let session = self.sessions.begin(admitted, Box::new(machine)).await;
        tokio::spawn(session.open(upgrade, agreed, config.websocket));
        Ok(response)
    }

    /// Lets a client of the app with this `key` in, if `path` is right: its place, and its machine. Else the code by
    /// which the client learns why not.
    ///
    /// # Errors
    /// For who may come back: 503.
    pub(super) async fn admit(
        &self,
        config: &entrance::Config,
        request: &Parts,
        facts: &Facts,
        key: &str,
        path: Result<(), Code>,
    ) -> Result<Result<(Admitted, Machine), Code>, Failure> {
        let refused = |code| {
            self.entrance.rejections().count("pusher");
            Ok(Err(code))
        };
        let app =
            path.and_then(|()| version(request.uri.query())).and_then(|()| self.apps.by_key(key).ok_or(Code::NoApp));
        let app = match app.and_then(|app| app.closed().map_or(Ok(app), Err)) {
            Ok(app) => app,
            Err(code) => return refused(code),
        };
        let when = AuthorizeAt::UpgradeWithoutChannel;
        let admitted = match self.entrance.admit(config, request, facts, DIALECT, when).await.map_err(Failure::from) {
            Ok(admitted) => admitted,
            Err(failure) if matches!(failure.status.as_u16(), 401 | 403) => {
                return Ok(Err(Code::Unauthorised(failure.reason.as_ref().into())));
            }
            Err(failure) => return Err(failure),
        };
        let (id, holder) = (admitted.client.id(), Holder::of(facts.client));
        match app.connect(id, holder, self.free_places(config), Moment::now()) {
            Ok(machine) => Ok(Ok((admitted, machine))),
            Err(code) => refused(code),
        }
    }
}

/// The version that the client speaks must be one of ours.
fn version(query: Option<&str>) -> Result<(), Code> {
    let version = parameter(query, "protocol").ok_or(Code::NoVersion)?;
    let version: u32 = version.parse().map_err(|_| Code::BadVersion)?;
    if VERSIONS.contains(&version) { Ok(()) } else { Err(Code::UnsupportedVersion) }
}
