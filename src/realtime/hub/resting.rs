//! Empty channels, in the order in which they came to be so: they give way to others.

use std::sync::{Arc, Weak};

use super::channel::{ChannelEntry, ChannelState};
use super::sync::Mutex;
use crate::shares::{Holder, HolderQueue};

/// By whoever opened them. Bounded by the channels there are: one that is used again, or gone, is taken out.
#[derive(Default)]
pub struct Resting(Mutex<HolderQueue<Weak<ChannelEntry>>>);

impl Resting {
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Something has happened in a channel: it comes among these where it is empty now, and leaves them where it is not.
    pub fn settle(&self, entry: &Arc<ChannelEntry>, state: &mut ChannelState) {
        let Some(holder) = state.holder() else { return };
        match (state.is_empty(), state.rests) {
            (true, None) => state.rests = Some(self.0.lock().push(holder, Arc::downgrade(entry))),
            (false, Some(_)) => self.wake(state),
            _ => {}
        }
    }

    /// Takes a channel out.
    pub fn wake(&self, state: &mut ChannelState) {
        if let Some(number) = state.rests.take() {
            self.0.lock().remove(number);
        }
    }

    /// The one that has been here for longest; of `holder`, where that is said. It may be in use by now.
    pub fn first(&self, holder: Option<Holder>) -> Option<Arc<ChannelEntry>> {
        let mut queue = self.0.lock();
        loop {
            let number = holder.map_or_else(|| queue.first(), |holder| queue.first_of(holder))?;
            if let Some(entry) = queue.get(number).and_then(Weak::upgrade) {
                return Some(entry);
            }
            // It went without leaving: it cannot be found again.
            queue.remove(number);
        }
    }
}
