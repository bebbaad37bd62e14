//! The keys as they are now: those of the config, read again when their files change.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::{error, info};

use super::metrics::Metrics;
use super::{Config, Grant, Keys, TokenError};
use crate::drain::Signal;
use crate::realtime::vocabulary::Rights;
use crate::settings::Live;
use crate::telemetry::Registry;

/// How often the files of keys are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Checks the tokens of clients.
pub struct Tokens {
    state: Live<TokenState>,
    pub metrics: Metrics,
}

struct TokenState {
    config: Config,
    keys: Keys,
    marks: Marks,
}

/// What tells one state of the files from another without reading them.
type Marks = [Option<(u64, u64, Option<SystemTime>)>; 3];

impl TokenState {
    fn new(config: &Config) -> Result<TokenState, String> {
        // Before they are read: a change in between is seen the next time.
        let marks = marks(config);
        let keys = Keys::new(config).map_err(|bad| format!("{}: {}", bad.setting, bad.why))?;
        Ok(TokenState { config: config.clone(), keys, marks })
    }
}

impl Tokens {
    pub fn new(config: &Config, registry: &mut Registry) -> Arc<Tokens> {
        let tokens = Tokens { state: Live::new(TokenState::none()), metrics: Metrics::new(registry) };
        tokens.reload(config);
        Arc::new(tokens)
    }

    /// Takes over another section of the config (SIGHUP), whose keys were checked when it was read. Who is in stays in,
    /// until his token expires.
    pub fn reload(&self, config: &Config) {
        match TokenState::new(config) {
            Ok(state) => self.state.set(state),
            Err(why) => error!(why, "the keys for tokens are refused, those before stay"),
        }
    }

    /// True when clients may come with tokens.
    pub fn are_in_use(&self) -> bool {
        !self.state.get().keys.is_empty()
    }

    /// The name of the query's parameter, and whether a client needs a token.
    pub fn terms(&self) -> (String, bool) {
        let config = &self.state.get().config;
        (config.parameter.clone(), config.required)
    }

    /// Checks a token: whom it names, and what it gives him from `now` on.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn check(&self, token: &str, now: Instant) -> Result<(Grant, Rights), TokenError> {
        let state = self.state.get();
        let checked = state.keys.check(token).map(|grant| {
            let rights = grant.rights(state.config.leeway, now);
            (grant, rights)
        });
        self.metrics.checked(&checked);
        checked
    }

    /// Takes over keys as their files change, until the end. It holds no guard: it serves nobody that a drain waits for.
    pub async fn follow(self: Arc<Self>, mut drain: Signal) {
        let mut refused = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = drain.ended() => return,
            }
            let state = self.state.get();
            let found = marks(&state.config);
            if found == state.marks || Some(found) == refused {
                continue;
            }
            let again = state.config.again().map_err(|error| error.to_string());
            match again.and_then(|config| TokenState::new(&config)) {
                Ok(fresh) => {
                    self.metrics.keys_taken.inc();
                    info!("the keys for tokens have changed and are taken");
                    self.state.set(fresh);
                    refused = None;
                }
                Err(why) => {
                    self.metrics.keys_refused.inc();
                    error!(why, "the keys for tokens have changed and are refused, those before stay");
                    refused = Some(found);
                }
            }
        }
    }
}

impl TokenState {
    fn none() -> TokenState {
        TokenState { config: Config::default(), keys: Keys::none(), marks: Marks::default() }
    }
}

fn marks(config: &Config) -> Marks {
    let files = &config.files;
    [&files.secret, &files.public_key, &files.jwks].map(|file| {
        let found = std::fs::metadata(file.as_ref()?).ok()?;
        Some((found.ino(), found.len(), found.modified().ok()))
    })
}
