//! The one layer that turns failures into answers.

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::header::ACCEPT;
use tower::{Layer, Service};
use tracing::{debug, warn};

use super::{Answer, Failure, Fault, Request, Response};

#[derive(Debug, Clone, Copy)]
pub struct RescueLayer;

impl<S> Layer<S> for RescueLayer {
    type Service = Rescue<S>;

    fn layer(&self, inner: S) -> Rescue<S> {
        Rescue { inner }
    }
}

#[derive(Debug, Clone)]
pub struct Rescue<S> {
    inner: S,
}

impl<S> Service<Request> for Rescue<S>
where
    S: Service<Request, Response = Response, Error = Failure>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let accept = request.headers().get(ACCEPT).cloned();
        let answer = self.inner.call(request);
        Box::pin(async move {
            Ok(answer.await.unwrap_or_else(|failure| {
                let detail = failure.detail.as_deref().unwrap_or_default();
                match failure.fault {
                    Fault::Client => {
                        debug!(status = failure.status.as_u16(), reason = %failure.reason, detail, "refused")
                    }
                    fault => {
                        warn!(?fault, status = failure.status.as_u16(), reason = %failure.reason, detail, "failed")
                    }
                }
                failure.into_response(accept.as_ref())
            }))
        })
    }
}
