//! Upgrades that are the app's own: hot reloading in development, and paths that the config names. Bytes flow only after
//! the app's own 101.
#![expect(clippy::disallowed_methods, reason = "a tunnel holds a guard until both sides are done")]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use super::availability::Availability;
use super::config::Config;
use super::connection::Connection;
use super::jitter::jitter;
use super::protocol::Misbehaviour;
use super::rewrite::{self, Upgrade};
use super::send::{ExchangeDone, exchange_failure, holder, journey, respond};
use crate::drain::Signal;
use crate::http::connection::switch::{self, Switched, Switching};
use crate::http::{Body, Failure, Request, Response};
use crate::shares::{Holder, Share, Shares};

/// What is read at once, in each direction; frames of hot reloading and chats are small.
const READ_BUFFER: usize = 4 * 1024;

/// Where Next's hot reloading listens in development; the second until 16.2.
const HOT_RELOADING: &[&str] = &["/_next/hmr", "/_next/webpack-hmr"];

/// What Vite's hot reloading speaks, wherever the page is that it serves: Nuxt, SvelteKit, React Router, Astro.
const VITE_PROTOCOLS: [&str; 2] = ["vite-hmr", "vite-ping"];

/// What a client is told when there are too many.
const COME_BACK: Duration = Duration::from_secs(10);

/// Whether `path` is where `next dev` tells pages to reload. By its end, because a project may have a base path.
pub fn is_hot_reloading(path: &str) -> bool {
    HOT_RELOADING.iter().any(|end| path.ends_with(end))
}

/// True when upgrades for `path` go to the app.
pub fn leads(config: &Config, path: &str, headers: &HeaderMap) -> bool {
    let is_vite = || headers.get(SEC_WEBSOCKET_PROTOCOL).is_some_and(|name| VITE_PROTOCOLS.iter().any(|it| name == it));
    if config.dev && (is_hot_reloading(path) || is_vite()) {
        return true;
    }
    config.tunnel.iter().any(|pattern| covers(pattern, path))
}

/// Whether `path` is the one that `pattern` names, or with a `*` at its end one of those below.
pub fn covers(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(folder) => path.starts_with(folder),
        None => path == pattern,
    }
}

/// Asks the app for what `request` asks, and when it agrees lets the bytes flow.
///
/// # Errors
/// [`Failure`] as for any request; 503 when there are too many tunnels.
pub async fn open(
    availability: &Availability,
    config: &Config,
    places: &Places,
    drain: &Signal,
    mut request: Request,
) -> Result<Response, Failure> {
    let Some(place) = places.take(holder(request.extensions()), config.tunnel_limit) else {
        let failure = Failure::us(StatusCode::SERVICE_UNAVAILABLE, "Too many connections of this kind are open.");
        return Err(failure.retry_after(COME_BACK));
    };
    let client = switch::on(&mut request);
    let (parts, _) = request.into_parts();
    let upgrade = wanted(&parts)?;
    // What came with the upgrade is no body of it, and what comes after it is the other protocol's.
    let answered = journey(availability, &parts, Body::Empty, Some(&upgrade)).await?;
    if answered.head.status != StatusCode::SWITCHING_PROTOCOLS {
        return respond(answered, &parts);
    }
    let ExchangeDone { connection, mut head, pool, .. } = answered;
    let agreed = head.headers.remove(UPGRADE);
    let is_agreed = agreed.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(upgrade.protocol.as_bytes()));
    let accept = head.headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    let is_accepted =
        upgrade.key.as_ref().is_none_or(|key| accept == Some(derive_accept_key(key.as_bytes()).as_bytes()));
    if !is_agreed || !is_accepted {
        return Err(exchange_failure(Misbehaviour::SwitchedElsewhere.into(), &pool.metrics));
    }
    let mut response = rewrite::response(head, Body::Empty, &pool.address, &parts);
    if upgrade.key.is_some() {
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
    } else {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, upgrade.protocol);
    }
    let (drain, guard, silence) = (drain.clone(), drain.guard(), config.tunnel_idle_timeout);
    let is_h2_stream = parts.method == Method::CONNECT;
    tokio::spawn(async move {
        run(client, is_h2_stream, connection, silence, drain).await;
        drop((place, guard));
    });
    Ok(response)
}

/// What the client asks for: by `Upgrade` over HTTP/1.1, by `:protocol` over HTTP/2.
fn wanted(parts: &Parts) -> Result<Upgrade, Failure> {
    if parts.method == Method::CONNECT {
        let protocol = parts.extensions.get::<hyper::ext::Protocol>().map(hyper::ext::Protocol::as_str);
        let protocol = protocol.and_then(|name| HeaderValue::from_str(name).ok());
        let protocol = protocol.ok_or_else(|| {
            Failure::client(
                StatusCode::BAD_REQUEST,
                "CONNECT is for WebSockets here (RFC 8441): name one in :protocol.",
            )
        })?;
        let mut key = [0; 16];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| {
            Failure::us(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error: the system gives no random metrics. Try again.",
            )
        })?;
        return Ok(Upgrade { protocol, key: Some(BASE64_STANDARD.encode(key)) });
    }
    match parts.headers.get(UPGRADE) {
        Some(protocol) => Ok(Upgrade { protocol: protocol.clone(), key: None }),
        None => Err(Failure::client(
            StatusCode::UPGRADE_REQUIRED,
            "This address is for upgrades only, as to WebSocket: send Upgrade.",
        )),
    }
}

async fn run(client: Switching, is_h2_stream: bool, connection: Connection, silence: Duration, drain: Signal) {
    // hyper never completes it when the client left before it had the 101.
    let upgraded = tokio::select! {
        upgraded = client => upgraded,
        () = sleep(silence) => return,
    };
    match upgraded {
        Ok(client) => flow(client, is_h2_stream, connection, silence, drain).await,
        Err(error) => debug!(%error, "the client left before its tunnel was open"),
    }
}

async fn flow(client: Switched, is_h2_stream: bool, connection: Connection, silence: Duration, mut drain: Signal) {
    let (from_app, to_app, early, _slot) = connection.into_parts();
    let Some(mut to_app) = to_app else { return };
    let (from_client, mut to_client) = tokio::io::split(client.io());
    let activity = Activity::now();
    let both = async {
        to_client.write_all(&early).await?;
        drop(early);
        let up = pump(from_client, &mut to_app, &activity);
        let mut down = pin!(pump(from_app, &mut to_client, &activity));
        if !is_h2_stream {
            return tokio::try_join!(up, down).map(|_| ());
        }
        // A stream is over when the app has ended: browsers leave their half open for ever (RFC 9113 section 8.1).
        tokio::select! {
            ended = &mut down => ended,
            ended = up => {
                ended?;
                down.await
            }
        }
    };
    let why = tokio::select! {
        ended = both => if ended.is_ok() { "both sides ended" } else { "one side broke off" },
        () = activity.ceases(silence) => "silent for too long",
        () = moment_to_leave(&mut drain) => "draining",
    };
    let _ = to_client.shutdown().await;
    debug!(why, "a tunnel ended");
}

/// We do not speak what flows, so there is no farewell to say: tunnels end one by one in the first half of the drain.
async fn moment_to_leave(drain: &mut Signal) {
    let deadline = drain.draining().await;
    let half = deadline.saturating_duration_since(Instant::now()) / 2;
    tokio::select! {
        () = sleep(jitter(half)) => {}
        () = drain.ended() => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    activity: &Activity,
) -> std::io::Result<()> {
    let mut block = vec![0; READ_BUFFER];
    loop {
        let read = from.read(&mut block).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        activity.mark();
        to.write_all(&block[..read]).await?;
        to.flush().await?;
    }
}

/// When a byte last flowed, either way.
struct Activity {
    since: Instant,
    last: AtomicU64,
}

impl Activity {
    fn now() -> Activity {
        Activity { since: Instant::now(), last: AtomicU64::new(0) }
    }

    fn mark(&self) {
        let elapsed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    /// Resolves after `silence` without a byte.
    async fn ceases(&self, silence: Duration) {
        loop {
            let deadline = self.since + Duration::from_millis(self.last.load(Ordering::Relaxed)) + silence;
            if Instant::now() >= deadline {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

/// The tunnels that may be open. Full, or as many as one client may have: refused.
pub struct Places {
    shares: Arc<Shares>,
    open: Gauge,
}

/// One of them.
struct OpenTunnel {
    _share: Share,
    open: Gauge,
}

impl Places {
    pub fn new(limit: usize, open: Gauge) -> Places {
        Places { shares: Shares::new("app.tunnel_limit", limit), open }
    }

    fn take(&self, client: Holder, limit: usize) -> Option<OpenTunnel> {
        self.shares.limit(limit);
        let share = self.shares.try_take(client)?;
        self.open.inc();
        Some(OpenTunnel { _share: share, open: self.open.clone() })
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.open.dec();
    }
}
