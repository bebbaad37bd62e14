//! A queue for each hook of a protocol, as the config has them now.

use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::Value;

use super::DeliveryQueue;

/// The queues of hooks `H`.
pub struct HookQueues<H>(RwLock<Vec<(H, Arc<DeliveryQueue>)>>);

impl<H> Default for HookQueues<H> {
    fn default() -> Self {
        HookQueues(RwLock::default())
    }
}

impl<H: PartialEq + Clone> HookQueues<H> {
    /// After the section was read again: hooks that are new get the queue that `begin` makes, those that are gone lose theirs.
    pub fn reload(&self, hooks: &[H], begin: impl Fn(&H) -> Arc<DeliveryQueue>) {
        let mut queues = self.0.write();
        let mut before = std::mem::take(&mut *queues);
        for hook in hooks {
            let known = before.iter().position(|(known, _)| known == hook);
            let queue = known.map(|place| before.swap_remove(place).1);
            queues.push((hook.clone(), queue.unwrap_or_else(|| begin(hook))));
        }
    }

    /// Puts an event into the queues of the hooks that are `wanting` it.
    pub fn put(&self, wanting: impl Fn(&H) -> bool, event: impl Fn() -> Value) {
        for (_, queue) in self.0.read().iter().filter(|(hook, _)| wanting(hook)) {
            queue.put(event());
        }
    }

    /// There is nothing more to tell: without their senders the workers end, when all is delivered.
    pub fn close(&self) {
        self.0.write().clear();
    }
}
