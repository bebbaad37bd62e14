//! Webhooks: what happens in the channels, told to the app's server.
//!
//! ```text
//! hub, machines → Recorder (a bounded queue) → ledger (what has been told, what waits for quiet) → queue (one queue a hook)
//! ```
#![expect(clippy::disallowed_methods, reason = "what is put down is bounded, and ends with the drain's signal")]

mod envelope;
mod ledger;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tokio::sync::mpsc;

use super::Apps;
use crate::callbacks::{App as NextApp, Receiver};
use crate::drain::Signal;
use crate::realtime::hub::{Hub, HubEvent, Observer};
use crate::realtime::pusher::machine::{PusherEvent, PusherListener, form_of};
use crate::realtime::vocabulary::Channel;
use crate::realtime::webhooks::{DeliveryQueue, WebhookMetrics};
use crate::telemetry::Registry;
use envelope::AppEnvelope;

/// Occurrences that may wait for the ledger; more are dropped and counted, and the ledger then looks at the hub itself.
const MAX_OCCURRENCES: usize = 65_536;

/// Hears what happens and hands it on.
pub struct Recorder {
    news: mpsc::Sender<Occurrence>,
    /// Some app has a webhook, or tells its clients how many they are.
    is_wanted: AtomicBool,
    has_lost: AtomicBool,
    metrics: WebhookMetrics,
}

/// HubEvent that is kept.
#[derive(Debug)]
enum Occurrence {
    Subscribers {
        channel: Channel,
        here: usize,
        subscribers: usize,
        elsewhere: bool,
    },
    /// A door has gone that had this member, or subscribers where there is none.
    Departed(Channel, Option<Arc<str>>),
    Came(Channel, Arc<str>),
    Went {
        channel: Channel,
        user: Arc<str>,
        elsewhere: bool,
    },
    ClientEvent {
        channel: Channel,
        event: String,
        data: String,
        socket_id: String,
        user: Option<String>,
    },
    CacheMiss(Channel),
}

impl Occurrence {
    /// Somebody has gone.
    fn is_farewell(&self) -> bool {
        match self {
            Occurrence::Went { .. } | Occurrence::Departed(..) => true,
            Occurrence::Subscribers { subscribers, .. } => *subscribers == 0,
            _ => false,
        }
    }
}

/// The webhooks of all apps.
pub struct Webhooks {
    recorder: Arc<Recorder>,
    apps: Arc<Apps>,
    queues: Arc<RwLock<DeliveryQueues>>,
    app: Arc<NextApp>,
    drain: Signal,
}

/// One queue for each receiver of an app, by the app's id.
type DeliveryQueues = HashMap<(String, Receiver), Arc<DeliveryQueue>>;

impl Webhooks {
    /// Watches `hub` and the apps from now on.
    pub fn start(
        apps: Arc<Apps>,
        hub: &Arc<Hub>,
        app: Arc<NextApp>,
        drain: Signal,
        registry: &mut Registry,
    ) -> Webhooks {
        let (news, queue) = mpsc::channel(MAX_OCCURRENCES);
        let metrics = WebhookMetrics::new(registry, "pusher_webhooks");
        let recorder = Recorder { news, is_wanted: AtomicBool::new(false), has_lost: AtomicBool::new(false), metrics };
        let recorder = Arc::new(recorder);
        hub.observe(Arc::clone(&recorder) as Arc<dyn Observer>);
        apps.listen(Arc::clone(&recorder) as Arc<dyn PusherListener>);
        let queues = Arc::new(RwLock::new(DeliveryQueues::new()));
        let ledger = ledger::Ledger::new(Arc::clone(&apps), Arc::clone(hub), Arc::clone(&queues));
        tokio::spawn(ledger.keep(queue, Arc::clone(&recorder), drain.clone()));
        let webhooks = Webhooks { recorder, apps, queues, app, drain };
        webhooks.reload();
        webhooks
    }

    /// After the apps were reloaded: receivers that are new get a queue, those that are gone lose theirs.
    pub fn reload(&self) {
        let mut queues = self.queues.write();
        let mut kept = DeliveryQueues::new();
        let mut is_wanted = false;
        for app in self.apps.all() {
            let settings = app.settings();
            is_wanted |= settings.subscription_counts || !settings.webhooks.is_empty();
            for hook in &settings.webhooks {
                let id = (app.id().to_owned(), hook.receiver.clone());
                let queue = queues.remove(&id).unwrap_or_else(|| {
                    let way = (Arc::clone(&self.app), self.drain.clone());
                    DeliveryQueue::start(
                        AppEnvelope(Arc::clone(&app)),
                        hook.receiver.clone(),
                        way,
                        self.recorder.metrics.clone(),
                    )
                });
                kept.insert(id, queue);
            }
        }
        *queues = kept;
        self.recorder.is_wanted.store(is_wanted, Ordering::Relaxed);
    }
}

impl Recorder {
    fn put(&self, told: impl FnOnce() -> Occurrence) {
        if self.is_wanted.load(Ordering::Relaxed) && self.news.try_send(told()).is_err() {
            self.metrics.dropped.inc();
            self.has_lost.store(true, Ordering::Relaxed);
        }
    }
}

impl Observer for Recorder {
    fn on_event(&self, event: &HubEvent<'_>) {
        match *event {
            HubEvent::Subscribers { channel, here, subscribers, elsewhere } if !channel.is_reserved() => {
                self.put(|| Occurrence::Subscribers { channel: channel.clone(), here, subscribers, elsewhere });
            }
            HubEvent::Departed { channel, member } if !channel.is_reserved() => {
                self.put(|| Occurrence::Departed(channel.clone(), member.map(|member| Arc::clone(member.name()))));
            }
            HubEvent::Came { channel, member, user_stays: false } if !channel.is_reserved() => {
                self.put(|| Occurrence::Came(channel.clone(), Arc::clone(member.name())));
            }
            HubEvent::Went { channel, member, user_stays: false, elsewhere } if !channel.is_reserved() => {
                let user = Arc::clone(member.name());
                self.put(|| Occurrence::Went { channel: channel.clone(), user, elsewhere });
            }
            HubEvent::Subscribers { .. }
            | HubEvent::Came { .. }
            | HubEvent::Went { .. }
            | HubEvent::Departed { .. }
            | HubEvent::Edited { .. }
            | HubEvent::Deleted { .. } => {}
        }
    }
}

impl PusherListener for Recorder {
    fn on_event(&self, event: &PusherEvent<'_>) {
        match *event {
            PusherEvent::ClientEvent { channel, event, data, socket_id, user } => {
                self.put(|| Occurrence::ClientEvent {
                    channel: channel.clone(),
                    event: event.to_owned(),
                    data: form_of(data),
                    socket_id: socket_id.to_owned(),
                    user: user.map(str::to_owned),
                })
            }
            PusherEvent::CacheMiss { channel } => self.put(|| Occurrence::CacheMiss(channel.clone())),
        }
    }
}
