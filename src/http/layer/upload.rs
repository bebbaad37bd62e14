//! A request's body that broke off before there was an answer is the client's fault, whatever the rooms made of it.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Inner, Middleware};
use crate::http::connection::BodyOutcome;
use crate::http::{Failure, Request, Response, ResponseFuture};

/// The layer that says whose fault it was when a request's body broke off before there was an answer.
#[derive(Debug, Clone, Copy)]
pub struct Uploads;

impl Middleware for Uploads {
    type InnerError = Failure;
    type Error = Failure;

    fn call(&self, inner: &mut impl Inner<Failure>, request: Request) -> ResponseFuture {
        let Some(outcome) = request.extensions().get::<BodyOutcome>().cloned() else { return inner.call(request) };
        Box::pin(BodyErrorSource { answer: inner.call(request), outcome })
    }
}

pin_project! {
    struct BodyErrorSource {
        #[pin]
        answer: ResponseFuture,
        outcome: BodyOutcome,
    }
}

impl Future for BodyErrorSource {
    type Output = Result<Response, Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = this.answer.poll(context);
        match (this.outcome.get(), answer) {
            (None, answer) => answer,
            (Some(_), Poll::Ready(Ok(response))) => Poll::Ready(Ok(response)),
            (Some(refusal), Poll::Ready(Err(failure))) => {
                Poll::Ready(Err(Failure { detail: failure.detail, ..Failure::from(refusal) }))
            }
            // Whoever reads the body has been told; it is not waited for.
            (Some(refusal), Poll::Pending) => Poll::Ready(Err(refusal.into())),
        }
    }
}
