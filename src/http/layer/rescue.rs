//! The one layer that turns failures into answers.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tracing::{debug, warn};

use super::{After, Answer, Middleware};
use crate::http::facts::RequestId;
use crate::http::failure::ErrorContext;
use crate::http::{Failure, Fault, Refusal, Request, Response};
use crate::telemetry::Registry;

/// The layer; clones share its metrics.
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

    fn answer(&self, failure: Failure, context: &ErrorContext) -> Response {
        if let Some(refusal) = failure.refusal
            && let Some(counter) = self.refusals.get(refusal as usize)
        {
            counter.inc();
        }
        let detail = failure.detail.as_deref().unwrap_or_default();
        let status = failure.status.as_u16();
        // By it the access line tells which request that was, and the client can ask about its own.
        let request_id = context.request_id.as_ref().map(RequestId::as_str);
        match failure.fault {
            Fault::Client => debug!(request_id, status, reason = %failure.reason, detail, "refused"),
            fault => warn!(request_id, ?fault, status, reason = %failure.reason, detail, "failed"),
        }
        failure.into_response(context)
    }
}

impl Middleware for Rescue {
    type After = Rescuing;

    fn before(&self, request: &mut Request) -> ControlFlow<Answer<Rescuing>, Rescuing> {
        ControlFlow::Continue(Rescuing { layer: self.clone(), context: ErrorContext::of(request) })
    }
}

/// The layer, and how a failure of this request is told.
#[derive(Debug)]
pub struct Rescuing {
    layer: Rescue,
    context: ErrorContext,
}

impl After for Rescuing {
    type InnerError = Failure;
    type Error = Infallible;

    fn after(self, answer: Result<Response, Failure>) -> Result<Response, Infallible> {
        Ok(answer.unwrap_or_else(|failure| self.layer.answer(failure, &self.context)))
    }
}
