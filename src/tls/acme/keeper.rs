//! One name, kept in certificates for as long as the config has it: asks the schedule, and does what it says.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::{CertificateIdentifier, Error};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::account::Registrar;
use super::client::AcmeClient;
use super::metrics::AcmeMetrics;
use super::order::{OrderError, Ordering, Reachable};
use super::schedule::{Held, State, Step};
use super::sharing::CommonCertificates;
use super::store::{NameStore, StoreError};
use crate::telemetry::LogThrottle;
use crate::tls::Acceptor;
use crate::tls::automatic::AcmeConfig;

mod in_common;

/// Before the storage is looked at again that another door holds: it may be on its way out.
const LOCKED_DELAY: Duration = Duration::from_secs(10);

/// How often it is looked at what other doors have, where they say nothing.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Tries that may fail before the next one is rehearsed.
const FAILURES_BEFORE_STAGING: u32 = 2;

/// Why there is no certificate, and after how many seconds the authority wants to be asked again.
type Complaint = (OrderError, Option<u64>);

/// What all names share.
#[derive(Debug, Clone)]
pub struct Shared {
    pub acceptor: Acceptor,
    pub registrar: Arc<Registrar>,
    pub metrics: AcmeMetrics,
    pub reachable: Reachable,
    pub said_locked: Arc<LogThrottle>,
    pub said_away: Arc<LogThrottle>,
    /// Other doors of the site, where there are any.
    pub common: Option<Arc<CommonCertificates>>,
}

/// Keeps `domain` in certificates. Ends when it is dropped.
pub async fn keep(domain: String, shared: Shared) {
    let mut changes = shared.acceptor.changes();
    let mut news = shared.common.as_ref().map(|common| common.news());
    let mut state: Option<State> = None;
    loop {
        let config = changes.borrow_and_update().config.acme.clone();
        let Ok(store) = NameStore::of(&config, &domain) else {
            error!(name = domain, why = %StoreError::Nowhere, "no certificate");
            let _ = changes.changed().await;
            continue;
        };
        // Of a storage that cannot be written, what is known here counts.
        let known = state.take().or_else(|| store.state()).unwrap_or_else(|| State::new(fastrand::f64()));
        let mut keeper = Keeper { domain: &domain, shared: &shared, config, store, state: known };
        if let Some(news) = &mut news {
            news.mark_unchanged();
        }
        keeper.look_at_others().await;
        let held = keeper.known();
        let step = keeper.state.next(held.as_ref().map(|known| &known.held), now());
        let pause = match step {
            // Of the two the one that may be asked sooner.
            Step::Wait(pause) if keeper.state.is_away => {
                Some(keeper.fall_back().await.map_or(pause, |own| own.min(pause)))
            }
            Step::Wait(pause) => Some(pause),
            Step::Ask => {
                if let Some(held) = &held {
                    keeper.ask(held).await;
                }
                None
            }
            Step::Order { replaces } => {
                let replaced = held.filter(|held| replaces.as_ref() == Some(&held.held.id)).and_then(|held| held.id);
                keeper.order(replaced).await
            }
        };
        let pause = pause.map(|pause| if keeper.is_shared() { pause.min(LOOK_EVERY) } else { pause });
        let Keeper { config, state: now_known, .. } = keeper;
        let is_same = |now: &AcmeConfig| now.authority_folder() == config.authority_folder();
        if let Some(pause) = pause {
            tokio::select! {
                () = sleep(pause) => {}
                _ = changes.changed() => {}
                () = told(&mut news) => {}
            }
        }
        // Elsewhere other things are known.
        state = Some(now_known).filter(|_| is_same(&changes.borrow().config.acme));
    }
}

/// Resolves when another door has something new.
async fn told(news: &mut Option<watch::Receiver<u64>>) {
    if let Some(news) = news
        && news.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// The certificate in use.
struct Known {
    held: Held,
    /// `None` where the authority's certificates have no number that it would know (RFC 9773 section 4.1).
    id: Option<CertificateIdentifier<'static>>,
}

impl Known {
    fn read(chain: &[u8]) -> Option<Known> {
        let leaf = CertificateDer::from_pem_slice(chain).ok()?;
        let (_, parsed) = X509Certificate::from_der(&leaf).ok()?;
        let seconds = |seconds: i64| u64::try_from(seconds).unwrap_or_default();
        let validity = parsed.validity();
        let id = CertificateIdentifier::try_from(&leaf).ok().map(CertificateIdentifier::into_owned);
        let held = Held {
            id: id.as_ref().map_or_else(|| parsed.raw_serial_as_string(), ToString::to_string),
            not_before: seconds(validity.not_before.timestamp()),
            not_after: seconds(validity.not_after.timestamp()),
        };
        Some(Known { held, id })
    }
}

/// In seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// One step for one name.
struct Keeper<'a> {
    domain: &'a str,
    shared: &'a Shared,
    config: AcmeConfig,
    store: NameStore,
    state: State,
}

impl Keeper<'_> {
    /// Asks when the certificate is to be renewed.
    async fn ask(&mut self, known: &Known) {
        let chance = fastrand::f64();
        match self.advice(known).await {
            Ok((window, again)) => {
                self.state.advised(&known.held, window, Some(again), now(), chance);
                let due =
                    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(self.state.due(&known.held)));
                debug!(name = self.domain, %due, "the authority says when to renew");
            }
            Err(why) => {
                debug!(name = self.domain, why, "no advice of the authority on when to renew");
                self.state.unadvised(&known.held, now(), chance);
            }
        }
        if let Err(error) = self.store.keep_state(&self.state) {
            debug!(name = self.domain, %error, "what the authority advised is not kept");
        }
    }

    async fn advice(&self, known: &Known) -> Result<((u64, u64), u64), String> {
        let id = known.id.as_ref().ok_or("the certificate has no number that the authority would know")?;
        // Who gave it knows of it.
        let config = match self.state.is_fallback(&known.held.id) {
            true => self.config.for_fallback().ok_or("it came from a fallback that the config names no more")?,
            false => self.config.clone(),
        };
        let client = AcmeClient::new(&config)?;
        let account = self.shared.registrar.account(&config, &client).await.map_err(|error| error.to_string())?;
        let (info, again) = account.renewal_info(id).await.map_err(|error| match error {
            Error::Unsupported(what) => format!("it has no {what}"),
            error => error.to_string(),
        })?;
        let seconds = |seconds: i64| u64::try_from(seconds).unwrap_or_default();
        let window = &info.suggested_window;
        Ok(((seconds(window.start.unix_timestamp()), seconds(window.end.unix_timestamp())), again.as_secs()))
    }

    /// Orders where it is this door's turn. Gives a pause where nothing was tried.
    async fn order(&mut self, replaced: Option<CertificateIdentifier<'static>>) -> Option<Duration> {
        let turn = match self.turn().await {
            Ok(turn) => turn,
            Err(pause) => return Some(pause),
        };
        if turn.is_some() {
            // Another may have done it a moment ago.
            let before = self.held();
            self.look_at_others().await;
            let held = self.held();
            if held != before || !matches!(self.state.next(held.as_ref(), now()), Step::Order { .. }) {
                return Some(Duration::ZERO);
            }
        }
        self.order_alone(replaced).await
    }

    /// Orders, and says what became of it. Gives a pause where nothing was tried.
    async fn order_alone(&mut self, replaced: Option<CertificateIdentifier<'static>>) -> Option<Duration> {
        match self.shared.registrar.store(&self.config).await {
            Err(StoreError::Locked(folder)) => {
                if self.shared.said_locked.may() {
                    warn!(folder = %folder.display(), "another door orders certificates there: waiting for it to end");
                }
                return Some(LOCKED_DELAY);
            }
            Err(why) => {
                self.state.begin(now(), fastrand::f64());
                self.failed(&why.into(), None);
                return None;
            }
            Ok(_) => {}
        }
        self.state.begin(now(), fastrand::f64());
        // Whatever becomes of it, others do not try sooner.
        self.tell_others().await;
        let replaces = replaced.as_ref().map(ToString::to_string);
        let outcome = match self.rehearse().await {
            Ok(()) => {
                info!(name = self.domain, authority = self.config.directory.host(), "ordering a certificate");
                self.obtain(replaced).await
            }
            Err(refused) => Err(refused),
        };
        match outcome {
            Ok(()) => self.succeeded(),
            Err((OrderError::AlreadyReplaced, _)) if replaces.is_some() => {
                info!(name = self.domain, "the authority says that it is replaced already: ordering a new one");
                self.state.replaced(&replaces.unwrap_or_default());
                self.keep();
            }
            Err((why, retry_after)) => {
                // What it has looked at and refused, another one would refuse, too.
                self.state.is_away = matches!(why, OrderError::Failed(_));
                self.not_obtained(&why, retry_after).await;
            }
        }
        self.tell_others().await;
        None
    }

    /// Gets a certificate from the other authority (`tls.acme.fallback`), where this one has failed for long. What is known
    /// of that one is kept in a folder of its own; the certificate is put where ours would be. Gives the time until it may be
    /// asked, if it is to be.
    async fn fall_back(&mut self) -> Option<Duration> {
        let held = self.held();
        let is_pressing = self.state.is_pressing(held.as_ref(), now());
        let config = self.config.for_fallback().filter(|_| is_pressing)?;
        let authority = config.directory.host().to_owned();
        let store = NameStore::of(&config, self.domain).ok()?;
        let state = store.state().unwrap_or_else(|| State::new(fastrand::f64()));
        let mut other = Keeper { domain: self.domain, shared: self.shared, config, store, state };
        // One that it gave out, and that a crash kept from being taken over.
        let lasts =
            |kept: &Held| kept.not_after > now() && held.as_ref().is_none_or(|held| kept.not_after > held.not_after);
        let _turn;
        if !other.held().is_some_and(|kept| lasts(&kept)) {
            if let Step::Wait(pause) = other.state.next(None, now()) {
                return Some(pause);
            }
            _turn = match self.turn().await {
                Ok(turn) => turn,
                Err(pause) => return Some(pause),
            };
            other.state.begin(now(), fastrand::f64());
            warn!(name = self.domain, authority, "ordering a certificate from the fallback");
            if let Err((why, retry_after)) = Box::pin(other.obtain(None)).await {
                other.not_obtained(&why, retry_after).await;
                return Some(Duration::ZERO);
            }
            other.state.succeeded(now());
            other.keep();
        }
        if let Err(error) = self.store.adopt(&other.store) {
            error!(name = self.domain, %error, "the certificate of the fallback is not kept");
            return None;
        }
        self.state.fell_back(&self.held().map(|held| held.id).unwrap_or_default(), now());
        self.keep();
        self.take();
        self.tell_others().await;
        Some(Duration::ZERO)
    }

    async fn not_obtained(&mut self, why: &OrderError, retry_after: Option<u64>) {
        if matches!(why, OrderError::UnknownAccount) {
            self.shared.registrar.forget(&self.config).await;
            self.state.order = None;
        }
        self.failed(why, retry_after);
    }

    /// The certificate in use.
    fn known(&self) -> Option<Known> {
        self.store.chain().and_then(|chain| Known::read(&chain))
    }

    fn held(&self) -> Option<Held> {
        self.known().map(|known| known.held)
    }

    /// After failures the order is tried where it does not count (`tls.acme.staging`): an authority allows five a name and
    /// hour. Only what that one says of the name holds the order up.
    async fn rehearse(&mut self) -> Result<(), Complaint> {
        let Some(config) = self.config.for_staging().filter(|_| self.state.failures > FAILURES_BEFORE_STAGING) else {
            return Ok(());
        };
        let authority = config.directory.host().to_owned();
        info!(name = self.domain, authority, "trying the order where it does not count");
        let store = NameStore::of(&config, self.domain).map_err(|why| (why.into(), None))?;
        let mut state = State::new(0.0);
        // So that the same challenge is shown.
        state.failures = self.state.failures;
        let mut rehearsal = Keeper { domain: self.domain, shared: self.shared, config, store, state };
        // Kept first: a crash in it counts.
        self.store.probe().and_then(|()| self.store.keep_state(&self.state)).map_err(|error| (error.into(), None))?;
        let outcome = Box::pin(rehearsal.obtain(None)).await;
        rehearsal.store.clear();
        match outcome {
            Err((OrderError::Refused(why), retry_after)) => {
                Err((OrderError::Refused(format!("tried at {authority}: {why}")), retry_after))
            }
            Err((why, _)) => {
                warn!(name = self.domain, authority, %why, "the order cannot be tried there");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn obtain(&mut self, replaces: Option<CertificateIdentifier<'static>>) -> Result<(), Complaint> {
        // Before anything is asked for: what cannot be kept would be ordered again and again.
        let ready = self.store.probe().and_then(|()| self.store.keep_state(&self.state));
        ready.map_err(|error| (error.into(), None))?;
        let client = AcmeClient::new(&self.config).map_err(|why| (OrderError::Failed(why), None))?;
        let obtained = async {
            let account = self.shared.registrar.account(&self.config, &client).await?;
            let common = self.shared.common.as_ref().and_then(|common| common.of(&self.config, self.domain));
            let ordering = Ordering {
                common: common.as_ref(),
                domain: self.domain,
                config: &self.config,
                account: &account,
                store: &self.store,
                challenges: self.shared.acceptor.challenges(),
                provider: self.shared.acceptor.provider(),
                reachable: self.shared.reachable,
            };
            ordering.obtain(replaces, &mut self.state).await
        };
        let outcome = obtained.await;
        outcome.map_err(|error| (error, client.retry_after(SystemTime::now())))
    }

    /// What is said to have happened has been kept: a crash after it changes nothing.
    fn keep(&self) {
        if let Err(error) = self.store.keep_state(&self.state) {
            warn!(name = self.domain, %error, "what became of the order is not kept");
        }
    }

    fn succeeded(&mut self) {
        self.state.succeeded(now());
        self.keep();
        self.take();
    }

    /// A certificate has been stored: it is used from now on.
    fn take(&self) {
        self.shared.metrics.ended(self.domain, true);
        self.put_in_use();
    }

    fn put_in_use(&self) {
        match self.shared.acceptor.refresh() {
            Ok(()) => info!(name = self.domain, "the certificate is in use"),
            Err(why) => error!(name = self.domain, %why, "the new certificate is refused, the old one stays"),
        }
    }

    fn failed(&mut self, why: &OrderError, retry_after: Option<u64>) {
        match why {
            OrderError::Clock(_) => self.state.failed_by_clock(now(), fastrand::f64()),
            _ => self.state.failed(now(), retry_after, fastrand::f64()),
        }
        self.keep();
        self.shared.metrics.ended(self.domain, false);
        let held = self.held();
        let again = match self.state.next(held.as_ref(), now()) {
            Step::Wait(wait) => wait,
            _ => Duration::ZERO,
        };
        let again = humantime::format_duration(Duration::from_secs(again.as_secs())).to_string();
        let authority = self.config.directory.host();
        error!(name = self.domain, authority, %why, failures = self.state.failures, again_in = again, "no certificate");
    }
}
