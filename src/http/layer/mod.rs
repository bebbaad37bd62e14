//! The layers around the rooms, a file or a folder each; `doorway/stack.rs` says their order.

pub mod access;
pub mod bodiless;
pub mod canonical;
pub mod certification;
pub mod compress;
pub mod redirect;
pub mod rescue;
pub mod upgrade;
pub mod upload;

mod middleware;

pub use middleware::{After, Answer, Answering, Layered, Middleware, PassOn, layer};
