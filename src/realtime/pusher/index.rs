//! The apps there are, by id and by key. An app lives on when the config is read again, and its sockets with it.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::warn;

use super::Config;
use crate::realtime::dialect::pusher::App;
use crate::settings::Live;

/// Found by many, changed by a reload.
pub struct Apps(Live<Index>);

#[derive(Default)]
struct Index {
    by_id: HashMap<String, Arc<App>>,
    by_key: HashMap<String, Arc<App>>,
}

impl Apps {
    pub fn new(config: &Config) -> Apps {
        let apps = Apps(Live::new(Index::default()));
        apps.reload(config);
        apps
    }

    /// Takes over other sections. Apps that are no longer there refuse their clients from now on.
    pub fn reload(&self, config: &Config) {
        let before = self.0.get();
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
                None => App::new(section.clone()),
            };
            for key in &section.keys {
                index.by_key.insert(key.id().to_owned(), Arc::clone(&app));
            }
            index.by_id.insert(section.id.clone(), app);
        }
        for (id, app) in &before.by_id {
            if !index.by_id.contains_key(id) {
                app.reload(None);
            }
        }
        self.0.set(index);
    }

    /// True when there are none: nothing of the dialect is served.
    pub fn is_empty(&self) -> bool {
        self.0.get().by_id.is_empty()
    }

    pub fn by_key(&self, key: &str) -> Option<Arc<App>> {
        self.0.get().by_key.get(key).map(Arc::clone)
    }
}
