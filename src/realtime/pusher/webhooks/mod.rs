//! Webhooks: what happens in the channels, told to the app's server.
//!
//! ```text
//! hub, machines → Desk (a bounded queue) → ledger (what has been told, what waits for quiet) → post (one queue a hook)
//! ```

mod ledger;
mod post;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use super::Apps;
use crate::app::{App as NextApp, Receiver};
use crate::drain::Signal;
use crate::realtime::hub::{Hub, News, Observer};
use crate::realtime::pusher::machine::{Ear, Notice, form_of};
use crate::realtime::vocabulary::Channel;
use crate::telemetry::Registry;
use post::Post;

/// News that may wait for the ledger; more are dropped and counted, and the ledger then looks at the hub itself.
const WAITING: usize = 65_536;

/// Hears what happens and hands it on.
pub struct Desk {
    news: mpsc::Sender<Told>,
    /// Some app has a webhook, or tells its clients how many they are.
    is_wanted: AtomicBool,
    has_lost: AtomicBool,
    numbers: Numbers,
}

/// News that is kept.
#[derive(Debug)]
enum Told {
    Subscribers(Channel, usize),
    Came(Channel, Arc<str>),
    Went(Channel, Arc<str>),
    ClientEvent { channel: Channel, event: String, data: String, socket_id: String, user: Option<String> },
    CacheMiss(Channel),
}

impl Told {
    /// Somebody has gone.
    fn is_farewell(&self) -> bool {
        matches!(self, Told::Went(..) | Told::Subscribers(_, 0))
    }
}

/// What all webhooks count.
#[derive(Debug, Clone, Default)]
struct Numbers {
    delivered: Counter,
    failed: Counter,
    dropped: Counter,
}

impl Numbers {
    fn new(registry: &mut Registry) -> Numbers {
        let numbers = Numbers::default();
        let registry = registry.sub_registry_with_prefix("pusher_webhooks");
        registry.register("delivered", "Events that a receiver has accepted", numbers.delivered.clone());
        registry.register("attempts_failed", "Deliveries that will be tried again", numbers.failed.clone());
        registry.register("dropped", "Events that were never delivered", numbers.dropped.clone());
        numbers
    }
}

/// The webhooks of all apps.
pub struct Webhooks {
    desk: Arc<Desk>,
    apps: Arc<Apps>,
    posts: Arc<RwLock<Posts>>,
    app: Arc<NextApp>,
    drain: Signal,
}

/// One queue for each receiver of an app, by the app's id.
type Posts = HashMap<(String, Receiver), Arc<Post>>;

impl Webhooks {
    /// Watches `hub` and the apps from now on.
    pub fn start(
        apps: Arc<Apps>,
        hub: &Arc<Hub>,
        app: Arc<NextApp>,
        drain: Signal,
        registry: &mut Registry,
    ) -> Webhooks {
        let (news, queue) = mpsc::channel(WAITING);
        let numbers = Numbers::new(registry);
        let desk = Desk { news, is_wanted: AtomicBool::new(false), has_lost: AtomicBool::new(false), numbers };
        let desk = Arc::new(desk);
        hub.observe(vec![Arc::clone(&desk) as Arc<dyn Observer>]);
        apps.listen(Arc::clone(&desk) as Arc<dyn Ear>);
        let posts = Arc::new(RwLock::new(Posts::new()));
        let ledger = ledger::Ledger::new(Arc::clone(&apps), Arc::clone(hub), Arc::clone(&posts));
        tokio::spawn(ledger.keep(queue, Arc::clone(&desk), drain.clone()));
        let webhooks = Webhooks { desk, apps, posts, app, drain };
        webhooks.reload();
        webhooks
    }

    /// After the apps were reloaded: receivers that are new get a queue, those that are gone lose theirs.
    pub fn reload(&self) {
        let mut posts = self.posts.write();
        let mut kept = Posts::new();
        let mut is_wanted = false;
        for app in self.apps.all() {
            let settings = app.settings();
            is_wanted |= settings.subscription_counts || !settings.webhooks.is_empty();
            for hook in &settings.webhooks {
                let id = (app.id().to_owned(), hook.receiver.clone());
                let post = posts.remove(&id).unwrap_or_else(|| {
                    let way = (Arc::clone(&self.app), self.drain.clone());
                    Post::start(Arc::clone(&app), hook.receiver.clone(), way, self.desk.numbers.clone())
                });
                kept.insert(id, post);
            }
        }
        *posts = kept;
        self.desk.is_wanted.store(is_wanted, Ordering::Relaxed);
    }
}

impl Desk {
    fn put(&self, told: impl FnOnce() -> Told) {
        if self.is_wanted.load(Ordering::Relaxed) && self.news.try_send(told()).is_err() {
            self.numbers.dropped.inc();
            self.has_lost.store(true, Ordering::Relaxed);
        }
    }
}

impl Observer for Desk {
    fn hear(&self, news: &News<'_>) {
        match *news {
            News::Subscribers { channel, subscribers } if !channel.is_reserved() => {
                self.put(|| Told::Subscribers(channel.clone(), subscribers));
            }
            News::Came { channel, member } if !channel.is_reserved() => {
                self.put(|| Told::Came(channel.clone(), Arc::clone(&member.key)));
            }
            News::Went { channel, member } if !channel.is_reserved() => {
                self.put(|| Told::Went(channel.clone(), Arc::clone(&member.key)));
            }
            News::Subscribers { .. } | News::Came { .. } | News::Went { .. } => {}
        }
    }
}

impl Ear for Desk {
    fn notice(&self, notice: &Notice<'_>) {
        match *notice {
            Notice::ClientEvent { channel, event, data, socket_id, user } => self.put(|| Told::ClientEvent {
                channel: channel.clone(),
                event: event.to_owned(),
                data: form_of(data),
                socket_id: socket_id.to_owned(),
                user: user.map(str::to_owned),
            }),
            Notice::CacheMiss { channel } => self.put(|| Told::CacheMiss(channel.clone())),
        }
    }
}
