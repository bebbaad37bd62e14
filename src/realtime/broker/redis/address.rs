//! Where Redis is, as a URL says it.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use toml::de::DeValue;

use crate::settings::{Expected, Setting};

/// The port of Redis, and that of Sentinel, where none is said.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// One server that is reached by TCP or by a socket of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RedisHost {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl fmt::Display for RedisHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedisHost::Tcp { host, port } if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            RedisHost::Tcp { host, port } => write!(formatter, "{host}:{port}"),
            RedisHost::Unix(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// Who finds the server that takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deployment {
    /// It is always this one.
    Single(RedisHost),
    /// One of these knows, by the name of what it watches.
    Sentinel { sentinels: Vec<RedisHost>, name: String },
    /// Each channel has one of several, and any of these knows which.
    Cluster(Vec<RedisHost>),
}

/// What the door says who it is.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RedisLogin {
    pub user: Option<String>,
    pub password: Option<String>,
}

impl fmt::Debug for RedisLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RedisLogin {{ user: {:?}, password: … }}", self.user)
    }
}

/// The address of Redis. It is never written with its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisAddress {
    pub deployment: Deployment,
    pub is_secure: bool,
    pub login: RedisLogin,
    pub database: i64,
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secure = if self.is_secure { "s" } else { "" };
        match &self.deployment {
            Deployment::Single(RedisHost::Unix(path)) => write!(formatter, "unix://{}", path.display())?,
            Deployment::Single(host) => write!(formatter, "redis{secure}://{host}")?,
            Deployment::Sentinel { sentinels, name } => {
                let all = sentinels.iter().map(RedisHost::to_string).collect::<Vec<_>>().join(",");
                write!(formatter, "redis{secure}+sentinel://{all}/{name}")?;
            }
            Deployment::Cluster(hosts) => {
                let all = hosts.iter().map(RedisHost::to_string).collect::<Vec<_>>().join(",");
                write!(formatter, "redis{secure}+cluster://{all}")?;
            }
        }
        if self.database == 0 { Ok(()) } else { write!(formatter, "/{}", self.database) }
    }
}

impl RedisAddress {
    /// Reads `redis://[user:password@]host[:port][/database]`, the same with `rediss`, `unix:///path`,
    /// `redis+sentinel://host,host/NAME[/database]` and `redis+cluster://host,host`.
    ///
    /// # Errors
    /// What is wrong with it, without what may be a password.
    pub fn read(text: &str) -> Result<RedisAddress, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("a URL of Redis begins with redis:// or rediss://")?;
        let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let is_secure = base == "rediss";
        if !matches!((base, kind), ("redis" | "rediss", "" | "sentinel" | "cluster") | ("redis", "unix") | ("unix", ""))
        {
            return Err(
                "a URL of Redis begins with redis://, rediss://, redis+sentinel://, redis+cluster:// or unix://",
            );
        }
        if rest.contains(['?', '#']) {
            return Err("a URL of Redis has neither ? nor #: write them as %3F and %23 in a password");
        }
        // What is before the last @ may hold slashes only where they are encoded.
        let (before, path) = rest.split_once('/').map_or((rest, None), |(before, path)| (before, Some(path)));
        let (who, hosts) = before.rsplit_once('@').map_or((None, before), |(who, hosts)| (Some(who), hosts));
        let login = who.map_or(Ok(RedisLogin::default()), RedisLogin::read)?;
        if base == "unix" || kind == "unix" {
            let path =
                path.filter(|path| hosts.is_empty() && !path.is_empty()).ok_or("unix:// is followed by a path")?;
            let deployment = Deployment::Single(RedisHost::Unix(format!("/{path}").into()));
            return Ok(RedisAddress { deployment, is_secure, login, database: 0 });
        }
        let path = path.unwrap_or_default().trim_end_matches('/');
        let all = |port| hosts.split(',').map(|host| read_host(host, port)).collect::<Result<_, _>>();
        let (deployment, database) = match kind {
            "sentinel" => {
                let (name, database) = path.split_once('/').unwrap_or((path, ""));
                if name.is_empty() {
                    return Err("the name that Sentinel watches is missing: redis+sentinel://host,host/NAME");
                }
                (Deployment::Sentinel { sentinels: all(SENTINEL_PORT)?, name: decoded(name)? }, database)
            }
            "cluster" if !matches!(path, "" | "0") => return Err("a Redis Cluster has one database, 0"),
            "cluster" => (Deployment::Cluster(all(REDIS_PORT)?), ""),
            _ if hosts.contains(',') => return Err("several servers are a Redis Cluster: redis+cluster://host,host"),
            _ => (Deployment::Single(read_host(hosts, REDIS_PORT)?), path),
        };
        let database = match database {
            "" => 0,
            number => {
                number.parse().ok().filter(|number| (0..65_536).contains(number)).ok_or("a database is a number")?
            }
        };
        Ok(RedisAddress { deployment, is_secure, login, database })
    }
}

impl RedisLogin {
    fn read(text: &str) -> Result<RedisLogin, &'static str> {
        let (user, password) =
            text.split_once(':').ok_or("a password stands behind a colon: redis://:PASSWORD@host")?;
        let present = |text: &str| if text.is_empty() { Ok(None) } else { decoded(text).map(Some) };
        Ok(RedisLogin { user: present(user)?, password: present(password)? })
    }
}

fn decoded(text: &str) -> Result<String, &'static str> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| "what is written with % is not UTF-8")
}

fn read_host(text: &str, default_port: u16) -> Result<RedisHost, &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("an IPv6 address stands in [ and ]")?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some("")).ok_or("behind ] stands a port")?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    if host.is_empty() || host.contains(|char: char| char.is_whitespace() || char == '@') {
        return Err("a URL of Redis names a host, as in redis://127.0.0.1:6379");
    }
    let port = match port {
        "" => default_port,
        port => port.parse().map_err(|_| "a port is a number from 0 to 65535")?,
    };
    Ok(RedisHost::Tcp { host: host.to_owned(), port })
}

impl Setting for RedisAddress {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        let text = value.as_str().ok_or(Expected("a URL, as in \"redis://127.0.0.1:6379/0\"".into()))?;
        let what = |what| Expected(format!("a URL, as in \"redis://127.0.0.1:6379/0\": {what}").into());
        RedisAddress::read(text).map_err(what)
    }
}

impl RedisAddress {
    /// What several addresses are together: one cluster.
    ///
    /// # Errors
    /// They are not of one.
    pub fn of_several(all: &[RedisAddress]) -> Result<RedisAddress, &'static str> {
        let first = all.first().ok_or("a URL of Redis is missing")?;
        let mut hosts = Vec::new();
        for address in all {
            if (address.is_secure, &address.login) != (first.is_secure, &first.login) {
                return Err("several servers are a Redis Cluster: with one user and password, all with TLS or none");
            }
            match &address.deployment {
                Deployment::Single(host @ RedisHost::Tcp { .. }) if address.database == 0 => hosts.push(host.clone()),
                Deployment::Cluster(more) => hosts.extend(more.iter().cloned()),
                _ => return Err("several servers are a Redis Cluster, as in \"redis+cluster://host,host\""),
            }
        }
        Ok(RedisAddress { deployment: Deployment::Cluster(hosts), ..first.clone() })
    }

    pub fn is_cluster(&self) -> bool {
        matches!(self.deployment, Deployment::Cluster(_))
    }

    /// Stands in for one that is missing.
    pub fn nowhere() -> RedisAddress {
        let host = RedisHost::Tcp { host: "localhost".into(), port: REDIS_PORT };
        let deployment = Deployment::Single(host);
        RedisAddress { deployment, is_secure: true, login: RedisLogin::default(), database: 0 }
    }
}
