//! The section `[realtime.tokens]`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::settings::{self, Section};

/// The section `[realtime.tokens]`.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Refuse clients without a token. Default false.
    pub required: bool,
    /// The query parameter that carries it, since a browser's WebSocket has no headers. Default `token`.
    pub parameter: String,
    /// For HS256: at least 32 bytes. Default `DOORWAY_JWT_SECRET`, where that is set.
    pub secret: Option<String>,
    /// For RS256, ES256 or EdDSA: the PEM text of the public key (`public_key` names its file). No default.
    pub public_key: Option<String>,
    /// The text of a JWKS (`jwks` names its file). No default.
    pub jwks: Option<String>,
    /// Where they were read from: looked at again now and then.
    pub files: Files,
    /// What `aud` must be, where it is set. No default.
    pub audience: Option<String>,
    /// What `iss` must be, where it is set. No default.
    pub issuer: Option<String>,
    /// How far two clocks may differ. Default 5 s.
    pub leeway: Duration,
}

/// The files that keys came from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Files {
    pub secret: Option<PathBuf>,
    pub public_key: Option<PathBuf>,
    pub jwks: Option<PathBuf>,
}

/// Where the secret may also come from.
const VARIABLE: &str = "DOORWAY_JWT_SECRET";

impl Default for Config {
    fn default() -> Self {
        Config {
            required: false,
            parameter: "token".into(),
            secret: None,
            public_key: None,
            jwks: None,
            files: Files::default(),
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
        let files = Files {
            secret: section.optional("secret_file"),
            public_key: section.optional("public_key"),
            jwks: section.optional("jwks"),
        };
        let secret = section.optional("secret");
        if secret.is_some() && files.secret.is_some() {
            section.problem("secret_file", "realtime.tokens.secret and secret_file exclude each other", None);
        }
        let in_file = text(section, "secret_file", files.secret.as_deref()).map(|text| text.trim_end().to_owned());
        let config = Config {
            required: section.value("required", default.required),
            parameter: section.value("parameter", default.parameter),
            secret: secret.or(in_file).or_else(|| settings::variable(VARIABLE)),
            public_key: text(section, "public_key", files.public_key.as_deref()),
            jwks: text(section, "jwks", files.jwks.as_deref()),
            files,
            audience: section.optional("audience"),
            issuer: section.optional("issuer"),
            leeway: section.value("leeway", default.leeway),
        };
        if config.parameter.is_empty()
            || !config.parameter.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            section.problem("parameter", "realtime.tokens.parameter must be a name of letters, digits, - and _", None);
        }
        config
    }
}

/// The text of the file that `key` names.
fn text(section: &Section, key: &'static str, path: Option<&Path>) -> Option<String> {
    section.text_of(key, path?)
}

impl Config {
    /// The same with the keys that the files hold now.
    ///
    /// # Errors
    /// That of the first file that cannot be read.
    pub fn again(&self) -> std::io::Result<Config> {
        let read = |path: &Option<PathBuf>, before: &Option<String>| match path {
            Some(path) => settings::read_text(path).map(Some),
            None => Ok(before.clone()),
        };
        let secret = read(&self.files.secret, &self.secret)?.map(|text| text.trim_end().to_owned());
        let (public_key, jwks) = (read(&self.files.public_key, &self.public_key)?, read(&self.files.jwks, &self.jwks)?);
        Ok(Config { secret, public_key, jwks, ..self.clone() })
    }
}
