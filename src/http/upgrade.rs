//! An upgrade between its request and its answer: nothing may come from the client before it (RFC 9110 section 7.8 lets
//! it, but what came might be read as a request by one and as something else by another).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::StatusCode;
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::connected::Connected;
use super::{Answer, Failure, Refusal, Request, Response};

/// The layer.
#[derive(Debug, Clone, Copy)]
pub struct Upgrades;

impl<S> Layer<S> for Upgrades {
    type Service = Upgrading<S>;

    fn layer(&self, inner: S) -> Upgrading<S> {
        Upgrading { inner }
    }
}

/// The service of the layer that holds back what a client sends before its upgrade is answered.
#[derive(Debug, Clone)]
pub struct Upgrading<S> {
    inner: S,
}

impl<S> Service<Request> for Upgrading<S>
where
    S: Service<Request, Response = Response, Error = Failure, Future = Answer>,
{
    type Response = Response;
    type Error = Failure;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Answer {
        let is_upgrade = request.version() < http::Version::HTTP_2 && request.extensions().get::<OnUpgrade>().is_some();
        let connected = request.extensions().get::<Arc<Connected>>().filter(|_| is_upgrade).cloned();
        let Some(connected) = connected else { return self.inner.call(request) };
        Box::pin(Waiting { answer: self.inner.call(request), connected })
    }
}

pin_project! {
    struct Waiting {
        #[pin]
        answer: Answer,
        connected: Arc<Connected>,
    }
}

impl Future for Waiting {
    type Output = Result<Response, Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.connected.is_upgrade_spoiled() {
            return Poll::Ready(Err(Refusal::UpgradeTooEager.into()));
        }
        let answer = std::task::ready!(this.answer.poll(context));
        let is_granted = answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::SWITCHING_PROTOCOLS);
        this.connected.answer_upgrade(is_granted);
        Poll::Ready(answer)
    }
}
