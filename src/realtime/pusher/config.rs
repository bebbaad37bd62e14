//! All the apps of `[[realtime.pusher]]`.

use std::collections::HashSet;

use super::machine;
use crate::realtime::hub::policy::Demand;
use crate::settings::Section;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// In the order of the file; the first shares the names of its channels with the other dialects. Default none: the
    /// dialect is not spoken.
    pub apps: Vec<machine::Config>,
}

impl Config {
    /// Reads the sections `pusher` of `section`.
    pub fn read(section: &Section) -> Config {
        let mut config = Config::default();
        let (mut ids, mut keys, mut prefixes) = (HashSet::new(), HashSet::new(), HashSet::new());
        for section in section.sections("pusher") {
            let app = machine::Config::read(&section, config.apps.is_empty());
            if !ids.insert(app.id.clone()) {
                section.problem("id", format!("there are two apps with the id {:?}", app.id), None);
            }
            if !prefixes.insert(app.prefix.clone()) {
                section.problem("prefix", format!("two apps have the prefix {:?}", app.prefix), None);
            }
            for key in &app.keys {
                if !keys.insert(key.id().to_owned()) {
                    section.problem("key", format!("there are two keys {:?}", key.id()), None);
                }
            }
            config.apps.push(app);
        }
        config
    }

    /// What the apps need of the hub's channels.
    pub fn demands(&self) -> Vec<Demand> {
        self.apps.iter().flat_map(machine::demands).collect()
    }
}
