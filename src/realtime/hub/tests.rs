//! The hub against what it promises, on a clock of the tests' own: no task, no socket, no waiting.

mod direct_writes;
mod everywhere;
mod model;
mod model_broker;
mod concurrency;
mod promises;
mod questions;
mod random;
mod reading;
mod shared;
mod shared_concurrency;
mod unsure_documents;

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::outbox::Item;
use super::policy::{Policy, Rule};
use super::{Authority, Client, Config, Hub, Metrics};
use crate::realtime::vocabulary::{
    Audience, Channel, DisconnectReason, Draft, Encode, Encoded, EncodedFrames, Encoding, Event, Frame, Moment,
    Payload, Position, Presence, Publish, Recovery, Refusal, Since, Subscribe, Subscribed,
};
use crate::settings::{Pattern, Size};
use crate::shares::Holder;
use crate::telemetry::Registry;

/// Messages as `offset:text`, presence as `+key` and `-key`.
struct Lines;

impl Encode for Lines {
    fn encode(&self, event: &Event) -> Encoded {
        let line = match event {
            Event::Message(message) => {
                let Payload::Text(text) = &message.draft.data else { return Encoded::PerClient };
                format!("{}:{text}", message.position.offset)
            }
            Event::Presence { change: Presence::Joined, member, .. } => format!("+{}", member.key),
            Event::Presence { change: Presence::Left, member, .. } => format!("-{}", member.key),
            Event::Presence { .. } => return Encoded::Skip,
            _ => return Encoded::PerClient,
        };
        Encoded::Shared(EncodedFrames::new(Frame::text(line)))
    }
}

/// No test has so much to read.
const MANY: usize = 100_000;

/// A hub, its clock, and the one form its clients read.
struct World {
    hub: Arc<Hub>,
    lines: Encoding,
    now: Moment,
}

/// A client, and what it was told, in order.
struct Reader {
    client: Option<Client>,
    told: Vec<String>,
}

impl World {
    fn new(change: impl FnOnce(&mut Config)) -> World {
        let mut config = Config::default();
        change(&mut config);
        World::with(config)
    }

    fn with(config: Config) -> World {
        let hub = Arc::new(Hub::new(config, 2, Metrics::new(&mut Registry::default())));
        World { hub, lines: Encoding::new(Lines), now: Moment::now() }
    }

    fn reader(&self) -> Reader {
        Reader { client: self.hub.join(Holder::Trusted), told: Vec::new() }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for part in 0..self.hub.parts() {
            self.hub.sweep(part, self.now);
        }
    }

    fn publish(&self, channel: &str, text: &str) -> Result<Option<Position>, Refusal> {
        self.hub.publish(publish(channel, text), self.now)
    }
}

impl Reader {
    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("still here")
    }

    fn subscribe(&mut self, world: &World, wish: &Subscribe) -> Result<Subscribed, Refusal> {
        let (lines, now) = (world.lines.clone(), world.now);
        self.client().subscribe(wish, &lines, Authority::Client, now)
    }

    /// Reads one batch as a session does. Says whether there was one.
    fn read_some(&mut self, world: &World) -> bool {
        let client = self.client.as_mut().expect("still here");
        if client.poll_fill(world.now, &mut Context::from_waker(Waker::noop())).is_pending() {
            return false;
        }
        while let Some(entry) = client.next_entry() {
            self.told.push(match entry.item {
                Item::Encoded(encoded) => match encoded.frames() {
                    [Frame::Text(text)] => text.to_string(),
                    other => format!("{other:?}"),
                },
                Item::Lost { after } => {
                    let channel = client.position(entry.channel, after).map(|(channel, _)| channel);
                    format!("lost {} {after}..{}", channel.expect("it is in there"), entry.offset)
                }
                Item::Event(event) => match &*event {
                    Event::Direct(draft) => format!("direct {:?}", draft.data),
                    other => format!("{other:?}"),
                },
                Item::Command(command) => format!("{command:?}"),
            });
        }
        if let Some(why) = client.closing() {
            self.told.push(format!("closing {}", why.label()));
        }
        true
    }

    /// Reads all there is.
    fn read(&mut self, world: &World) -> Vec<String> {
        let batches = (0..MANY).take_while(|_| self.read_some(world)).count();
        assert!(batches < MANY, "there is ever more to read, of {:?}", self.told.last());
        std::mem::take(&mut self.told)
    }

    fn part(&mut self, world: &World) {
        if let Some(client) = self.client.take() {
            client.part(world.now);
        }
    }
}

fn name(channel: &str) -> Channel {
    Channel::new(channel).unwrap()
}

fn to(channel: &str) -> Subscribe {
    Subscribe { notices: true, ..Subscribe::to(name(channel)) }
}

fn since(channel: &str, since: Since) -> Subscribe {
    Subscribe { since, ..to(channel) }
}

fn publish(channel: &str, text: &str) -> Publish {
    let draft = Draft::new(Payload::Text(text.into()));
    Publish { ticket: 0, audience: Audience::Channel(name(channel)), draft, echo: true }
}

fn rule(pattern: &str, change: impl FnOnce(&mut Policy)) -> Rule {
    let mut policy = Policy::default();
    change(&mut policy);
    Rule { patterns: vec![Pattern::new(pattern)], policy }
}
