//! Socket.IO's events as the app writes and reads them, in callbacks and in the API: the only part of this protocol that
//! other rooms know.

pub use super::machine::{Emit, answer, attached, connection, event, inline, rooms};
