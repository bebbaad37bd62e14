//! Empty channels, in the order in which they came to be so: they give way to others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use super::channel::{ChannelEntry, ChannelState};
use super::sync::Mutex;
use crate::shares::Holder;

/// Bounded by the channels there are: one that is used again, or gone, is taken out.
#[derive(Default)]
pub struct Resting(Mutex<Order>);

#[derive(Default)]
struct Order {
    cells: BTreeMap<u64, Weak<ChannelEntry>>,
    /// By whoever opened them.
    by_holder: HashMap<Holder, BTreeSet<u64>>,
    next: u64,
}

impl Order {
    fn remove(&mut self, number: u64, holder: Holder) -> Option<Weak<ChannelEntry>> {
        if let Some(own) = self.by_holder.get_mut(&holder) {
            own.remove(&number);
            if own.is_empty() {
                self.by_holder.remove(&holder);
            }
        }
        self.cells.remove(&number)
    }
}

impl Resting {
    pub fn len(&self) -> usize {
        self.0.lock().cells.len()
    }

    /// Something has happened in a channel: it comes among these where it is empty now, and leaves them where it is not.
    pub fn settle(&self, entry: &Arc<ChannelEntry>, state: &mut ChannelState) {
        let Some(holder) = state.holder() else { return };
        match (state.is_empty(), state.rests) {
            (true, None) => {
                let mut order = self.0.lock();
                order.next += 1;
                let number = order.next;
                order.cells.insert(number, Arc::downgrade(entry));
                order.by_holder.entry(holder).or_default().insert(number);
                state.rests = Some(number);
            }
            (false, Some(_)) => self.wake(state),
            _ => {}
        }
    }

    /// Takes a channel out.
    pub fn wake(&self, state: &mut ChannelState) {
        if let (Some(number), Some(holder)) = (state.rests.take(), state.holder()) {
            self.0.lock().remove(number, holder);
        }
    }

    /// The one that has been here for longest; of `holder`, where that is said. It may be in use by now.
    pub fn first(&self, holder: Option<Holder>) -> Option<Arc<ChannelEntry>> {
        let mut order = self.0.lock();
        loop {
            let number = match holder {
                Some(holder) => order.by_holder.get(&holder)?.first().copied(),
                None => order.cells.first_key_value().map(|(number, _)| *number),
            }?;
            match order.cells.get(&number).and_then(Weak::upgrade) {
                Some(entry) => return Some(entry),
                // It went without leaving: it cannot be found again.
                None => match holder {
                    Some(holder) => drop(order.remove(number, holder)),
                    None => drop(order.cells.remove(&number)),
                },
            }
        }
    }
}
