//! Where the config comes from: a named file, `./proxy.toml`, or the defaults; asked again at every reload.

use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError};

/// Read when no other file is named.
pub const DEFAULT_FILE: &str = "proxy.toml";

/// What the command line said about the config.
#[derive(Debug)]
pub struct Source {
    /// `--config FILE`, or `./proxy.toml` once it has been seen: from then on it must be there.
    file: Option<PathBuf>,
    /// `doorway DIR`: the app, whatever `[app]` says.
    dir: Option<PathBuf>,
}

impl Source {
    pub fn new(file: Option<PathBuf>, dir: Option<PathBuf>) -> Source {
        Source { file, dir }
    }

    /// Reads the config as it is now.
    ///
    /// # Errors
    /// [`ConfigError`], with every problem at once.
    pub fn load(&mut self) -> Result<Config, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        if self.file.is_none() && default.exists() {
            self.file = Some(default.to_owned());
        }
        let mut config = match &self.file {
            Some(file) => Config::load(file)?,
            None => Config::default(),
        };
        if let Some(dir) = &self.dir {
            config.app.url = None;
            config.app.dir = Some(dir.clone());
        }
        Ok(config)
    }

    /// For the log: the file, or that there is none.
    pub fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| "built-in defaults".to_owned(), |file| file.display().to_string())
    }

    /// A config in DIR that a person might expect to be read, and is not.
    pub fn overlooked(&self) -> Option<PathBuf> {
        let there = self.dir.as_ref()?.join(DEFAULT_FILE).canonicalize().ok()?;
        let read = self.file.as_ref().and_then(|file| file.canonicalize().ok());
        (read.as_ref() != Some(&there)).then_some(there)
    }
}
