//! The section `[app]`.

use std::path::PathBuf;

use http::Uri;

use crate::settings::Section;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// An app that runs already. Default `http://127.0.0.1:3000`, unless `dir` is given.
    pub url: Option<Uri>,
    /// Or a Next.js project to build, start and keep running. No default.
    pub dir: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Config { url: Some(Uri::from_static("http://127.0.0.1:3000")), dir: None }
    }
}

impl Config {
    /// The keys that differ from `started` and that only a restart can change.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        if self.dir == started.dir { Vec::new() } else { vec!["app.dir"] }
    }

    /// Looks at what the section names: the folder must be there.
    pub fn check(&self, section: &Section) {
        if let Some(dir) = self.dir.as_ref().filter(|dir| !dir.is_dir()) {
            section.problem("dir", format!("there is no folder {}", dir.display()), None);
        }
    }

    pub fn read(section: &Section) -> Config {
        let dir: Option<PathBuf> = section.optional("dir");
        let url = section.optional("url");
        if url.is_some() && dir.is_some() {
            section.problem("dir", "app.url and app.dir exclude each other", Some("keep the one that you mean"));
        }
        let url = if dir.is_some() { None } else { url.or(Config::default().url) };
        Config { url, dir }
    }
}
