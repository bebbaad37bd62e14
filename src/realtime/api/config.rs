//! The section `[api]`.

use std::path::PathBuf;
use std::time::Duration;

use super::bearer::{BearerTokens, VARIABLE};
use crate::http::path::misspelt;
use crate::settings::{Section, Size};

/// The section `[api]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the operations are. Default `/_doorway/api/v1`: Next.js has no routes that begin with an underscore, so that
    /// none of the app's is hidden.
    pub path: String,
    /// Whether they can be reached on the main listeners too, with a token. Default true.
    pub public: bool,
    /// What callers must show. Default: `DOORWAY_TOKEN`, else one made at every start, which only an app that Doorway
    /// itself starts gets to know.
    pub tokens: Option<BearerTokens>,
    /// The longest body. Default 4 MiB.
    pub max_body: Size,
    /// Messages in one batch. Default 1,000.
    pub max_batch: usize,
    /// Messages a second, of all callers together; as many at once after a pause of a second. Default 10,000.
    pub rate: u32,
    /// How many `Idempotency-Key`s are remembered, with what they were answered. Default 10,000.
    pub idempotency_keys: usize,
    /// For how long. Default 1 h.
    pub idempotency_age: Duration,
    /// And in how much memory. Default 16 MiB.
    pub idempotency_memory: Size,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            path: "/_doorway/api/v1".into(),
            public: true,
            tokens: None,
            max_body: Size::mib(4),
            max_batch: 1_000,
            rate: 10_000,
            idempotency_keys: 10_000,
            idempotency_age: Duration::from_secs(3600),
            idempotency_memory: Size::mib(16),
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let config = Config {
            path: section.value("path", default.path),
            public: section.value("public", default.public),
            tokens: tokens(section),
            max_body: section.value("max_body", default.max_body),
            max_batch: section.value("max_batch", default.max_batch),
            rate: section.value("rate", default.rate),
            idempotency_keys: section.value("idempotency_keys", default.idempotency_keys),
            idempotency_age: section.value("idempotency_age", default.idempotency_age),
            idempotency_memory: section.value("idempotency_memory", default.idempotency_memory),
        };
        let path = &config.path;
        if !path.starts_with('/') || path.len() < 2 || path.ends_with('/') || path.contains(['?', '#', '%', '*']) {
            section.problem("path", "api.path must be a path below the root", Some("as in \"/_doorway/api/v1\""));
        } else if let Some(better) = misspelt(path) {
            let help = format!("write {better:?}");
            section.problem("path", "requests are compared with api.path in another spelling", Some(&help));
        }
        for (key, number) in [
            ("max_batch", config.max_batch),
            ("rate", config.rate as usize),
            ("idempotency_keys", config.idempotency_keys),
            ("max_body", config.max_body.bytes()),
        ] {
            if number == 0 {
                section.problem(key, format!("api.{key} must be at least 1"), None);
            }
        }
        config
    }

    /// The tokens in use.
    pub fn tokens(&self) -> &BearerTokens {
        self.tokens.as_ref().unwrap_or_else(|| BearerTokens::of_this_run())
    }
}

/// `token`, or the lines of `token_file`.
fn tokens(section: &Section) -> Option<BearerTokens> {
    let inline: Option<Vec<String>> = section.optional("token");
    let file: Option<PathBuf> = section.optional("token_file");
    let (key, texts) = match (inline, file) {
        (None, None) => {
            if let Some(error) = BearerTokens::wrong_in_environment() {
                section.problem("token", format!("{VARIABLE} in the environment: {error}"), None);
            }
            return None;
        }
        (Some(texts), None) => ("token", texts),
        (None, Some(file)) => {
            let text = section.text_of("token_file", &file)?;
            ("token_file", text.lines().map(str::trim).filter(|line| !is_comment(line)).map(str::to_owned).collect())
        }
        (Some(_), Some(_)) => {
            section.problem("token_file", "api.token and api.token_file exclude each other", None);
            return None;
        }
    };
    let tokens = BearerTokens::new(&texts);
    if let Err(error) = &tokens {
        let help = format!("make one with: openssl rand -hex 32; or give it in {VARIABLE}");
        section.problem(key, format!("api.{key}: {error}"), Some(&help));
    }
    tokens.ok()
}

fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}
