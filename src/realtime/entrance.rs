//! What every client passes on its way in, whichever door it takes.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::admission::{self, Permit};
use super::gate::{Departure, Gate, Visitor};
use super::hub::{Authority, Client};
use super::origin::{From, Origins};
use super::refusal::{NotIn, Told};
use super::token::{Grant, TokenError, presented};
use super::vocabulary::{Channel, Close, Command, Moment, Refusal, Rights, Subscribe};
use super::{Realtime, Settings};
use crate::app::EventKind;
use crate::http::{Facts, Failure};
use crate::shares::Holder;
use crate::telemetry::Registry;

/// How many were turned away, by why.
#[derive(Debug, Clone)]
pub struct Turned(Family<Reason, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Turned {
    pub fn new(registry: &mut Registry) -> Turned {
        let turned = Family::default();
        let help = "Clients that were not let in";
        registry.sub_registry_with_prefix("realtime").register("turned_away", help, turned.clone());
        Turned(turned)
    }

    pub fn count(&self, reason: &'static str) {
        self.0.get_or_create(&Reason { reason }).inc();
    }
}

/// When the app is asked whether a client may be here; a property of its dialect.
#[derive(Debug, Clone, Copy)]
pub enum Greeting<'a> {
    /// Before the client is answered, and whether it may read this channel where there is no app to ask.
    AtTheDoor(&'a Channel),
    /// Before the client is answered; into which channels it wants it says later.
    WithoutChannel,
    /// By the dialect's machine, in words of its own, once the client is in.
    Inside,
}

/// A client that was let in.
pub struct Guest {
    pub client: Client,
    pub permit: Permit,
    pub gate: Option<(Arc<dyn Gate>, Arc<Visitor>)>,
    /// What the app has it do first.
    pub first: Vec<Command>,
}

impl Guest {
    /// Where the app has it join `channel`, which it is about to ask for itself: it is let in, and asks for the past that
    /// it wants.
    fn admit(&mut self, channel: &Channel) {
        let is_it = |command: &Command| matches!(command, Command::Subscribe(wish) if wish.channel == *channel);
        let before = self.first.len();
        self.first.retain(|command| !is_it(command));
        if self.first.len() < before {
            self.client.admit(channel.clone());
        }
    }

    /// It leaves without a session.
    pub fn leave(self) {
        if let Some((gate, visitor)) = &self.gate {
            gate.gone(visitor, self.client.identity(), Departure::whole("gone"));
        }
    }
}

/// What the door knows of a request.
///
/// # Errors
/// Our own fault: the layer that finds it out is missing.
pub fn facts(request: &Parts) -> Result<Facts, Failure> {
    let missing = || Failure::us(StatusCode::INTERNAL_SERVER_ERROR, "The door is not in order.").detail("no facts");
    request.extensions.get::<Facts>().cloned().ok_or_else(missing)
}

impl Realtime {
    /// Lets a client in: a place, a name at the hub, and the app's consent.
    ///
    /// # Errors
    /// 503 with `Retry-After` where there is no place, 403 (or what the app says) where it may not be here.
    pub(super) async fn let_in(
        &self,
        settings: &Settings,
        request: &Parts,
        facts: &Facts,
        dialect: &'static str,
        greeting: Greeting<'_>,
    ) -> Result<Guest, NotIn> {
        if !self.drain.is_running() {
            return Err(self.come_back("draining", "The door is closing.", Duration::from_secs(1)).into());
        }
        let admitted = self.admission.admit(facts.client, &settings.config.admission, Instant::now());
        let (permit, wait) = admitted.map_err(|turned| match turned {
            admission::Turned::Full => self.come_back("full", "Too many clients are here.", Duration::from_secs(10)),
            admission::Turned::FullForAddress => {
                self.turned.count("full_for_address");
                let reason = "Too many clients of this address are here.";
                Failure::client(StatusCode::TOO_MANY_REQUESTS, reason).retry_after(Duration::from_secs(10))
            }
            admission::Turned::Busy { after } => self.come_back("busy", "Too many clients come at once.", after),
        })?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let bearer = self.bearer(request).map_err(|error| self.not_believed(error))?;
        let full = || self.come_back("full", "Too many clients are here.", Duration::from_secs(10));
        let mut client = self.hub.join(Holder::of(facts.client)).ok_or_else(full)?;
        if let Some((grant, rights)) = bearer {
            if let Some(identity) = grant.identity {
                client.identify(identity);
            }
            client.grant(rights);
        }
        if let Greeting::AtTheDoor(channel) = greeting
            && client.rights().is_some_and(|rights| !rights.may_hear(channel))
        {
            self.turned.count("forbidden");
            let failure = Failure::client(StatusCode::FORBIDDEN, "The token does not allow this channel.");
            return Err(NotIn { failure, close: Some(for_pages(3003, "the token does not allow this channel")) });
        }
        let mut guest = self.greet(client, permit, request, facts, dialect, greeting).await?;
        let Greeting::AtTheDoor(channel) = greeting else { return Ok(guest) };
        guest.admit(channel);
        // What the app is to be asked yet it may allow.
        let is_asked = self.app.wants(EventKind::Subscribe, Some(channel.as_str()));
        let heard =
            if is_asked { guest.client.may_ask(channel) } else { guest.client.may_read(channel, Authority::Client) };
        if let Err(refusal) = heard {
            self.turned.count("forbidden");
            guest.leave();
            let reason = match refusal {
                Refusal::Closed => "This channel is the app's: it has not let you in.",
                _ => "This channel is not for you.",
            };
            let close = Some(for_pages(3003, &refusal.to_string()));
            return Err(NotIn { failure: Failure::client(StatusCode::FORBIDDEN, reason), close });
        }
        Ok(guest)
    }

    /// Lets a page in by its origin, see [`Origins::check`].
    pub(super) fn check_origin(&self, origins: &Origins, headers: &HeaderMap, facts: &Facts) -> Result<From, Failure> {
        origins.check(headers, facts).inspect_err(|_| self.turned.count("origin"))
    }

    /// Has the app judge a subscription that no session is there to ask about.
    ///
    /// # Errors
    /// As [`Realtime::let_in`].
    pub(super) async fn may_subscribe(&self, guest: &mut Guest, wish: Subscribe) -> Result<(), Failure> {
        let Some((gate, visitor)) = &guest.gate else { return Ok(()) };
        let channel = wish.channel.clone();
        let mut authority = Authority::Client;
        if let Some(asking) = gate.ask(visitor, guest.client.identity(), &Command::Subscribe(wish)) {
            let verdict = asking.await;
            let consent = verdict.outcome.map_err(|refusal| self.refused(refusal).failure)?;
            consent.identity.into_iter().for_each(|identity| guest.client.identify(identity));
            authority = Authority::Consent;
        }
        guest.client.may_read(&channel, authority).map_err(|refusal| self.refused(refusal).failure)
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

    /// 401, for a token that is not good. Pages hear it as a close code.
    fn not_believed(&self, error: TokenError) -> NotIn {
        self.turned.count("token");
        // RFC 6750 section 3.1: without a token there is nothing to find fault with.
        let challenge = match error {
            TokenError::Missing => HeaderValue::from_static("Bearer"),
            _ => HeaderValue::from_static("Bearer error=\"invalid_token\""),
        };
        let failure = Failure::client(StatusCode::UNAUTHORIZED, format!("Not let in: {error}."));
        let failure = failure.header(WWW_AUTHENTICATE, challenge);
        let reason = if error == TokenError::Expired { "expired".to_owned() } else { error.to_string() };
        NotIn { failure, close: Some(for_pages(3000, &reason)) }
    }

    /// Asks the app whether the client may be here, where there is an app to ask.
    async fn greet(
        &self,
        client: Client,
        permit: Permit,
        request: &Parts,
        facts: &Facts,
        dialect: &'static str,
        greeting: Greeting<'_>,
    ) -> Result<Guest, NotIn> {
        let mut guest = Guest { client, permit, gate: None, first: Vec::new() };
        // Nothing is kept of a request that nobody will be asked about; who came with a token may bring another.
        let asks = self.app.asks();
        if !asks && guest.client.rights().is_none() {
            return Ok(guest);
        }
        let gate = &self.gate;
        let root = || PathAndQuery::from_static("/");
        let visitor = Arc::new(Visitor {
            connection: guest.client.id(),
            dialect,
            client: facts.client,
            scheme: facts.scheme.clone(),
            authority: facts.authority.clone(),
            target: request.uri.path_and_query().cloned().unwrap_or_else(root),
            headers: if asks { request.headers.clone() } else { HeaderMap::new() },
            request_id: facts.request_id.as_str().to_owned(),
        });
        let connect =
            Command::Connect { ticket: 0, scope: "".into(), alias: None, credentials: None, recovered: false };
        if !matches!(greeting, Greeting::Inside)
            && let Some(asking) = gate.ask(&visitor, guest.client.identity(), &connect)
        {
            let verdict = asking.await;
            let consent = verdict.outcome.map_err(|refusal| self.refused(refusal))?;
            if let Some(identity) = consent.identity {
                guest.client.identify(identity);
            }
            guest.first = verdict.then;
        }
        guest.gate = Some((Arc::clone(gate), visitor));
        Ok(guest)
    }

    fn refused(&self, refusal: Refusal) -> NotIn {
        self.turned.count("refused");
        match refusal {
            Refusal::App { code, reason, .. } => {
                // The app may choose among the client's errors; anything else would speak for the door.
                let status =
                    code.filter(|code| (400..500).contains(code)).and_then(|code| StatusCode::from_u16(code).ok());
                let failure = Failure::client(status.unwrap_or(StatusCode::FORBIDDEN), reason.to_string());
                // Where the app speaks of close codes, it means a socket.
                let code = code.filter(|code| (3000..=4999).contains(code));
                let close = code.map(|code| Told { close: Close::new(code, reason), pages_only: false });
                NotIn { failure, close }
            }
            Refusal::Unavailable => {
                self.come_back("unavailable", "The app cannot be asked.", Duration::from_secs(1)).into()
            }
            refusal => Failure::client(StatusCode::FORBIDDEN, refusal.to_string()).into(),
        }
    }

    /// Sends a client away for now. Not all of them come back at the same time.
    fn come_back(&self, reason: &'static str, sentence: &'static str, after: Duration) -> Failure {
        self.turned.count(reason);
        let seed = RandomState::new().hash_one(reason);
        let after = after + (after + Duration::from_secs(4)).mul_f64(seed as f64 / u64::MAX as f64);
        Failure::us(StatusCode::SERVICE_UNAVAILABLE, sentence).retry_after(after)
    }
}

/// A close that only pages are told: other programs read the status.
fn for_pages(code: u16, reason: &str) -> Told {
    Told { close: Close::new(code, reason), pages_only: true }
}
