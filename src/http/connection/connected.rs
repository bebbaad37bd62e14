//! One client's connection, as those who serve its requests share it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::carrying::Carrying;
use super::interim::Interim;
use super::turns::Turns;
use crate::http::{Refusal, Settings};
use crate::listen::Peer;

/// What holds for a whole connection, and what hyper's two sides of it must tell each other.
#[derive(Debug)]
pub struct Connected {
    pub peer: Arc<Peer>,
    pub settings: Arc<Settings>,
    /// The peer is in `listen.trusted_proxies`.
    pub is_trusted: bool,
    /// `X-Forwarded-For` for a request that came straight from the peer.
    pub forwarded_for: HeaderValue,
    /// The name last asked for: a browser asks for the same one each time.
    authority: Mutex<Option<Authority>>,
    requests: Requests,
    /// Its streams of HTTP/2 that last: sockets and event streams.
    live: AtomicU32,
    /// The last request of the connection is this one by number, and it is refused.
    refused: OnceLock<(u64, Refusal)>,
    /// The answer that comes next is to a request of HTTP/1.0.
    http10: AtomicBool,
    /// HTTP/1.1: what the app has said before its answer.
    pub interim: Interim,
    /// HTTP/2: how many frames of data with nothing in them were written. HTTP/1.1: how often all that the library held was.
    /// Made when somebody first waits for one.
    written: OnceLock<watch::Sender<u64>>,
    /// HTTP/2: whose turn it is to send.
    pub turns: Turns,
    upgrade: Upgrade,
    /// HTTP/1.1 without TLS: bodies that go past the library.
    pub carrying: Carrying,
}

/// Requests that hyper has shown, and those of them whose answers have ended.
#[derive(Debug, Default)]
struct Requests {
    asked: AtomicU64,
    answered: AtomicU64,
}

/// What is known of an upgrade between its request and its answer.
#[derive(Debug, Default)]
struct Upgrade {
    /// Its request by number; 0 for none.
    request: AtomicU64,
    granted: AtomicBool,
    /// The client sent bytes before the answer.
    spoiled: AtomicBool,
}

impl Connected {
    pub fn new(peer: Peer, settings: Arc<Settings>) -> Connected {
        let address = peer.address.ip();
        let is_trusted = settings.trusted.iter().any(|net| net.contains(&address));
        let forwarded_for = HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Connected {
            peer: Arc::new(peer),
            settings,
            is_trusted,
            forwarded_for,
            authority: Mutex::default(),
            requests: Requests::default(),
            live: AtomicU32::new(0),
            refused: OnceLock::new(),
            http10: AtomicBool::new(false),
            interim: Interim::default(),
            written: OnceLock::new(),
            turns: Turns::default(),
            upgrade: Upgrade::default(),
            carrying: Carrying::default(),
        }
    }

    /// The scheme of the connection itself.
    pub fn scheme(&self) -> Scheme {
        if self.peer.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Whether bodies may go from socket to socket: nothing is to be encrypted, and the operator has not forbidden it.
    pub fn may_carry(&self) -> bool {
        self.peer.tls.is_none() && self.settings.http.zero_copy
    }

    /// The authority `text` stands for: the last one where it is the same, else what `parse` makes of it.
    pub fn authority<E>(&self, text: &[u8], parse: impl FnOnce() -> Result<Authority, E>) -> Result<Authority, E> {
        let mut last = self.authority.lock();
        if let Some(known) = last.as_ref().filter(|known| known.as_str().as_bytes() == text) {
            return Ok(known.clone());
        }
        let authority = parse()?;
        *last = Some(authority.clone());
        Ok(authority)
    }

    /// Counts a request; its number, from 1.
    pub fn ask(&self) -> u64 {
        self.requests.asked.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many requests were counted.
    pub fn asked(&self) -> u64 {
        self.requests.asked.load(Ordering::Acquire)
    }

    /// An answer has ended, whole or not.
    pub fn answer(&self) {
        self.requests.answered.fetch_add(1, Ordering::Release);
    }

    /// How many answers have ended.
    pub fn answered(&self) -> u64 {
        self.requests.answered.load(Ordering::Acquire)
    }

    /// How many requests wait for the end of their answers.
    pub fn under_way(&self) -> u64 {
        self.asked().saturating_sub(self.answered())
    }

    /// A place for a stream that lasts, until it is dropped; `None` where the connection has as many as it may.
    pub fn take_live_stream(self: &Arc<Self>) -> Option<LiveStream> {
        let most = self.settings.http.h2_max_live_streams;
        let taken =
            self.live.try_update(Ordering::Relaxed, Ordering::Relaxed, |live| (live < most).then_some(live + 1));
        taken.ok().map(|_| LiveStream(Arc::clone(self)))
    }

    /// The request by this number is refused; there is no other after it.
    pub fn refuse(&self, number: u64, refusal: Refusal) {
        let _ = self.refused.set((number, refusal));
    }

    pub fn refusal(&self, number: u64) -> Option<Refusal> {
        self.refused.get().filter(|(refused, _)| *refused == number).map(|(_, refusal)| *refusal)
    }

    /// The request that hyper has just shown is of HTTP/1.0.
    pub fn expect_http10(&self) {
        self.http10.store(true, Ordering::Relaxed);
    }

    /// Whether the next answer is to such a request; asked once. Both sides are polled by the connection's task.
    pub fn takes_http10(&self) -> bool {
        self.http10.load(Ordering::Relaxed) && self.http10.swap(false, Ordering::Relaxed)
    }

    /// All that was said so far of an answer is written to the socket: over HTTP/2 that of the stream which has just sent a
    /// frame of data with nothing in it.
    pub fn wrote_all(&self) {
        if let Some(count) = self.written.get() {
            count.send_modify(|count| *count += 1);
        }
    }

    /// Resolves when that is said the next time, or after `timeout`.
    pub fn all_written(&self, timeout: Duration) -> impl Future<Output = ()> + Send + 'static {
        let mut count = self.written.get_or_init(|| watch::Sender::new(0)).subscribe();
        let before = *count.borrow_and_update();
        async move {
            let _ = tokio::time::timeout(timeout, count.wait_for(|count| *count > before)).await;
        }
    }

    /// The request by this number asks for an upgrade.
    pub fn ask_upgrade(&self, number: u64) {
        self.upgrade.granted.store(false, Ordering::Relaxed);
        self.upgrade.request.store(number, Ordering::Release);
    }

    pub fn is_upgrade(&self, number: u64) -> bool {
        self.upgrade.request.load(Ordering::Acquire) == number
    }

    /// The upgrade is answered.
    pub fn answer_upgrade(&self, granted: bool) {
        self.upgrade.granted.store(granted, Ordering::Relaxed);
        self.upgrade.request.store(0, Ordering::Release);
    }

    /// Whether the upgrade was granted, once it is answered.
    pub fn upgrade_answer(&self) -> Option<bool> {
        let is_answered = self.upgrade.request.load(Ordering::Acquire) == 0;
        is_answered.then(|| self.upgrade.granted.load(Ordering::Relaxed))
    }

    /// Bytes came before the upgrade was answered: it must not be granted any more.
    pub fn spoil_upgrade(&self) {
        self.upgrade.spoiled.store(true, Ordering::Release);
    }

    pub fn is_upgrade_spoiled(&self) -> bool {
        self.upgrade.spoiled.load(Ordering::Acquire)
    }

    /// True when `uri` names a scheme that this connection does not have.
    pub fn contradicts_scheme(&self, uri: &Uri) -> bool {
        uri.scheme().is_some_and(|scheme| *scheme != self.scheme())
    }
}

/// One stream of HTTP/2 that lasts, counted on its connection.
#[derive(Debug)]
pub struct LiveStream(Arc<Connected>);

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}
