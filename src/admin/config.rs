//! The section `[admin]`.

use std::net::SocketAddr;

use toml::de::DeValue;

use crate::http::HostPattern;
use crate::settings::{Expected, Section, Setting};

/// The section `[admin]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where health and metrics are served; keep it on loopback. Default `127.0.0.1:9080`.
    pub listen: AdminListen,
    /// Names, besides those that nobody on the Internet can own, under which it may be asked. Default none.
    pub hosts: Vec<HostPattern>,
}

/// An address, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminListen {
    At(SocketAddr),
    Off,
}

impl Setting for AdminListen {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        match value.as_str() {
            Some("off" | "") => Ok(AdminListen::Off),
            Some(text) if text.parse::<SocketAddr>().is_ok() => SocketAddr::parse(value).map(AdminListen::At),
            _ => Err(Expected("an address with a port, as in \"127.0.0.1:9080\", or \"off\"".into())),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config { listen: AdminListen::At(SocketAddr::from(([127, 0, 0, 1], 9080))), hosts: Vec::new() }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        Config { listen: section.value("listen", default.listen), hosts: section.value("hosts", default.hosts) }
    }

    /// The keys that differ from `started` and that only a restart can change.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        let listen = (self.listen != started.listen).then_some("admin.listen");
        let hosts = (self.hosts != started.hosts).then_some("admin.hosts");
        listen.into_iter().chain(hosts).collect()
    }
}
