//! Ably: sockets at the root of the site, REST beside them, and both below the hub's path.

pub mod connections;
pub mod wire;
