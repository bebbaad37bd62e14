//! A request's body that broke off before there was an answer is the client's fault, whatever the rooms made of it.

use std::ops::ControlFlow;

use super::{After, Answer, Middleware};
use crate::http::connection::BodyOutcome;
use crate::http::{Failure, Refusal, Request, Response};

/// The layer that says whose fault it was when a request's body broke off before there was an answer.
#[derive(Debug, Clone, Copy)]
pub struct Uploads;

impl Middleware for Uploads {
    type After = BodyErrorSource;

    fn before(&self, request: &mut Request) -> ControlFlow<Answer<BodyErrorSource>, BodyErrorSource> {
        ControlFlow::Continue(BodyErrorSource(request.extensions().get::<BodyOutcome>().cloned()))
    }
}

/// What became of the body, where there is one.
#[derive(Debug)]
pub struct BodyErrorSource(Option<BodyOutcome>);

impl BodyErrorSource {
    fn refusal(&self) -> Option<Refusal> {
        self.0.as_ref().and_then(BodyOutcome::get)
    }
}

impl After for BodyErrorSource {
    type InnerError = Failure;
    type Error = Failure;

    fn after(self, answer: Result<Response, Failure>) -> Result<Response, Failure> {
        answer.map_err(|failure| match self.refusal() {
            Some(refusal) => Failure { detail: failure.detail, ..Failure::from(refusal) },
            None => failure,
        })
    }

    /// Whoever reads the body has been told; it is not waited for.
    fn gives_up(&self) -> Option<Failure> {
        self.refusal().map(Failure::from)
    }
}
