//! Those who are in a room for a time without a connection: the app has them shown there.
#![expect(clippy::disallowed_methods, reason = "a visitor serves nobody, and leaves as soon as the door drains")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::machine::{Editor, member};
use crate::drain::Signal;
use crate::realtime::hub::{Authority, Client, Hub};
use crate::realtime::vocabulary::{Channel, Moment, Refusal, Text};
use crate::shares::Holder;

/// The most at a time.
const MOST: usize = 10_000;

/// A user in a room.
type Key = (Channel, Arc<str>);

/// Everybody who is there so.
pub struct Visitors {
    here: Mutex<HashMap<Key, Visitor>>,
    drain: Signal,
}

struct Visitor {
    client: Client,
    editor: Editor,
    until: Instant,
    /// Told when that is another time.
    changed: Arc<Notify>,
    /// Of several of one key, which.
    number: u64,
}

impl Visitors {
    pub fn new(drain: Signal) -> Visitors {
        Visitors { here: Mutex::default(), drain }
    }

    /// Its number in the room, if this user is there already and is told of alike.
    pub fn actor_of(&self, room: &Channel, user: &Arc<str>, info: Option<&Text>) -> Option<u64> {
        let here = self.here.lock();
        let visitor = here.get(&(room.clone(), Arc::clone(user)))?;
        (visitor.editor.info.as_ref() == info).then_some(visitor.editor.actor)
    }

    /// Shows a user in a room for a time, or shows it otherwise from now on.
    ///
    /// # Errors
    /// [`Refusal`]: too many are there, or nobody can be.
    pub fn show(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        room: &Channel,
        (editor, shows): (Editor, Text),
        time: Duration,
    ) -> Result<(), Refusal> {
        let user = editor.user.clone().unwrap_or_default();
        let key = (room.clone(), user);
        let until = Instant::now() + time;
        let mut here = self.here.lock();
        if let Some(visitor) = here.get_mut(&key).filter(|visitor| visitor.editor == editor) {
            visitor.until = until;
            visitor.changed.notify_one();
            return visitor.enter(room, shows);
        }
        if here.len() >= MOST || !self.drain.is_running() {
            return Err(Refusal::Unavailable);
        }
        let client = hub.join(Holder::Trusted).ok_or(Refusal::Unavailable)?;
        let number = editor.actor;
        let changed = Arc::<Notify>::default();
        let mut visitor = Visitor { client, editor, until, changed: Arc::clone(&changed), number };
        visitor.client.set_grace(Duration::ZERO);
        visitor.enter(room, shows)?;
        here.insert(key.clone(), visitor);
        drop(here);
        tokio::spawn(Arc::clone(self).leave_in_time(key, number, changed));
        Ok(())
    }

    async fn leave_in_time(self: Arc<Self>, key: Key, number: u64, changed: Arc<Notify>) {
        let mut drain = self.drain.clone();
        loop {
            let Some(until) =
                self.here.lock().get(&key).filter(|known| known.number == number).map(|known| known.until)
            else {
                return;
            };
            if until <= Instant::now() || !drain.is_running() {
                self.here.lock().retain(|known, visitor| *known != key || visitor.number != number);
                return;
            }
            tokio::select! {
                () = sleep_until(until) => {}
                () = changed.notified() => {}
                _ = drain.draining() => {}
            }
        }
    }

    /// Everybody leaves a room.
    pub fn leave(&self, room: &Channel) {
        self.here.lock().retain(|(known, _), _| known != room);
    }
}

impl Visitor {
    fn enter(&mut self, room: &Channel, shows: Text) -> Result<(), Refusal> {
        let member = member(&self.editor, self.client.id().to_string(), Some(shows));
        self.client.enter(room, member, Authority::App, Moment::now())
    }
}
