//! Who is not let in, and how the client is told.
//!
//! A page is told nothing of an upgrade that is refused with a status: its socket closes with 1006. Where there is a
//! close code to tell it, the socket is opened, and closed with that.
#![expect(clippy::disallowed_methods, reason = "a socket that is rejected holds a guard")]

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::ORIGIN;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::token;
use crate::drain::Signal;
use crate::http::connection::switch::Switching;
use crate::http::{Failure, Response};
use crate::realtime::link::websocket::{self, Agreed, Offer};
use crate::realtime::vocabulary::{CloseFrame, Frame};
use crate::telemetry::Registry;

/// Sockets that are open only to be told why they are closed, at most: further clients get the status.
const MAX_REJECTED_SOCKETS: usize = 256;

/// How long such a socket may take, whatever the config gives others.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that is not let in.
#[derive(Debug)]
pub struct Rejection {
    pub failure: Failure,
    /// What its socket may be told instead.
    pub close: Option<RejectionClose>,
}

/// A close for a socket whose client is not let in.
#[derive(Debug)]
pub struct RejectionClose {
    pub close: CloseFrame,
    /// Only pages are told so: other programs read the status.
    pub pages_only: bool,
}

impl RejectionClose {
    /// A close that only pages are told.
    pub fn for_pages(code: u16, reason: &str) -> RejectionClose {
        RejectionClose { close: CloseFrame::new(code, reason), pages_only: true }
    }
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Rejection {
        Rejection { failure, close: None }
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Failure {
        rejection.failure
    }
}

/// Counts who is not let in, and tells it to them on a socket where that says more than a status.
#[derive(Debug)]
pub struct Rejections {
    by_reason: Family<RejectionReason, Counter>,
    sockets: Arc<Semaphore>,
    drain: Signal,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectionReason {
    reason: &'static str,
}

impl Rejections {
    pub fn new(drain: Signal, registry: &mut Registry) -> Rejections {
        let by_reason = Family::default();
        let help = "Clients that were not let in";
        registry.sub_registry_with_prefix("realtime").register("turned_away", help, by_reason.clone());
        Rejections { by_reason, sockets: Arc::new(Semaphore::new(MAX_REJECTED_SOCKETS)), drain }
    }

    pub fn count(&self, reason: &'static str) {
        self.by_reason.get_or_create(&RejectionReason { reason }).inc();
    }

    /// Opens a socket to close it, where that says more than a status.
    ///
    /// # Errors
    /// The failure itself where it does not, or where too many are being told so just now.
    pub fn on_socket(
        &self,
        rejection: Rejection,
        headers: &HeaderMap,
        offer: &Offer,
        upgrade: Switching,
        config: websocket::Config,
    ) -> Result<Response, Failure> {
        let Rejection { failure, close } = rejection;
        let is_page = headers.contains_key(ORIGIN);
        let Some(told) = close.filter(|told| is_page || !told.pages_only) else { return Err(failure) };
        let Ok(permit) = Arc::clone(&self.sockets).try_acquire_owned() else { return Err(failure) };
        let (agreed, guard) = (offer.agreed().cloned(), self.drain.guard());
        tokio::spawn(async move {
            let _ = timeout(CLOSE_TIMEOUT, say(upgrade, agreed, config, told.close)).await;
            drop((permit, guard));
        });
        Ok(offer.accept(token::subprotocol(offer)))
    }
}

async fn say(upgrade: Switching, agreed: Option<Agreed>, config: websocket::Config, close: CloseFrame) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut link = websocket::open(upgraded, agreed.as_ref(), &config);
    link.push(Frame::Close(Some(close)));
    let _ = std::future::poll_fn(|context| link.poll_close(context)).await;
}
