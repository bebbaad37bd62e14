//! `proxy.toml`: one section a room, and the checks across sections.

use std::path::{Path, PathBuf};

use crate::documents::StoreKind;
use crate::settings::{self, Problems, Section};
use crate::{
    admin, cache, callbacks, documents, drain, files, http, listen, realtime, releases, telemetry, tls, upstream,
};

/// The whole of `proxy.toml`; every field has its default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    pub listen: listen::Config,
    pub tls: tls::Config,
    pub http: http::Config,
    pub https: http::layer::redirect::Config,
    pub compress: http::layer::compress::Config,
    pub app: upstream::Config,
    pub releases: releases::Config,
    pub files: files::Config,
    pub cache: cache::Config,
    pub realtime: realtime::Config,
    pub documents: documents::Config,
    pub callbacks: callbacks::Config,
    pub api: realtime::api::Config,
    pub admin: admin::Config,
    pub log: telemetry::Config,
    pub telemetry: telemetry::trace::TraceConfig,
    pub drain: drain::Config,
}

const OWN_UPSTREAM_HELP: &str = "give the app's own address as [app] url, or the door another port ([listen] http)";

/// The file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Wrong(Problems),
    /// At a reload: a file that held something before and says nothing any more.
    #[error("{path} has become empty: was it cut off while it was written? For the defaults, leave one key in it")]
    Emptied { path: PathBuf },
    #[error("{0}")]
    OwnUpstream(String),
    /// `--domain` names what no certificate can be had for.
    #[error("{0}")]
    Domain(String),
}

/// How far a reading looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// The text alone.
    Text,
    /// Also what the text names: files that must be there and certificates that must parse.
    Files,
}

impl Config {
    /// Reads and checks a file, and the files that it names.
    ///
    /// # Errors
    /// [`ConfigError`], with every problem at once.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::load_text(path, &Config::text(path)?)
    }

    /// The text of a file, for [`Config::load_text`].
    ///
    /// # Errors
    /// [`ConfigError::Read`].
    pub fn text(path: &Path) -> Result<String, ConfigError> {
        settings::read_text(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
    }

    /// Checks the `text` of the file `path`, and the files that it names.
    ///
    /// # Errors
    /// [`ConfigError::Wrong`], with every problem at once.
    pub fn load_text(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let name = path.display().to_string();
        settings::read(&name, text, |root| Config::read(root, Depth::Files)).map_err(ConfigError::Wrong)
    }

    /// Parses `source`; `name` stands for the file in messages. Looks at no other file.
    ///
    /// # Errors
    /// [`Problems`], all of them, in the order of the file.
    pub fn parse(name: &str, source: &str) -> Result<Config, Problems> {
        settings::read(name, source, |root| Config::read(root, Depth::Text))
    }

    /// Every key there is, as `section.key`.
    pub fn keys(source: &str) -> Vec<String> {
        settings::keys(source, |root| Config::read(root, Depth::Text))
    }

    /// The keys that differ from `started` and that only a restart can change.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        let mut keys = self.listen.needs_restart(&started.listen);
        keys.extend(self.tls.needs_restart(&started.tls));
        keys.extend(self.app.needs_restart(&started.app));
        let moved = self.releases.needs_restart(&started.releases);
        if !moved.is_empty() {
            // They follow from it.
            keys.retain(|key| !["app.dir", "app.url", "app.build"].contains(key));
        }
        keys.extend(moved);
        keys.extend(self.documents.needs_restart(&started.documents));
        keys.extend(self.callbacks.needs_restart(&started.callbacks));
        keys.extend(self.realtime.needs_restart(&started.realtime));
        keys.extend(self.admin.needs_restart(&started.admin));
        keys.extend(self.log.needs_restart(&started.log));
        keys.extend(self.telemetry.needs_restart(&started.telemetry));
        keys
    }

    fn read(root: &Section, depth: Depth) -> Config {
        let tls = root.section("tls");
        let app = root.section("app");
        let (documents, hub) = (root.section("documents"), root.section("realtime"));
        let mut realtime = realtime::Config::read(&hub);
        let callbacks_section = root.section("callbacks");
        let callbacks = callbacks::Config::read(&callbacks_section, &realtime.entrance.path);
        // Whoever has the app asked, or tokens shown, means the app to say who may be where.
        realtime.hub.is_apps = !callbacks.events.is_empty() || realtime.entrance.tokens.required;
        let config = Config {
            listen: listen::Config::read(&root.section("listen")),
            tls: tls::Config::read(&tls),
            http: http::Config::read(&root.section("http")),
            https: http::layer::redirect::Config::read(&root.section("https")),
            compress: http::layer::compress::Config::read(&root.section("compress")),
            app: upstream::Config::read(&app),
            releases: releases::Config::read(&root.section("releases")),
            files: files::Config::read(&root.section("files")),
            cache: cache::Config::read(&root.section("cache")),
            documents: documents::Config::read(&documents),
            callbacks,
            realtime,
            api: realtime::api::Config::read(&root.section("api")),
            admin: admin::Config::read(&root.section("admin")),
            log: telemetry::Config::read(&root.section("log")),
            telemetry: telemetry::trace::TraceConfig::read(&root.section("telemetry")),
            drain: drain::Config::read(&root.section("drain")),
        };
        if depth == Depth::Files {
            config.tls.check(&tls);
            config.app.check(&app);
            if let Some(what) = config.own_upstream().filter(|_| app.has("url")) {
                app.problem("url", what, Some(OWN_UPSTREAM_HELP));
            }
        }
        if config.releases.root.is_some() && (app.has("url") || app.has("dir")) {
            let key = if app.has("dir") { "dir" } else { "url" };
            app.problem(key, format!("app.{key} stands beside releases.root, which says where the app is"), None);
        }
        config.check_documents(&documents, &hub);
        config.check(root, &callbacks_section);
        config
    }

    /// What is wrong where the app is looked for at an address of the door itself. Looks up names, so it blocks.
    pub fn own_upstream(&self) -> Option<String> {
        let url = self.app.url.as_ref()?;
        // Then these addresses are not opened; what is handed over is looked at when it is there.
        if std::env::var_os("LISTEN_FDS").is_some() {
            return None;
        }
        let listeners = [("listen.http", &self.listen.http), ("listen.https", &self.listen.https)];
        let listeners = listeners.into_iter().flat_map(|(key, all)| all.iter().map(move |address| (key, *address)));
        let admin = match self.admin.listen {
            admin::AdminListen::At(address) => Some(("admin.listen", address)),
            _ => None,
        };
        let (key, address) = listeners.chain(admin).find(|(_, address)| url.leads_to(*address))?;
        Some(format!("the app is looked for at {url}, where the door itself listens ({key} = \"{address}\")"))
    }

    /// The app is what `current` leads to in the root of its releases, where there is one. A release is built when it is
    /// made, never at a start.
    #[must_use]
    pub fn with_releases(mut self) -> Config {
        if let Some(root) = &self.releases.root {
            self.app.dir = Some(root.join("current"));
            (self.app.url, self.app.off, self.app.build) = (None, false, upstream::BuildPolicy::Never);
        }
        self
    }

    /// What is not wrong, and hardly meant.
    pub fn oddities(&self) -> Vec<String> {
        let mut odd = Vec::new();
        if self.tls.is_configured() && self.listen.https.is_empty() && std::env::var_os("LISTEN_FDS").is_none() {
            odd.push(
                "[tls] has a certificate, but nothing listens for https: give [listen] https an address".to_owned(),
            );
        }
        if self.realtime.protocols.liveblocks.lets_nobody_in() {
            odd.push("[realtime.liveblocks] lets nobody in: give secret_env, secret_file or public_key".to_owned());
        }
        if self.tls.domains.is_empty() && self.tls.acme != tls::AcmeConfig::default() {
            odd.push("[tls.acme] orders nothing: give [tls] domains".to_owned());
        }
        if self.tls.acme.sealing_key.is_some() && self.realtime.redis.is_none() {
            odd.push("the secret of [tls.acme] is for doors that share a Redis: give [realtime.redis] url".to_owned());
        }
        if let Some(url) = self.app.url.as_ref().filter(|_| self.app.dev) {
            odd.push(format!("[app] dev starts nothing beside url: what runs at {url} must be `next dev` itself"));
        }
        if self.app.dev && !self.cache.paths.is_empty() {
            odd.push("[cache] keeps nothing of an app in development ([app] dev)".to_owned());
        }
        odd
    }

    /// Refuses a door that asks itself.
    ///
    /// # Errors
    /// [`ConfigError::OwnUpstream`].
    pub fn not_its_own_upstream(self) -> Result<Config, ConfigError> {
        match self.own_upstream() {
            Some(what) => Err(ConfigError::OwnUpstream(format!("{what}: {OWN_UPSTREAM_HELP}"))),
            None => Ok(self),
        }
    }

    /// Documents and several doors: one of them has a room, and the others forward to it what is asked of it.
    fn check_documents(&self, documents: &Section, realtime: &Section) {
        let (store, has_redis) = (self.documents.store, self.realtime.redis.is_some());
        let has_peers = self.realtime.has_peers();
        let edits = self.realtime.edits_documents();
        if store == Some(StoreKind::Redis) && !has_redis {
            let help = "give [realtime.redis] url, or leave documents on disk";
            documents.problem("store", "documents.store is \"redis\", and there is none", Some(help));
        } else if has_redis && !has_peers && (edits || store == Some(StoreKind::Redis)) {
            let what = "documents that several doors share need realtime.redis.peer: one door has a room, and the others \
                forward to it";
            realtime.problem("redis", what, Some("as in peer = \"10.0.0.5:7443\""));
        } else if has_redis && edits && store == Some(StoreKind::Disk) {
            let what = "documents on disk are of one door: realtime.liveblocks and realtime.yjs beside realtime.redis keep \
                them there";
            documents.problem("store", what, Some("store = \"redis\", which is the default beside realtime.redis"));
        }
    }

    /// What no room can see alone.
    fn check(&self, root: &Section, callbacks: &Section) {
        if !self.listen.https.is_empty() && !self.tls.is_configured() {
            root.problem(
                "listen",
                "listen.https needs a certificate",
                Some("give [tls] certificate and key, or self_signed = true"),
            );
        }
        if self.app.off && !self.callbacks.events.is_empty() && self.callbacks.url.is_none() {
            callbacks.problem(
                "events",
                "there is no app to ask: app.url is \"off\"",
                Some("give callbacks.url where the app is, as in \"https://example.com/api/ws\""),
            );
        }
    }
}
