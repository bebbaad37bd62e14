//! The section `[http]`: limits and time-outs of requests.

use std::time::Duration;

use ipnet::IpNet;

use super::host_pattern::HostPattern;
use crate::settings::{Section, Size};
use crate::telemetry::trace::Tracer;

/// The section `[http]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The site's names; a request for another one gets 421. Default none: every name is served.
    pub hosts: Vec<HostPattern>,
    /// From the first byte of a head to its end, and before a connection's first byte. Default 30 s.
    pub head_timeout: Duration,
    /// Between requests of a kept connection; up to a quarter more may pass. Default 75 s.
    pub idle_timeout: Duration,
    /// In each such span a request's body must bring [`min_progress`](Config::min_progress). Default 30 s.
    pub body_timeout: Duration,
    /// In each such span a client must take as much of its answer; one that does not even acknowledge what was sent is gone.
    /// Default 60 s.
    pub write_timeout: Duration,
    /// What counts as progress. Default 1 KiB.
    pub min_progress: Size,
    /// The longest body of a request. No default: any length.
    pub max_body: Option<Size>,
    /// Without TLS, long bodies that nobody looks into go from socket to socket within the kernel. Default true.
    pub zero_copy: bool,
    /// A head from the request line to the empty line. Node takes 16 KiB, with what the door adds. Default 12 KiB.
    pub max_head: Size,
    /// Header fields of a request. Default 100.
    pub max_headers: usize,
    /// The path and query of a request. Default 8 KiB.
    pub max_target: Size,
    /// Requests at the same time on one connection of HTTP/2. Default 128.
    pub h2_max_streams: u32,
    /// Sockets and event streams of the hub at the same time on one connection of HTTP/2, besides `h2_max_streams`; one
    /// more gets 429. Default 128.
    pub h2_max_live_streams: u32,
    /// The most that a request's body may send ahead over HTTP/2: it may 256 KiB, and more the longer its way is. Default
    /// 4 MiB.
    pub h2_stream_window: Size,
    /// The same for all of a connection together: 1 MiB, and more the longer its way is. Default 8 MiB.
    pub h2_connection_window: Size,
    /// What all connections may have together beyond 1 MiB each; where it is taken, long ways have no more than short ones.
    /// Default 256 MiB.
    pub h2_windows: Size,
    /// So often a client of HTTP/2 is asked whether it is still there. Default 30 s: many a NAT forgets a connection that was
    /// silent for a minute.
    pub h2_ping_interval: Duration,
    /// How long its answer may take, while it acknowledges nothing of what was sent before the question: on a narrow way
    /// that is much. Default 20 s.
    pub h2_ping_timeout: Duration,
    /// Frames of HTTP/2 that move no data (resets, pings, settings, …) which a client may send at once; a hundredth of it
    /// comes back each second, and more with data. Default 2000.
    pub h2_budget: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            hosts: Vec::new(),
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            min_progress: Size::kib(1),
            max_body: None,
            zero_copy: true,
            max_head: Size::kib(12),
            max_headers: 100,
            max_target: Size::kib(8),
            h2_max_streams: 128,
            h2_max_live_streams: 128,
            h2_stream_window: Size::mib(4),
            h2_connection_window: Size::mib(8),
            h2_windows: Size::mib(256),
            h2_ping_interval: Duration::from_secs(30),
            h2_ping_timeout: Duration::from_secs(20),
            h2_budget: 2000,
        }
    }
}

/// What a connection is served by: the section, and what of other sections bears on requests. Taken once a connection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    pub http: Config,
    /// `listen.trusted_proxies`.
    pub trusted: Vec<IpNet>,
    /// By `[telemetry]`.
    pub tracer: Tracer,
}

/// Windows of HTTP/2 (RFC 9113 section 6.9.2 begins with the smaller one).
const WINDOW_SIZES: std::ops::RangeInclusive<u64> = 65_535..=i32::MAX as u64;

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let config = Config {
            hosts: section.value("hosts", default.hosts),
            head_timeout: section.value("head_timeout", default.head_timeout),
            idle_timeout: section.value("idle_timeout", default.idle_timeout),
            body_timeout: section.value("body_timeout", default.body_timeout),
            write_timeout: section.value("write_timeout", default.write_timeout),
            min_progress: section.value("min_progress", default.min_progress),
            max_body: section.optional("max_body"),
            zero_copy: section.value("zero_copy", default.zero_copy),
            max_head: section.value("max_head", default.max_head),
            max_headers: section.value("max_headers", default.max_headers),
            max_target: section.value("max_target", default.max_target),
            h2_max_streams: section.value("h2_max_streams", default.h2_max_streams),
            h2_max_live_streams: section.value("h2_max_live_streams", default.h2_max_live_streams),
            h2_stream_window: section.value("h2_stream_window", default.h2_stream_window),
            h2_connection_window: section.value("h2_connection_window", default.h2_connection_window),
            h2_windows: section.value("h2_windows", default.h2_windows),
            h2_ping_interval: section.value("h2_ping_interval", default.h2_ping_interval),
            h2_ping_timeout: section.value("h2_ping_timeout", default.h2_ping_timeout),
            h2_budget: section.value("h2_budget", default.h2_budget),
        };
        config.agree(section);
        config
    }

    fn agree(&self, section: &Section) {
        for (key, timeout) in [
            ("head_timeout", self.head_timeout),
            ("idle_timeout", self.idle_timeout),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
            ("h2_ping_interval", self.h2_ping_interval),
            ("h2_ping_timeout", self.h2_ping_timeout),
        ] {
            if timeout.is_zero() {
                section.problem(key, format!("http.{key} must be longer than 0"), None);
            }
        }
        for (key, window) in
            [("h2_stream_window", self.h2_stream_window), ("h2_connection_window", self.h2_connection_window)]
        {
            if !WINDOW_SIZES.contains(&window.0) {
                section.problem(key, format!("http.{key} must be from 64KiB to 2GiB"), None);
            }
        }
        if !(256..=64 * 1024).contains(&self.max_head.0) {
            section.problem("max_head", "http.max_head must be from 256 to 64KiB", None);
        }
        if self.max_target.0 == 0 || self.max_target.0 > self.max_head.0 {
            section.problem("max_target", "http.max_target must be from 1 to http.max_head", None);
        }
        if !(1..=1000).contains(&self.max_headers) {
            section.problem("max_headers", "http.max_headers must be from 1 to 1000", None);
        }
        if self.h2_max_streams == 0 {
            section.problem("h2_max_streams", "http.h2_max_streams must be at least 1", None);
        }
        if self.h2_budget < 100 {
            section.problem("h2_budget", "http.h2_budget must be at least 100: every client sends some", None);
        }
    }
}
