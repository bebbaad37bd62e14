//! What the door wants to hear of one server, by the name in Redis, and how far the server knows it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::realtime::vocabulary::Channel;

/// Channels that are subscribed by one command.
pub(super) const CHUNK: usize = 512;

/// Those who wait for one channel, before those who have gone are taken out.
const MANY_WAITING: usize = 16;

/// What is wanted.
#[derive(Default)]
pub(super) struct Wanted {
    subscriptions: HashMap<Arc<str>, WantedName>,
    /// Those of which Redis does not know yet what is wanted.
    changed: Vec<Arc<str>>,
    /// Those that a server of a cluster does not have, until it is known who has.
    refused: Vec<Arc<str>>,
    /// Where the door hears itself, on this connection and on the next.
    beat: Arc<str>,
    next_beat: Arc<str>,
    /// Counts connections.
    connection: u64,
}

/// Something that is wanted, or no longer.
pub(super) struct WantedName {
    /// None: what doors say to each other.
    channel: Option<Channel>,
    is_wanted: bool,
    is_changed: bool,
    /// On the connection as it is now.
    is_confirmed: bool,
    /// On this one or an earlier one.
    was_confirmed: bool,
    /// As a server of a cluster said last, which takes away by itself what goes to another.
    is_on: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl WantedName {
    fn new(channel: Option<Channel>) -> WantedName {
        WantedName {
            channel,
            is_wanted: false,
            is_changed: false,
            is_confirmed: false,
            was_confirmed: false,
            is_on: false,
            waiting: Vec::new(),
        }
    }
}

/// What a name stands for.
pub(super) enum Known {
    Beat,
    Words,
    Channel(Channel),
}

/// Of what something may be missing.
#[derive(Default)]
pub(super) struct Missed {
    pub(super) channels: Vec<Channel>,
    pub(super) words: bool,
}

impl Wanted {
    /// Wants it; gives what resolves when it is confirmed, or nothing where it is.
    pub(super) fn want(&mut self, name: Arc<str>, channel: Option<Channel>) -> Option<oneshot::Receiver<()>> {
        let entry = self.subscriptions.entry(Arc::clone(&name));
        let subscription = entry.or_insert_with(|| WantedName::new(channel));
        subscription.is_wanted = true;
        if subscription.is_confirmed {
            return None;
        }
        if subscription.waiting.len() >= MANY_WAITING {
            subscription.waiting.retain(|waiting| !waiting.is_closed());
        }
        let (waiting, confirmed) = oneshot::channel();
        subscription.waiting.push(waiting);
        self.note(name);
        Some(confirmed)
    }

    /// Wants it no more; false where nobody did.
    pub(super) fn leave(&mut self, name: Arc<str>) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&name) else { return false };
        subscription.is_wanted = false;
        subscription.waiting.clear();
        self.note(name);
        true
    }

    fn note(&mut self, name: Arc<str>) {
        let Some(subscription) = self.subscriptions.get_mut(&name) else { return };
        if !std::mem::replace(&mut subscription.is_changed, true) {
            self.changed.push(name);
        }
    }

    pub(super) fn known(&self, name: &str) -> Option<Known> {
        if name == &*self.beat {
            return Some(Known::Beat);
        }
        let known = self.subscriptions.get(name).filter(|known| known.is_wanted)?;
        Some(known.channel.clone().map_or(Known::Words, Known::Channel))
    }

    pub(super) fn beat(&self) -> Arc<str> {
        Arc::clone(&self.beat)
    }

    pub(super) fn set_beat(&mut self, beat: Arc<str>) {
        self.next_beat = beat;
    }

    /// Another connection is made: its number.
    pub(super) fn connect(&mut self) -> u64 {
        self.connection += 1;
        self.beat = Arc::clone(&self.next_beat);
        self.connection
    }

    /// What a new connection is to subscribe, what doors say to each other first.
    pub(super) fn all_again(&mut self) -> Vec<Arc<str>> {
        self.changed.clear();
        self.refused.clear();
        self.subscriptions.retain(|_, subscription| subscription.is_wanted);
        for subscription in self.subscriptions.values_mut() {
            (subscription.is_confirmed, subscription.is_changed, subscription.is_on) = (false, false, false);
        }
        let those = |are_words: bool| {
            let all = self.subscriptions.iter().filter(move |(_, known)| known.channel.is_none() == are_words);
            all.map(|(name, _)| Arc::clone(name))
        };
        those(true).chain(those(false)).collect()
    }

    /// What is to be subscribed and left: so many at most.
    pub(super) fn take_changed(&mut self) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let (mut on, mut off) = (Vec::new(), Vec::new());
        while on.len() + off.len() < CHUNK
            && let Some(name) = self.changed.pop()
        {
            let Some(subscription) = self.subscriptions.get_mut(&name) else { continue };
            subscription.is_changed = false;
            match (subscription.is_wanted, subscription.is_confirmed) {
                (true, false) => on.push(name),
                (true, true) => {}
                (false, is_confirmed) => {
                    self.subscriptions.remove(&name);
                    if is_confirmed {
                        off.push(name);
                    }
                }
            }
        }
        (on, off)
    }

    /// A server of a cluster says that it has, or has no longer, what was asked for by that connection. True where it took
    /// away what is wanted.
    pub(super) fn turn(&mut self, connection: u64, name: &str, is_on: bool) -> bool {
        if connection != self.connection {
            return false;
        }
        let Some((known, subscription)) = self.subscriptions.get_key_value(name) else {
            return name == &*self.beat && !is_on;
        };
        let (name, is_taken) = (Arc::clone(known), !is_on && subscription.is_confirmed && subscription.is_wanted);
        if is_taken {
            self.refused.push(Arc::clone(&name));
        }
        if let Some(subscription) = self.subscriptions.get_mut(&name) {
            subscription.is_on = is_on;
            subscription.is_confirmed &= is_on;
        }
        is_taken
    }

    /// The server has answered for these. In a cluster each counts where it said so itself.
    pub(super) fn confirm(&mut self, names: &[Arc<str>], is_cluster: bool) -> Missed {
        let mut missed = Missed::default();
        for name in names {
            let Some(subscription) = self.subscriptions.get_mut(name) else { continue };
            if is_cluster && !subscription.is_on {
                self.refused.push(Arc::clone(name));
                continue;
            }
            subscription.is_confirmed = true;
            // Somebody who waits for it looks at it then. Where nobody does, nobody knows what is missing.
            let mut is_awaited = false;
            for waiting in subscription.waiting.drain(..) {
                is_awaited |= waiting.send(()).is_ok();
            }
            let was_confirmed = std::mem::replace(&mut subscription.was_confirmed, true);
            match &subscription.channel {
                None => missed.words |= was_confirmed,
                Some(channel) if was_confirmed || !is_awaited => missed.channels.push(channel.clone()),
                Some(_) => {}
            }
        }
        missed
    }

    /// What was refused is asked for again; false where nothing was.
    pub(super) fn retry(&mut self) -> bool {
        let refused = std::mem::take(&mut self.refused);
        let is_any = !refused.is_empty();
        refused.into_iter().for_each(|name| self.note(name));
        is_any
    }

    /// Gives away what belongs to another server.
    pub(super) fn part(&mut self, belongs: impl Fn(&str) -> bool) -> Vec<(Arc<str>, WantedName)> {
        self.subscriptions.extract_if(|name, _| !belongs(name)).collect()
    }

    /// Takes what another server had.
    pub(super) fn adopt(&mut self, name: Arc<str>, mut subscription: WantedName) {
        if subscription.is_wanted {
            (subscription.is_confirmed, subscription.is_changed, subscription.is_on) = (false, false, false);
            self.subscriptions.insert(Arc::clone(&name), subscription);
            self.note(name);
        }
    }
}
