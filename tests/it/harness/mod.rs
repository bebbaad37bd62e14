//! What the tests share: a door (the real binary), an app behind it, and raw bytes on a socket.
#![allow(dead_code, unused_imports, reason = "each promise uses the part that it needs")]

mod activation;
pub mod app;
pub mod certificate;
pub mod client;
pub mod clock;
pub mod crowd;
pub mod decode;
mod door;
pub mod frames;
mod kept;
mod metrics;
pub mod next;
pub mod pebble;
mod project;
pub mod raw;
pub mod redis;
pub mod secure;
pub mod signal;
pub mod socket;
mod stub;
pub mod terminal;
pub mod wire;

pub use app::{App, Feed, response, streamed};
pub use door::{Builder as DoorBuilder, Door, PATIENCE, door};
pub use kept::{Kept, access, numbers, same};
pub use project::{Project, eventually};
pub use stub::Stub;
