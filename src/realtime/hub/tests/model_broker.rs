//! A broker in memory that does what Redis does, and fails as it does: when the test says so.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::realtime::broker::{
    Appended, Broker, BrokerError, BrokerListener, ChannelEvent, LogEntry, Marked, NodeId, Recipient, Snapshot, Top,
    Waiting,
};
use crate::realtime::hub::Hub;
use crate::realtime::vocabulary::{Channel, Epoch, Moment, Position};

/// The longest way there, or back.
const SLOWEST: Duration = Duration::from_millis(40);

/// What all doors share.
#[derive(Default)]
pub struct Model(Mutex<State>);

#[derive(Default)]
struct State {
    channels: HashMap<Channel, Shared>,
    nodes: BTreeMap<NodeId, Node>,
    lives: u64,
    claims: HashMap<String, Bytes>,
    /// Nothing can be asked.
    pub is_away: bool,
    /// Everything takes some time, and another one each time.
    is_slow: bool,
    /// Now and then something is done, and nobody hears that it was.
    is_flaky: bool,
}

#[derive(Default)]
struct Shared {
    epoch: u64,
    earlier: Vec<Position>,
    top: u64,
    kept: Vec<(u64, Bytes)>,
    ids: HashMap<Arc<str>, Appended>,
    sequence: u64,
    roster: BTreeMap<String, Bytes>,
    marks: HashSet<String>,
}

struct Node {
    pushes: UnboundedSender<Push>,
    heard: Vec<Channel>,
    /// What it is told is lost on the way.
    is_deaf: bool,
    card: String,
}

enum Push {
    Event(Channel, ChannelEvent),
    Departed(Channel, String, Bytes),
    Word(Bytes),
    WordsLost,
}

/// One door's link to it.
pub struct ModelLink {
    model: Arc<Model>,
    node: NodeId,
}

impl Model {
    /// A door, whose hub is told what happens by a task of the test's runtime.
    pub fn join(self: &Arc<Self>, number: u64, hub: &Arc<Hub>) -> Arc<ModelLink> {
        let (link, hearing) = self.attach(number);
        tokio::spawn(listen(Arc::clone(self), Arc::downgrade(hub), hearing));
        link
    }

    /// A door, to which the test itself hands what it hears.
    pub fn attach(self: &Arc<Self>, number: u64) -> (Arc<ModelLink>, Hearing) {
        let (node, (pushes, told)) = (NodeId(number), unbounded_channel());
        self.0.lock().nodes.insert(node, Node { pushes, heard: Vec::new(), is_deaf: false, card: String::new() });
        (Arc::new(ModelLink { model: Arc::clone(self), node }), Hearing(told))
    }

    /// Nobody gets through to it, or everybody again.
    pub fn set_away(&self, is_away: bool) {
        self.0.lock().is_away = is_away;
    }

    /// Takes its time from now on, up to [`SLOWEST`] each way.
    pub fn slow_down(&self) {
        self.0.lock().is_slow = true;
    }

    /// One answer in four is lost, or none again.
    pub fn set_flaky(&self, is_flaky: bool) {
        self.0.lock().is_flaky = is_flaky;
    }

    /// The others take a door for dead that is not: what it had put goes. It has to be told.
    pub fn expel(&self, number: u64) {
        let mut state = self.0.lock();
        state.take_out(NodeId(number));
    }

    /// What a door is told is lost, or no longer.
    pub fn set_deaf(&self, number: u64, is_deaf: bool) {
        if let Some(node) = self.0.lock().nodes.get_mut(&NodeId(number)) {
            node.is_deaf = is_deaf;
            if !is_deaf {
                let _ = node.pushes.send(Push::WordsLost);
            }
        }
    }

    /// It forgets everything.
    pub fn flush(&self) {
        self.0.lock().channels.clear();
    }

    /// It forgets the latest `messages` of each channel, as after a failover.
    pub fn lose(&self, messages: u64) {
        let mut state = self.0.lock();
        state.lives += 1;
        let life = state.lives;
        for channel in state.channels.values_mut().filter(|channel| channel.top > 0) {
            channel.top = channel.top.saturating_sub(messages);
            let top = channel.top;
            channel.kept.retain(|(offset, _)| *offset <= top);
            // Where places would be given twice, they are places of another life, which goes on from what is left.
            channel.earlier.insert(0, Position { epoch: Epoch(channel.epoch), offset: top });
            channel.epoch = 1_000_000 + life;
        }
    }

    /// A door is dead: what it had put goes.
    pub fn sweep(&self, number: u64) {
        let mut state = self.0.lock();
        let dead = NodeId(number);
        state.nodes.remove(&dead);
        state.take_out(dead);
    }

    /// A way there, or back.
    async fn take_time(&self) {
        let is_slow = self.0.lock().is_slow;
        if is_slow {
            tokio::time::sleep(SLOWEST.mul_f64(fastrand::f64())).await;
        } else {
            tokio::task::yield_now().await;
        }
    }

    /// The top of a channel's log.
    pub fn top(&self, channel: &Channel) -> u64 {
        self.0.lock().channels.get(channel).map_or(0, |shared| shared.top)
    }

    /// The names of what a channel's roster has.
    pub fn roster(&self, channel: &Channel) -> Vec<String> {
        self.0.lock().channels.get(channel).map_or_else(Vec::new, |shared| shared.roster.keys().cloned().collect())
    }

    /// How many fields a channel's roster has.
    pub fn fields(&self, channel: &Channel) -> usize {
        self.roster(channel).len()
    }

    /// The channels that a door hears.
    pub fn heard(&self, number: u64) -> usize {
        self.0.lock().nodes.get(&NodeId(number)).map_or(0, |node| node.heard.len())
    }
}

impl Shared {
    fn has_group(&self, group: &str) -> bool {
        self.roster.keys().any(|field| field[17..].starts_with(group))
    }
}

impl State {
    fn shared(&mut self, channel: &Channel) -> &mut Shared {
        let lives = &mut self.lives;
        self.channels.entry(channel.clone()).or_insert_with(|| {
            *lives += 1;
            Shared { epoch: *lives, ..Shared::default() }
        })
    }

    fn push(&self, channel: &Channel, event: &ChannelEvent) {
        for node in self.nodes.values().filter(|node| !node.is_deaf && node.heard.contains(channel)) {
            let _ = node.pushes.send(Push::Event(channel.clone(), event.clone()));
        }
    }

    fn change(&mut self, channel: &Channel, by: NodeId, field: String, value: Option<Bytes>) {
        let shared = self.shared(channel);
        let before = match &value {
            Some(value) => shared.roster.insert(field.clone(), value.clone()),
            None => shared.roster.remove(&field),
        };
        if before != value {
            shared.sequence += 1;
            let sequence = shared.sequence;
            self.push(channel, &ChannelEvent::Roster { sequence, by, field, value });
        }
    }

    /// What a door has put goes.
    fn take_out(&mut self, dead: NodeId) {
        let by = self.nodes.keys().find(|node| **node != dead).copied().unwrap_or(dead);
        let prefix = format!("{dead}:");
        let names: Vec<_> = self
            .channels
            .iter()
            .flat_map(|(channel, shared)| shared.roster.keys().map(move |name| (channel.clone(), name.clone())))
            .filter(|(_, name)| name.starts_with(&prefix))
            .collect();
        for (channel, name) in names {
            let value = self.shared(&channel).roster[&name].clone();
            self.change(&channel, by, name.clone(), None);
            self.leave(by, channel, name, value);
        }
    }

    fn leave(&self, to: NodeId, channel: Channel, field: String, value: Bytes) {
        if let Some(node) = self.nodes.get(&to) {
            let _ = node.pushes.send(Push::Departed(channel, field, value));
        }
    }

    fn append(&mut self, channel: &Channel, entry: LogEntry) -> Appended {
        let unix_ms = Moment::now().unix_ms;
        let shared = self.shared(channel);
        if let Some(known) = entry.id.as_ref().and_then(|id| shared.ids.get(id)) {
            return *known;
        }
        shared.top += 1;
        let position = Position { epoch: Epoch(shared.epoch), offset: shared.top };
        shared.kept.push((shared.top, entry.body.clone()));
        let surplus = shared.kept.len().saturating_sub(entry.messages);
        shared.kept.drain(..surplus);
        let appended = Appended { position, unix_ms };
        entry.id.map(|id| shared.ids.insert(id, appended));
        self.push(channel, &ChannelEvent::Said { position, body: entry.body });
        appended
    }
}

/// What a door is told, in its order.
pub struct Hearing(UnboundedReceiver<Push>);

impl Hearing {
    /// Hands `hub` the next of it, if there is any yet.
    pub fn hear_one(&mut self, hub: &Hub) -> bool {
        let push = self.0.try_recv();
        push.map(|push| push.hand_to(hub)).is_ok()
    }
}

impl Push {
    fn hand_to(self, hub: &Hub) {
        match self {
            Push::Event(channel, event) => hub.on_event(&channel, event),
            Push::Departed(channel, field, value) => hub.on_departed(&channel, &field, value),
            Push::Word(body) => hub.on_word(body),
            Push::WordsLost => hub.on_words_lost(),
        }
    }
}

async fn listen(model: Arc<Model>, hub: Weak<Hub>, mut hearing: Hearing) {
    while let Some(push) = hearing.0.recv().await {
        model.take_time().await;
        let Some(hub) = hub.upgrade() else { return };
        push.hand_to(&hub);
        // Others have a turn between any two of them.
        drop(hub);
        tokio::task::yield_now().await;
    }
}

impl ModelLink {
    fn ask<T: Send + 'static>(&self, act: impl FnOnce(&mut State, NodeId) -> T + Send + 'static) -> Waiting<T> {
        let (model, node) = (Arc::clone(&self.model), self.node);
        Box::pin(async move {
            // Its way there.
            model.take_time().await;
            let (done, is_heard) = {
                let mut state = model.0.lock();
                if state.is_away {
                    return Err(BrokerError::Away("the test says so".into()));
                }
                let is_heard = !(state.is_flaky && fastrand::u8(..) < 64);
                (act(&mut state, node), is_heard)
            };
            // And the answer's back.
            model.take_time().await;
            if is_heard { Ok(done) } else { Err(BrokerError::Away("the answer was lost".into())) }
        })
    }
}

impl Broker for ModelLink {
    fn node(&self) -> NodeId {
        self.node
    }

    fn append(&self, channel: &Channel, entry: LogEntry) -> Waiting<Appended> {
        let channel = channel.clone();
        self.ask(move |state, _| state.append(&channel, entry))
    }

    fn pass(&self, channel: &Channel, body: Bytes) -> Waiting<()> {
        let channel = channel.clone();
        self.ask(move |state, _| state.push(&channel, &ChannelEvent::Passed(body)))
    }

    fn put(&self, channel: &Channel, field: &str, value: Bytes) -> Waiting<()> {
        let (channel, field) = (channel.clone(), field.to_owned());
        self.ask(move |state, node| state.change(&channel, node, field, Some(value)))
    }

    fn remove(&self, channel: &Channel, field: &str) -> Waiting<()> {
        let (channel, field) = (channel.clone(), field.to_owned());
        self.ask(move |state, node| state.change(&channel, node, field, None))
    }

    fn subscribe(&self, channel: &Channel) -> Waiting<()> {
        let channel = channel.clone();
        self.ask(move |state, node| {
            let heard = &mut state.nodes.get_mut(&node).expect("it has joined").heard;
            if !heard.contains(&channel) {
                heard.push(channel);
            }
        })
    }

    fn unsubscribe(&self, channel: &Channel) -> Waiting<()> {
        let channel = channel.clone();
        self.ask(move |state, node| {
            state.nodes.get_mut(&node).expect("it has joined").heard.retain(|known| *known != channel);
        })
    }

    fn snapshot(&self, channel: &Channel, after: Option<Position>, most: usize) -> Waiting<Snapshot> {
        let channel = channel.clone();
        self.ask(move |state, _| {
            let shared = state.shared(&channel);
            let epoch = Epoch(shared.epoch);
            let kept = |after: u64| shared.kept.iter().filter(move |(offset, _)| *offset > after).cloned().collect();
            let latest = shared.kept.len().saturating_sub(most);
            let mut snapshot = Snapshot {
                top: Position { epoch, offset: shared.top },
                earlier: shared.earlier.clone(),
                entries: shared.kept[latest..].to_vec(),
                sequence: shared.sequence,
                roster: shared.roster.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            };
            if let Some(after) = after.filter(|after| snapshot.goes_on_from(*after)) {
                let entries: Vec<_> = kept(after.offset);
                if entries.len() as u64 == shared.top - after.offset {
                    snapshot.entries = entries;
                }
            }
            snapshot
        })
    }

    fn tops(&self, channels: &[Channel]) -> Waiting<Vec<Top>> {
        let channels = channels.to_vec();
        self.ask(move |state, _| {
            let top = |channel: &Channel| {
                let Shared { epoch, top, sequence, .. } = state.shared(channel);
                let (epoch, top, sequence) = (*epoch, *top, *sequence);
                Top { position: Position { epoch: Epoch(epoch), offset: top }, sequence }
            };
            channels.iter().map(top).collect()
        })
    }

    fn mark(&self, channel: &Channel, group: &str) -> Waiting<Marked> {
        let (channel, group) = (channel.clone(), group.to_owned());
        self.ask(move |state, _| {
            let shared = state.shared(&channel);
            if shared.marks.contains(&group) {
                Marked::Known
            } else if !shared.has_group(&group) {
                Marked::Empty
            } else {
                shared.marks.insert(group);
                Marked::New
            }
        })
    }

    fn unmark(&self, channel: &Channel, group: &str) -> Waiting<bool> {
        let (channel, group) = (channel.clone(), group.to_owned());
        self.ask(move |state, _| {
            let shared = state.shared(&channel);
            !shared.has_group(&group) && shared.marks.remove(&group)
        })
    }

    fn hand_over(&self, channel: &Channel, field: &str, value: Bytes) -> Waiting<()> {
        let (channel, field) = (channel.clone(), field.to_owned());
        self.ask(move |state, node| {
            let other = state.nodes.keys().copied().find(|other| *other != node);
            other.into_iter().for_each(|other| state.leave(other, channel.clone(), field.clone(), value.clone()));
        })
    }

    fn claim(&self, name: &str, value: Bytes, _: Duration) -> Waiting<Option<Bytes>> {
        let name = name.to_owned();
        self.ask(move |state, _| {
            let there = state.claims.entry(name).or_insert_with(|| value.clone());
            (*there != value).then(|| there.clone())
        })
    }

    fn settle(&self, name: &str, claimed: Bytes, value: Option<Bytes>, _: Duration) -> Waiting<()> {
        let name = name.to_owned();
        self.ask(move |state, _| {
            if state.claims.get(&name).is_some_and(|there| *there != claimed) {
                return;
            }
            match value {
                Some(value) => state.claims.insert(name, value),
                None => state.claims.remove(&name),
            };
        })
    }

    fn read(&self, name: &str) -> Waiting<Option<Bytes>> {
        let name = name.to_owned();
        self.ask(move |state, _| state.claims.get(&name).cloned())
    }

    fn take(&self, _: &str, _: u64, _: u64) -> Waiting<Option<Duration>> {
        self.ask(|_, _| None)
    }

    fn tell(&self, to: Recipient, body: Bytes) -> Waiting<()> {
        self.ask(move |state, _| {
            let is_meant = |id: &NodeId| to == Recipient::All || to == Recipient::Node(*id);
            for (_, node) in state.nodes.iter().filter(|(id, node)| is_meant(id) && !node.is_deaf) {
                let _ = node.pushes.send(Push::Word(body.clone()));
            }
        })
    }

    fn nodes(&self) -> Waiting<Vec<NodeId>> {
        self.ask(|state, _| state.nodes.keys().copied().collect())
    }

    fn describe(&self, card: &str) -> Waiting<()> {
        let card = card.to_owned();
        self.ask(move |state, me| {
            if let Some(node) = state.nodes.get_mut(&me) {
                node.card = card;
            }
        })
    }

    fn cards(&self) -> Waiting<Vec<(NodeId, String)>> {
        self.ask(|state, _| state.nodes.iter().map(|(id, node)| (*id, node.card.clone())).collect())
    }
}
