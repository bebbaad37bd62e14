//! The section `[documents]`: where they are, and how safe.

use std::path::PathBuf;
use std::time::Duration;

use crate::settings::{Section, state_folder};

/// Where documents are on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Their folder. Default `documents` in the state folder.
    pub dir: Option<PathBuf>,
    /// When they are forced to the disk. Default every 500 ms.
    pub sync: Sync,
}

/// When what was written is forced to the disk: until then it survives the end of the process, but not of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    Every(Duration),
    /// Before anybody hears of it.
    Always,
}

impl Default for Config {
    fn default() -> Self {
        Config { dir: None, sync: Sync::Every(Duration::from_millis(500)) }
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
        Config { dir: section.optional("dir"), sync }
    }

    /// Their folder; `None` where nobody says one.
    pub fn folder(&self) -> Option<PathBuf> {
        self.dir.clone().or_else(|| Some(state_folder()?.join("documents")))
    }

    /// What only a restart takes over.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        let changed = [("documents.dir", self.dir != started.dir), ("documents.sync", self.sync != started.sync)];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}
