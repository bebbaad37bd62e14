//! The section `[files]`: what is answered from disk.

use std::path::PathBuf;
use std::time::Duration;

use crate::http::encoding::Encoding;
use crate::settings::{Section, Size};

/// The section `[files]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Answer `/_next/static` from disk where the app's folder is known. Default true.
    pub enabled: bool,
    /// The app's folder, where `[app] dir` does not name it. No default.
    pub dir: Option<PathBuf>,
    /// `distDir` of next.config, below the app's folder. Default `.next`, and where the door starts the app, where its
    /// build is.
    pub dist: PathBuf,
    /// Path prefixes answered from `public/`, before the app's `proxy.ts` and rewrites. Default none.
    pub public: Vec<String>,
    /// For the files most in demand and their compressed forms. Default 64 MiB.
    pub memory: Size,
    /// Compressed forms made of a file, once each, best first. Default br, zstd, gzip.
    pub encodings: Vec<Encoding>,
    /// How long files of earlier builds stay available. 0 s for not at all. Default 1 day.
    pub keep_previous: Duration,
    /// Where they are kept. Default a folder for each app in `static` in the state folder; where nothing can be written
    /// there, `.doorway` in the app's folder, or where that is a link `L`, `.L.doorway` beside it.
    pub keep_dir: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            enabled: true,
            dir: None,
            dist: PathBuf::from(".next"),
            public: Vec::new(),
            memory: Size::mib(64),
            encodings: vec![Encoding::Brotli, Encoding::Zstd, Encoding::Gzip],
            keep_previous: Duration::from_secs(24 * 60 * 60),
            keep_dir: None,
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let public: Vec<String> = section.value("public", default.public);
        if let Some(wrong) = public.iter().find(|prefix| !prefix.starts_with('/')) {
            section.problem("public", format!("\"{wrong}\" must begin with a slash"), Some("as in \"/images/\""));
        }
        Config {
            enabled: section.value("enabled", default.enabled),
            dir: section.optional("dir"),
            dist: section.value("dist", default.dist),
            public,
            memory: section.value("memory", default.memory),
            encodings: section.value("encodings", default.encodings),
            keep_previous: section.value("keep_previous", default.keep_previous),
            keep_dir: section.optional("keep_dir"),
        }
    }
}
