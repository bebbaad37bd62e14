//! The section `[realtime.redis]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address::RedisAddress;
use super::peer_address::PeerAddress;
use crate::settings::{Section, variable};

/// Says where Redis is, before what the file says.
const VARIABLE: &str = "DOORWAY_REDIS_URL";

/// The shortest and the longest time after which a door counts as dead.
const NODE_TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(600);

/// The section `[realtime.redis]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where it is: `DOORWAY_REDIS_URL`, else the key. No default: without it there is no Redis.
    pub url: RedisAddress,
    /// All keys and channels in Redis begin with it. Default `dw`.
    pub prefix: String,
    /// A door that says nothing for so long is dead, and its members go. Default 10 s.
    pub node_timeout: Duration,
    /// So many replicas have a message before it counts as accepted. Default 0.
    pub replicas: u32,
    /// How long a message waits for Redis before it is refused. Default 5 s.
    pub message_patience: Duration,
    /// Authorities that sign the certificate of Redis (PEM), in place of those this machine trusts. No default.
    pub ca_file: Option<PathBuf>,
    /// Where the other doors reach this one: they forward what belongs to it. No default: nothing is forwarded.
    pub peer: Option<PeerAddress>,
    /// Where it listens for them. Default where `peer` says, or all addresses where that is a name.
    pub peer_listen: Option<SocketAddr>,
}

impl Config {
    /// With all defaults.
    pub fn at(url: RedisAddress) -> Config {
        Config {
            url,
            prefix: "dw".into(),
            node_timeout: Duration::from_secs(10),
            replicas: 0,
            message_patience: Duration::from_secs(5),
            ca_file: None,
            peer: None,
            peer_listen: None,
        }
    }

    /// `None` where neither the file nor the environment names a Redis.
    pub fn read(section: &Section) -> Option<Config> {
        Config::read_with(section, variable(VARIABLE))
    }

    pub(super) fn read_with(section: &Section, variable: Option<String>) -> Option<Config> {
        let written: Option<Vec<RedisAddress>> = section.optional("url");
        let url = match variable.filter(|text| !text.trim().is_empty()) {
            Some(text) => match RedisAddress::read(text.trim()) {
                Ok(url) => Some(url),
                Err(what) => {
                    section.problem("url", format!("{VARIABLE}: {what}"), None);
                    None
                }
            },
            None => match written.as_deref() {
                Some([one]) => Some(one.clone()),
                Some(several) => match RedisAddress::of_several(several) {
                    Ok(url) => Some(url),
                    Err(what) => {
                        section.problem("url", what, None);
                        None
                    }
                },
                None => None,
            },
        };
        let default = Config::at(url.clone().unwrap_or(RedisAddress::nowhere()));
        let config = Config {
            prefix: section.value("prefix", default.prefix),
            node_timeout: section.value("node_timeout", default.node_timeout),
            replicas: section.value("replicas", default.replicas),
            message_patience: section.value("message_patience", default.message_patience),
            ca_file: section.optional("ca_file"),
            peer: section.optional("peer"),
            peer_listen: section.optional("peer_listen"),
            url: default.url,
        };
        config.check(section);
        // Defaults that are written out, as in the documented file, mean nothing by themselves.
        let is_meant = config != Config::at(config.url.clone());
        if url.is_none() && !section.has("url") && is_meant {
            section.problem("url", format!("realtime.redis.url or {VARIABLE} says where Redis is"), None);
        }
        url.map(|_| config)
    }

    fn check(&self, section: &Section) {
        let is_allowed = |char: char| char.is_ascii_alphanumeric() || "-_.:".contains(char);
        if self.prefix.is_empty() || self.prefix.len() > 64 || !self.prefix.chars().all(is_allowed) {
            let what = "realtime.redis.prefix is 1 to 64 letters, digits or - _ . :";
            section.problem("prefix", what, None);
        }
        if !NODE_TIMEOUTS.contains(&self.node_timeout) {
            section.problem("node_timeout", "realtime.redis.node_timeout is from 3s to 10m", None);
        }
        if self.message_patience < Duration::from_millis(100) || self.message_patience > Duration::from_secs(60) {
            section.problem("message_patience", "realtime.redis.message_patience is from 100ms to 1m", None);
        }
        if self.replicas > 16 {
            section.problem("replicas", "realtime.redis.replicas is at most 16", None);
        }
        if self.ca_file.is_some() && !self.url.is_secure && section.has("url") {
            section.problem("ca_file", "realtime.redis.ca_file is for rediss://", None);
        }
        if self.peer_listen.is_some() && self.peer.is_none() {
            let what = "realtime.redis.peer_listen is where to listen for realtime.redis.peer, which is missing";
            section.problem("peer_listen", what, None);
        }
    }
}
