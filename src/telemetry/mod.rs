//! Logs and metrics: the mechanisms; each room declares its own metrics.

pub mod log;

mod config;
mod exposition;
mod format;
mod process;
mod log_throttle;
mod writer;

use prometheus_client::encoding::text;

pub use config::{Config, Format};
pub use log_throttle::LogThrottle;

/// Where rooms register their metrics, once, when they are built. Names come without `doorway_`: the registry puts it
/// before them.
pub type Registry = prometheus_client::registry::Registry;

/// An empty registry of the door.
pub fn registry() -> Registry {
    process::started();
    Registry::with_prefix("doorway")
}

/// Everything as Prometheus reads it, and the media type of that: the metrics of the process, then those of the rooms; as
/// OpenMetrics where `accept` names it, else in the classic format.
pub fn metrics(rooms: Option<&Registry>, accept: &str) -> (&'static str, String) {
    let mut text = String::new();
    let process = process::registry();
    for registry in [Some(&process), rooms].into_iter().flatten() {
        // Writing to a string cannot fail, and a collector that does is left out rather than taking all with it.
        let _ = text::encode_registry(&mut text, registry);
    }
    let _ = text::encode_eof(&mut text);
    match exposition::wants_openmetrics(accept) {
        true => (exposition::OPENMETRICS, text),
        false => (exposition::CLASSIC, exposition::classic(&text)),
    }
}
