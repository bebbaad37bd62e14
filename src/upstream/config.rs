//! The section `[app]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::address::Address;
use crate::http::path::misspelt;
use crate::settings::{Expected, Section, Setting, keywords};

/// The section `[app]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// An app that runs already. Default `http://127.0.0.1:3000`, unless `dir` is given.
    pub url: Option<Address>,
    /// There is no app (`url = "off"`): the door serves files and the hub, and nothing else. Default false.
    pub off: bool,
    /// An app to build, start and keep running; with `url` too, only its files are used. No default.
    pub dir: Option<PathBuf>,
    /// The project is being worked on: `next dev` or its like instead of a build, and hot reloading let through. Default
    /// false.
    pub dev: bool,
    /// When a start installs and builds. Default `auto`.
    pub build: BuildPolicy,
    /// Where a build is put, within `dir`: the project's `distDir`. Default `.next`, which stands for what the project's
    /// config says, and for the folder of any other framework.
    pub dist: PathBuf,
    /// The Node.js that runs it. Default `node`, found by `PATH`.
    pub node: PathBuf,
    /// Further environment of the app, over that of this process. Default none.
    pub env: BTreeMap<String, String>,
    /// From the start of the app's process to its first answer. Default 2 min.
    pub start_timeout: Duration,
    /// How long the app of before a deploy is kept for pages that are open of its build: they name it with what they ask.
    /// It goes sooner where nobody asks it for 2 min, memory is short, or the next deploy comes. 0 s for not at all.
    /// Default 10 min.
    pub skew: Duration,
    /// From SIGTERM to SIGKILL. Default 10 s.
    pub stop_timeout: Duration,
    /// Before an app that ended is started again; doubled each time that it ends soon. Default 500 ms.
    pub restart_delay: Duration,
    /// The longest such delay. Default 30 s.
    pub restart_delay_max: Duration,
    /// For a connection to the app. Default 5 s.
    pub connect_timeout: Duration,
    /// From a request's last byte to the head of its answer. Default 60 s.
    pub answer_timeout: Duration,
    /// How long a request waits while the app is away, or for a free connection. Default 15 s.
    pub wait_timeout: Duration,
    /// How many requests wait; more are refused with 503. One client has no more than it leaves free
    /// ([`shares`](crate::shares)), here and in the two below. Default 1000.
    pub wait_limit: usize,
    /// Connections to the app; when all are in use, or one client has its share, requests wait. Default 4096.
    pub connections: usize,
    /// How many of them are kept while idle. Default 256.
    pub idle_connections: usize,
    /// How long one is kept while idle, where the app does not say (`Keep-Alive: timeout`). Default 4 s: Node 20
    /// closes at 5 s.
    pub idle_timeout: Duration,
    /// Asked when there is no traffic, to know whether the app answers; any status below 500 will do. Default: what costs
    /// the framework nothing (Next.js: a file that is not there, others: one of their own). An app of which nobody knows
    /// what it is is only connected to.
    pub health_path: Option<String>,
    /// How often. Default 5 s.
    pub health_interval: Duration,
    /// How long such an answer may take. Default 5 s.
    pub health_timeout: Duration,
    /// Paths whose upgrades (WebSocket and others) go to the app; a `*` at the end means all below. Default none.
    pub tunnel: Vec<String>,
    /// How long a tunnel may be silent in both directions. Default 10 min.
    pub tunnel_idle_timeout: Duration,
    /// How many tunnels there may be; more are refused with 503. Default 1000.
    pub tunnel_limit: usize,
}

/// When a start installs the packages of the project and builds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildPolicy {
    /// Where what is there is missing or older than what goes into it.
    Auto,
    /// The build always, the packages as in `Auto`.
    Always,
    /// Never: it was done elsewhere.
    Never,
}

keywords!(BuildPolicy { "auto" => Auto, "always" => Always, "never" => Never });

/// Where the app is, if there is one.
enum HealthAddress {
    At(Address),
    Off,
}

impl Setting for HealthAddress {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        if value.as_str() == Some("off") {
            Ok(HealthAddress::Off)
        } else {
            Address::parse(value).map(HealthAddress::At)
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            url: Some(Address::loopback(3000)),
            off: false,
            dir: None,
            dev: false,
            build: BuildPolicy::Auto,
            dist: ".next".into(),
            node: "node".into(),
            env: BTreeMap::new(),
            start_timeout: Duration::from_secs(120),
            skew: Duration::from_secs(600),
            stop_timeout: Duration::from_secs(10),
            restart_delay: Duration::from_millis(500),
            restart_delay_max: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(60),
            wait_timeout: Duration::from_secs(15),
            wait_limit: 1000,
            connections: 4096,
            idle_connections: 256,
            idle_timeout: Duration::from_secs(4),
            health_path: None,
            health_interval: Duration::from_secs(5),
            health_timeout: Duration::from_secs(5),
            tunnel: Vec::new(),
            tunnel_idle_timeout: Duration::from_secs(600),
            tunnel_limit: 1000,
        }
    }
}

impl Config {
    /// True when the app is a process of ours.
    pub fn is_supervised(&self) -> bool {
        self.url.is_none() && !self.off
    }

    /// The keys that differ from `started` and that only a restart can change.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        let mut keys = Vec::new();
        if self.dir != started.dir {
            keys.push("app.dir");
        }
        if self.is_supervised() != started.is_supervised() {
            keys.push("app.url");
        }
        if self.dev != started.dev && self.is_supervised() {
            keys.push("app.dev");
        }
        if self.build != started.build && self.is_supervised() {
            keys.push("app.build");
        }
        keys
    }

    /// Looks at what the section names: the folder must be there.
    pub fn check(&self, section: &Section) {
        if let Some(dir) = self.dir.as_ref().filter(|dir| !dir.is_dir()) {
            section.problem("dir", format!("there is no folder {}", dir.display()), None);
        }
    }

    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let dir = section.optional("dir");
        let (url, off) = match section.optional("url") {
            Some(HealthAddress::At(address)) => (Some(address), false),
            Some(HealthAddress::Off) => (None, true),
            None => (None, false),
        };
        // A wrong url is a problem already; it must not turn into a start of the project beside it.
        let url = if dir.is_some() && !section.has("url") { None } else { url.or(default.url) };
        let url = url.filter(|_| !off);
        let config = Config {
            url,
            off,
            dir,
            dev: section.value("dev", default.dev),
            build: section.value("build", default.build),
            dist: section.value("dist", default.dist),
            node: section.value("node", default.node),
            env: section.value("env", default.env),
            start_timeout: section.value("start_timeout", default.start_timeout),
            skew: section.value("skew", default.skew),
            stop_timeout: section.value("stop_timeout", default.stop_timeout),
            restart_delay: section.value("restart_delay", default.restart_delay),
            restart_delay_max: section.value("restart_delay_max", default.restart_delay_max),
            connect_timeout: section.value("connect_timeout", default.connect_timeout),
            answer_timeout: section.value("answer_timeout", default.answer_timeout),
            wait_timeout: section.value("wait_timeout", default.wait_timeout),
            wait_limit: section.value("wait_limit", default.wait_limit),
            connections: section.value("connections", default.connections),
            idle_connections: section.value("idle_connections", default.idle_connections),
            idle_timeout: section.value("idle_timeout", default.idle_timeout),
            health_path: section.optional("health_path"),
            health_interval: section.value("health_interval", default.health_interval),
            health_timeout: section.value("health_timeout", default.health_timeout),
            tunnel: section.value("tunnel", default.tunnel),
            tunnel_idle_timeout: section.value("tunnel_idle_timeout", default.tunnel_idle_timeout),
            tunnel_limit: section.value("tunnel_limit", default.tunnel_limit),
        };
        config.judge(section);
        config
    }

    /// What is wrong with values that have the right kind.
    fn judge(&self, section: &Section) {
        let is_path = |path: &str| path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
        if self.health_path.as_deref().is_some_and(|path| !is_path(path)) {
            section.problem("health_path", "app.health_path must be a path, as in \"/api/health\"", None);
        }
        for path in &self.tunnel {
            let exact = path.strip_suffix('*').unwrap_or(path);
            if !is_path(exact) || exact.contains(['*', '?']) || (exact != path && !exact.ends_with('/')) {
                let what = format!("app.tunnel has {path:?}, which is neither a path nor one with all below it");
                section.problem("tunnel", what, Some("as in \"/socket\" or \"/ws/*\""));
            } else if let Some(better) = misspelt(exact) {
                let what = format!("app.tunnel has {path:?}; requests are compared in another spelling");
                section.problem("tunnel", what, Some(&format!("write {better:?}")));
            }
        }
        if self.connections == 0 {
            section.problem("connections", "app.connections must be at least 1", None);
        }
        for name in self.env.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                section.problem("env", format!("app.env has {name:?}, which cannot name a variable"), None);
            }
        }
        for (name, value) in &self.env {
            if value.contains('\0') {
                section.problem("env", format!("app.env.{name} contains a NUL"), None);
            }
        }
        for (key, duration) in [
            ("start_timeout", self.start_timeout),
            ("restart_delay", self.restart_delay),
            ("connect_timeout", self.connect_timeout),
            ("answer_timeout", self.answer_timeout),
            ("health_interval", self.health_interval),
            ("health_timeout", self.health_timeout),
            ("tunnel_idle_timeout", self.tunnel_idle_timeout),
        ] {
            if duration.is_zero() {
                section.problem(key, format!("app.{key} must be longer than 0s"), None);
            }
        }
    }
}
