//! Releases of the app: made in folders of their own beside the one that runs, and put in its place without a gap.
//!
#![doc = include_str!("README.md")]

mod config;
mod content;
mod failpoint;
mod id;
mod in_use;
mod metrics;
mod shelf;
mod switch;

pub use config::Config;
pub use content::{Content, ContentError, pack};
pub use failpoint::failpoint;
pub use id::ReleaseId;
pub use metrics::Metrics;
pub use shelf::{Release, Shelf, ShelfError, ShelfLock, is_root};
pub use switch::{Order, OrderKind, Step, Switch};
