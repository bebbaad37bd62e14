//! One event to all of a channel: encoded once a form, one lock a lane, no task a message.

use std::collections::HashSet;
use std::sync::Arc;

use super::channel::{Cell, State};
use super::lane::{Address, Lane};
use super::numbers::Numbers;
use super::outbox::{Entry, Item, Limits, Pushed, Slow};
use super::sync::Mutex;
use crate::realtime::vocabulary::{ConnectionId, DisconnectReason, Encoding, Event, Form, Parcel};

/// What fan-out needs of the hub.
pub struct Means<'a> {
    pub lanes: &'a [Lane],
    pub limits: &'a Limits,
    pub numbers: &'a Numbers,
}

/// Who hears an event, besides subscribing.
#[derive(Clone, Copy, Default)]
pub struct Hearing<'a> {
    /// Not this one: the sender.
    pub but: Option<Address>,
    /// Nor these.
    pub except: Option<&'a HashSet<Address>>,
    /// Only those who want notices.
    pub notices: bool,
    /// Where those are noted who hear it and can answer.
    pub asked: Option<&'a Mutex<HashSet<ConnectionId>>>,
}

/// What kind of thing is fanned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message with this offset.
    Numbered(u64),
    /// A message that is not worth waiting for.
    Volatile,
    /// Something about the channel.
    Notice,
}

impl Means<'_> {
    /// Puts `event` into the outboxes of the channel's subscribers. The channel's lock gives all of them one order.
    pub fn fan_out(&self, cell: &Cell, state: &mut State, event: &Event, kind: Kind, hearing: Hearing) {
        if state.subscribers() == 0 {
            return;
        }
        let slow = state.policy.slow;
        let has_history = state.policy.history > 0;
        // Where there is history nothing need be dropped: who is too slow goes on in the history.
        let recovers = slow == Slow::DropOldest && has_history && matches!(kind, Kind::Numbered(_));
        let offset = if let Kind::Numbered(offset) = kind { offset } else { 0 };
        let mut individual = None;
        let mut delivered = 0;
        for group in state.groups() {
            let Some((item, bytes)) = item(&group.encoding, event, &mut individual) else { continue };
            let asked = hearing.asked.filter(|_| group.encoding.answers());
            for (seats, lane) in group.lanes.iter_mut().zip(self.lanes) {
                if seats.is_empty() {
                    continue;
                }
                let mut mailboxes = lane.lock();
                for (_, seat) in seats.iter_mut() {
                    let address = Address { slot: seat.slot, ..lane.address() };
                    if seat.behind && kind != Kind::Notice
                        || hearing.notices && !seat.notices
                        || hearing.but == Some(address)
                        || hearing.except.is_some_and(|except| except.contains(&address))
                    {
                        continue;
                    }
                    let entry = Entry { item: item.share(), channel: cell.number, bytes, offset };
                    let pushed = match kind {
                        Kind::Volatile => mailboxes.push_volatile(seat.slot, entry, self.limits),
                        _ if recovers => mailboxes.push(seat.slot, entry, Slow::Disconnect, self.limits),
                        _ => mailboxes.push(seat.slot, entry, slow, self.limits),
                    };
                    if let Some(asked) = asked
                        && let (Pushed::Queued, _) | (Pushed::Dropped(_), Kind::Numbered(_) | Kind::Notice) =
                            (pushed, kind)
                    {
                        asked.lock().extend(mailboxes.id(seat.slot));
                    }
                    match pushed {
                        Pushed::Gone => {}
                        Pushed::Queued => delivered += 1,
                        Pushed::Dropped(messages) if kind == Kind::Volatile => {
                            self.numbers.volatile_dropped.inc_by(messages);
                        }
                        Pushed::Dropped(messages) => {
                            delivered += 1;
                            self.numbers.dropped(slow, messages);
                        }
                        Pushed::Full if recovers => {
                            seat.behind = true;
                            self.numbers.fell_behind.inc();
                            mailboxes.fall_behind(seat.slot, cell.number, offset);
                        }
                        Pushed::Full => {
                            self.numbers.dropped(Slow::Disconnect, 1);
                            mailboxes.end(seat.slot, DisconnectReason::Slow);
                        }
                    }
                }
            }
        }
        self.numbers.delivered.inc_by(delivered);
    }
}

/// What goes into outboxes of one encoding, by reference.
enum Shared {
    Parcel(Parcel),
    Event(Arc<Event>),
}

impl Shared {
    fn share(&self) -> Item {
        match self {
            Shared::Parcel(parcel) => Item::Parcel(parcel.clone()),
            Shared::Event(event) => Item::Event(Arc::clone(event)),
        }
    }
}

fn item(encoding: &Encoding, event: &Event, individual: &mut Option<Arc<Event>>) -> Option<(Shared, u32)> {
    let (shared, bytes) = match encoding.encode(event) {
        Form::Shared(parcel) => {
            let bytes = parcel.bytes();
            (Shared::Parcel(parcel), bytes)
        }
        Form::Individual => {
            let bytes = if let Event::Message(message) = event { message.draft.data.len() } else { 0 };
            (Shared::Event(Arc::clone(individual.get_or_insert_with(|| Arc::new(event.clone())))), bytes)
        }
        Form::Silent => return None,
    };
    Some((shared, u32::try_from(bytes).unwrap_or(u32::MAX)))
}
