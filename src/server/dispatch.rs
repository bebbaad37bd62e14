//! Which room answers: the two rivers part here.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::StatusCode;
use http::header::{CONNECTION, UPGRADE};
use tower::Service;
use tracing::warn;

use crate::cache::Cache;
use crate::callbacks::App;
use crate::files::{Files, Reply};
use crate::http::layer::access::OfTheHub;
use crate::http::{Failure, Request, Response, RoomAnswer, at_once, in_time};
use crate::realtime::Realtime;
use crate::realtime::api::{Api, Listener};
use crate::telemetry::LogThrottle;
use crate::upstream::{self, Upstream};

static SAID_NOWHERE: LogThrottle = LogThrottle::new();
static SAID_HOT_RELOADING: LogThrottle = LogThrottle::new();

/// The rooms that answer requests.
#[derive(Clone)]
pub struct Dispatch {
    pub upstream: Arc<Upstream>,
    pub app: Arc<App>,
    pub realtime: Arc<Realtime>,
    pub files: Arc<Files>,
    pub cache: Arc<Cache>,
    pub api: Arc<Api>,
}

impl Service<Request> for Dispatch {
    type Response = Response;
    type Error = Failure;
    type Future = RoomAnswer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> RoomAnswer {
        if self.api.serves(request.uri().path(), Listener::Public) {
            let api = Arc::clone(&self.api);
            return in_time(async move { Ok(api.answer(request, Listener::Public).await) });
        }
        // Before the callbacks, whose route has the hub's own path by default: nothing of this reaches the app.
        if let Some(found) = self.realtime.find(&request) {
            let answer = found.answer(request);
            return in_time(async move {
                let mut response = answer.await?;
                response.extensions_mut().insert(OfTheHub);
                Ok(response)
            });
        }
        if self.app.is_callback(request.uri()) {
            // The app believes what comes here: only the hub may say it.
            let failure = Failure::client(StatusCode::FORBIDDEN, "Only Doorway itself may call this.");
            return at_once(Err(failure));
        }
        let upstream = Arc::clone(&self.upstream);
        match Upgrade::of(&request) {
            Upgrade::No => self.ask(request),
            _ if upstream.tunnels(request.uri().path(), request.headers()) => {
                in_time(async move { upstream.tunnel(request).await })
            }
            // Next would leave it hanging (nextjs.md), and nobody else is there to answer.
            Upgrade::WebSocket => {
                self.say_where(&request);
                let failure = Failure::client(
                    StatusCode::NOT_FOUND,
                    "No WebSocket is spoken at this address: [realtime] path and [app] tunnel say where.",
                );
                at_once(Err(failure))
            }
            // A server may ignore the offer (RFC 9110 section 7.8); the header ends here.
            Upgrade::Other => self.ask(request),
        }
    }
}

impl Dispatch {
    /// Once a minute, where sockets go: a page hears no more than "1006".
    fn say_where(&self, request: &Request) {
        let path = request.uri().path();
        let (said, help) = if upstream::is_hot_reloading(path) {
            let help = "[app] dev = true lets the hot reloading of `next dev` through; else a tab of it was left open";
            (&SAID_HOT_RELOADING, help.to_owned())
        } else {
            let hub = self.realtime.path();
            let help = format!(
                "the hub is at {hub} ([realtime] path); a WebSocket server of the app's own: [app] tunnel = [{path:?}]"
            );
            (&SAID_NOWHERE, help)
        };
        if said.may() {
            warn!(path, help, "a socket was refused: no WebSocket is spoken there");
        }
    }

    /// Asks memory, the disk, and where they have no answer the cache and the app.
    fn ask(&self, request: Request) -> RoomAnswer {
        if !self.files.serves(request.uri().path()) {
            return self.ask_app(request);
        }
        if let Some(answer) = self.files.peek(&request) {
            return at_once(answer);
        }
        let (files, cache) = (Arc::clone(&self.files), Arc::clone(&self.cache));
        in_time(async move {
            match files.answer(request).await? {
                Reply::Response(response) => Ok(response),
                Reply::NotHere(request) if cache.concerns(request.uri().path()) => {
                    Box::pin(cache.answer(request)).await
                }
                Reply::NotHere(request) => cache.send(request).await,
            }
        })
    }

    /// Asks the app, by way of what is kept of it.
    fn ask_app(&self, request: Request) -> RoomAnswer {
        if !self.cache.concerns(request.uri().path()) {
            let cache = Arc::clone(&self.cache);
            return in_time(async move { cache.send(request).await });
        }
        Arc::clone(&self.cache).answer(request)
    }
}

/// Whether a request offers to speak something else than HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    No,
    WebSocket,
    Other,
}

impl Upgrade {
    fn of(request: &Request) -> Upgrade {
        if let Some(protocol) = request.extensions().get::<hyper::ext::Protocol>() {
            return Upgrade::to(protocol.as_str());
        }
        let Some(protocol) = request.headers().get(UPGRADE) else { return Upgrade::No };
        let options =
            request.headers().get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
        let is_asked = options.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(b"upgrade"));
        if is_asked { Upgrade::to(protocol.to_str().unwrap_or_default()) } else { Upgrade::No }
    }

    fn to(protocol: &str) -> Upgrade {
        if protocol.eq_ignore_ascii_case("websocket") { Upgrade::WebSocket } else { Upgrade::Other }
    }
}
