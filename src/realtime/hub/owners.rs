//! How much the histories keep of what each client has said, in bytes.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};

use super::sync::Mutex;
use crate::shares::Holder;

/// By client address. Messages hold their owner's count; with the last of them it goes, and its entry as these double.
#[derive(Default)]
pub struct Owners(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    by_holder: HashMap<Holder, Weak<AtomicUsize>>,
    /// How many entries there may be before those of nobody are cleared out.
    most: usize,
}

/// Fewer entries than this are not worth the clearing.
const FEW: usize = 64;

impl Owners {
    /// How much is kept of what `holder` has said.
    pub fn held(&self, holder: Holder) -> Arc<AtomicUsize> {
        let mut counts = self.0.lock();
        if let Some(held) = counts.by_holder.get(&holder).and_then(Weak::upgrade) {
            return held;
        }
        if counts.by_holder.len() >= counts.most {
            counts.by_holder.retain(|_, held| held.strong_count() > 0);
            counts.most = FEW.max(2 * counts.by_holder.len());
            let keep = counts.most;
            counts.by_holder.shrink_to(keep);
        }
        let held = Arc::default();
        counts.by_holder.insert(holder, Arc::downgrade(&held));
        held
    }
}
