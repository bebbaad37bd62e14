//! The apps there are, by id and by key. An app lives on when the config is read again, and its sockets with it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tracing::warn;

use super::Config;
use super::config::Auth;
use super::machine::{PusherApp, PusherListener};
use crate::settings::Live;
use crate::telemetry::Registry;

/// Found by many, changed by a reload.
pub struct Apps {
    index: Live<Index>,
    requests: Family<Status, Counter>,
    listener: OnceLock<Arc<dyn PusherListener>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

#[derive(Default)]
struct Index {
    by_id: HashMap<String, Arc<PusherApp>>,
    by_key: HashMap<String, Arc<PusherApp>>,
    /// In the order of the file.
    apps: Vec<Arc<PusherApp>>,
}

impl Apps {
    pub fn new(config: &Config) -> Apps {
        let apps = Apps { index: Live::new(Index::default()), requests: Family::default(), listener: OnceLock::new() };
        apps.reload(config);
        apps
    }

    /// Takes over other sections. Apps that are no longer there refuse their clients from now on.
    pub fn reload(&self, config: &Config) {
        let before = self.index.get();
        let mut index = Index::default();
        for section in &config.apps {
            let app = match before.by_id.get(&section.id) {
                Some(app) => {
                    let mut section = section.clone();
                    let prefix = app.settings().prefix.clone();
                    if section.prefix != prefix {
                        warn!(app = section.id, "realtime.pusher.prefix has changed, but needs a restart");
                        section.prefix = prefix;
                    }
                    app.reload(Some(section));
                    Arc::clone(app)
                }
                None => PusherApp::new(section.clone()),
            };
            if let Some(listener) = self.listener.get() {
                app.listen(Arc::clone(listener));
            }
            for key in &section.keys {
                index.by_key.insert(key.id().to_owned(), Arc::clone(&app));
            }
            index.apps.push(Arc::clone(&app));
            index.by_id.insert(section.id.clone(), app);
        }
        for (id, app) in &before.by_id {
            if !index.by_id.contains_key(id) {
                app.reload(None);
            }
        }
        self.index.set(index);
    }

    /// True when there are none: nothing of the dialect is served.
    pub fn is_empty(&self) -> bool {
        self.index.get().apps.is_empty()
    }

    /// True when more than one shares the hub.
    pub fn are_several(&self) -> bool {
        self.index.get().apps.len() > 1
    }

    /// Has `listener` hear what the clients of all apps do, also of those to come.
    pub fn listen(&self, listener: Arc<dyn PusherListener>) {
        for app in self.all() {
            app.listen(Arc::clone(&listener));
        }
        let _ = self.listener.set(listener);
    }

    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests of apps' servers to the REST API of Pusher Channels, by the status of the answer";
        registry.sub_registry_with_prefix("pusher").register("requests", help, self.requests.clone());
    }

    /// Counts a request of an app's server.
    pub fn count(&self, status: u16) {
        self.requests.get_or_create(&Status { status }).inc();
    }

    /// True when Doorway itself answers what clients ask to be signed for some app.
    pub fn answers_auth(&self) -> bool {
        self.index.get().apps.iter().any(|app| app.settings().auth == Auth::Doorway)
    }

    /// In the order of the file.
    pub fn all(&self) -> Vec<Arc<PusherApp>> {
        self.index.get().apps.clone()
    }

    pub fn by_id(&self, id: &str) -> Option<Arc<PusherApp>> {
        self.index.get().by_id.get(id).map(Arc::clone)
    }

    pub fn by_key(&self, key: &str) -> Option<Arc<PusherApp>> {
        self.index.get().by_key.get(key).map(Arc::clone)
    }
}
