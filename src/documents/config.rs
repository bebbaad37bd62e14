//! The section `[documents]`: where they are, and how safe.

use std::path::PathBuf;
use std::time::Duration;

use crate::settings::{Section, keywords, state_folder};

/// Where documents are.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// In what they are kept. Default Redis where doors share one, else the disk.
    pub store: Option<StoreKind>,
    /// Their folder. Default `documents` in the state folder.
    pub dir: Option<PathBuf>,
    /// When they are forced to the disk. Default every 500 ms.
    pub sync: Sync,
}

/// In what documents are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// An embedded store on this machine's disk: of one door.
    Disk,
    /// The Redis of `[realtime.redis]`: of all doors that share it.
    Redis,
}

keywords!(StoreKind { "disk" => Disk, "redis" => Redis });

/// When what was written is forced to the disk: until then it survives the end of the process, but not of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    Every(Duration),
    /// Before anybody hears of it.
    Always,
}

impl Default for Config {
    fn default() -> Self {
        Config { store: None, dir: None, sync: Sync::Every(Duration::from_millis(500)) }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let sync: Option<String> = section.optional("sync");
        let sync = match sync.as_deref() {
            None => default.sync,
            Some("always") => Sync::Always,
            Some(time) => match humantime::parse_duration(time) {
                Ok(time) if !time.is_zero() => Sync::Every(time),
                _ => {
                    section.problem("sync", "sync is a time or \"always\"", Some("as in sync = \"500ms\""));
                    default.sync
                }
            },
        };
        Config { store: section.optional("store"), dir: section.optional("dir"), sync }
    }

    /// Their folder; `None` where nobody says one.
    pub fn folder(&self) -> Option<PathBuf> {
        self.dir.clone().or_else(|| Some(state_folder()?.join("documents")))
    }

    /// In what they are kept, where doors share a Redis or not.
    pub fn kind(&self, has_redis: bool) -> StoreKind {
        self.store.unwrap_or(if has_redis { StoreKind::Redis } else { StoreKind::Disk })
    }

    /// What only a restart takes over.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        let changed = [
            ("documents.store", self.store != started.store),
            ("documents.dir", self.dir != started.dir),
            ("documents.sync", self.sync != started.sync),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}
