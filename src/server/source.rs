//! Where the config comes from: a named file, the project's own `proxy.toml`, the one here, or the defaults; asked again
//! at every reload.

use std::path::PathBuf;

use super::changes::{self, Changes};
use crate::config::{Config, ConfigError};
use crate::settings;
use crate::upstream::BuildPolicy;

/// Read when no other file is named.
pub const DEFAULT_FILE: &str = "proxy.toml";

/// What the command line said about the config.
#[derive(Debug)]
pub struct Source {
    /// `--config FILE`, or a `proxy.toml` once it has been seen: from then on it must be there.
    file: Option<PathBuf>,
    /// `doorway DIR`: the app, whatever `[app]` says.
    dir: Option<PathBuf>,
    /// The text of the config that holds, and of the one that was read last.
    held: String,
    read: String,
    /// `--build`, `--no-build`.
    build: Option<BuildPolicy>,
    /// What is wrong with the project's `.env` files.
    pub complaints: Vec<String>,
}

impl Source {
    pub fn new(file: Option<PathBuf>, dir: Option<PathBuf>) -> Source {
        Source { file, dir, build: None, complaints: Vec::new(), held: String::new(), read: String::new() }
    }

    /// Whether the app is built at the start, whatever `[app]` says.
    pub fn with_build(self, build: Option<BuildPolicy>) -> Source {
        Source { build, ..self }
    }

    /// Reads the config as it is now. It holds once [`Source::hold`] was called.
    ///
    /// # Errors
    /// [`ConfigError`], with every problem at once; [`ConfigError::Emptied`] for a file that says nothing any more.
    pub fn load(&mut self) -> Result<Config, ConfigError> {
        if self.file.is_none() {
            // A project that brings its own is meant to run with it, from wherever it is started.
            let own = self.dir.as_ref().map(|dir| dir.join(DEFAULT_FILE));
            let found = own.into_iter().chain([PathBuf::from(DEFAULT_FILE)]).find(|file| file.exists());
            self.file = found;
        }
        self.complaints = self.read_variables();
        let mut config = match &self.file {
            Some(file) => {
                self.read = Config::text(file)?;
                let config = Config::load_text(file, &self.read)?;
                if changes::is_emptied(&self.held, &self.read) {
                    return Err(ConfigError::Emptied { path: file.clone() });
                }
                config
            }
            None => Config::default(),
        };
        if let Some(dir) = &self.dir {
            config.app.url = None;
            config.app.off = false;
            config.app.dir = Some(dir.clone());
        }
        if let Some(build) = self.build {
            config.app.build = build;
        }
        config.not_its_own_upstream()
    }

    /// The config that was read last holds from now on. Gives what it changes.
    pub fn hold(&mut self) -> Changes {
        let before = std::mem::replace(&mut self.held, std::mem::take(&mut self.read));
        changes::between(&before, &self.held)
    }

    /// Takes over the `.env` files of the project: in DIR, in what the file calls its folder, else beside the file. What is
    /// wrong with the file itself is said when it is read in earnest.
    fn read_variables(&self) -> Vec<String> {
        let text = self.file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        let table: toml::Table = text.parse().unwrap_or_default();
        let named = |section: &str| Some(PathBuf::from(table.get(section)?.get("dir")?.as_str()?));
        let beside = || Some(self.file.as_ref()?.parent()?.to_owned());
        let folder = self.dir.clone().or_else(|| named("app")).or_else(|| named("files")).or_else(beside);
        let is_dev = table.get("app").and_then(|app| app.get("dev")?.as_bool()).unwrap_or(false);
        settings::read_files(&folder.unwrap_or_default(), is_dev)
    }

    /// For the log: the file, or that there is none.
    pub fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| "built-in defaults".to_owned(), |file| file.display().to_string())
    }

    /// A config that a person might expect to be read, and is not: one in DIR beside `--config`, one here beside DIR's.
    pub fn overlooked(&self) -> Option<PathBuf> {
        let dir = self.dir.as_ref()?;
        let read = self.file.as_ref().and_then(|file| file.canonicalize().ok());
        let there = [dir.join(DEFAULT_FILE), PathBuf::from(DEFAULT_FILE)];
        there.into_iter().filter_map(|file| file.canonicalize().ok()).find(|file| read.as_ref() != Some(file))
    }
}
