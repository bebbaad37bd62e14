//! The section `[log]`.

use tracing_subscriber::filter::Targets;

use crate::settings::{Section, keywords, nearest};

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

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
/// Whose lines there are: `app` is what the app itself writes; the others are parts of Doorway, and crates below it.
const PARTS: [&str; 10] = ["access", "app", "panic", "log", "doorway", "h2", "hyper", "hyper_util", "tokio", "tower"];

/// Reads a level or directives. A word alone that is no level would name a part, and mute all others: it is refused.
pub(super) fn parse(text: &str) -> Result<Targets, String> {
    for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let (part, level) = match directive.split_once('=') {
            Some((part, level)) => (Some(part.trim()), level.trim()),
            None => (None, directive),
        };
        let is_level = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
        let is_bare_part = part.is_none() && is_part(level);
        if !is_level && !is_bare_part {
            return Err(unknown(level, "level", &LEVELS));
        }
        // Any crate may have lines; a word that is nearly a part is one mistyped.
        if let Some(part) = part.filter(|part| !is_part(part) && nearest(part, &PARTS).is_some()) {
            return Err(unknown(part, "part of the log", &PARTS));
        }
    }
    text.parse().map_err(|error| format!("{error}"))
}

fn is_part(word: &str) -> bool {
    PARTS.iter().any(|known| word == *known || word.strip_prefix(known).is_some_and(|rest| rest.starts_with("::")))
}

fn unknown(word: &str, kind: &str, known: &[&str]) -> String {
    let longer = known.iter().find(|known| word.to_ascii_lowercase().starts_with(**known)).copied();
    match longer.or_else(|| nearest(word, known)) {
        Some(near) => format!("{word:?} is no {kind}: did you mean {near:?}?"),
        None => format!("{word:?} is no {kind}: there are {}", known.join(", ")),
    }
}
