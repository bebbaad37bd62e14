//! The section `[realtime.tokens]`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Keys;
use crate::settings::Section;

#[derive(Clone, PartialEq)]
pub struct Config {
    /// Refuse clients without a token. Default false.
    pub required: bool,
    /// The query parameter that carries it, since a browser's WebSocket has no headers. Default `token`.
    pub parameter: String,
    /// For HS256: at least 32 bytes. No default.
    pub secret: Option<String>,
    /// For RS256, ES256 or EdDSA: the PEM text of the public key (`public_key` names its file). No default.
    pub public_key: Option<String>,
    /// The text of a JWKS (`jwks` names its file). No default.
    pub jwks: Option<String>,
    /// What `aud` must be, where it is set. No default.
    pub audience: Option<String>,
    /// What `iss` must be, where it is set. No default.
    pub issuer: Option<String>,
    /// How far two clocks may differ. Default 5 s.
    pub leeway: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            required: false,
            parameter: "token".into(),
            secret: None,
            public_key: None,
            jwks: None,
            audience: None,
            issuer: None,
            leeway: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the secret.
        formatter.debug_struct("Config").field("required", &self.required).finish_non_exhaustive()
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let secret = section.optional("secret");
        let secret_file = file(section, "secret_file");
        if secret.is_some() && secret_file.is_some() {
            section.problem("secret_file", "realtime.tokens.secret and secret_file exclude each other", None);
        }
        let config = Config {
            required: section.value("required", default.required),
            parameter: section.value("parameter", default.parameter),
            secret: secret.or(secret_file.map(|text| text.trim_end().to_owned())),
            public_key: file(section, "public_key"),
            jwks: file(section, "jwks"),
            audience: section.optional("audience"),
            issuer: section.optional("issuer"),
            leeway: section.value("leeway", default.leeway),
        };
        match Keys::new(&config) {
            Err(bad) => section.problem(bad.setting, format!("realtime.tokens.{}: {}", bad.setting, bad.why), None),
            Ok(keys) if config.required && keys.is_empty() => {
                let help = Some("give secret, secret_file, public_key or jwks");
                section.problem("required", "realtime.tokens.required needs a key to check tokens with", help);
            }
            Ok(_) => {}
        }
        config
    }
}

/// The text of the file that `key` names.
fn file(section: &Section, key: &'static str) -> Option<String> {
    let path: PathBuf = section.optional(key)?;
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            section.problem(key, format!("cannot read {}: {error}", path.display()), None);
            None
        }
    }
}
