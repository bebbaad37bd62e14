//! What a listener for https needs to know, replaced as a whole when certificates or settings change.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use super::certificates::Certificates;
use super::challenges::Challenges;
use super::fingerprint::Fingerprint;
use super::handshake::{self, Failed};
use super::identity::{Identity, IdentityError};
use super::metrics::Metrics;
use super::self_signed::{self, SelfSignedError};
use super::stream::TlsStream;
use super::{Config, MinVersion, Session};
use crate::shares::{Holder, Shares};
use crate::telemetry::Registry;

/// Sessions of TLS 1.2 clients that know no tickets; the oldest are forgotten first.
const MAX_SESSIONS: usize = 4096;

/// Turns connections into secure ones. Clones share everything.
#[derive(Debug, Clone)]
pub struct Acceptor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    serving: watch::Sender<Arc<Serving>>,
    provider: Arc<CryptoProvider>,
    /// One for the life of the process, so that what a client was given before a reload still opens the door.
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
    /// Full, or as many as a client may have: handshakes wait in line, each until its own time-out.
    slots: Arc<Shares>,
    metrics: Metrics,
    challenges: Arc<Challenges>,
    /// Held while something is taken over: what is read again is read by the config that holds then.
    taking_over: Mutex<()>,
}

/// What holds now.
#[derive(Debug)]
pub(super) struct Serving {
    tls: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    /// Names whose first certificate is still to come, shown a placeholder.
    waiting: Vec<String>,
    pub config: Config,
    /// Of the files, taken before they were read.
    pub fingerprint: Fingerprint,
}

/// TLS cannot be had, or not in the new way.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    SelfSigned(#[from] SelfSignedError),
    #[error("no certificate is named in [tls]")]
    NoCertificate,
    /// With the times between which it is none.
    #[error("{why}")]
    Outdated { why: String, valid: RangeInclusive<SystemTime> },
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl Acceptor {
    /// Reads the certificates.
    ///
    /// # Errors
    /// [`TlsError`], naming the file at fault. An expired certificate is only logged: an old one is better than none.
    pub(super) fn build(config: &Config, registry: &mut Registry) -> Result<Acceptor, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tickets = Ticketer::new()?;
        let sessions: Arc<dyn StoresServerSessions> = ServerSessionMemoryCache::new(MAX_SESSIONS);
        let serving = Serving::build(config, None, &provider, &tickets, &sessions)?;
        let shared = Shared {
            serving: watch::Sender::new(Arc::new(serving)),
            provider,
            tickets,
            sessions,
            slots: Shares::new("tls.max_handshakes", config.max_handshakes),
            metrics: Metrics::new(registry),
            challenges: Arc::default(),
            taking_over: Mutex::default(),
        };
        let acceptor = Acceptor(Arc::new(shared));
        acceptor.taken(&acceptor.serving());
        Ok(acceptor)
    }

    /// Takes over another section of the config, and reads the certificates again. Connections stay as they are.
    ///
    /// # Errors
    /// [`TlsError`]; then everything stays as it was.
    pub fn reload(&self, config: &Config) -> Result<(), TlsError> {
        let _taking_over = self.0.taking_over.lock();
        self.take_over(config)
    }

    /// Reads the certificates again, by the config as it is.
    ///
    /// # Errors
    /// [`TlsError`]; then everything stays as it was.
    pub(super) fn refresh(&self) -> Result<(), TlsError> {
        let _taking_over = self.0.taking_over.lock();
        self.take_over(&self.serving().config)
    }

    fn take_over(&self, config: &Config) -> Result<(), TlsError> {
        let old = self.serving();
        let built = Serving::build(config, Some(&old), &self.0.provider, &self.0.tickets, &self.0.sessions);
        match built.and_then(|new| new.no_worse_than(&old)) {
            Ok(new) => {
                let new = Arc::new(new);
                self.taken(&new);
                self.0.serving.send_replace(new);
                self.0.metrics.loads.inc();
                Ok(())
            }
            Err(error) => {
                self.0.metrics.refusals.inc();
                Err(error)
            }
        }
    }

    /// Does the handshake with `client`, within its time-out.
    ///
    /// # Errors
    /// [`Failed`]; it has been counted.
    pub async fn accept(&self, mut stream: TcpStream, client: Holder) -> Result<(TlsStream, Session), Failed> {
        let serving = self.serving();
        let (begun, metrics) = (Instant::now(), &self.0.metrics);
        let handshake = async {
            handshake::begin(&mut stream).await?;
            let _slot = self.0.slots.take(client).await;
            let _under_way = UnderWay::new(metrics);
            if self.0.challenges.has_certificates()
                && let Some(config) = handshake::challenge(&stream, &self.0.challenges)
            {
                return handshake::show(stream, config).await;
            }
            handshake::complete(stream, Arc::clone(&serving.tls)).await
        };
        let outcome =
            timeout_at(begun + serving.config.handshake_timeout, handshake).await.unwrap_or(Err(Failed::Timeout));
        match &outcome {
            Ok((stream, _)) => {
                let agreed = stream.agreed();
                metrics.done(agreed.protocol_version(), agreed.handshake_kind(), begun.elapsed());
            }
            Err(Failed::Challenge) => {}
            Err(why) => metrics.failed(why),
        }
        outcome
    }

    pub(super) fn serving(&self) -> Arc<Serving> {
        Arc::clone(&self.0.serving.borrow())
    }

    /// What authorities are shown now.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.0.challenges
    }

    pub(super) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.0.provider
    }

    /// How many whole days each certificate is still valid, by what people call it.
    pub fn days_left(&self) -> BTreeMap<String, u64> {
        let now = SystemTime::now();
        let days = |identity: &Identity| identity.not_after.duration_since(now).unwrap_or_default().as_secs() / 86_400;
        let serving = self.serving();
        let identities = serving.real().iter();
        identities.map(|identity| (identity.label.clone(), days(identity))).collect()
    }

    /// A sentence for each certificate that browsers refuse, or soon will, and for each name that has none yet.
    pub fn warnings(&self) -> Vec<String> {
        let (now, serving) = (SystemTime::now(), self.serving());
        let waiting = serving.waiting.iter().map(|name| format!("{name} waits for its first certificate"));
        serving.real().iter().filter_map(|identity| identity.warning(now)).chain(waiting).collect()
    }

    /// For whoever follows the files that the config names.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Serving>> {
        self.0.serving.subscribe()
    }

    fn taken(&self, serving: &Serving) {
        self.0.challenges.wait_for(serving.waiting.clone(), serving.real().is_empty());
        self.0.metrics.certificates(serving.real());
        for identity in serving.real() {
            let expires = humantime::format_rfc3339_seconds(identity.not_after).to_string();
            info!(certificate = identity.label, names = identity.names.join(" "), expires, "certificate");
        }
        if serving.config.self_signed {
            warn!("the certificate is self-signed: for development only, browsers will warn of it");
        }
        serving.complain();
    }
}

/// Counts a handshake for as long as it lives, also when it is cut short.
struct UnderWay<'a>(&'a Metrics);

impl<'a> UnderWay<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.under_way.inc();
        UnderWay(metrics)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.dec();
    }
}

impl Serving {
    fn build(
        config: &Config,
        old: Option<&Serving>,
        provider: &Arc<CryptoProvider>,
        tickets: &Arc<dyn ProducesTickets>,
        sessions: &Arc<dyn StoresServerSessions>,
    ) -> Result<Serving, TlsError> {
        let fingerprint = Fingerprint::of(config);
        let mut identities = config.pairs().iter().map(Identity::load).collect::<Result<Vec<_>, _>>()?;
        if config.self_signed {
            identities.push(match old.and_then(|old| old.made_for(config)) {
                Some(made) => made.clone(),
                None => self_signed::identity(&config.self_signed_names)?,
            });
        }
        let mut waiting = Vec::new();
        for (domain, pair) in config.ordered() {
            match Identity::load(&pair) {
                Ok(identity) => identities.push(Identity { label: domain, ..identity }),
                Err(why) => match old.and_then(|old| old.ordered(&domain)) {
                    Some(kept) => {
                        error!(name = domain, %why, "the ordered certificate cannot be read, the old one stays");
                        identities.push(kept.clone());
                    }
                    None => {
                        if !why.is_missing() {
                            error!(name = domain, %why, "the ordered certificate cannot be read: another is ordered");
                        }
                        waiting.push(domain);
                    }
                },
            }
        }
        // Last, so that nobody is shown it who can be shown another one by default.
        if !waiting.is_empty() {
            identities.push(self_signed::placeholder(&waiting)?);
        }
        let certificates = Arc::new(Certificates::new(identities).ok_or(TlsError::NoCertificate)?);
        let versions: &[_] = match config.min_version {
            MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let mut tls = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as _);
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        tls.ticketer = Arc::clone(tickets);
        tls.session_storage = Arc::clone(sessions);
        // Early data can be replayed by whoever saw it (RFC 8446 section 8): never accepted.
        tls.max_early_data_size = 0;
        Ok(Serving { tls: Arc::new(tls), certificates, waiting, config: config.clone(), fingerprint })
    }

    /// All but the placeholder.
    fn real(&self) -> &[Identity] {
        let identities = self.certificates.identities();
        &identities[..identities.len() - usize::from(!self.waiting.is_empty())]
    }

    /// The certificate that was ordered for `domain`.
    fn ordered(&self, domain: &str) -> Option<&Identity> {
        let is_ordered = self.config.domains.iter().any(|known| known == domain);
        self.real().iter().rev().find(|identity| is_ordered && identity.label == domain)
    }

    /// The self-signed certificate, when it would be made for the same names again.
    fn made_for(&self, config: &Config) -> Option<&Identity> {
        let is_same = self.config.self_signed && self.config.self_signed_names == config.self_signed_names;
        self.real().iter().find(|identity| is_same && identity.label == self_signed::LABEL)
    }

    /// Refuses an expired certificate in place of one that is not.
    fn no_worse_than(self, old: &Serving) -> Result<Serving, TlsError> {
        let now = SystemTime::now();
        if old.certificates.identities().iter().any(|identity| identity.complaint(now).is_some()) {
            return Ok(self);
        }
        // One that was ordered and is not valid yet was given out just now: what is wrong is the clock here.
        let is_early = |identity: &Identity| identity.not_before > now && self.config.domains.contains(&identity.label);
        let outdated =
            self.certificates.identities().iter().filter(|identity| !is_early(identity)).find_map(|identity| {
                let valid = identity.not_before..=identity.not_after;
                identity.complaint(now).map(|why| TlsError::Outdated { why, valid })
            });
        outdated.map_or(Ok(self), Err)
    }

    /// Logs which certificates have expired or soon will.
    pub fn complain(&self) {
        let now = SystemTime::now();
        for identity in self.real() {
            match (identity.complaint(now), identity.time_left(now)) {
                (Some(complaint), _) => error!("{complaint}: clients will refuse it"),
                (None, Some(left)) => {
                    let left = humantime::format_duration(Duration::from_secs(left.as_secs() / 3600 * 3600));
                    warn!(certificate = identity.label, %left, "a certificate expires soon");
                }
                (None, None) => {}
            }
        }
    }
}
