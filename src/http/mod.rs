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

use std::pin::Pin;

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
