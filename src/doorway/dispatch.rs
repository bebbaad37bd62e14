//! Which room answers: the two rivers part here.

use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use crate::http::{Answer, Failure, Request, Response};
use crate::realtime::Realtime;
use crate::upstream::Upstream;

/// The rooms that answer requests.
#[derive(Clone)]
pub struct Dispatch {
    pub upstream: Arc<Upstream>,
    pub realtime: Arc<Realtime>,
}

impl Service<Request> for Dispatch {
    type Response = Response;
    type Error = Failure;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answer {
        if self.realtime.serves(request.uri().path()) {
            let realtime = Arc::clone(&self.realtime);
            return Box::pin(async move { realtime.answer(request).await });
        }
        let upstream = Arc::clone(&self.upstream);
        Box::pin(async move { upstream.send(request).await })
    }
}
