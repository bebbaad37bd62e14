//! Doors that are one site have one certificate a name: one of them orders it, all show the authority what it wants to see,
//! and all take what comes of it. What lies between them is sealed.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{debug, warn};

use super::schedule::State;
use crate::telemetry::LogThrottle;
use crate::tls::Acceptor;
use crate::tls::automatic::AcmeConfig;
use crate::tls::challenges::ShownChallenge;
use crate::tls::sealing::SealingKey;

/// How long what an authority is to see is kept, where nobody takes it away.
const SHOWN_AGE: Duration = Duration::from_secs(15 * 60);

/// Names of which something is shown for other doors at once.
const MOST_SHOWN: usize = 1_000;

/// How long a certificate and what is known of its name is kept: longer than any lasts.
const KEPT_AGE: Duration = Duration::from_secs(400 * 24 * 3600);

/// So often others are asked to look, where some do not answer.
const TELLINGS: usize = 3;

/// What is asked of other doors, or of what they share.
pub type AskedOfDoors<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// It cannot be known what other doors do: what they share is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoorsAway;

/// Held by the one door that does something.
pub type DoorTurn = Box<dyn Send + Sync>;

/// The other doors of the site, and what all of them share.
pub trait OtherDoors: Send + Sync {
    /// Lets this door alone do something, until what is given is dropped; nothing where it is another's turn.
    fn claim(&self, what: String) -> AskedOfDoors<Result<Option<DoorTurn>, DoorsAway>>;

    /// What is kept for all of them.
    fn read(&self, what: String) -> AskedOfDoors<Result<Option<Bytes>, DoorsAway>>;

    /// Keeps it for all of them, for so long.
    fn keep(&self, what: String, value: Bytes, age: Duration) -> AskedOfDoors<Result<(), DoorsAway>>;

    /// Has them look at what is kept for a name; false where not all have said that they did.
    fn tell(&self, name: String) -> AskedOfDoors<bool>;
}

/// What is kept of a name.
#[derive(Serialize, Deserialize)]
pub struct KeptForAll {
    /// Its key and its chain, once there is one.
    pub certificate: Option<(String, String)>,
    pub state: State,
}

/// What the authority is to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SharedChallenge {
    Token { token: String, key_authorization: String },
    Certificate { digest: Vec<u8> },
}

/// What doors have in common for their certificates.
pub struct CommonCertificates {
    doors: Arc<dyn OtherDoors>,
    acceptor: Acceptor,
    /// What is shown for other doors, by name: [`MOST_SHOWN`] at most.
    shown: Mutex<HashMap<String, ShownForOthers>>,
    /// Another door said that there is something new.
    news: watch::Sender<u64>,
}

/// What is shown of one name, for as long as this lives.
struct ShownForOthers {
    since: Instant,
    challenges: Vec<SharedChallenge>,
    _here: Vec<ShownChallenge>,
}

impl std::fmt::Debug for CommonCertificates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CommonCertificates").finish_non_exhaustive()
    }
}

/// The same, for one name, with the key that the config has.
pub struct CommonName<'a> {
    common: &'a CommonCertificates,
    key: &'a SealingKey,
    domain: &'a str,
    /// Each authority's are others.
    kept: String,
}

impl CommonCertificates {
    pub fn new(doors: Arc<dyn OtherDoors>, acceptor: Acceptor) -> CommonCertificates {
        CommonCertificates { doors, acceptor, shown: Mutex::default(), news: watch::Sender::new(0) }
    }

    /// What one name has in common with other doors; nothing where the config has no secret for it.
    pub fn of<'a>(&'a self, config: &'a AcmeConfig, domain: &'a str) -> Option<CommonName<'a>> {
        let key = config.sealing_key.as_ref()?;
        let kept = format!("acme:{}:{}:{domain}", key.name(), config.directory.host());
        Some(CommonName { common: self, key, domain, kept })
    }

    /// Changes when another door has something new.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Another door asks to look at what is kept for a name.
    pub async fn look(&self, domain: &str) {
        let serving = self.acceptor.serving();
        // Also for a name that is not in the config here, or not yet.
        if let Some(name) = self.of(&serving.config.acme, domain) {
            let _ = name.show_what_others_do().await;
            self.news.send_modify(|news| *news += 1);
        }
    }
}

impl CommonName<'_> {
    fn shown(&self) -> String {
        format!("acme-shown:{}:{}", self.key.name(), self.domain)
    }

    /// Lets this door alone order, until what is given is dropped; nothing where another does.
    ///
    /// # Errors
    /// [`DoorsAway`].
    pub async fn claim(&self) -> Result<Option<DoorTurn>, DoorsAway> {
        self.common.doors.claim(format!("acme-order:{}", self.domain)).await
    }

    /// What is kept for all doors.
    ///
    /// # Errors
    /// [`DoorsAway`].
    pub async fn kept(&self) -> Result<Option<KeptForAll>, DoorsAway> {
        self.read(&self.kept).await
    }

    /// Keeps it, and says so to the others.
    pub async fn keep(&self, kept: &KeptForAll) {
        if self.write(&self.kept, kept, KEPT_AGE).await.is_err() {
            warn!(name = self.domain, "other doors cannot be told of the certificate: what they share is away");
            return;
        }
        self.common.doors.tell(self.domain.to_owned()).await;
    }

    /// Has all doors show it to the authority, and waits until they do, though not for long.
    pub async fn show(&self, challenges: &[SharedChallenge]) {
        if self.write(&self.shown(), &challenges, SHOWN_AGE).await.is_err() {
            warn!(name = self.domain, "other doors cannot show what the authority looks for: what they share is away");
            return;
        }
        for _ in 0..TELLINGS {
            if self.common.doors.tell(self.domain.to_owned()).await {
                return;
            }
        }
        warn!(name = self.domain, "not all other doors show what the authority looks for: it may come to one of them");
    }

    /// Has them show nothing any more.
    pub async fn hide(&self) {
        let nothing: [SharedChallenge; 0] = [];
        if self.write(&self.shown(), &nothing, SHOWN_AGE).await.is_ok() {
            self.common.doors.tell(self.domain.to_owned()).await;
        }
    }

    /// Shows what another door orders with, and no longer what it did before.
    ///
    /// # Errors
    /// [`DoorsAway`]: what is shown stays.
    pub async fn show_what_others_do(&self) -> Result<(), DoorsAway> {
        let challenges = self.read::<Vec<SharedChallenge>>(&self.shown()).await?;
        let challenges = challenges.unwrap_or_default();
        let mut shown = self.common.shown.lock();
        if shown.get(self.domain).is_some_and(|known| known.challenges == challenges) {
            return Ok(());
        }
        // First what was shown goes: it may be by the same name. So does what nobody took away.
        shown.retain(|domain, known| domain != self.domain && known.since.elapsed() < SHOWN_AGE);
        if !challenges.is_empty() && shown.len() < MOST_SHOWN {
            debug!(name = self.domain, challenges = challenges.len(), "shown for another door");
            let _here = challenges.iter().filter_map(|challenge| self.show_here(challenge)).collect();
            shown.insert(self.domain.to_owned(), ShownForOthers { since: Instant::now(), challenges, _here });
        }
        Ok(())
    }

    fn show_here(&self, challenge: &SharedChallenge) -> Option<ShownChallenge> {
        let (challenges, provider) = (self.common.acceptor.challenges(), self.common.acceptor.provider());
        match challenge {
            SharedChallenge::Token { token, key_authorization } => {
                Some(challenges.show_token(token, key_authorization))
            }
            SharedChallenge::Certificate { digest } => challenges.show_certificate(self.domain, digest, provider).ok(),
        }
    }

    async fn read<T: DeserializeOwned>(&self, what: &str) -> Result<Option<T>, DoorsAway> {
        static SAID: LogThrottle = LogThrottle::new();
        let Some(sealed) = self.common.doors.read(what.to_owned()).await? else { return Ok(None) };
        let opened = self.key.open(what, &sealed).and_then(|text| serde_json::from_slice(&text).ok());
        if opened.is_none() && SAID.may() {
            warn!(name = self.domain, "what doors share of a certificate is not what one of them has sealed");
        }
        opened.map(Some).ok_or(DoorsAway)
    }

    async fn write<T: Serialize>(&self, what: &str, value: &T, age: Duration) -> Result<(), DoorsAway> {
        let sealed = serde_json::to_vec(value).ok().and_then(|text| self.key.seal(what, &text)).ok_or(DoorsAway)?;
        self.common.doors.keep(what.to_owned(), sealed.into(), age).await
    }
}
