//! One connection: HTTP/1.1 or HTTP/2 by what the handshake agreed on, until it ends or the door drains.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tower::Service;

use super::{Body, Config, Request, Response};
use crate::drain::Signal;
use crate::listen::{Peer, Stream};

/// What hyper reads from and writes to, and gives back when a request of HTTP/1.1 is upgraded.
pub type Io = TokioIo<Stream>;

/// Serves every request of one connection with `service`; the caller holds the drain guard.
pub async fn serve<S>(stream: Stream, peer: Peer, service: S, config: Arc<Config>, mut drain: Signal)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let is_http2 = peer.tls.as_ref().is_some_and(|session| session.is_http2);
    let peer = Arc::new(peer);
    let hyper_service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::Incoming);
        request.extensions_mut().insert(Arc::clone(&peer));
        service.clone().call(request)
    });
    let io = Io::new(stream);
    if is_http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).enable_connect_protocol();
        let mut connection = std::pin::pin!(builder.serve_connection(io, hyper_service));
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = drain.draining() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! { _ = connection => {}, _ = drain.ended() => {} }
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(config.head_timeout);
        let mut connection = std::pin::pin!(builder.serve_connection(io, hyper_service).with_upgrades());
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = drain.draining() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! { _ = connection => {}, _ = drain.ended() => {} }
    }
}
