//! Logs and metrics: the mechanisms; each room declares its own numbers.

pub mod log;

/// Where rooms register their numbers, once, when they are built.
pub type Registry = prometheus_client::registry::Registry;
