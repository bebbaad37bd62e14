//! What is revoked at one door is so at all: told the others at once, and asked for by a door that comes, or may have missed
//! something.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::warn;

use super::apps::AblyApps;
use super::connections::Connections;
use super::machine::REVOKED;
use super::token::Revocation;
use crate::drain::Signal;
use crate::realtime::hub::{DOORS_PATIENCE, DoorQuestion, Hub};
use crate::realtime::vocabulary::{DisconnectReason, Moment};

/// Doors that have not answered are asked again after this.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What one door answers of its revocations, at most, in bytes of their targets: more than [`AblyApps`] has in all likelihood.
const MAX_ANSWERED_LEN: usize = 2 * 1024 * 1024;

/// What a door has revoked, for the others.
#[derive(Debug, Serialize, Deserialize)]
pub struct RevokedElsewhere {
    pub app: Arc<str>,
    pub key_name: Arc<str>,
    pub targets: Vec<String>,
    pub issued_before: u64,
    pub applies_at: u64,
    /// Whose connections end.
    pub clients: Vec<String>,
}

/// All that a door knows to be revoked.
#[derive(Debug, Serialize, Deserialize)]
struct RevocationsQuestion {}

#[derive(Debug, Serialize, Deserialize)]
struct KnownRevocation {
    key_name: String,
    target: String,
    issued_before: u64,
    applies_at: u64,
}

impl DoorQuestion for RevokedElsewhere {
    const KIND: &'static str = "ably.revoke";
    type Answer = ();
}

impl DoorQuestion for RevocationsQuestion {
    const KIND: &'static str = "ably.revocations";
    type Answer = Vec<KnownRevocation>;
}

impl RevokedElsewhere {
    /// Ends the connections of clients whose tokens were revoked: all that they have were issued before. Those that other
    /// targets mean find out by themselves.
    pub fn put_out(&self, hub: &Hub, connections: &Connections) {
        if self.clients.is_empty() {
            return;
        }
        let is_meant = |of: &str, key: &str, client: Option<&str>| {
            *of == *self.app
                && *key == *self.key_name
                && client.is_some_and(|client| self.clients.iter().any(|one| one == client))
        };
        for link in connections.links(is_meant) {
            let reason = "Token revoked".into();
            hub.disconnect(link, DisconnectReason::Kicked { code: Some(REVOKED), reason });
        }
    }
}

/// Starts it, where there are other doors.
pub fn start(hub: &Arc<Hub>, apps: &Arc<AblyApps>, connections: &Arc<Connections>, drain: &Signal) {
    if !hub.is_shared() {
        return;
    }
    let (revoking, connections) = (Arc::clone(apps), Arc::clone(connections));
    hub.answer_doors_by(move |hub, revoked: RevokedElsewhere| {
        for target in &revoked.targets {
            revoke(&revoking, &revoked.key_name, target, (revoked.issued_before, revoked.applies_at));
        }
        revoked.put_out(&hub, &connections);
        std::future::ready(())
    });
    let knowing = Arc::clone(apps);
    hub.answer_doors_by(move |_, _: RevocationsQuestion| std::future::ready(known(&knowing)));
    let lost = Arc::new(Notify::new());
    let losing = Arc::clone(&lost);
    hub.when_words_are_lost(move || losing.notify_one());
    let (hub, apps, mut drain) = (Arc::downgrade(hub), Arc::clone(apps), drain.clone());
    tokio::spawn(async move {
        let learning = async {
            while let Some(hub) = hub.upgrade() {
                let replies = hub.ask_doors(&RevocationsQuestion {}, DOORS_PATIENCE).await;
                drop(hub);
                let is_whole = replies.is_whole();
                for one in replies.given.into_iter().flatten() {
                    revoke(&apps, &one.key_name, &one.target, (one.issued_before, one.applies_at));
                }
                if is_whole {
                    lost.notified().await;
                } else {
                    sleep(RETRY_INTERVAL).await;
                }
            }
        };
        tokio::select! {
            () = learning => {}
            _ = drain.ended() => {}
        }
    });
}

fn revoke(apps: &AblyApps, key_name: &str, target: &str, (issued_before, applies_at): (u64, u64)) {
    // What is too much here was said to be revoked there.
    if let Err(error) = apps.revoke(key_name, target, Revocation { issued_before, applies_at }, Moment::now()) {
        warn!(error = error.message, "what another door has revoked is not revoked here");
    }
}

fn known(apps: &AblyApps) -> Vec<KnownRevocation> {
    let mut bytes = 0;
    let all = apps.revocations().into_iter().map(|(key_name, target, revocation)| {
        let Revocation { issued_before, applies_at } = revocation;
        KnownRevocation { key_name, target, issued_before, applies_at }
    });
    all.take_while(|one| {
        bytes += one.key_name.len() + one.target.len();
        bytes <= MAX_ANSWERED_LEN
    })
    .collect()
}
