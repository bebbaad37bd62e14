//! The numbers of the roof: reloads, and how far it is from its end.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};

use crate::drain::Signal;
use crate::telemetry::{Registry, labelled};

/// Metrics of the process's life: `doorway_config_…`, `doorway_draining`, `doorway_under_way`.
pub struct Metrics {
    reloads: Counter,
    refused: Counter,
    reloaded: Gauge<f64, std::sync::atomic::AtomicU64>,
}

impl Metrics {
    pub fn new(registry: &mut Registry, drain: Signal) -> Metrics {
        let help = "Reloads of the config, by what came of them";
        let [reloads, refused] = labelled(registry, "config_reloads", help, "outcome", ["taken", "refused"]);
        let metrics = Metrics { reloads, refused, reloaded: Gauge::default() };
        metrics.reloaded.set(now());
        registry.register(
            "config_loaded_timestamp_seconds",
            "When the config that holds was read",
            metrics.reloaded.clone(),
        );
        registry.register_collector(Box::new(Life(drain)));
        metrics
    }

    pub fn reloaded(&self, taken: bool) {
        if taken {
            self.reloads.inc();
            self.reloaded.set(now());
        } else {
            self.refused.inc();
        }
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[derive(Debug)]
struct Life(Signal);

impl Collector for Life {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut gauge = |name, help, value: i64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("draining", "1 from the first signal to stop.", i64::from(!self.0.is_running()))?;
        gauge(
            "under_way",
            "Connections and sockets that a drain waits for.",
            self.0.under_way().try_into().unwrap_or(i64::MAX),
        )
    }
}
