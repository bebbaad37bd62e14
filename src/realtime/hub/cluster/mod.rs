//! The hub of one door among several that share a [`Broker`].
//!
//! A channel is *mirrored* on each door that has to do with it: the door hears it at the broker, has read what is kept,
//! and applies what happens there in the broker's order, to its own channel as it would be on a single door. So what looks
//! at a channel looks at the mirror, and waits for nobody. Only three things are asked of the broker: making a mirror
//! ([`Hub::mirror`]), saying something ([`Hub::say_to_all`]), and putting what is here into the roster, which is done by
//! [`Hub::keep_shared`] behind everybody's back and again until it is done.
//!
//! What no mirror has, a door asks the others by a [`DoorQuestion`], and answers what they ask ([`Hub::answer_doors`]).
//!
//! Members are applied here at once and told the others then: presence needs no order, and a door that cannot reach the
//! broker still shows who is on it.

mod answering;
mod arriving;
mod asking;
mod claiming;
mod keeping;
mod mirroring;
mod roster;
mod saying;
mod telling;
mod wire;
mod word;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{Mutex as Turn, Notify};

pub use asking::{DOORS_PATIENCE, DoorQuestion, DoorReplies};
pub use claiming::{Claimed, DoorClaim};
pub use mirroring::LONG;
pub use saying::SharedSender;
pub use telling::{Teller, Told};
pub use wire::{Utterance, WirePayload};
pub use word::Addressee;

use answering::DoorAnswers;
use asking::OpenQuestions;

use super::Hub;
use super::sync::Mutex;
use crate::realtime::broker::Broker;
use crate::realtime::vocabulary::Channel;

/// What a hub has to do with a broker that it shares with others.
pub struct Cluster {
    broker: Arc<dyn Broker>,
    /// Who makes a mirror of a channel, or reads it anew, has its turn. Bounded by those who want one.
    turns: Mutex<HashMap<Channel, Arc<Turn<()>>>>,
    /// The channels that the broker is asked to tell of: those with a mirror, and some that had one.
    heard: Mutex<HashSet<Channel>>,
    todo: Mutex<Todo>,
    rung: Notify,
    /// What this door asks others.
    questions: OpenQuestions,
    /// What others ask this one.
    answers: DoorAnswers,
}

/// Channels about which the broker is to be asked or told something. Bounded by those that are mirrored.
#[derive(Default)]
struct Todo {
    /// Something of them may be missing.
    reload: HashSet<Channel>,
    /// Their rosters lack something of this door's.
    flush: HashSet<Channel>,
    /// They may be heard no longer.
    release: HashSet<Channel>,
}

impl Cluster {
    pub fn new(broker: Arc<dyn Broker>) -> Cluster {
        Cluster {
            broker,
            turns: Mutex::default(),
            heard: Mutex::default(),
            todo: Mutex::default(),
            rung: Notify::new(),
            questions: OpenQuestions::default(),
            answers: DoorAnswers::default(),
        }
    }

    fn wants(&self, add: impl FnOnce(&mut Todo) -> &mut HashSet<Channel>, channel: &Channel) {
        if add(&mut self.todo.lock()).insert(channel.clone()) {
            self.rung.notify_one();
        }
    }

    fn flush(&self, channel: &Channel) {
        self.wants(|todo| &mut todo.flush, channel);
    }

    fn reload(&self, channel: &Channel) {
        self.wants(|todo| &mut todo.reload, channel);
    }

    /// A wish for the turn of `channel`.
    fn turn<'a>(&'a self, channel: &'a Channel) -> TurnWish<'a> {
        let turn = Arc::clone(self.turns.lock().entry(channel.clone()).or_default());
        TurnWish { cluster: self, channel, turn }
    }
}

/// Somebody wants the turn of a channel, or has it.
struct TurnWish<'a> {
    cluster: &'a Cluster,
    channel: &'a Channel,
    turn: Arc<Turn<()>>,
}

impl Drop for TurnWish<'_> {
    fn drop(&mut self) {
        let mut turns = self.cluster.turns.lock();
        // The map's own, and this one.
        if Arc::strong_count(&self.turn) <= 2 {
            turns.remove(self.channel);
        }
    }
}

/// A channel is being read. Whoever wanted it may give it up meanwhile: then it is read behind everybody's back.
struct Reading<'a> {
    cluster: &'a Cluster,
    channel: &'a Channel,
    has_ended: bool,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.cluster.reload(self.channel);
        }
    }
}

impl Hub {
    /// Whether there are other doors.
    pub fn is_shared(&self) -> bool {
        self.cluster().is_some()
    }
}
