//! Webhooks: what happens in rooms, told to the app's server.
//!
//! ```text
//! hub, records → RoomRecorder (a bounded queue) → ledger (who is there, what was told of late) → one queue a hook
//! ```
#![expect(clippy::disallowed_methods, reason = "what is put down is bounded, and ends with the drain's signal")]

mod ledger;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use self::ledger::RoomLedger;
use super::Config;
use super::hook::RoomHook;
use super::machine::known;
use super::visitors::Visitors;
use crate::callbacks::App;
use crate::drain::Signal;
use crate::realtime::hub::{Hub, HubEvent, Observer};
use crate::realtime::vocabulary::{Channel, Member, Moment};
use crate::realtime::webhooks::{HookQueues, WebhookMetrics};
use crate::settings::Live;
use crate::telemetry::Registry;

/// Occurrences that may wait for the ledger; more are dropped and counted, and the ledger then looks at the hub itself.
const MAX_OCCURRENCES: usize = 65_536;

/// Hears what happens and hands it on.
pub struct RoomRecorder {
    news: mpsc::Sender<(Occurrence, u64)>,
    /// Somebody is told of something.
    is_wanted: AtomicBool,
    has_lost: AtomicBool,
    metrics: WebhookMetrics,
}

/// What is kept of something that happened.
#[derive(Debug)]
enum Occurrence {
    Entered {
        room: Channel,
        actor: u64,
        member: Arc<Member>,
    },
    Left {
        room: Channel,
        actor: u64,
        member: Arc<Member>,
    },
    /// Its door has gone with it.
    Departed {
        room: Channel,
        actor: u64,
        member: Arc<Member>,
    },
    Edited {
        room: Channel,
        is_tree: bool,
    },
    Created {
        room: Channel,
    },
    Deleted {
        room: Channel,
    },
}

/// The webhooks of all rooms.
pub struct RoomWebhooks {
    recorder: Arc<RoomRecorder>,
    queues: Arc<HookQueues<RoomHook>>,
    app: Arc<App>,
    drain: Signal,
}

impl RoomRecorder {
    /// One, and what it hands on.
    pub fn new(registry: &mut Registry) -> (Arc<RoomRecorder>, RoomNews) {
        let (news, queue) = mpsc::channel(MAX_OCCURRENCES);
        let metrics = WebhookMetrics::new(registry, "liveblocks_webhooks");
        let recorder =
            RoomRecorder { news, is_wanted: AtomicBool::new(false), has_lost: AtomicBool::new(false), metrics };
        (Arc::new(recorder), RoomNews(queue))
    }

    /// A room has a record from now on.
    pub fn created(&self, room: &str) {
        if let Ok(room) = Channel::new(room) {
            self.put(|| Occurrence::Created { room });
        }
    }

    fn put(&self, told: impl FnOnce() -> Occurrence) {
        if self.is_wanted.load(Ordering::Relaxed) {
            self.hand_on(told());
        }
    }

    fn hand_on(&self, told: Occurrence) {
        if self.news.try_send((told, Moment::now().unix_ms)).is_err() {
            self.metrics.dropped.inc();
            self.has_lost.store(true, Ordering::Relaxed);
        }
    }
}

/// What a recorder hands on.
pub struct RoomNews(mpsc::Receiver<(Occurrence, u64)>);

impl RoomWebhooks {
    /// Watches `hub` from now on.
    pub fn start(
        (recorder, news): (Arc<RoomRecorder>, RoomNews),
        (hub, visitors): (&Arc<Hub>, &Arc<Visitors>),
        config: &Live<Config>,
        app: Arc<App>,
        drain: Signal,
    ) -> RoomWebhooks {
        hub.observe(Arc::clone(&recorder) as Arc<dyn Observer>);
        let queues = Arc::<HookQueues<_>>::default();
        let ledger = RoomLedger::new(Arc::clone(hub), Arc::clone(visitors), Arc::clone(&queues), config.clone());
        tokio::spawn(ledger.keep(news, Arc::clone(&recorder), drain.clone()));
        let webhooks = RoomWebhooks { recorder, queues, app, drain };
        webhooks.reload(&config.get());
        webhooks
    }

    /// After the section was read again: hooks that are new get a queue, those that are gone lose theirs.
    pub fn reload(&self, config: &Config) {
        let deadline = config.webhook_deadline;
        let begin = |hook: &RoomHook| hook.to.queue(&self.app, deadline, &self.drain, &self.recorder.metrics);
        self.queues.reload(&config.webhooks, begin);
        let was_wanted = self.recorder.is_wanted.swap(!config.webhooks.is_empty(), Ordering::Relaxed);
        // Who was there before is told of with the next that happens.
        self.recorder.has_lost.fetch_or(!was_wanted, Ordering::Relaxed);
    }
}

/// The number of a member in its room; `None` where it is of another protocol.
fn actor(member: &Member) -> Option<u64> {
    known(member)?.0.parse().ok()
}

impl Observer for RoomRecorder {
    fn on_event(&self, event: &HubEvent<'_>) {
        match *event {
            HubEvent::Came { channel, member, .. } => {
                if let Some(actor) = actor(member) {
                    let (room, member) = (channel.clone(), Arc::clone(member));
                    self.put(|| Occurrence::Entered { room, actor, member });
                }
            }
            HubEvent::Went { channel, member, .. } => {
                if let Some(actor) = actor(member) {
                    let (room, member) = (channel.clone(), Arc::clone(member));
                    self.put(|| Occurrence::Left { room, actor, member });
                }
            }
            HubEvent::Edited { channel, is_tree } => {
                self.put(|| Occurrence::Edited { room: channel.clone(), is_tree });
            }
            // Who is shown there leaves, whoever wants to know.
            HubEvent::Deleted { channel } => self.hand_on(Occurrence::Deleted { room: channel.clone() }),
            HubEvent::Departed { channel, member: Some(member) } => {
                if let Some(actor) = actor(member) {
                    let (room, member) = (channel.clone(), Arc::clone(member));
                    self.put(|| Occurrence::Departed { room, actor, member });
                }
            }
            HubEvent::Subscribers { .. } | HubEvent::Departed { member: None, .. } => {}
        }
    }
}
