//! One order, from the first question to a chain on the disk. Whatever ends it early can be gone on from, or is said.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order,
    OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{info, warn};

use super::client::ClockError;
use super::hook::DnsRecord;
use super::schedule::{OrderInHand, State};
use super::sharing::{CommonName, SharedChallenge};
use super::store::{NameStore, StoreError};
use crate::tls::automatic::{AcmeConfig, ChallengeKind};
use crate::tls::challenges::{Challenges, ShownChallenge};
use crate::tls::identity::{Identity, Pair};

/// How long an authority may take to look, and then to issue.
const POLLING: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(90));

/// Tries in a row after which an order that the authority does not show is given up: some four hours.
const MAX_RESUMES: u32 = 5;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The certificate that this one was to replace has been replaced before (RFC 9773 section 5).
    #[error("the authority says that the certificate is replaced already")]
    AlreadyReplaced,
    #[error("the authority does not know the account any more")]
    UnknownAccount,
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It has looked, in its own words: another try without a change comes to the same.
    #[error("{0}")]
    Refused(String),
    /// Nothing can be said of the authority until the clock is right.
    #[error("{0}")]
    Clock(String),
    #[error("{0}")]
    Failed(String),
}

impl From<Error> for OrderError {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Api(problem) => problem.r#type.as_deref().unwrap_or_default(),
            Error::Other(why) if why.is::<ClockError>() => return OrderError::Clock(why.to_string()),
            _ => "",
        };
        match kind.rsplit(':').next() {
            Some("alreadyReplaced") => OrderError::AlreadyReplaced,
            Some("accountDoesNotExist") => OrderError::UnknownAccount,
            _ => OrderError::Failed(error.to_string()),
        }
    }
}

/// Does it say nothing of what was asked for: only that it cannot, or does not want to, just now?
fn is_for_now(problem: &Problem) -> bool {
    let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next());
    matches!(kind, Some("serverInternal" | "rateLimited")) || problem.status.is_some_and(|status| status >= 500)
}

/// Which listeners an authority can come to.
#[derive(Debug, Clone, Copy)]
pub struct Reachable {
    pub http: bool,
    pub https: bool,
    /// Authorities look at the ports 80 and 443: only the latter is ours, as far as can be seen from here.
    pub prefers_https: bool,
}

/// What an order needs.
pub struct Ordering<'a> {
    pub domain: &'a str,
    pub config: &'a AcmeConfig,
    pub account: &'a Account,
    pub store: &'a NameStore,
    pub challenges: &'a Arc<Challenges>,
    pub provider: &'a Arc<CryptoProvider>,
    pub reachable: Reachable,
    /// The other doors, which show the same.
    pub common: Option<&'a CommonName<'a>>,
}

/// What the authority is being shown; taken away when the order is decided.
#[derive(Default)]
struct OnShow {
    here: Vec<ShownChallenge>,
    records: Vec<DnsRecord>,
}

impl Ordering<'_> {
    /// Gets a certificate and puts it in use; `replaces` is the one that it takes the place of.
    ///
    /// # Errors
    /// [`OrderError`], with the authority's own words. What can be gone on from is kept in `state`.
    pub async fn obtain(
        &self,
        replaces: Option<CertificateIdentifier<'_>>,
        state: &mut State,
    ) -> Result<(), OrderError> {
        let (mut order, generation) = match self.resume(state).await? {
            Some(resumed) => resumed,
            None => self.begin(replaces, state).await?,
        };
        let status = order.state().status;
        if status == OrderStatus::Pending {
            let mut shown = OnShow::default();
            let outcome = self.validate(&mut order, state.failures, &mut shown).await;
            if let Some(common) = self.common.filter(|_| !shown.here.is_empty()) {
                common.hide().await;
            }
            for record in shown.records {
                if let Err(why) = record.cleanup().await {
                    warn!(name = self.domain, why, "a record of dns-01 stays in the DNS");
                }
            }
            if let Err(why) = outcome {
                // One that is decided is of no more use.
                if matches!(order.refresh().await, Ok(now) if now.status == OrderStatus::Invalid) {
                    state.order = None;
                }
                return Err(why);
            }
        }
        let key =
            self.store.key(generation).ok_or_else(|| OrderError::Failed("the key of the order is gone".into()))?;
        if matches!(order.state().status, OrderStatus::Pending | OrderStatus::Ready) {
            order.finalize_csr(&self.csr(&key).map_err(|error| OrderError::Failed(error.to_string()))?).await?;
        }
        let chain = match order.poll_certificate(&POLLING).await {
            Ok(chain) => chain,
            Err(error) => {
                if order.state().status == OrderStatus::Invalid {
                    state.order = None;
                }
                return Err(error.into());
            }
        };
        self.check(&chain, &key)?;
        self.store.commit(generation, &chain)?;
        Ok(())
    }

    /// The order that an earlier try began, if it can still come to something.
    ///
    /// # Errors
    /// [`OrderError`]: the authority is not to be asked for it now. Another order would be one too many.
    async fn resume(&self, state: &mut State) -> Result<Option<(Order, u64)>, OrderError> {
        let Some(OrderInHand { url, generation }) = state.order.take() else { return Ok(None) };
        if self.store.is_live(generation) || self.store.key(generation).is_none() {
            return Ok(None);
        }
        let begun = match self.account.order(url.clone()).await {
            Err(Error::Api(problem)) if !is_for_now(&problem) => return Ok(None),
            Err(_) if state.failures > MAX_RESUMES => return Ok(None),
            begun => begun,
        };
        state.order = Some(OrderInHand { url: url.clone(), generation });
        let mut order = begun?;
        if order.state().status == OrderStatus::Invalid {
            state.order = None;
            return Ok(None);
        }
        info!(name = self.domain, order = url, "going on with an order that was begun before");
        Ok(Some((order, generation)))
    }

    async fn begin(
        &self,
        replaces: Option<CertificateIdentifier<'_>>,
        state: &mut State,
    ) -> Result<(Order, u64), OrderError> {
        let key = KeyPair::generate().map_err(|error| OrderError::Failed(error.to_string()))?;
        let identifiers = [match self.domain.parse::<IpAddr>() {
            Ok(address) => Identifier::Ip(address),
            Err(_) => Identifier::Dns(self.domain.to_owned()),
        }];
        let new = || {
            let new = NewOrder::new(&identifiers);
            match self.profile() {
                Some(profile) => new.profile(profile),
                None => new,
            }
        };
        let order = match replaces {
            None => self.account.new_order(&new()).await?,
            Some(replaces) => match self.account.new_order(&new().replaces(replaces)).await {
                // It knows nothing of replacing, or says nothing of it.
                Err(Error::Unsupported(_) | Error::Other(_)) => self.account.new_order(&new()).await?,
                order => order?,
            },
        };
        // On the disk before anything is finalised: a certificate without its key is lost.
        let generation = self.store.begin(&key.serialize_pem())?;
        state.order = Some(OrderInHand { url: order.url().to_owned(), generation });
        self.store.keep_state(state)?;
        Ok((order, generation))
    }

    /// What is asked for: one that the config names is for the authority to refuse, ours is only asked for if it is offered.
    fn profile(&self) -> Option<&str> {
        let wanted = self.config.profile_for(self.domain)?;
        let is_offered = self.account.profiles().any(|offered| offered.name == wanted);
        (is_offered || self.config.profile != "auto").then_some(wanted)
    }

    /// Shows what the authority wants to see, and waits until it has.
    async fn validate(&self, order: &mut Order, tries: u32, shown: &mut OnShow) -> Result<(), OrderError> {
        let mut authorizations = order.authorizations();
        let mut shared = Vec::new();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let offered: Vec<_> = authorization.challenges.iter().map(|challenge| challenge.r#type.clone()).collect();
            let kind = self.choose(&offered, tries).map_err(OrderError::Failed)?;
            let Some(mut challenge) = authorization.challenge(kind.clone()) else { continue };
            let key = challenge.key_authorization();
            match kind {
                ChallengeType::Http01 => {
                    shown.here.push(self.challenges.show_token(&challenge.token, key.as_str()));
                    let (token, key_authorization) = (challenge.token.clone(), key.as_str().to_owned());
                    shared.push(SharedChallenge::Token { token, key_authorization });
                }
                ChallengeType::TlsAlpn01 => {
                    let digest = key.digest();
                    let here = self.challenges.show_certificate(self.domain, digest.as_ref(), self.provider);
                    shown.here.push(here.map_err(|error| OrderError::Failed(error.to_string()))?);
                    shared.push(SharedChallenge::Certificate { digest: digest.as_ref().to_vec() });
                }
                _ => {
                    let Some(program) = &self.config.dns_hook else { continue };
                    let record = DnsRecord::present(program, self.domain, key.dns_value()).await;
                    shown.records.push(record.map_err(OrderError::Failed)?);
                }
            }
            // Whichever door the authority comes to.
            if let Some(common) = self.common.filter(|_| !shared.is_empty()) {
                common.show(&shared).await;
            }
            challenge.set_ready().await?;
        }
        let waited = order.poll_ready(&POLLING).await;
        match waited {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) | Err(Error::Api(_)) => Err(self.why_not(order, waited.err()).await),
            Err(error) => Err(error.into()),
        }
    }

    /// By the listeners and the config; after a failure the other one.
    fn choose(&self, offered: &[ChallengeType], tries: u32) -> Result<ChallengeType, String> {
        let is_wildcard = self.domain.starts_with("*.");
        let wanted = match self.config.challenge {
            ChallengeKind::Http01 => vec![ChallengeType::Http01],
            ChallengeKind::TlsAlpn01 => vec![ChallengeType::TlsAlpn01],
            ChallengeKind::Dns01 => vec![ChallengeType::Dns01],
            ChallengeKind::Auto if is_wildcard => vec![ChallengeType::Dns01],
            ChallengeKind::Auto => {
                let by_web =
                    [(ChallengeType::Http01, self.reachable.http), (ChallengeType::TlsAlpn01, self.reachable.https)];
                let mut all: Vec<_> = by_web.into_iter().filter(|(_, can)| *can).map(|(kind, _)| kind).collect();
                if self.reachable.prefers_https {
                    all.reverse();
                }
                if all.is_empty() && self.config.dns_hook.is_some() {
                    all.push(ChallengeType::Dns01);
                }
                all
            }
        };
        let possible: Vec<_> = wanted.iter().filter(|kind| offered.contains(kind)).collect();
        if possible.is_empty() {
            return Err(format!("the authority offers {offered:?} for {}, the door can do {wanted:?}", self.domain));
        }
        // The first try counts already.
        let turn = usize::try_from(tries.saturating_sub(1)).unwrap_or(0) % possible.len();
        Ok(possible[turn].clone())
    }

    /// The authority's words stand with the challenge, not with the order.
    async fn why_not(&self, order: &mut Order, error: Option<Error>) -> OrderError {
        let mut said = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let Ok(now) = authorization.refresh().await else { continue };
            said.extend(now.challenges.iter().filter_map(|challenge| {
                let problem = challenge.error.as_ref()?;
                let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or("error");
                Some(format!("{:?}: {} ({kind})", challenge.r#type, problem.detail.as_deref().unwrap_or_default()))
            }));
        }
        match (said.is_empty(), error) {
            (false, _) => OrderError::Refused(said.join("; ")),
            (true, Some(error)) => error.into(),
            (true, None) => OrderError::Failed("the authority refuses the order, and does not say why".to_owned()),
        }
    }

    fn csr(&self, key: &str) -> Result<Vec<u8>, rcgen::Error> {
        let mut params = CertificateParams::new(vec![self.domain.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&KeyPair::from_pem(key)?)?;
        Ok(request.der().to_vec())
    }

    /// Is it what was ordered?
    fn check(&self, chain: &str, key: &str) -> Result<(), OrderError> {
        let failed = |why: &dyn Display| OrderError::Failed(why.to_string());
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let certificates = certificates.map_err(|error| failed(&format!("the authority sent no chain: {error}")))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| failed(&error))?;
        let pair = Pair { certificate: "the authority's answer".into(), key: "the order's key".into() };
        let identity = Identity::new(certificates, key, &pair).map_err(|error| failed(&error))?;
        let now = SystemTime::now();
        if identity.not_after < now {
            // The order is kept: the same certificate is fetched again when the clock is right.
            let what = "the certificate that the authority sent has expired";
            return Err(OrderError::Clock(ClockError::new(what).to_string()));
        }
        if identity.not_before > now {
            // For everybody else it holds.
            let why = ClockError::new("the certificate that the authority sent is not valid yet");
            warn!(name = self.domain, %why, "it is used all the same");
        }
        Ok(())
    }
}
