//! An upgrade between its request and its answer: nothing may come from the client before it (RFC 9110 section 7.8 lets
//! it, but what came might be read as a request by one and as something else by another).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::StatusCode;
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;

use super::{Inner, Middleware};
use crate::http::connection::Connected;
use crate::http::{Failure, Refusal, Request, Response, ResponseFuture};

/// The layer.
#[derive(Debug, Clone, Copy)]
pub struct Upgrades;

impl Middleware for Upgrades {
    type InnerError = Failure;
    type Error = Failure;

    fn call(&self, inner: &mut impl Inner<Failure>, request: Request) -> ResponseFuture {
        let is_upgrade = request.version() < http::Version::HTTP_2 && request.extensions().get::<OnUpgrade>().is_some();
        let connected = request.extensions().get::<Arc<Connected>>().filter(|_| is_upgrade).cloned();
        let Some(connected) = connected else { return inner.call(request) };
        Box::pin(Waiting { answer: inner.call(request), connected })
    }
}

pin_project! {
    struct Waiting {
        #[pin]
        answer: ResponseFuture,
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
