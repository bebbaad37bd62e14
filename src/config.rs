//! `proxy.toml`: one section a room, and the checks across sections.

use std::path::{Path, PathBuf};

use crate::settings::{self, Problems, Section};
use crate::{admin, drain, http, listen, realtime, tls, upstream};

/// The whole of `proxy.toml`; every field has its default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    pub listen: listen::Config,
    pub tls: tls::Config,
    pub http: http::Config,
    pub app: upstream::Config,
    pub realtime: realtime::Config,
    pub admin: admin::Config,
    pub drain: drain::Config,
}

/// The file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Wrong(Problems),
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`], with every problem at once.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(read)?;
        Config::parse(&path.display().to_string(), &text).map_err(ConfigError::Wrong)
    }

    /// Parses `source`; `name` stands for the file in messages.
    ///
    /// # Errors
    /// [`Problems`], all of them, in the order of the file.
    pub fn parse(name: &str, source: &str) -> Result<Config, Problems> {
        settings::read(name, source, Config::read)
    }

    /// Every key there is, as `section.key`.
    pub fn keys(source: &str) -> Vec<String> {
        settings::keys(source, Config::read)
    }

    fn read(root: &Section) -> Config {
        let config = Config {
            listen: listen::Config::read(&root.section("listen")),
            tls: tls::Config::read(&root.section("tls")),
            http: http::Config::read(&root.section("http")),
            app: upstream::Config::read(&root.section("app")),
            realtime: realtime::Config::read(&root.section("realtime")),
            admin: admin::Config::read(&root.section("admin")),
            drain: drain::Config::read(&root.section("drain")),
        };
        config.check(root);
        config
    }

    /// What no room can see alone.
    fn check(&self, root: &Section) {
        if !self.listen.https.is_empty() && self.tls == tls::Config::default() {
            root.problem(
                "listen",
                "listen.https needs a certificate",
                Some("give [tls] certificate and key, or self_signed = true"),
            );
        }
    }
}
