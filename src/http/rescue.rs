//! The one layer that turns failures into answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tower::{Layer, Service};
use tracing::{debug, warn};

use super::failure::Asker;
use super::{Answer, Failure, Fault, Refusal, Request, Response};
use crate::telemetry::Registry;

/// The layer; clones share its numbers.
#[derive(Debug, Clone)]
pub struct Rescue {
    refusals: Arc<[Counter]>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Rescue {
    pub fn new(registry: &mut Registry) -> Rescue {
        let family = Family::<Reason, Counter>::default();
        let refusals =
            Refusal::ALL.iter().map(|refusal| family.get_or_create_owned(&Reason { reason: refusal.label() }));
        let refusals = refusals.collect();
        registry.register("http_refusals", "Requests refused before any room saw them", family);
        Rescue { refusals }
    }

    fn answer(&self, failure: Failure, asker: &Asker) -> Response {
        if let Some(refusal) = failure.refusal
            && let Some(counter) = self.refusals.get(refusal as usize)
        {
            counter.inc();
        }
        let detail = failure.detail.as_deref().unwrap_or_default();
        match failure.fault {
            Fault::Client => debug!(status = failure.status.as_u16(), reason = %failure.reason, detail, "refused"),
            fault => warn!(?fault, status = failure.status.as_u16(), reason = %failure.reason, detail, "failed"),
        }
        failure.into_response(asker)
    }
}

impl<S> Layer<S> for Rescue {
    type Service = Rescued<S>;

    fn layer(&self, inner: S) -> Rescued<S> {
        Rescued { inner, layer: self.clone() }
    }
}

/// The service of [`Rescue`].
#[derive(Debug, Clone)]
pub struct Rescued<S> {
    inner: S,
    layer: Rescue,
}

impl<S> Service<Request> for Rescued<S>
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
        let asker = Asker::of(&request);
        let answer = self.inner.call(request);
        let layer = self.layer.clone();
        Box::pin(async move { Ok(answer.await.unwrap_or_else(|failure| layer.answer(failure, &asker))) })
    }
}
