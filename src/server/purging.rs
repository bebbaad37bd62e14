//! Has other doors know what the cache of this one declares old, and this one what others do: the rooms know nothing of each
//! other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, PurgeBatch};
use crate::drain::Signal;
use crate::realtime::hub::{DoorQuestion, Hub};

/// How long the other doors have to answer.
const PATIENCE: Duration = Duration::from_millis(50);

/// What is old, as it travels.
#[derive(Serialize, Deserialize)]
struct PurgeQuestion {
    paths: BTreeSet<Box<str>>,
    tags: BTreeSet<Box<str>>,
    app_tags: BTreeSet<Box<str>>,
    everything: bool,
}

impl DoorQuestion for PurgeQuestion {
    const KIND: &'static str = "purge";
    type Answer = ();
}

/// Starts it, where there are other doors.
pub fn start(cache: &Arc<Cache>, hub: &Arc<Hub>, drain: Signal) {
    if !hub.is_shared() {
        return;
    }
    let taking = Arc::clone(cache);
    hub.answer_doors_by(move |_, question: PurgeQuestion| {
        let PurgeQuestion { paths, tags, app_tags, everything } = question;
        taking.take_purges(&PurgeBatch { paths, tags, app_tags, everything });
        std::future::ready(())
    });
    let doubting = Arc::clone(cache);
    hub.when_words_are_lost(move || doubting.doubt_everything());
    let hub = Arc::downgrade(hub);
    cache.share(
        move |batch| {
            let hub = hub.upgrade();
            let PurgeBatch { paths, tags, app_tags, everything } = batch;
            let question = PurgeQuestion { paths, tags, app_tags, everything };
            Box::pin(async move {
                if let Some(hub) = hub {
                    hub.ask_doors(&question, PATIENCE).await;
                }
            })
        },
        drain,
    );
}
