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
