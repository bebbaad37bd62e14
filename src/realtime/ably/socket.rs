//! The socket: from an upgrade to a session, or to the protocol's own word for why not.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::apps::{Authenticated, Credentials};
use super::connections::Claimant;
use super::machine::{AblyMachine, Displace, Greeting, Manner, Opening, refusal};
use super::wire::Format;
use super::wire::error::AblyError;
use super::{AblyDoor, DIALECT};
use crate::http::connection::switch;
use crate::http::query::parameter;
use crate::http::{Facts, Failure, Request, Response};
use crate::realtime::entrance::{self, Admitted, AuthorizeAt, Vouched, facts};
use crate::realtime::link::websocket::Offer;
use crate::realtime::vocabulary::{Identity, Moment};
use http::request::Parts;

/// The oldest version of the protocol that is spoken.
const MIN_VERSION: u32 = 2;
/// The longest time for which a client may ask to stay present without a link, and the shortest.
const GRACES: std::ops::RangeInclusive<u64> = 1_000..=120_000;

impl AblyDoor {
    /// Opens a socket. What is wrong with who comes is said on the open socket: a refused upgrade looks to clients of this
    /// protocol like a network that fails.
    ///
    /// # Errors
    /// 400, 403, 405, 426 for what is wrong with the upgrade itself, and 503 for who may come back.
    pub(super) async fn socket(
        self: &Arc<Self>,
        config: &entrance::Config,
        mut request: Request,
    ) -> Result<Response, Failure> {
        let offer = Offer::read(&request, &config.websocket)?;
        let upgrade = switch::on(&mut request);
        let (request, _) = request.into_parts();
        let facts = facts(&request)?;
        self.entrance.check_origin(&config.origins, &request.headers, &facts)?;
        let response = offer.accept(offer.protocols().next());
        let agreed = offer.agreed().cloned();
        let format = Format::named(parameter(request.uri.query(), "format").as_deref());
        let (admitted, machine) = match self.admit(config, &request, &facts, format).await? {
            Ok(both) => both,
            Err(error) => {
                self.sessions.refuse(upgrade, agreed, refusal(format, &error), config.websocket);
                return Ok(response);
            }
        };
        let session = self.sessions.begin(admitted, Box::new(machine)).await;
        tokio::spawn(session.open(upgrade, agreed, config.websocket));
        Ok(response)
    }

    /// Lets a client in: who it is, its place, its connection, and its machine. Else what it is told.
    ///
    /// # Errors
    /// For who may come back: 429, 503.
    pub(super) async fn admit(
        self: &Arc<Self>,
        config: &entrance::Config,
        request: &Parts,
        facts: &Facts,
        format: Format,
    ) -> Result<Result<(Admitted, AblyMachine), AblyError>, Failure> {
        let now = Moment::now();
        let query = request.uri.query();
        let (auth, client) = match self.authenticated(query, now) {
            Ok(both) => both,
            Err(error) => {
                self.entrance.rejections().count("ably");
                return Ok(Err(error));
            }
        };
        let identity = client.as_ref().map(|client| Identity { user: Arc::clone(client), info: None });
        let vouched = Vouched { identity, rights: auth.rights(now) };
        let without_secrets = without_secrets(request);
        let when = AuthorizeAt::UpgradeWithoutChannel;
        let admitted = self.entrance.admit_vouched(config, &without_secrets, facts, (DIALECT, vouched), when).await;
        let admitted = match admitted.map_err(Failure::from) {
            Ok(admitted) => admitted,
            Err(failure) if matches!(failure.status.as_u16(), 401 | 403) => {
                return Ok(Err(AblyError::new(40300, 403, failure.reason.as_ref())));
            }
            Err(failure) => return Err(failure),
        };
        let link = admitted.client.id();
        let key = parameter(query, "resume").or_else(|| parameter(query, "recover"));
        let key_name = if auth.is_key { "".into() } else { Arc::clone(&auth.key_name) };
        let claimant = Claimant { app: Arc::clone(auth.app.id()), client: client.clone(), key_name };
        let refused = match &key {
            Some(key) => self.carrying.carry_here(key, &claimant).await.err(),
            None => None,
        };
        let (opened, error) = self.connections.open(key.as_deref(), &claimant, link, Instant::now());
        let error = refused.or(error);
        let carrying = Arc::clone(&self.carrying);
        let displace = opened.displaced.map(|displaced| -> Displace { Box::new(move || carrying.displace(displaced)) });
        let manner = Manner {
            format,
            echo: parameter(query, "echo").as_deref() != Some("false"),
            heartbeats: parameter(query, "heartbeats").as_deref() == Some("true"),
        };
        let grace = grace(query).unwrap_or(auth.app.settings().presence_grace);
        let greeting = Greeting { error, grace, displace };
        let (apps, connections) = (Arc::clone(&self.apps), Arc::clone(&self.connections));
        let app = Arc::clone(&auth.app);
        let greeting = Some(Box::new(greeting));
        let opening = Opening { apps, connections, app, auth, client, link, opened, greeting };
        Ok(Ok((admitted, AblyMachine::new(opening, manner, now))))
    }

    /// Who comes with this query, and as whom.
    fn authenticated(&self, query: Option<&str>, now: Moment) -> Result<(Authenticated, Option<Arc<str>>), AblyError> {
        let version = parameter(query, "v").and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        if version.is_none_or(|version| version < MIN_VERSION) {
            return Err(AblyError::new(40000, 400, "This version of the protocol is not supported: 2 and later are"));
        }
        let token = parameter(query, "access_token").or_else(|| parameter(query, "accessToken"));
        let key = parameter(query, "key");
        let credentials = match (&key, &token) {
            (_, Some(token)) => Credentials::Token(token),
            (Some(key), None) => Credentials::Key(key),
            (None, None) => return Err(AblyError::new(40101, 401, "No authentication information provided")),
        };
        let auth = self.apps.authenticate(credentials, now)?;
        let client = auth.assume(parameter(query, "clientId").as_deref().filter(|client| !client.is_empty()))?;
        Ok((auth, client))
    }
}

/// What callbacks and logs may know of a request: neither its key nor its token.
pub(super) fn without_secrets(request: &Parts) -> Parts {
    entrance::without(request, &["key", "access_token", "accessToken", "resume", "recover"])
}

fn grace(query: Option<&str>) -> Option<Duration> {
    let wanted: u64 = parameter(query, "remainPresentFor")?.parse().ok()?;
    Some(Duration::from_millis(wanted.clamp(*GRACES.start(), *GRACES.end())))
}
