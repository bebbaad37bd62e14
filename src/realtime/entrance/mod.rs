//! What every client passes on its way in, whichever door it takes: its origin, a place, its token, the app's consent.
//!
#![doc = include_str!("README.md")]

pub mod admission;
pub mod authorizer;
pub mod cors;
pub mod origin;
pub mod rejection;
pub mod token;

mod config;
mod remedy;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Version};

pub use config::Config;

use self::admission::{Admission, AdmissionError, ConnectionPermit};
use self::authorizer::{Authorizer, ConnectionInfo, Left};
use self::origin::{From, Origins};
use self::rejection::{Rejection, RejectionClose, Rejections};
use self::remedy::Remedies;
use self::token::{Grant, TokenError, Tokens, presented};
use super::hub::{Authority, Client, Held, Hub};
use super::vocabulary::{Channel, CloseFrame, Command, Identity, Moment, Refusal, Rights, Subscribe, Word};
use crate::callbacks::{App, EventKind};
use crate::drain::Signal;
use crate::http::connection::Connected;
use crate::http::facts::RequestId;
use crate::http::{Facts, Failure};
use crate::settings::Live;
use crate::shares::Holder;
use crate::telemetry::Registry;
use crate::telemetry::trace::TraceId;

/// When the app is asked whether a client may be here; a property of its protocol.
#[derive(Debug, Clone, Copy)]
pub enum AuthorizeAt<'a> {
    /// Before the client is answered, and whether it may read this channel where there is no app to ask.
    Upgrade(&'a Channel),
    /// Before the client is answered; into which channels it wants it says later.
    UpgradeWithoutChannel,
    /// By the protocol's machine, in words of its own, once the client is in.
    Protocol,
}

/// Who a client is and what it may do, as its dialect has found out from what it shows.
#[derive(Debug, Clone)]
pub struct Vouched {
    pub identity: Option<Identity>,
    pub rights: Rights,
}

/// A client that was let in, and whose session has yet to begin.
pub struct Admitted {
    pub client: Client,
    pub permit: ConnectionPermit,
    pub authorizer: Option<(Arc<dyn Authorizer>, Arc<ConnectionInfo>)>,
    /// What the app has it do first.
    pub first: Vec<Command>,
    pub arrival: Arrival,
}

/// How a client came, for its line in the log.
#[derive(Debug)]
pub struct Arrival {
    pub dialect: &'static str,
    pub client: IpAddr,
    pub path: Box<str>,
    pub request_id: RequestId,
    pub trace: Option<TraceId>,
}

impl Admitted {
    /// Where the app has it join `channel`, which it is about to ask for itself: it is let in, and asks for the past that
    /// it wants.
    fn join(&mut self, channel: &Channel) {
        let is_it = |command: &Command| matches!(command, Command::Subscribe(wish) if wish.channel == *channel);
        let before = self.first.len();
        self.first.retain(|command| !is_it(command));
        if self.first.len() < before {
            self.client.admit(channel.clone());
        }
    }

    /// The client leaves without a session.
    pub fn leave(self) {
        if let Some((authorizer, connection)) = &self.authorizer {
            authorizer.disconnected(connection, self.client.identity(), Left::whole("gone"));
        }
    }
}

/// What the layers outside have found out about a request.
///
/// # Errors
/// Our own fault: the layer that finds it out is missing.
pub fn facts(request: &Parts) -> Result<Facts, Failure> {
    let missing = || {
        Failure::us(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal error: nothing is known of this request. This is a bug of Doorway: please report it.",
        )
        .detail("no facts")
    };
    request.extensions.get::<Facts>().cloned().ok_or_else(missing)
}

/// The request without the parameters of these `names`: what the app and logs may know of it.
pub fn without(request: &Parts, names: &[&str]) -> Parts {
    let (mut clean, ()) = http::Request::new(()).into_parts();
    clean.method = request.method.clone();
    clean.version = request.version;
    clean.headers = request.headers.clone();
    clean.extensions = request.extensions.clone();
    let is_open = |pair: &&str| !names.contains(&pair.split('=').next().unwrap_or_default());
    let query: Vec<&str> = request.uri.query().unwrap_or_default().split('&').filter(is_open).collect();
    let target = format!("{}?{}", request.uri.path(), query.join("&"));
    clean.uri = target.parse().unwrap_or_default();
    clean
}

/// Lets clients in. One for all doors.
pub struct Entrance {
    config: Live<Config>,
    hub: Arc<Hub>,
    admission: Arc<Admission>,
    app: Arc<App>,
    authorizer: Arc<dyn Authorizer>,
    tokens: Arc<Tokens>,
    rejections: Rejections,
    remedies: Remedies,
    drain: Signal,
}

impl Entrance {
    pub fn new(
        config: &Config,
        hub: &Arc<Hub>,
        app: &Arc<App>,
        (authorizer, tokens): (Arc<dyn Authorizer>, Arc<Tokens>),
        drain: &Signal,
        registry: &mut Registry,
    ) -> Entrance {
        Entrance {
            config: Live::new(config.clone()),
            hub: Arc::clone(hub),
            admission: Arc::default(),
            app: Arc::clone(app),
            authorizer,
            tokens,
            rejections: Rejections::new(drain.clone(), registry),
            remedies: Remedies::default(),
            drain: drain.clone(),
        }
    }

    /// Takes over another section (SIGHUP): it is for those who come from now on.
    pub fn reload(&self, config: &Config) {
        self.tokens.reload(&config.tokens);
        self.config.set(config.clone());
    }

    /// The section as it is now. Taken once a request.
    pub fn config(&self) -> Arc<Config> {
        self.config.get()
    }

    /// Tokens that are good for clients of any dialect.
    pub fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// Who judges what clients want.
    pub fn authorizer(&self) -> &Arc<dyn Authorizer> {
        &self.authorizer
    }

    /// How many more clients there are places for.
    pub fn free_places(&self, config: &Config) -> usize {
        self.admission.free(&config.admission)
    }

    /// Who is not let in: counted, and told so on a socket.
    pub fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    /// Lets a page in by its origin, see [`Origins::check`].
    pub fn check_origin(&self, origins: &Origins, headers: &HeaderMap, facts: &Facts) -> Result<From, Failure> {
        origins.check(headers, facts).inspect_err(|failure| {
            self.rejections.count("origin");
            self.remedies.origin(headers, facts, failure);
        })
    }

    /// Lets a client in: a place, a name at the hub, and the app's consent.
    ///
    /// # Errors
    /// 503 with `Retry-After` where there is no place, 403 (or what the app says) where it may not be here.
    pub async fn admit(
        &self,
        config: &Config,
        request: &Parts,
        facts: &Facts,
        dialect: &'static str,
        when: AuthorizeAt<'_>,
    ) -> Result<Admitted, Rejection> {
        self.admit_as(config, request, facts, (dialect, None), when).await
    }

    /// The same for a client whose dialect knows who it is: a token is not asked for.
    ///
    /// # Errors
    /// As [`Entrance::admit`].
    pub async fn admit_vouched(
        &self,
        config: &Config,
        request: &Parts,
        facts: &Facts,
        (dialect, vouched): (&'static str, Vouched),
        when: AuthorizeAt<'_>,
    ) -> Result<Admitted, Rejection> {
        self.admit_as(config, request, facts, (dialect, Some(vouched)), when).await
    }

    async fn admit_as(
        &self,
        config: &Config,
        request: &Parts,
        facts: &Facts,
        (dialect, vouched): (&'static str, Option<Vouched>),
        when: AuthorizeAt<'_>,
    ) -> Result<Admitted, Rejection> {
        if !self.drain.is_running() {
            return Err(self.come_back("draining", "The door is closing.", Duration::from_secs(1)).into());
        }
        let admitted = self.admission.admit(facts.client, &config.admission, Instant::now());
        let (permit, wait) = admitted.map_err(|error| match error {
            AdmissionError::Full => self.come_back("full", "Too many clients are here.", Duration::from_secs(10)),
            AdmissionError::FullForAddress => {
                self.rejections.count("full_for_address");
                let reason = "Too many clients of this address are here.";
                Failure::client(StatusCode::TOO_MANY_REQUESTS, reason).retry_after(Duration::from_secs(10))
            }
            AdmissionError::Busy { after } => self.come_back("busy", "Too many clients come at once.", after),
        })?;
        let stream = self.live_stream(request)?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let bearer = match vouched {
            Some(Vouched { identity, rights }) => Some((identity, rights)),
            None => {
                let bearer = self.bearer(request).map_err(|error| self.not_believed(error))?;
                bearer.map(|(grant, rights)| (grant.identity, rights))
            }
        };
        let full = || self.come_back("full", "Too many clients are here.", Duration::from_secs(10));
        let mut client = self.hub.join(Holder::of(facts.client)).ok_or_else(full)?;
        client.hold(stream);
        if let Some((identity, rights)) = bearer {
            if let Some(identity) = identity {
                client.identify(identity);
            }
            client.grant(rights);
        }
        if let AuthorizeAt::Upgrade(channel) = when
            && client.rights().is_some_and(|rights| !rights.may_hear(channel))
        {
            self.rejections.count("forbidden");
            let failure = Failure::client(StatusCode::FORBIDDEN, "The token does not allow this channel.");
            let close = RejectionClose::for_pages(3003, "the token does not allow this channel");
            return Err(Rejection { failure, close: Some(close) });
        }
        let arrival = Arrival {
            dialect,
            client: facts.client,
            path: request.uri.path().into(),
            request_id: facts.request_id.clone(),
            trace: facts.trace.as_ref().map(|trace| trace.id),
        };
        let mut admitted = Admitted { client, permit, authorizer: None, first: Vec::new(), arrival };
        self.ask_app(&mut admitted, request, facts, when).await?;
        let AuthorizeAt::Upgrade(channel) = when else { return Ok(admitted) };
        admitted.join(channel);
        // What the app is to be asked yet it may allow.
        let is_asked = self.app.wants(EventKind::Subscribe, Some(channel.as_str()));
        let client = &admitted.client;
        let heard = if is_asked { client.may_ask(channel) } else { client.may_read(channel, Authority::Client) };
        if let Err(refusal) = heard {
            self.rejections.count("forbidden");
            admitted.leave();
            let reason = match refusal {
                Refusal::Closed => "This channel is the app's: it has not let you in.",
                _ => "This channel is not for you.",
            };
            let close = Some(RejectionClose::for_pages(3003, &refusal.to_string()));
            return Err(Rejection { failure: Failure::client(StatusCode::FORBIDDEN, reason), close });
        }
        Ok(admitted)
    }

    /// Over HTTP/2, its place among what lasts on its connection: a browser has one connection for all of a site, and
    /// its requests must still get through.
    fn live_stream(&self, request: &Parts) -> Result<Option<Held>, Failure> {
        let connected = request.extensions.get::<Arc<Connected>>().filter(|_| request.version >= Version::HTTP_2);
        let Some(connected) = connected else { return Ok(None) };
        let stream = connected.take_live_stream().ok_or_else(|| {
            self.rejections.count("streams");
            let reason = "Too many sockets and event streams are on this connection (http.h2_max_live_streams).";
            Failure::client(StatusCode::TOO_MANY_REQUESTS, reason).retry_after(Duration::from_secs(10))
        })?;
        Ok(Some(Box::new(stream)))
    }

    /// Has the app judge a subscription that no session is there to ask about.
    ///
    /// # Errors
    /// As [`Entrance::admit`].
    pub async fn may_subscribe(&self, admitted: &mut Admitted, wish: Subscribe) -> Result<(), Failure> {
        let Some((authorizer, connection)) = &admitted.authorizer else { return Ok(()) };
        let channel = wish.channel.clone();
        let mut authority = Authority::Client;
        if let Some(asking) = authorizer.authorize(connection, admitted.client.identity(), &Command::Subscribe(wish)) {
            let verdict = asking.await;
            let consent = verdict.outcome.map_err(|refusal| self.refused(refusal).failure)?;
            consent.identity.into_iter().for_each(|identity| admitted.client.identify(identity));
            authority = Authority::Consent;
        }
        admitted.client.may_read(&channel, authority).map_err(|refusal| self.refused(refusal).failure)
    }

    /// What a client's token gives it; nothing where tokens are not in use, or it has none and needs none.
    fn bearer(&self, request: &Parts) -> Result<Option<(Grant, Rights)>, TokenError> {
        if !self.tokens.are_in_use() {
            return Ok(None);
        }
        let (parameter, is_required) = self.tokens.terms();
        match presented(request, &parameter)? {
            Some(token) => self.tokens.check(&token, Moment::now().instant).map(Some),
            None if is_required => Err(TokenError::Missing),
            None => Ok(None),
        }
    }

    /// Whether a token that `request` shows is of this user, and lists `channel` among those that it lets hear.
    pub fn token_lists(&self, request: &Parts, identity: &Identity, channel: &Channel) -> bool {
        let Ok(Some((grant, rights))) = self.bearer(request) else { return false };
        grant.identity.is_some_and(|named| named.user == identity.user) && rights.lists_to_hear(channel)
    }

    /// 401, for a token that is not good. Pages hear it as a close code.
    fn not_believed(&self, error: TokenError) -> Rejection {
        self.rejections.count("token");
        self.remedies.token(error);
        // RFC 6750 section 3.1: without a token there is nothing to find fault with.
        let challenge = match error {
            TokenError::Missing => HeaderValue::from_static("Bearer"),
            _ => HeaderValue::from_static("Bearer error=\"invalid_token\""),
        };
        let failure = Failure::client(StatusCode::UNAUTHORIZED, format!("Not let in: {error}."));
        let failure = failure.header(WWW_AUTHENTICATE, challenge);
        let reason = if error == TokenError::Expired { "expired".to_owned() } else { error.to_string() };
        Rejection { failure, close: Some(RejectionClose::for_pages(3000, &reason)) }
    }

    /// Asks the app whether the client may be here, where there is an app to ask.
    async fn ask_app(
        &self,
        admitted: &mut Admitted,
        request: &Parts,
        facts: &Facts,
        when: AuthorizeAt<'_>,
    ) -> Result<(), Rejection> {
        // Nothing is kept of a request that nobody will be asked about; who came with a token may bring another.
        let is_app = admitted.client.rights().is_some_and(|rights| rights.word == Word::App);
        let asks = self.app.has_callbacks() && !is_app;
        if !asks && admitted.client.rights().is_none() {
            return Ok(());
        }
        let authorizer = &self.authorizer;
        let headers = if asks { request.headers.clone() } else { HeaderMap::new() };
        let connection =
            Arc::new(ConnectionInfo::of(admitted.client.id(), admitted.arrival.dialect, request, facts, headers));
        let connect =
            Command::Connect { ticket: 0, scope: "".into(), alias: None, credentials: None, recovered: false };
        if asks
            && !matches!(when, AuthorizeAt::Protocol)
            && let Some(asking) = authorizer.authorize(&connection, admitted.client.identity(), &connect)
        {
            let verdict = asking.await;
            let consent = verdict.outcome.map_err(|refusal| self.refused(refusal))?;
            if let Some(identity) = consent.identity {
                admitted.client.identify(identity);
            }
            admitted.first = verdict.then;
        }
        admitted.authorizer = Some((Arc::clone(authorizer), connection));
        Ok(())
    }

    fn refused(&self, refusal: Refusal) -> Rejection {
        self.rejections.count("refused");
        match refusal {
            Refusal::App { code, reason, .. } => {
                // The app may choose among the client's errors; anything else would speak for the door.
                let status =
                    code.filter(|code| (400..500).contains(code)).and_then(|code| StatusCode::from_u16(code).ok());
                let failure = Failure::client(status.unwrap_or(StatusCode::FORBIDDEN), reason.to_string());
                // Where the app speaks of close codes, it means a socket.
                let code = code.filter(|code| (3000..=4999).contains(code));
                let close = code.map(|code| RejectionClose { close: CloseFrame::new(code, reason), pages_only: false });
                Rejection { failure, close }
            }
            Refusal::Unavailable => self
                .come_back("unavailable", "The app cannot be asked just now: try again.", Duration::from_secs(1))
                .into(),
            refusal => Failure::client(StatusCode::FORBIDDEN, refusal.to_string()).into(),
        }
    }

    /// Sends a client away for now. Not all of them come back at the same time.
    fn come_back(&self, reason: &'static str, sentence: &'static str, after: Duration) -> Failure {
        self.rejections.count(reason);
        let after = after + (after + Duration::from_secs(4)).mul_f64(fastrand::f64());
        Failure::us(StatusCode::SERVICE_UNAVAILABLE, sentence).retry_after(after)
    }
}
