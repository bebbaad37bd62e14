//! Where the config comes from: a named file, the project's own `proxy.toml`, the one here, or the defaults; asked again
//! at every reload.

use std::iter;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;

use super::changes::{self, Changes};
use crate::config::{Config, ConfigError};
use crate::listen;
use crate::releases;
use crate::settings;
use crate::upstream::{Address, BuildPolicy};

/// Read when no other file is named.
pub const DEFAULT_FILE: &str = "proxy.toml";

/// What the command line says in place of keys.
#[derive(Debug, Default)]
pub struct Overrides {
    /// `doorway DIR`: the app, whatever `[app]` says.
    pub dir: Option<PathBuf>,
    /// `--app`: an app that runs already.
    pub app: Option<Address>,
    /// `--build`, `--no-build`.
    pub build: Option<BuildPolicy>,
    /// `--dev`.
    pub dev: bool,
    /// `--port`: of plain HTTP, or with `https` of that alone.
    pub port: Option<u16>,
    /// `--https`: with a certificate of the door's own making, where the file has none.
    pub https: bool,
    /// `--domain`: names for which certificates are ordered, besides those of the file; with https on the usual ports.
    pub domains: Vec<String>,
}

/// Where the web is, and where certificate authorities look.
const WEB_PORTS: (u16, u16) = (80, 443);

/// Where `--https` listens when no port is said.
const HTTPS_PORT: u16 = 8443;

/// What the command line said about the config.
#[derive(Debug)]
pub struct Source {
    /// `--config FILE`, or a `proxy.toml` once it has been seen: from then on it must be there.
    file: Option<PathBuf>,
    /// What else was said: it stands, whatever the file says.
    said: Overrides,
    /// The text of the config that holds, and of the one that was read last.
    held: String,
    read: String,
    /// What is wrong with the project's `.env` files.
    pub complaints: Vec<String>,
}

impl Source {
    pub fn new(file: Option<PathBuf>, said: Overrides) -> Source {
        Source { file, said, complaints: Vec::new(), held: String::new(), read: String::new() }
    }

    /// Reads the config as it is now. It holds once [`Source::hold`] was called.
    ///
    /// # Errors
    /// [`ConfigError`], with every problem at once; [`ConfigError::Emptied`] for a file that says nothing any more.
    pub fn load(&mut self) -> Result<Config, ConfigError> {
        if self.file.is_none() {
            // A project that brings its own is meant to run with it, from wherever it is started.
            let own = self.said.dir.as_ref().map(|dir| dir.join(DEFAULT_FILE));
            let found = own.into_iter().chain([PathBuf::from(DEFAULT_FILE)]).find(|file| file.exists());
            self.file = found;
        }
        let text = self.file.as_deref().map(Config::text);
        self.complaints = self.read_variables(text.as_ref().and_then(|text| text.as_deref().ok()).unwrap_or_default());
        let mut config = match (&self.file, text) {
            (Some(file), Some(text)) => {
                self.read = text?;
                let config = Config::load_text(file, &self.read)?;
                if changes::is_emptied(&self.held, &self.read) {
                    return Err(ConfigError::Emptied { path: file.clone() });
                }
                config
            }
            _ => Config::default(),
        };
        self.said.apply(&mut config);
        let config = config.with_releases();
        for domain in &self.said.domains {
            if let Some((what, help)) = config.tls.acme.objection(&spelling(domain)) {
                return Err(ConfigError::Domain(format!("{}: {help}", what.replace("in tls.domains", "of --domain"))));
            }
        }
        config.not_its_own_upstream()
    }

    /// The config that was read last holds from now on. Gives what it changes.
    pub fn hold(&mut self) -> Changes {
        let before = std::mem::replace(&mut self.held, std::mem::take(&mut self.read));
        changes::between(&before, &self.held)
    }

    /// Takes over the `.env` files of the project: in DIR, in what the file's `text` calls its folder, else beside the file.
    /// What is wrong with the file itself is said when it is read in earnest.
    fn read_variables(&self, text: &str) -> Vec<String> {
        let table: toml::Table = text.parse().unwrap_or_default();
        let named = |section: &str| Some(PathBuf::from(table.get(section)?.get("dir")?.as_str()?));
        let beside = || Some(self.file.as_ref()?.parent()?.to_owned());
        let root = || Some(PathBuf::from(table.get("releases")?.get("root")?.as_str()?));
        // What runs, or before anything does what each release gets of it.
        let released = |root: PathBuf| {
            let current = root.join("current");
            if current.exists() { current } else { root.join("shared") }
        };
        let said = self.said.dir.clone().map(|dir| if releases::is_root(&dir) { released(dir) } else { dir });
        let folder = said.or_else(|| root().map(released)).or_else(|| named("app"));
        let folder = folder.or_else(|| named("files")).or_else(beside);
        let is_dev = table.get("app").and_then(|app| app.get("dev")?.as_bool()).unwrap_or(false);
        settings::read_files(&folder.unwrap_or_default(), is_dev || self.said.dev)
    }

    /// The file, by its whole path; none where there is none.
    pub fn file(&self) -> Option<PathBuf> {
        self.file.as_ref().and_then(|file| std::path::absolute(file).ok())
    }

    /// For the log: the file, or that there is none.
    pub fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| "built-in defaults".to_owned(), |file| file.display().to_string())
    }

    /// A config that a person might expect to be read, and is not: one in DIR beside `--config`, one here beside DIR's.
    pub fn overlooked(&self) -> Option<PathBuf> {
        let dir = self.said.dir.as_ref()?;
        let read = self.file.as_ref().and_then(|file| file.canonicalize().ok());
        let there = [dir.join(DEFAULT_FILE), PathBuf::from(DEFAULT_FILE)];
        there.into_iter().filter_map(|file| file.canonicalize().ok()).find(|file| read.as_ref() != Some(file))
    }
}

impl Overrides {
    fn apply(&self, config: &mut Config) {
        if let Some(dir) = &self.dir {
            (config.app.url, config.app.off, config.app.dir) = (None, false, Some(dir.clone()));
            config.releases.root = releases::is_root(dir).then(|| dir.clone());
        }
        if let Some(url) = &self.app {
            (config.app.url, config.app.off) = (Some(url.clone()), false);
            config.releases.root = None;
        }
        if let Some(build) = self.build {
            config.app.build = build;
        }
        config.app.dev |= self.dev;
        let at = |addresses: &[SocketAddr], port: u16| {
            let mut at: Vec<_> = addresses.iter().map(|address| SocketAddr::new(address.ip(), port)).collect();
            at.dedup();
            if at.is_empty() { vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))] } else { at }
        };
        if !self.domains.is_empty() {
            for domain in &self.domains {
                let domain = spelling(domain);
                if !config.tls.domains.contains(&domain) {
                    config.tls.domains.push(domain);
                }
            }
            // Of a kernel without IPv6 no listener for it is asked.
            let has_ipv6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
            let everywhere = |port: u16| {
                let v6 = has_ipv6.then(|| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
                iter::once(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).chain(v6).collect()
            };
            // What the file says of listeners stands.
            if config.listen.http == listen::Config::default().http && self.port.is_none() {
                config.listen.http = everywhere(WEB_PORTS.0);
            }
            if config.listen.https.is_empty() {
                config.listen.https = everywhere(WEB_PORTS.1);
            }
        }
        if self.https {
            config.tls.self_signed |= !config.tls.is_configured();
            if self.port.is_some() || config.listen.https.is_empty() {
                config.listen.https = at(&config.listen.https, self.port.unwrap_or(HTTPS_PORT));
            }
            if self.port.is_some() {
                config.listen.http.clear();
            }
        } else if let Some(port) = self.port {
            config.listen.http = at(&config.listen.http, port);
        }
    }
}

/// A domain of the command line as certificates have it: in small letters, without the dot of the root.
fn spelling(domain: &str) -> String {
    domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a file that says `text` and of what the command line says.
    fn config(text: &str, said: Overrides) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(DEFAULT_FILE);
        std::fs::write(&file, text).unwrap();
        Source::new(Some(file), said).load().unwrap()
    }

    fn addresses(all: &[SocketAddr]) -> Vec<String> {
        all.iter().map(ToString::to_string).filter(|address| !address.starts_with("[::]")).collect()
    }

    #[test]
    fn domains_have_https_on_usual_ports_or_those_of_the_file() {
        let domains = |port| Overrides {
            domains: vec!["Two.example.com.".into(), "one.example.com".into()],
            port,
            ..Overrides::default()
        };
        for (text, port, http, https) in [
            ("", None, "0.0.0.0:80", "0.0.0.0:443"),
            (
                "[tls]\ndomains = \"two.example.com\"\n[listen]\nhttps = \"127.0.0.1:8443\"",
                None,
                "0.0.0.0:80",
                "127.0.0.1:8443",
            ),
            ("[listen]\nhttp = \"127.0.0.1:8080\"", None, "127.0.0.1:8080", "0.0.0.0:443"),
            ("", Some(9000), "0.0.0.0:9000", "0.0.0.0:443"),
        ] {
            let config = config(text, domains(port));
            assert_eq!(config.tls.domains, ["two.example.com", "one.example.com"], "{text}");
            assert_eq!(addresses(&config.listen.http), [http], "{text}");
            assert_eq!(addresses(&config.listen.https), [https], "{text}");
            assert!(!config.tls.self_signed);
            let is_everywhere = http == "0.0.0.0:80" && UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
            assert_eq!(config.listen.http.len(), 1 + usize::from(is_everywhere), "{text} {port:?}");
        }
    }

    #[test]
    fn https_by_flag_has_a_certificate_made_where_there_is_none() {
        let https = |port| Overrides { https: true, port, ..Overrides::default() };
        let own = "[tls]\ndomains = \"one.example.com\"\n[listen]\nhttps = [\"127.0.0.1:443\", \"127.0.0.1:444\"]";
        for (text, port, is_made, has_http, secure) in [
            ("", None, true, true, &["0.0.0.0:8443"][..]),
            ("", Some(9000), true, false, &["0.0.0.0:9000"]),
            (own, None, false, true, &["127.0.0.1:443", "127.0.0.1:444"]),
            (own, Some(9000), false, false, &["127.0.0.1:9000"]),
        ] {
            let config = config(text, https(port));
            assert_eq!(
                (config.tls.self_signed, !config.listen.http.is_empty()),
                (is_made, has_http),
                "{text} {port:?}"
            );
            assert_eq!(addresses(&config.listen.https), secure, "{text} {port:?}");
        }
    }

    #[test]
    fn a_port_is_that_of_the_addresses_of_the_file() {
        let config = config(
            "[listen]\nhttp = [\"127.0.0.1:80\", \"127.0.0.1:81\"]",
            Overrides { port: Some(9000), ..Overrides::default() },
        );
        assert_eq!(addresses(&config.listen.http), ["127.0.0.1:9000"]);
        assert!(config.listen.https.is_empty());
    }
}
