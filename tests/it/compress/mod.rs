//! Compression: what is promised, a file each.
//!
//! - `codings`: what the app says is compressed at the door as the client likes it, and only what may be.
//! - `streaming`: compression holds no chunk back, ends as the app ended, and takes little memory.

mod codings;
mod streaming;
