//! The one adapter between a layer of the house and tower: what a `Layer` and its `Service` need stands here once.
//!
//! A layer is two plain functions, before the rooms and after them, and what it keeps between the two lies in the future
//! of its answer. So the onion is one value without a box, and an answer that needs no waiting is there at the first poll.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use crate::http::{Failure, Request, Response};

/// Code that runs before and after the inner service, for each request. Clones share what must be shared.
pub trait Middleware: Clone {
    /// What is kept of a request until its answer comes by.
    type After: After;

    /// Looks at `request` on its way in, and answers it where it goes no further.
    fn before(&self, request: &mut Request) -> ControlFlow<Answer<Self::After>, Self::After>;
}

/// What a layer answers with.
pub type Answer<A> = Result<Response, <A as After>::Error>;

/// What a layer does with the answer to one request.
pub trait After: Unpin {
    /// How the inner service fails: `Failure` inside of `Rescue`, never outside of it.
    type InnerError;
    /// How this layer fails.
    type Error: Unpin;

    /// Takes over the answer of the inner service.
    fn after(self, answer: Result<Response, Self::InnerError>) -> Answer<Self>
    where
        Self: Sized;

    /// Asked before the inner service, each time that it is: with an error it is asked no more.
    fn forestalls(&self) -> Option<Self::Error> {
        None
    }

    /// Asked each time that the inner service has no answer yet: with an error it is waited for no longer.
    fn gives_up(&self) -> Option<Self::Error> {
        None
    }
}

/// Passes on whatever comes.
#[derive(Debug, Clone, Copy)]
pub struct PassOn;

impl After for PassOn {
    type InnerError = Failure;
    type Error = Failure;

    fn after(self, answer: Result<Response, Failure>) -> Result<Response, Failure> {
        answer
    }
}

/// `middleware` as a layer for `tower::ServiceBuilder`.
pub fn layer<M: Middleware>(middleware: M) -> Layered<M, ()> {
    Layered { middleware, inner: () }
}

/// A middleware, and what it stands around once it is applied.
#[derive(Debug, Clone)]
pub struct Layered<M, S> {
    middleware: M,
    inner: S,
}

impl<M: Middleware, S> Layer<S> for Layered<M, ()> {
    type Service = Layered<M, S>;

    fn layer(&self, inner: S) -> Layered<M, S> {
        Layered { middleware: self.middleware.clone(), inner }
    }
}

impl<M, S> Service<Request> for Layered<M, S>
where
    M: Middleware,
    S: Service<Request, Response = Response, Error = <M::After as After>::InnerError, Future: Unpin>,
{
    type Response = Response;
    type Error = <M::After as After>::Error;
    type Future = Answering<S::Future, M::After>;

    /// Always ready, as every room is: what must wait, waits within its answer.
    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match self.middleware.before(&mut request) {
            ControlFlow::Continue(after) => Answering::Inside { inner: self.inner.call(request), after: Some(after) },
            ControlFlow::Break(answer) => Answering::Here(Some(answer)),
        }
    }
}

/// An answer on its way out through one layer.
pub enum Answering<F, A: After> {
    /// The layer itself gave it.
    Here(Option<Answer<A>>),
    /// It comes from further in.
    Inside { inner: F, after: Option<A> },
}

impl<F, A> Future for Answering<F, A>
where
    F: Future<Output = Result<Response, A::InnerError>> + Unpin,
    A: After,
{
    type Output = Answer<A>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer<A>> {
        let (inner, kept) = match self.get_mut() {
            Answering::Here(answer) => return answer.take().map_or(Poll::Pending, Poll::Ready),
            Answering::Inside { inner, after } => (inner, after),
        };
        // Whoever asks again after the answer gets none.
        let Some(after) = kept.as_ref() else { return Poll::Pending };
        if let Some(error) = after.forestalls() {
            *kept = None;
            return Poll::Ready(Err(error));
        }
        let answer = Pin::new(inner).poll(context);
        match (answer, after.gives_up()) {
            (Poll::Ready(answer), _) => kept.take().map_or(Poll::Pending, |after| Poll::Ready(after.after(answer))),
            (Poll::Pending, Some(error)) => {
                *kept = None;
                Poll::Ready(Err(error))
            }
            (Poll::Pending, None) => Poll::Pending,
        }
    }
}
