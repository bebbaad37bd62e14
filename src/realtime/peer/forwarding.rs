//! A request on its way to the door that it belongs to: its answer streams back, and a socket becomes a tunnel.
#![expect(clippy::disallowed_methods, reason = "a tunnel holds a guard until it ends")]

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::copy_bidirectional;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::debug;

use super::holding::holding;
use super::identity::PeerIdentity;
use super::pool::{Leased, Pool};
use super::{Metrics, PeerError, RequestHead, passing};
use crate::drain::Signal;
use crate::http::connection::switch::{self, Switching};
use crate::http::connection::{Connected, LiveStream};
use crate::http::{Body, Facts, Failure, Request, Response};
use crate::realtime::entrance::facts;
use crate::realtime::link::websocket::{self, Offer};

/// What a client is brought back by: frames, not a WebSocket's bytes.
pub const RESUMES: &str = "doorway-resume";

/// How long another door may take to let a client in.
const RESUME_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to another door, for one request.
pub struct Way {
    pub(super) leased: Leased,
    pub(super) pool: Arc<Pool>,
    pub(super) identity: Arc<PeerIdentity>,
    pub(super) drain: Signal,
    pub(super) metrics: Metrics,
    /// What the other door takes it for.
    pub(super) kind: HeaderValue,
}

/// An answer, its stream's place, and what a tunnel needs.
type Asked = (http::Response<Incoming>, OwnedSemaphorePermit, (Signal, Metrics));

/// Counts a tunnel while it is there.
pub struct Tunnel {
    tunnels: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Tunnel {
    fn new(metrics: &Metrics, permit: OwnedSemaphorePermit) -> Tunnel {
        metrics.tunnels.inc();
        Tunnel { tunnels: metrics.tunnels.clone(), _permit: permit }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.tunnels.dec();
    }
}

impl Way {
    /// Forwards what the app's server asks, which has shown that it may.
    #[must_use]
    pub fn for_the_app(self) -> Way {
        Way { kind: passing::FROM_APP, ..self }
    }

    /// Forwards `request`. Who gives it up gives it up there too. Nothing is answered where that door has died.
    ///
    /// # Errors
    /// 503 where there is no answer; 400, 405, 426 for what is no right upgrade.
    pub async fn forward(self, request: Request) -> Result<Option<Response>, Failure> {
        if websocket::is_upgrade(&request) {
            return self.forward_socket(request).await;
        }
        self.metrics.forwarded.inc();
        let (parts, body) = request.into_parts();
        let facts = facts(&parts)?;
        let mut asked = head(&parts.uri, &facts, &parts.headers, body);
        *asked.method_mut() = parts.method;
        asked.headers_mut().insert(passing::KIND, self.kind.clone());
        let Some((answer, permit, _)) = self.ask(asked).await? else { return Ok(None) };
        let mut answer = answer.map(|body| holding(Body::Incoming(body), permit));
        *answer.version_mut() = Version::default();
        Ok(Some(answer))
    }

    /// A WebSocket: bytes flow once the other door has granted it.
    async fn forward_socket(self, mut request: Request) -> Result<Option<Response>, Failure> {
        self.metrics.forwarded.inc();
        let is_http1 = request.version() < Version::HTTP_2;
        let offer = Offer::read(&request, &websocket::Config::default())?;
        let live = live_stream(&request)?;
        let switching = switch::on(&mut request);
        let (parts, _) = request.into_parts();
        let facts = facts(&parts)?;
        let mut asked = head(&parts.uri, &facts, &parts.headers, Body::Empty);
        *asked.method_mut() = Method::CONNECT;
        asked.extensions_mut().insert(Protocol::from_static("websocket"));
        let Some((answer, permit, (drain, metrics))) = self.ask(asked).await? else { return Ok(None) };
        if answer.status() != StatusCode::OK {
            let mut answer = answer.map(|body| holding(Body::Incoming(body), permit));
            *answer.version_mut() = Version::default();
            if is_http1 {
                // Nobody may take what follows for more requests.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return Ok(Some(answer));
        }
        let mut granted = offer.accept(None);
        let headers = granted.headers_mut();
        // What was agreed on was agreed on there.
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        for (name, value) in answer.headers() {
            headers.append(name, value.clone());
        }
        let other = hyper::upgrade::on(answer);
        let tunnel = Tunnel::new(&metrics, permit);
        tokio::spawn(carry(switching, other, (tunnel, live), drain));
        Ok(Some(granted))
    }

    /// Asks the other door. Nothing where it has died meanwhile.
    async fn ask(self, asked: Request) -> Result<Option<Asked>, Failure> {
        let Way { leased: Leased { mut sender, permit }, pool, identity, drain, metrics, .. } = self;
        match sender.send_request(asked).await {
            Ok(answer) => Ok(Some((answer, permit, (drain, metrics)))),
            Err(error) => match pool.take(&identity).await {
                Err(PeerError::Gone) => Ok(None),
                _ => Err(PeerError::failure(&error.to_string())),
            },
        }
    }

    /// Brings a client to the session that it asks for with `key`: from then on its frames travel over what is returned.
    /// Nothing where there is no such session, or no place for the client.
    pub async fn resume(self, key: u128, client: &RequestHead) -> Option<(TokioIo<Upgraded>, Tunnel)> {
        self.metrics.forwarded.inc();
        let mut asked = head(&client.uri, &client.facts, &client.headers, Body::Empty);
        *asked.method_mut() = Method::CONNECT;
        asked.extensions_mut().insert(Protocol::from_static(RESUMES));
        asked.headers_mut().insert(passing::RESUME, HeaderValue::try_from(format!("{key:032x}")).ok()?);
        let Leased { mut sender, permit } = self.leased;
        let granted = async move {
            let answer = sender.send_request(asked).await?;
            if answer.status() != StatusCode::OK {
                return Ok(None);
            }
            hyper::upgrade::on(answer).await.map(Some)
        };
        let granted = timeout(RESUME_TIMEOUT, granted).await.ok()?;
        let stream = granted.inspect_err(|error| debug!(%error, "a client is not brought back")).ok()??;
        Some((TokioIo::new(stream), Tunnel::new(&self.metrics, permit)))
    }
}

/// Over HTTP/2, the socket's place among what lasts on its connection.
fn live_stream(request: &Request) -> Result<Option<LiveStream>, Failure> {
    let connected = request.extensions().get::<Arc<Connected>>().filter(|_| request.version() >= Version::HTTP_2);
    let Some(connected) = connected else { return Ok(None) };
    let full = || {
        let reason = "Too many sockets and event streams are on this connection (http.h2_max_live_streams).";
        Failure::client(StatusCode::TOO_MANY_REQUESTS, reason).retry_after(Duration::from_secs(10))
    };
    connected.take_live_stream().map(Some).ok_or_else(full)
}

/// A request for another door, as what is known of it.
fn head(uri: &Uri, facts: &Facts, headers: &HeaderMap, body: Body) -> Request {
    let mut request = Request::new(body);
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let whole = Uri::builder().scheme(Scheme::HTTPS).authority(facts.authority.clone()).path_and_query(path);
    *request.uri_mut() = whole.build().unwrap_or_default();
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers.clone();
    let headers = request.headers_mut();
    passing::strip(headers);
    passing::write(facts, headers);
    headers.insert(passing::KIND, passing::REQUEST);
    request
}

/// Hands bytes to and fro until one side ends, or this door does: its clients come back by another.
async fn carry(client: Switching, other: OnUpgrade, _held: (Tunnel, Option<LiveStream>), mut drain: Signal) {
    let _guard = drain.guard();
    let (Ok(client), Ok(other)) = tokio::join!(client, other) else { return };
    let (mut client, mut other) = (client.io(), TokioIo::new(other));
    tokio::select! {
        ended = copy_bidirectional(&mut client, &mut other) => {
            if let Err(error) = ended {
                debug!(%error, "a tunnel to another door broke");
            }
        }
        _ = drain.draining() => {}
    }
}
