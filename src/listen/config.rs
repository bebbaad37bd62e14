//! The section `[listen]`.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::settings::{Section, keywords};

/// The section `[listen]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Addresses for plain HTTP. Default `0.0.0.0:8080`.
    pub http: Vec<SocketAddr>,
    /// Addresses for HTTPS; they need `[tls]`. Default none.
    pub https: Vec<SocketAddr>,
    /// Load balancers and CDNs in front of the door: what they say of a client (PROXY protocol, `X-Forwarded-*`) is
    /// believed, and the limits per client address do not apply to them. Default none.
    pub trusted_proxies: Vec<IpNet>,
    /// Does a trusted proxy say who the client is before anything else? Default `off`.
    pub proxy_protocol: ProxyProtocol,
    /// From the connection of a trusted proxy to the end of its PROXY header. Default 5 s.
    pub proxy_protocol_timeout: Duration,
    /// Connections in all, upgraded ones too. Default: four fifths of the open files that the system allows. When they
    /// are all taken no more are accepted: the kernel keeps clients waiting (see `backlog`).
    pub max_connections: Option<usize>,
    /// Connections from one client, which is one IPv4 address or one IPv6 network of 64 bits; more are closed at once.
    /// Default: three times as many as are free, so that no few clients can lock out all others; for one that is alone,
    /// three quarters of `max_connections`.
    pub max_connections_per_address: Option<usize>,
    /// Clients that the kernel keeps waiting until they are accepted, for each socket; it turns away more, and it has
    /// a limit of its own (`net.core.somaxconn`). Default 4096.
    pub backlog: u32,
    /// After so long a silence the kernel asks whether the client's machine is still there: four times, a quarter of
    /// this apart. Default 30 s: many a NAT forgets a connection that was silent for a minute.
    pub tcp_keepalive: Duration,
}

/// Whether the PROXY protocol (version 1 or 2) is spoken. Only trusted proxies are ever believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// By nobody.
    Off,
    /// Trusted proxies may begin with a header; all others are served as they come.
    Accept,
    /// Trusted proxies must begin with a header; all others are turned away.
    Require,
}

keywords!(ProxyProtocol { "off" => Off, "accept" => Accept, "require" => Require });

impl Default for Config {
    fn default() -> Self {
        Config {
            http: vec![SocketAddr::from(([0, 0, 0, 0], 8080))],
            https: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: ProxyProtocol::Off,
            proxy_protocol_timeout: Duration::from_secs(5),
            max_connections: None,
            max_connections_per_address: None,
            backlog: 4096,
            tcp_keepalive: Duration::from_secs(30),
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let config = Config {
            http: section.value("http", default.http),
            https: section.value("https", default.https),
            trusted_proxies: section.value("trusted_proxies", default.trusted_proxies),
            proxy_protocol: section.value("proxy_protocol", default.proxy_protocol),
            proxy_protocol_timeout: section.value("proxy_protocol_timeout", default.proxy_protocol_timeout),
            max_connections: section.optional("max_connections"),
            max_connections_per_address: section.optional("max_connections_per_address"),
            backlog: section.value("backlog", default.backlog),
            tcp_keepalive: section.value("tcp_keepalive", default.tcp_keepalive),
        };
        config.agree(section);
        config
    }

    /// What no type holds.
    fn agree(&self, section: &Section) {
        if self.proxy_protocol != ProxyProtocol::Off && self.trusted_proxies.is_empty() {
            let help = "give listen.trusted_proxies the addresses of the load balancer";
            section.problem("proxy_protocol", "listen.proxy_protocol has nobody to believe", Some(help));
        }
        let limits = [
            ("max_connections", self.max_connections),
            ("max_connections_per_address", self.max_connections_per_address),
            ("backlog", usize::try_from(self.backlog).ok()),
        ];
        for (key, _) in limits.into_iter().filter(|(_, limit)| *limit == Some(0)) {
            section.problem(key, format!("listen.{key} must be at least 1"), None);
        }
        let seconds = Duration::from_secs;
        for (key, value, range) in [
            ("proxy_protocol_timeout", self.proxy_protocol_timeout, Duration::from_millis(1)..=seconds(300)),
            ("tcp_keepalive", self.tcp_keepalive, seconds(4)..=seconds(32_767)),
        ] {
            if !range.contains(&value) {
                let (least, most) =
                    (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
                section.problem(key, format!("listen.{key} must be from {least} to {most}"), None);
            }
        }
        let all: Vec<_> = self.http.iter().chain(&self.https).filter(|address| address.port() != 0).collect();
        for (index, address) in all.iter().enumerate() {
            if all[..index].contains(address) {
                let key = if self.https.contains(address) { "https" } else { "http" };
                section.problem(key, format!("{address} is named twice in [listen]"), None);
            }
        }
    }

    /// The keys that differ from `started` and that only a restart can change.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        let differs = [
            ("listen.http", self.http != started.http),
            ("listen.https", self.https != started.https),
            ("listen.backlog", self.backlog != started.backlog),
            ("listen.tcp_keepalive", self.tcp_keepalive != started.tcp_keepalive),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}
