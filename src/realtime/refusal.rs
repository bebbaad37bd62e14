//! A page is told nothing of an upgrade that is refused with a status: its socket closes with 1006. Where there is a
//! close code to tell it, the socket is opened, and closed with that.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::ORIGIN;
use hyper::upgrade::OnUpgrade;
use tokio::time::timeout;

use super::Realtime;
use super::link::websocket::{self, Agreed, Offer};
use super::vocabulary::{Close, Frame};
use crate::http::{Failure, Response};

/// Sockets that are open only for this, at most: further clients get the status.
pub const MOST: usize = 256;

/// How long such a socket may take, whatever the config gives others.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client that is not let in.
#[derive(Debug)]
pub struct NotIn {
    pub failure: Failure,
    /// What its socket may be told instead.
    pub close: Option<Told>,
}

/// A close for a socket.
#[derive(Debug)]
pub struct Told {
    pub close: Close,
    /// Only pages are told so: other programs read the status.
    pub pages_only: bool,
}

impl From<Failure> for NotIn {
    fn from(failure: Failure) -> NotIn {
        NotIn { failure, close: None }
    }
}

impl From<NotIn> for Failure {
    fn from(not_in: NotIn) -> Failure {
        not_in.failure
    }
}

impl Realtime {
    /// Opens a socket to close it, where that says more than a status.
    ///
    /// # Errors
    /// The failure itself where it does not, or where too many are being told so just now.
    pub(super) fn turn_away(
        &self,
        not_in: NotIn,
        headers: &HeaderMap,
        offer: &Offer,
        upgrade: OnUpgrade,
        config: websocket::Config,
    ) -> Result<Response, Failure> {
        let NotIn { failure, close } = not_in;
        let is_page = headers.contains_key(ORIGIN);
        let Some(told) = close.filter(|told| is_page || !told.pages_only) else { return Err(failure) };
        let Ok(permit) = Arc::clone(&self.refusing).try_acquire_owned() else { return Err(failure) };
        let (agreed, guard) = (offer.agreed().cloned(), self.drain.guard());
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, say(upgrade, agreed, config, told.close)).await;
            drop((permit, guard));
        });
        Ok(offer.accept(super::upgrade::chosen(offer)))
    }
}

async fn say(upgrade: OnUpgrade, agreed: Option<Agreed>, config: websocket::Config, close: Close) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut link = websocket::open(upgraded, agreed.as_ref(), &config);
    link.push(Frame::Close(Some(close)));
    let _ = std::future::poll_fn(|context| link.poll_close(context)).await;
}
