//! Webhooks of documents, whoever edits them: that a channel's tree or its documents of Yjs have changed, or are gone.
#![expect(clippy::disallowed_methods, reason = "what is put down is bounded, and ends with the drain's signal")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Changes, HookQueues, SignedReceiver, WebhookMetrics};
use crate::callbacks::App;
use crate::drain::Signal;
use crate::realtime::hub::{Hub, HubEvent, Observer};
use crate::realtime::vocabulary::{Channel, Moment};
use crate::settings::{Live, Pattern, Section};
use crate::telemetry::Registry;

/// Occurrences that may wait for their turn; more are dropped and counted.
const MAX_OCCURRENCES: usize = 65_536;
/// How often what waits is looked at.
const TICK_INTERVAL: Duration = Duration::from_millis(100);
/// Occurrences that are taken at a time.
const MAX_BATCH: usize = 256;

/// The keys of `[realtime.documents]` that are about webhooks.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Who is told that documents have changed. Default nobody.
    pub webhooks: Vec<DocumentHook>,
    /// How often at most that is told of one document. Default 10 s.
    pub throttle: Duration,
    /// How long it is tried to deliver an event. Default 1 hour.
    pub deadline: Duration,
}

/// One receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentHook {
    pub to: SignedReceiver,
    /// Of which channels it is told; `*` stands for any characters. Default all.
    pub channels: Vec<Pattern>,
}

impl Default for Config {
    fn default() -> Self {
        let (throttle, deadline) = (Duration::from_secs(10), Duration::from_secs(3600));
        Config { webhooks: Vec::new(), throttle, deadline }
    }
}

impl Config {
    /// Reads them out of `[realtime.documents]`.
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let hook = |section: &Section| {
            let channels = section.value("channels", vec![Pattern::new("*")]);
            Some(DocumentHook { to: SignedReceiver::read(section, "/api/documents")?, channels })
        };
        Config {
            webhooks: section.sections("webhooks").iter().filter_map(hook).collect(),
            throttle: section.value("webhook_throttle", default.throttle),
            deadline: section.value("webhook_deadline", default.deadline),
        }
    }
}

/// What is kept of something that happened.
#[derive(Debug)]
enum Occurrence {
    Changed(Document),
    Deleted(Channel),
}

/// A channel's tree, or its documents of Yjs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Document {
    channel: Channel,
    is_tree: bool,
}

struct Recorder {
    news: mpsc::Sender<(Occurrence, u64)>,
    is_wanted: AtomicBool,
    metrics: WebhookMetrics,
}

/// The webhooks of documents.
pub struct DocumentWebhooks {
    recorder: Arc<Recorder>,
    queues: Arc<HookQueues<DocumentHook>>,
    config: Live<Config>,
    app: Arc<App>,
    drain: Signal,
}

impl DocumentWebhooks {
    /// Watches `hub` from now on.
    pub fn start(
        config: &Config,
        hub: &Hub,
        app: &Arc<App>,
        drain: &Signal,
        registry: &mut Registry,
    ) -> DocumentWebhooks {
        let (news, queue) = mpsc::channel(MAX_OCCURRENCES);
        let metrics = WebhookMetrics::new(registry, "document_webhooks");
        let recorder = Arc::new(Recorder { news, is_wanted: AtomicBool::new(false), metrics });
        hub.observe(Arc::clone(&recorder) as Arc<dyn Observer>);
        let (queues, config) = (Arc::<HookQueues<_>>::default(), Live::new(config.clone()));
        let teller = Teller { queues: Arc::clone(&queues), config: config.clone(), changes: Changes::default() };
        tokio::spawn(teller.keep(queue, drain.clone()));
        let webhooks = DocumentWebhooks { recorder, queues, config, app: Arc::clone(app), drain: drain.clone() };
        webhooks.reload(&webhooks.config.get());
        webhooks
    }

    /// After the section was read again: hooks that are new get a queue, those that are gone lose theirs.
    pub fn reload(&self, config: &Config) {
        self.config.set(config.clone());
        let begin =
            |hook: &DocumentHook| hook.to.queue(&self.app, config.deadline, &self.drain, &self.recorder.metrics);
        self.queues.reload(&config.webhooks, begin);
        self.recorder.is_wanted.store(!config.webhooks.is_empty(), Ordering::Relaxed);
    }
}

impl Observer for Recorder {
    fn on_event(&self, event: &HubEvent<'_>) {
        if !self.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        let told = match *event {
            HubEvent::Edited { channel, is_tree } => {
                Occurrence::Changed(Document { channel: channel.clone(), is_tree })
            }
            HubEvent::Deleted { channel } => Occurrence::Deleted(channel.clone()),
            HubEvent::Subscribers { .. }
            | HubEvent::Came { .. }
            | HubEvent::Went { .. }
            | HubEvent::Departed { .. } => return,
        };
        if self.news.try_send((told, Moment::now().unix_ms)).is_err() {
            self.metrics.dropped.inc();
        }
    }
}

/// Says what there is to say, when its time has come.
struct Teller {
    queues: Arc<HookQueues<DocumentHook>>,
    config: Live<Config>,
    changes: Changes<Document>,
}

impl Teller {
    async fn keep(mut self, mut queue: mpsc::Receiver<(Occurrence, u64)>, mut drain: Signal) {
        let _late_guard = drain.late_guard();
        let mut ticks = interval(TICK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(MAX_BATCH);
        loop {
            tokio::select! {
                biased;
                // What is in the queue is still taken.
                () = drain.quiet(), if !queue.is_closed() => queue.close(),
                taken = queue.recv_many(&mut batch, MAX_BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    batch.drain(..).for_each(|(told, at)| self.hear(told, at));
                }
                _ = ticks.tick(), if !self.changes.is_empty() => {
                    let due = self.changes.due(Instant::now(), self.config.get().throttle);
                    due.into_iter().for_each(|(document, at)| self.changed(&document, at));
                }
            }
        }
        self.changes.rest().into_iter().for_each(|(document, at)| self.changed(&document, at));
        self.queues.close();
    }

    fn hear(&mut self, told: Occurrence, at: u64) {
        match told {
            Occurrence::Changed(document) => {
                if self.changes.is_news(&document, at, Instant::now(), self.config.get().throttle) {
                    self.changed(&document, at);
                }
            }
            Occurrence::Deleted(channel) => {
                for is_tree in [true, false] {
                    self.changes.forget(&Document { channel: channel.clone(), is_tree });
                }
                self.tell("document.deleted", &channel, at, json!({ "channel": channel.as_str() }));
            }
        }
    }

    fn changed(&self, Document { channel, is_tree }: &Document, at: u64) {
        let kind = if *is_tree { "tree" } else { "yjs" };
        self.tell("document.changed", channel, at, json!({ "channel": channel.as_str(), "document": kind }));
    }

    fn tell(&self, what: &str, channel: &Channel, at: u64, data: Value) {
        let wanting = |hook: &DocumentHook| hook.channels.iter().any(|pattern| pattern.fits(channel.as_str()));
        let time = humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + Duration::from_millis(at)).to_string();
        self.queues.put(wanting, || json!({ "type": what, "timestamp": time, "data": data }));
    }
}
