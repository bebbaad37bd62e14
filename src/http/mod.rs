//! One request: the types that every room shares, the connection it came on, and the layers around the answer.
//!
#![doc = include_str!("README.md")]

pub mod authority;
pub mod body;
pub mod chunked;
pub mod connection;
pub mod encoding;
pub mod facts;
pub mod failure;
pub mod field_line;
pub mod layer;
pub mod path;
pub mod query;
pub mod routed;
pub mod target;
pub mod upgrade_offer;

mod config;
mod error_page;
mod host_pattern;
mod quality;
mod refusal;

use std::future::Ready;
use std::pin::Pin;

use futures_util::future::Either;

pub use body::Body;
pub use config::{Config, Settings};
pub use error_page::escape;
pub use facts::Facts;
pub use failure::{Failure, Fault};
pub use host_pattern::HostPattern;
pub use layer::access::{EarlierBuild, UpstreamTime};
pub use refusal::Refusal;

/// The one request type of the house.
pub type Request = http::Request<Body>;
/// The one response type of the house.
pub type Response = http::Response<Body>;
/// What a layer or a room answers with, in time.
pub type ResponseFuture<E = Failure> = Pin<Box<dyn Future<Output = Result<Response, E>> + Send>>;
/// What a room answers with that may have it at hand: then nothing is waited for.
pub type RoomAnswer = Either<Ready<Result<Response, Failure>>, ResponseFuture>;

/// An answer that is at hand.
pub fn at_once(answer: Result<Response, Failure>) -> RoomAnswer {
    Either::Left(std::future::ready(answer))
}

/// An answer that comes in time.
pub fn in_time(answer: impl Future<Output = Result<Response, Failure>> + Send + 'static) -> RoomAnswer {
    Either::Right(Box::pin(answer))
}
