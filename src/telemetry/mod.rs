//! Logs, metrics and traces: the mechanisms; each room declares its own metrics.
//!
#![doc = include_str!("README.md")]

pub mod log;
pub mod trace;

mod config;
mod exposition;
mod format;
mod process;
mod log_throttle;
mod writer;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

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

/// One counter for each of `values` of the label `label`, all there from the start: in a name of its own, a part of a whole
/// could not be summed up. Kept as handles, since a look-up in a `Family` is a lock.
pub fn labelled<const N: usize>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: [&'static str; N],
) -> [Counter; N] {
    let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
    let counters = values.map(|value| family.get_or_create(&[(label, value)]).clone());
    registry.register(name, help, family);
    counters
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
