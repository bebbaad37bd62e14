//! The operator's door: health and metrics, on a listener of its own.

mod config;

pub use config::Config;
