//! What one door is asked and all of them have a share in: lists and counts, who is connected, ending connections,
//! commands for them, questions to clients. On one door alone it is as cheap as if there were no others.

mod acks;
mod deposing;
mod ending;
mod finding;
mod listing;
mod sending;

use std::sync::Arc;

pub use acks::AskedEverywhere;
pub use finding::ConnectionFound;
pub use listing::{ChannelQuery, ListedChannel};

use super::Hub;
use super::cluster::Cluster;
use crate::realtime::broker::Broker;

impl Hub {
    /// Shares its channels with the other doors of `broker` from now on. Only the first call counts, and only before
    /// anybody has joined.
    pub fn share(&self, broker: Arc<dyn Broker>) {
        if self.added.cluster.set(Cluster::new(broker)).is_ok() {
            self.answer_lists();
            self.answer_whereabouts();
            self.answer_endings();
            self.answer_sendings();
            self.answer_acks();
            self.answer_deposing();
        }
    }
}
