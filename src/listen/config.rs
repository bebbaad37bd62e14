//! The section `[listen]`.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::settings::Section;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Addresses for plain HTTP. Default `0.0.0.0:8080`.
    pub http: Vec<SocketAddr>,
    /// Addresses for HTTPS; they need `[tls]`. Default none.
    pub https: Vec<SocketAddr>,
    /// Load balancers and CDNs in front of the door: what they say of a client (PROXY protocol, `X-Forwarded-*`) is
    /// believed, and the limits per client address do not apply to them. Default none.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Config {
    fn default() -> Self {
        Config { http: vec![SocketAddr::from(([0, 0, 0, 0], 8080))], https: Vec::new(), trusted_proxies: Vec::new() }
    }
}

impl Config {
    /// The keys that differ from `started` and that only a restart can change.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        let mut keys = Vec::new();
        if self.http != started.http {
            keys.push("listen.http");
        }
        if self.https != started.https {
            keys.push("listen.https");
        }
        keys
    }

    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        Config {
            http: section.value("http", default.http),
            https: section.value("https", default.https),
            trusted_proxies: section.value("trusted_proxies", default.trusted_proxies),
        }
    }
}
