//! Sending to connections of any door, in no channel, and saying to how many.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::realtime::hub::Hub;
use crate::realtime::hub::cluster::{Addressee, DOORS_PATIENCE, DoorQuestion, Utterance};
use crate::realtime::vocabulary::{ConnectionId, Draft, Moment, Refusal};

#[derive(Serialize, Deserialize)]
struct SendQuestion {
    to: Addressee,
    /// An utterance.
    said: Bytes,
}

#[derive(Serialize, Deserialize)]
struct SendAnswer {
    connections: usize,
    /// It was the one that was meant.
    is_all: bool,
}

impl DoorQuestion for SendQuestion {
    const KIND: &'static str = "send";
    type Answer = SendAnswer;

    fn is_enough(answer: &SendAnswer) -> bool {
        answer.is_all
    }
}

impl Hub {
    /// To one connection of any door. Says whether it is on its way to it.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] where no door has it; [`Refusal::Unavailable`] where not all could be asked.
    pub async fn send_to_connection(&self, id: ConnectionId, draft: Draft) -> Result<usize, Refusal> {
        if self.is_connected(id) {
            return Ok(self.send([id], draft));
        }
        let question = SendQuestion { to: Addressee::Connections(vec![id.0]), said: said(draft) };
        let replies = self.ask_doors(&question, DOORS_PATIENCE).await;
        match replies.given.iter().find(|answer| answer.is_all) {
            Some(answer) => Ok(answer.connections),
            None if replies.is_whole() => Err(Refusal::Unknown),
            None => Err(Refusal::Unavailable),
        }
    }

    /// To all connections of a user, on all doors. Says to how many it is on its way, of the doors that answer in time.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where the other doors could not be asked: then those of this one hear it.
    pub async fn send_to_user(&self, user: Arc<str>, draft: Draft) -> Result<usize, Refusal> {
        self.send_to_all(Addressee::User(user), draft).await
    }

    /// To every connection of all doors; as [`Hub::send_to_user`].
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn send_to_everyone(&self, draft: Draft) -> Result<usize, Refusal> {
        self.send_to_all(Addressee::Everyone, draft).await
    }

    async fn send_to_all(&self, to: Addressee, draft: Draft) -> Result<usize, Refusal> {
        let own = self.send(self.connections_meant(&to), draft.clone());
        if !self.is_shared() {
            return Ok(own);
        }
        let replies = self.ask_doors(&SendQuestion { to, said: said(draft) }, DOORS_PATIENCE).await;
        if replies.is_away {
            return Err(Refusal::Unavailable);
        }
        Ok(own + replies.given.iter().map(|answer| answer.connections).sum::<usize>())
    }

    pub(super) fn answer_sendings(&self) {
        self.answer_doors_by(|hub, SendQuestion { to, said }| async move {
            let Ok(said) = Utterance::decode(&said) else { return SendAnswer { connections: 0, is_all: false } };
            let meant = hub.connections_meant(&to);
            let is_all = matches!(to, Addressee::Connections(_)) && meant.iter().any(|id| hub.is_connected(*id));
            SendAnswer { connections: hub.send(meant, said.draft), is_all }
        });
    }
}

fn said(draft: Draft) -> Bytes {
    let (unix_ms, except, but) = (Moment::now().unix_ms, Vec::new(), Vec::new());
    Utterance { draft, origin: None, unix_ms, sender: None, echo: true, except, but }.encode()
}
