//! The operator's connections: few, small, HTTP/1.1. They hold no drain guard: they outlive the drain to tell of it.
#![expect(clippy::disallowed_methods, reason = "the operator is answered until the very end: no drain waits for that")]

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tracing::{debug, warn};

use super::Inner;
use super::answer::{answer, nothing, starting, told};
use super::cached;
use super::connections::{Accept, AdminConnections};
use super::control;
use super::documents;
use super::host;
use crate::http::facts::RequestId;
use crate::http::{Body, Facts, Request, Response, authority};
use crate::realtime::api::Listener;

/// For a request's head, and between requests of a kept connection; longer than a scrape interval.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Bytes of a request's head.
const HEAD_SIZE: usize = 8 << 10;

/// Stands in for a name that a request does not have.
const NO_NAME: &str = "invalid";

/// What is answered on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// All that operators may ask, and the API.
    Everything(Listener),
    /// The same, and what changes the app: the file system let in nobody but who runs the door.
    Owner,
    /// What the app's server may ask, alone.
    Api,
}

pub(super) async fn serve(socket: impl Accept, admin: Arc<Inner>, served: Served) {
    let connections = AdminConnections::new();
    loop {
        let (stream, client, guard) = match connections.accept(&socket).await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept on the admin listener");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let place = guard.state();
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (admin, place) = (Arc::clone(&admin), Arc::clone(&place));
                async move {
                    place.set_answering(true);
                    let response = choose(&admin, request.map(Body::Incoming), client, served).await;
                    place.set_answering(false);
                    Ok::<_, Infallible>(response)
                }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_SIZE);
            tokio::select! {
                ended = server.serve_connection(TokioIo::new(stream), service) => {
                    if let Err(error) = ended {
                        debug!(%error, "an admin connection ended early");
                    }
                }
                () = guard.given_up() => debug!("a silent admin connection gives way to another"),
            }
            drop(guard);
        });
    }
}

async fn choose(admin: &Inner, mut request: Request, client: IpAddr, served: Served) -> Response {
    let door = match served {
        Served::Everything(door) => door,
        Served::Owner => Listener::Admin,
        Served::Api => Listener::Public,
    };
    if served == Served::Owner && request.uri().path() == control::DEPLOY {
        return control::deploy(admin, request).await;
    }
    if served == Served::Owner && documents::concerns(request.uri().path()) {
        return documents::answer(admin, request).await;
    }
    if let Some(realtime) = admin.realtime.get()
        && let Some(found) = realtime.find_from_app(&request)
    {
        let headers = request.headers().clone();
        let facts = facts(&request, client);
        request.extensions_mut().insert(facts);
        return found.answer(request).await.unwrap_or_else(|failure| told(failure, &headers));
    }
    let path = request.uri().path();
    match admin.api.get() {
        Some(api) if api.serves(path, Listener::Admin) => api.answer(request, door).await,
        None if served == Served::Api => starting(&request),
        _ if served == Served::Api => nothing(&request),
        _ if served == Served::Owner => operator(admin, request).await,
        _ => match host::check(request.headers(), &admin.hosts) {
            Ok(()) => operator(admin, request).await,
            Err(failure) => told(failure, request.headers()),
        },
    }
}

/// What the door's other rooms want to know of a request. No proxy is believed here.
fn facts(request: &Request, client: IpAddr) -> Facts {
    let scheme = Scheme::HTTP;
    let name = request.headers().get(HOST).and_then(|host| authority::parse(host.as_bytes(), &scheme).ok());
    Facts {
        client,
        authority: name.unwrap_or_else(|| Authority::from_static(NO_NAME)),
        scheme,
        forwarded_for: HeaderValue::from_str(&client.to_string()).expect("an address is visible ASCII"),
        request_id: RequestId::new(),
        trace: None,
        received: Instant::now(),
    }
}

async fn operator(admin: &Inner, request: Request) -> Response {
    let (asked, _) = request.into_parts();
    let path = asked.uri.path();
    if cached::concerns(path) {
        return cached::answer(admin, &asked).await;
    }
    answer(admin, &asked.method, path, &asked.headers).await
}
