//! The section `[log]`.

use tracing_subscriber::filter::Targets;

use crate::settings::{Section, keywords};

/// The section `[log]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// How lines look. Default `auto`.
    pub format: Format,
    /// What is logged: a level, or directives as in `RUST_LOG` (which overrides it). Default `info`.
    pub level: String,
}

/// The look of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people on a terminal, JSON otherwise.
    Auto,
    Human,
    Json,
}

keywords!(Format { "auto" => Auto, "human" => Human, "json" => Json });

impl Default for Config {
    fn default() -> Self {
        Config { format: Format::Auto, level: "info".into() }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let level: String = section.value("level", default.level.clone());
        let level = match parse(&level) {
            Ok(_) => level,
            Err(why) => {
                let help = "a level (error, warn, info, debug, trace, off), or directives as in \"info,access=off\"";
                section.problem("level", format!("log.level cannot be understood: {why}"), Some(help));
                default.level
            }
        };
        Config { format: section.value("format", default.format), level }
    }

    /// The keys that differ from `started` and that only a restart can change.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        if self.format == started.format { Vec::new() } else { vec!["log.format"] }
    }
}

/// Reads a level or directives.
pub(super) fn parse(text: &str) -> Result<Targets, String> {
    text.parse().map_err(|error| format!("{error}"))
}
