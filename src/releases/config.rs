//! The section `[releases]`.

use std::path::PathBuf;
use std::time::Duration;

use crate::settings::{Section, Size};

/// The section `[releases]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The folder with `releases/`, `shared/` and `current`, the link to the release that runs. No default: without it
    /// the app is what `[app]` says.
    pub root: Option<PathBuf>,
    /// How many releases stay on disk, the live one among them. Default 5.
    pub keep: usize,
    /// Paths that a new release must answer below 500 before it is asked anything else. Default `/`.
    pub check: Vec<String>,
    /// A line for the shell, run in the folder of a new release before it is started. Default none.
    pub hook: Option<String>,
    /// How long the hook may take. Default 10 min.
    pub hook_timeout: Duration,
    /// How long a new release is watched once requests go to it; one that fails goes back. 0: not at all. Default 10 s.
    pub watch: Duration,
    /// Memory that must be free for a build here, in bytes; 0: any. Default 768 MiB.
    pub build_memory: Size,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            root: None,
            keep: 5,
            check: vec!["/".to_owned()],
            hook: None,
            hook_timeout: Duration::from_secs(600),
            watch: Duration::from_secs(10),
            build_memory: Size::mib(768),
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let config = Config {
            root: section.optional("root"),
            keep: section.value("keep", default.keep),
            check: section.value("check", default.check),
            hook: section.optional("hook"),
            hook_timeout: section.value("hook_timeout", default.hook_timeout),
            watch: section.value("watch", default.watch),
            build_memory: section.value("build_memory", default.build_memory),
        };
        if config.keep == 0 {
            section.problem("keep", "releases.keep must be at least 1: the release that runs", None);
        }
        for path in &config.check {
            if !path.starts_with('/') || path.parse::<http::uri::PathAndQuery>().is_err() {
                section.problem("check", format!("releases.check has {path:?}, which is no path"), Some("as in \"/\""));
            }
        }
        if config.hook_timeout.is_zero() {
            section.problem("hook_timeout", "releases.hook_timeout must be longer than 0s", None);
        }
        if config.hook.as_deref().is_some_and(|hook| hook.contains('\0')) {
            section.problem("hook", "releases.hook contains a NUL", None);
        }
        config
    }

    /// The keys that differ from `started` and that only a restart can change.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        if self.root == started.root { Vec::new() } else { vec!["releases.root"] }
    }
}
