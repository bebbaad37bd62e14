//! Who may come in, and as whom: from an accepted socket to a stream with a known peer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::metrics::{Metrics, Refusal};
use super::permits::{Permit, Permits};
use super::proxy_protocol::{self, HeaderError};
use super::{Config, Peer, ProxyProtocol, Stream, descriptors};
use crate::shares::Holder;
use crate::telemetry::{LogThrottle, Registry};
use crate::tls::{self, Acceptor, TlsError};

/// The rules and counts that all listeners share. Clones share everything.
#[derive(Debug, Clone)]
pub struct ConnectionSetup(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rules: watch::Sender<Arc<Rules>>,
    permits: Arc<Permits>,
    acceptor: Option<Acceptor>,
    descriptors: usize,
    metrics: Metrics,
    said_full: LogThrottle,
    said_address_full: LogThrottle,
    said_error: LogThrottle,
    said_plain: LogThrottle,
}

#[derive(Debug)]
struct Rules {
    config: Config,
    most: usize,
}

/// No stream, and why.
#[derive(Debug, thiserror::Error)]
pub(super) enum Turned {
    #[error("{0:?}")]
    Refused(Refusal),
    #[error(transparent)]
    Handshake(#[from] tls::Failed),
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
}

impl ConnectionSetup {
    /// Raises the limit of open files, and derives from it how many may come in. `acceptor` is for the listeners that
    /// are secure.
    pub fn new(config: &Config, acceptor: Option<Acceptor>, registry: &mut Registry) -> ConnectionSetup {
        let descriptors = descriptors::raise();
        let rules = Rules::new(config, descriptors);
        let metrics = Metrics::new(registry);
        let entrance = ConnectionSetup(Arc::new(Shared {
            permits: Permits::new(rules.most, metrics.open.clone()),
            rules: watch::Sender::new(Arc::new(rules)),
            acceptor,
            descriptors,
            metrics,
            said_full: LogThrottle::default(),
            said_address_full: LogThrottle::default(),
            said_error: LogThrottle::default(),
            said_plain: LogThrottle::default(),
        }));
        entrance.tell();
        entrance
    }

    /// How many connections are open, upgraded ones too.
    pub fn open(&self) -> i64 {
        self.0.metrics.open.get()
    }

    /// Takes over other sections of the config. Those who are in may stay.
    ///
    /// # Errors
    /// When a certificate cannot be used; then everything stays as it was.
    pub fn reload(&self, config: &Config, tls: &tls::Config) -> Result<(), TlsError> {
        if let Some(acceptor) = self.0.acceptor.as_ref().filter(|_| tls.is_configured()) {
            acceptor.reload(tls)?;
        }
        let rules = Rules::new(config, self.0.descriptors);
        let is_new = rules.most != self.rules().most;
        self.0.permits.limit(rules.most);
        self.0.rules.send_replace(Arc::new(rules));
        if is_new {
            self.tell();
        }
        Ok(())
    }

    fn tell(&self) {
        let (rules, descriptors) = (self.rules(), self.0.descriptors);
        self.0.metrics.most.set(i64::try_from(rules.most).unwrap_or(i64::MAX));
        info!(max_connections = rules.most, open_files = descriptors, "limits");
        if rules.most > descriptors::for_clients(descriptors) {
            warn!("listen.max_connections leaves few open files for the app's side: raise LimitNOFILE= or ulimit -n");
        }
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.0.rules.borrow())
    }

    /// Waits until somebody may be accepted. Cancel-safe.
    pub(super) async fn vacancy(&self) {
        let permits = &self.0.permits;
        if permits.are_all_taken() {
            self.0.metrics.paused_full.inc();
            if self.0.said_full.may() {
                warn!(max_connections = self.rules().most, "every connection is taken: new clients wait");
            }
            permits.one_free().await;
        }
    }

    /// Waits before accepting is tried again after `error`: a short while, or until a connection is closed.
    pub(super) async fn catch_breath(&self, error: &std::io::Error) {
        use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            debug!(%error, "a client left before it was accepted");
            return;
        }
        self.0.metrics.paused_error.inc();
        if self.0.said_error.may() {
            warn!(%error, open_files = self.0.descriptors, "cannot accept: trying again");
        }
        let _ = timeout(Duration::from_millis(200), self.0.permits.freed()).await;
    }

    /// Takes a permit for a connection from `address`, unless that has too many.
    pub(super) fn admit(&self, address: IpAddr, is_secure: bool) -> Result<Permit, Turned> {
        let accepted = if is_secure { &self.0.metrics.accepted_https } else { &self.0.metrics.accepted_http };
        accepted.inc();
        let mut permit = self.0.permits.take();
        let rules = self.rules();
        if rules.trusts(address) {
            return Ok(permit);
        }
        if rules.config.proxy_protocol == ProxyProtocol::Require {
            return Err(self.refuse(Refusal::Untrusted, address));
        }
        self.charge(&mut permit, address, &rules)?;
        Ok(permit)
    }

    /// Reads what comes before the first request: the PROXY header of a trusted proxy, and the TLS handshake.
    pub(super) async fn receive(
        &self,
        mut stream: TcpStream,
        mut address: SocketAddr,
        is_secure: bool,
        mut permit: Permit,
    ) -> Result<(Stream, Peer), Turned> {
        let local = canonical(stream.local_addr()?);
        let rules = self.rules();
        let speaks_for_others = rules.config.proxy_protocol != ProxyProtocol::Off && rules.trusts(address.ip());
        if speaks_for_others && let Some(client) = self.read_header(&mut stream, address.ip(), &rules).await? {
            address = canonical(client);
            if !rules.trusts(address.ip()) {
                self.charge(&mut permit, address.ip(), &rules)?;
            }
        }
        let client = if rules.trusts(address.ip()) { Holder::Trusted } else { Holder::of(address.ip()) };
        drop(rules);
        match &self.0.acceptor {
            Some(acceptor) if is_secure => {
                // Boxed: what a handshake needs is given back when it is over.
                let (stream, session) = Box::pin(acceptor.accept(stream, client)).await?;
                Ok((Stream::secure(stream, permit), Peer { address, local, tls: Some(session) }))
            }
            _ => Ok((Stream::plain(stream, permit), Peer { address, local, tls: None })),
        }
    }

    async fn read_header(
        &self,
        stream: &mut TcpStream,
        proxy: IpAddr,
        rules: &Rules,
    ) -> Result<Option<SocketAddr>, Turned> {
        let is_required = rules.config.proxy_protocol == ProxyProtocol::Require;
        let header = proxy_protocol::read(stream, is_required);
        let why = match timeout(rules.config.proxy_protocol_timeout, header).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(HeaderError::Missing)) => Refusal::HeaderMissing,
            Ok(Err(HeaderError::Malformed)) => Refusal::HeaderMalformed,
            Ok(Err(HeaderError::CutShort | HeaderError::Broken(_))) => Refusal::HeaderBroken,
            Err(_) => Refusal::HeaderTimeout,
        };
        Err(self.refuse(why, proxy))
    }

    fn charge(&self, permit: &mut Permit, address: IpAddr, rules: &Rules) -> Result<(), Turned> {
        if permit.charge(address, rules.config.max_connections_per_address) {
            return Ok(());
        }
        if self.0.said_address_full.may() {
            let help = "a load balancer belongs into listen.trusted_proxies";
            let most = rules.config.max_connections_per_address.map_or("its share".into(), |most| most.to_string());
            warn!(%address, max_connections_per_address = most, help, "an address has all connections that one may have");
        }
        Err(self.refuse(Refusal::AddressFull, address))
    }

    /// Says when somebody speaks plain HTTP to the port of https.
    pub(super) fn say_port(&self, why: &Turned, address: IpAddr) {
        if matches!(why, Turned::Handshake(tls::Failed::PlainHttp)) && self.0.said_plain.may() {
            let help = "that port speaks TLS alone: ask for https://, or a balancer before the door for TLS to it";
            warn!(%address, help, "plain HTTP was spoken to the port of https");
        }
    }

    fn refuse(&self, why: Refusal, address: IpAddr) -> Turned {
        self.0.metrics.refused(why);
        debug!(%address, reason = why.label(), "a connection is refused");
        Turned::Refused(why)
    }
}

impl Rules {
    fn new(config: &Config, descriptors: usize) -> Rules {
        let most = config.max_connections.unwrap_or_else(|| descriptors::for_clients(descriptors));
        Rules { config: config.clone(), most }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.config.trusted_proxies.iter().any(|net| net.contains(&address))
    }
}

/// On a socket for both, IPv4 addresses come in the clothes of IPv6.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
