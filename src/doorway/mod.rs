//! The roof: binds, runs and drains; the only room that knows every other.

pub mod command_line;

mod dispatch;
mod run;
mod stack;

pub use run::{Doorway, StartError};
