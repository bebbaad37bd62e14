//! The metrics of the process itself, read when they are asked for.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::{Registry, writer};

static STARTED: LazyLock<(Instant, SystemTime)> = LazyLock::new(|| (Instant::now(), SystemTime::now()));

/// From now on the process counts as started.
pub fn started() {
    LazyLock::force(&STARTED);
}

/// Names as every Prometheus client has them, and so without our prefix.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register("doorway_build", "What runs here", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    registry.register_collector(Box::new(Process));
    registry
}

#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let (uptime, start) = (STARTED.0.elapsed(), STARTED.1.duration_since(UNIX_EPOCH).unwrap_or_default());
        let mut gauge = |name, help, value: f64| {
            ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("process_start_time_seconds", "When it started, since 1970.", start.as_secs_f64())?;
        gauge("process_uptime_seconds", "How long it has run.", uptime.as_secs_f64())?;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (name, help, field, unit) in [
            ("process_resident_memory_bytes", "Memory in use.", "VmRSS:", 1024.0),
            ("process_virtual_memory_bytes", "Address space in use.", "VmSize:", 1024.0),
            ("process_threads", "Threads of the operating system.", "Threads:", 1.0),
        ] {
            if let Some(value) = number(&status, field) {
                gauge(name, help, value * unit)?;
            }
        }
        if let Some(open) = open_files() {
            gauge("process_open_fds", "Open file descriptors.", open)?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            gauge("process_max_fds", "File descriptors it may open.", most as f64)?;
        }
        if let Ok(handle) = tokio::runtime::Handle::try_current() {
            let runtime = handle.metrics();
            gauge("doorway_runtime_workers", "Threads that run tasks.", runtime.num_workers() as f64)?;
            gauge("doorway_runtime_tasks", "Tasks alive.", runtime.num_alive_tasks() as f64)?;
            gauge("doorway_runtime_queue", "Tasks that wait for a free worker.", runtime.global_queue_depth() as f64)?;
        }
        let mut counter = |name, help, value: f64| {
            ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
        };
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
        counter("process_cpu_seconds", "Processor time used, user and system.", seconds)?;
        counter(
            "doorway_log_lines_lost",
            "Log lines dropped because standard error was not read.",
            writer::lost() as f64,
        )
    }
}

fn number(status: &str, field: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok())
}

fn open_files() -> Option<f64> {
    // From Linux 6.2 on the size of the folder is the count; to list ten thousand names would take milliseconds.
    let counted = std::fs::metadata("/proc/self/fd").ok()?.len();
    if counted > 0 { Some(counted as f64) } else { Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as f64) }
}
