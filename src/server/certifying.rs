//! Has doors that share a Redis have their certificates in common: the rooms know nothing of each other.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::realtime::hub::{Claimed, DoorQuestion, Hub};
use crate::tls::acme::{AcmeService, AskedOfDoors, DoorTurn, DoorsAway, OtherDoors};

/// How long the other doors have to look at what they are told of.
const PATIENCE: Duration = Duration::from_secs(2);

/// Look at what is kept for a name.
#[derive(Serialize, Deserialize)]
struct LookQuestion {
    name: String,
}

impl DoorQuestion for LookQuestion {
    const KIND: &'static str = "certificate";
    type Answer = ();
}

/// The other doors, by the hub.
struct DoorsOfHub(Weak<Hub>);

/// Starts it, where there are other doors. One without certificates has nothing to look at, and says so.
pub fn start(acme: Option<&mut AcmeService>, hub: &Arc<Hub>) {
    if !hub.is_shared() {
        return;
    }
    let common = acme.map(|acme| acme.share(Arc::new(DoorsOfHub(Arc::downgrade(hub)))));
    hub.answer_doors_by(move |_, question: LookQuestion| {
        let common = common.clone();
        async move {
            if let Some(common) = common {
                common.look(&question.name).await;
            }
        }
    });
}

impl OtherDoors for DoorsOfHub {
    fn claim(&self, what: String) -> AskedOfDoors<Result<Option<DoorTurn>, DoorsAway>> {
        let hub = self.0.upgrade();
        Box::pin(async move {
            match hub.ok_or(DoorsAway)?.claim(what, &fastrand::u64(..)).await {
                Ok(Some(Claimed::Ours(claim))) => Ok(Some(Box::new(claim) as DoorTurn)),
                Ok(Some(Claimed::Theirs(_))) => Ok(None),
                Ok(None) | Err(_) => Err(DoorsAway),
            }
        })
    }

    fn read(&self, what: String) -> AskedOfDoors<Result<Option<Bytes>, DoorsAway>> {
        let hub = self.0.upgrade();
        Box::pin(async move { hub.ok_or(DoorsAway)?.kept_for_all(&what).await.map_err(|_| DoorsAway) })
    }

    fn keep(&self, what: String, value: Bytes, age: Duration) -> AskedOfDoors<Result<(), DoorsAway>> {
        let hub = self.0.upgrade();
        Box::pin(async move { hub.ok_or(DoorsAway)?.keep_for_all(&what, value, age).await.map_err(|_| DoorsAway) })
    }

    fn tell(&self, name: String) -> AskedOfDoors<bool> {
        let hub = self.0.upgrade();
        Box::pin(async move {
            match hub {
                Some(hub) => hub.ask_doors(&LookQuestion { name }, PATIENCE).await.is_whole(),
                None => false,
            }
        })
    }
}
