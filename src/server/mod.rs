//! The roof: binds, runs and drains; the only room that knows every other.
//!
#![doc = include_str!("README.md")]

pub mod command_line;

mod ask;
mod banner;
mod cached;
mod certifying;
mod changes;
mod config_keys;
mod defaults;
mod deploy;
mod documents;
mod dispatch;
mod first_process;
mod exporter;
mod init;
mod install;
mod metrics;
mod reload;
mod purging;
mod services;
mod run;
mod running;
mod runtime;
mod signals;
mod source;
mod stack;
mod systemd;
mod telling;
#[cfg(test)]
mod tests;
mod top;

pub use run::{Doorway, StartError};
pub use source::Source;
