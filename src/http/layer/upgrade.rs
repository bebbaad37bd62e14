//! An upgrade between its request and its answer: nothing may come from the client before it (RFC 9110 section 7.8 lets
//! it, but what came might be read as a request by one and as something else by another).

use std::ops::ControlFlow;
use std::sync::Arc;

use http::StatusCode;

use super::{After, Answer, Middleware};
use crate::http::connection::{Connected, switch};
use crate::http::{Failure, Refusal, Request, Response};

/// The layer.
#[derive(Debug, Clone, Copy)]
pub struct Upgrades;

impl Middleware for Upgrades {
    type After = Unanswered;

    fn before(&self, request: &mut Request) -> ControlFlow<Answer<Unanswered>, Unanswered> {
        let is_upgrade = request.version() < http::Version::HTTP_2 && switch::is_asked(request);
        let connected = request.extensions().get::<Arc<Connected>>().filter(|_| is_upgrade);
        ControlFlow::Continue(Unanswered(connected.cloned()))
    }
}

/// The connection of an upgrade that waits for its answer.
#[derive(Debug)]
pub struct Unanswered(Option<Arc<Connected>>);

impl After for Unanswered {
    type InnerError = Failure;
    type Error = Failure;

    fn after(self, answer: Result<Response, Failure>) -> Result<Response, Failure> {
        if let Some(connected) = self.0 {
            let is_granted = answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::SWITCHING_PROTOCOLS);
            connected.answer_upgrade(is_granted);
        }
        answer
    }

    fn forestalls(&self) -> Option<Failure> {
        let is_spoiled = self.0.as_ref().is_some_and(|connected| connected.is_upgrade_spoiled());
        is_spoiled.then(|| Refusal::UpgradeTooEager.into())
    }
}
