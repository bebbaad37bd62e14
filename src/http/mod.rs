//! One request: the types that every room shares, the connection it came on, and the layers around the answer.

pub mod access;
pub mod alarm;
pub mod bodiless;
pub mod body;
pub mod canonical;
pub mod compress;
pub mod connection;
pub mod encoding;
pub mod facts;
pub mod failure;
pub mod http1;
pub mod http2;
pub mod query;
pub mod redirect;
pub mod rescue;
pub mod target;
pub mod upgrade;
pub mod upload;

mod config;
mod connected;
mod error_page;
mod refusal;
mod stall;

use std::pin::Pin;

pub use access::UpstreamTime;
pub use body::Body;
pub use config::{Config, Settings};
pub use facts::Facts;
pub use failure::{Failure, Fault};
pub use refusal::Refusal;

/// The one request type of the house.
pub type Request = http::Request<Body>;
/// The one response type of the house.
pub type Response = http::Response<Body>;
/// What a layer or a room answers with, in time.
pub type Answer<E = Failure> = Pin<Box<dyn Future<Output = Result<Response, E>> + Send>>;
