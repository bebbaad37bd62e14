//! The one adapter between a layer of the house and tower: what a `Layer` and its `Service` need stands here once.

use std::task::{Context, Poll};

use tower::{Layer, Service};

use crate::http::{Request, Response, ResponseFuture};

/// The service that a layer stands around.
pub trait Inner<E>: Service<Request, Response = Response, Error = E, Future = ResponseFuture<E>> {}

impl<S, E> Inner<E> for S where S: Service<Request, Response = Response, Error = E, Future = ResponseFuture<E>> {}

/// Code that runs before and after the inner service, for each request. Clones share what must be shared.
pub trait Middleware: Clone {
    /// How the inner service fails: `Failure` inside of `Rescue`, never outside of it.
    type InnerError;
    /// How this layer fails.
    type Error;

    /// Answers `request`, with or without the help of `inner`.
    fn call(&self, inner: &mut impl Inner<Self::InnerError>, request: Request) -> ResponseFuture<Self::Error>;
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

impl<M: Middleware, S: Inner<M::InnerError>> Service<Request> for Layered<M, S> {
    type Response = Response;
    type Error = M::Error;
    type Future = ResponseFuture<M::Error>;

    /// Always ready, as every room is: what must wait, waits within its answer.
    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> ResponseFuture<M::Error> {
        self.middleware.call(&mut self.inner, request)
    }
}
