//! Telling a door that another has taken documents which it had.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::drain::Signal;
use crate::realtime::hub::Hub;
use crate::realtime::hub::cluster::DoorQuestion;
use crate::realtime::hub::documents::Deposed;
use crate::realtime::vocabulary::{Channel, DisconnectReason, Text};

/// Whoever has these documents by this claim has them no longer.
#[derive(Serialize, Deserialize)]
struct DeposedTold {
    channel: Arc<str>,
    claim: Arc<str>,
    /// What its editors are told, where they are not to come back.
    kicked: Option<(Option<u16>, String)>,
}

impl DoorQuestion for DeposedTold {
    const KIND: &'static str = "deposed";
    type Answer = ();
}

impl Hub {
    /// Gives up documents where other doors say that they have them.
    pub(super) fn answer_deposing(&self) {
        self.answer_doors_by(|hub, told: DeposedTold| async move {
            let Ok(channel) = Channel::new(&told.channel) else { return };
            let why = match told.kicked {
                Some((code, reason)) => DisconnectReason::Kicked { code, reason: Text::from(reason.as_str()) },
                None => DisconnectReason::Failed,
            };
            if let Some(documents) = hub.documents() {
                documents.lose(&hub, &channel, &told.claim, &why);
            }
        });
    }

    /// Tells doors what was taken from them, until the end. It holds no guard: they find it out themselves, too.
    pub async fn tell_deposed(self: Arc<Self>, mut deposed: mpsc::Receiver<Deposed>, mut drain: Signal) {
        loop {
            let next = tokio::select! {
                next = deposed.recv() => next,
                _ = drain.ended() => None,
            };
            let Some(Deposed { channel, owner, why }) = next else { return };
            let kicked = match why {
                DisconnectReason::Kicked { code, reason } => Some((code, reason.as_str().to_owned())),
                _ => None,
            };
            self.tell_doors(&DeposedTold { channel: channel.as_str().into(), claim: owner.claim, kicked }).await;
        }
    }
}
