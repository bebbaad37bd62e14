//! Questions to the clients of all doors.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::realtime::hub::Hub;
use crate::realtime::hub::cluster::{DOORS_PATIENCE, DoorQuestion, DoorReplies, Utterance, WirePayload};
use crate::realtime::hub::questions::{AckReply, Answers, PendingAck};
use crate::realtime::vocabulary::{Audience, Channel, ConnectionId, Extras, Moment, Payload, Publish, Refusal};

/// Has a door ask its clients.
#[derive(Serialize, Deserialize)]
struct AskQuestion {
    to: WireAudience,
    /// An utterance.
    said: Bytes,
    /// How long clients have, in milliseconds.
    limit: u64,
}

#[derive(Serialize, Deserialize)]
enum WireAudience {
    Channel(Arc<str>),
    Several { channels: Vec<Arc<str>>, connections: Vec<u64>, except: Vec<Arc<str>>, but: Vec<u64> },
    Connection(u64),
    User(Arc<str>),
    Everyone,
}

/// What the clients of one door answered.
#[derive(Serialize, Deserialize)]
struct AskAnswer {
    given: Vec<WireReply>,
    missing: Vec<u64>,
    /// They could not be asked: too many questions are open there.
    is_refused: bool,
}

#[derive(Serialize, Deserialize)]
struct WireReply {
    from: u64,
    alias: Option<Arc<str>>,
    data: WirePayload,
    extras: Vec<(Arc<str>, Bytes)>,
}

impl DoorQuestion for AskQuestion {
    const KIND: &'static str = "ask";
    type Answer = AskAnswer;
}

/// A question to the clients of all doors, on its way. Dropped, nobody waits for answers.
pub struct AskedEverywhere {
    own: PendingAck,
    limit: Duration,
    others: Pin<Box<dyn Future<Output = DoorReplies<AskAnswer>> + Send>>,
}

impl Hub {
    /// As [`Hub::ask`], of the clients of all doors, which have `limit` to answer.
    ///
    /// # Errors
    /// As [`Hub::ask`].
    pub fn ask_everywhere(
        self: &Arc<Self>,
        publish: Publish,
        limit: Duration,
        now: Moment,
    ) -> Result<AskedEverywhere, Refusal> {
        let question = self.is_shared().then(|| AskQuestion::of(&publish, limit, now));
        let own = self.ask(publish, now)?;
        let hub = Arc::clone(self);
        let others = Box::pin(async move {
            match question {
                // They answer for their clients when those have answered, or have had their time.
                Some(question) => hub.ask_doors(&question, limit + DOORS_PATIENCE).await,
                None => DoorReplies::nothing(),
            }
        });
        Ok(AskedEverywhere { own, limit, others })
    }

    pub(super) fn answer_acks(&self) {
        self.answer_doors_by(|hub, question: AskQuestion| async move {
            let limit = Duration::from_millis(question.limit);
            let asked = question.publish().map(|publish| hub.ask(publish, Moment::now()));
            let Some(Ok(asked)) = asked else {
                return AskAnswer { given: Vec::new(), missing: Vec::new(), is_refused: true };
            };
            AskAnswer::from(answered(asked, limit).await)
        });
    }
}

async fn answered(mut asked: PendingAck, limit: Duration) -> Answers {
    let _ = timeout(limit, asked.answered()).await;
    asked.close()
}

impl AskedEverywhere {
    /// What was answered until all had answered, or their time was over.
    pub async fn answers(self) -> Answers {
        let AskedEverywhere { own, limit, others } = self;
        let (mut answers, others) = join(answered(own, limit), others).await;
        answers.missing_doors = others.missing + usize::from(others.is_away);
        for answer in others.given {
            answers.missing_doors += usize::from(answer.is_refused);
            answers.missing.extend(answer.missing.into_iter().map(ConnectionId));
            answers.given.extend(answer.given.into_iter().map(WireReply::reply));
        }
        answers
    }
}

impl From<Answers> for AskAnswer {
    fn from(answers: Answers) -> AskAnswer {
        let given = answers.given.into_iter().map(|(from, AckReply { alias, data, extras })| WireReply {
            from: from.0,
            alias,
            data: WirePayload::from(&data),
            extras: extras.each().collect(),
        });
        AskAnswer {
            given: given.collect(),
            missing: answers.missing.iter().map(|id| id.0).collect(),
            is_refused: false,
        }
    }
}

impl WireReply {
    fn reply(self) -> (ConnectionId, AckReply) {
        let WireReply { from, alias, data, extras } = self;
        (ConnectionId(from), AckReply { alias, data: Payload::from(data), extras: Extras::new(extras) })
    }
}

impl AskQuestion {
    fn of(publish: &Publish, limit: Duration, now: Moment) -> AskQuestion {
        let names = |channels: &[Channel]| channels.iter().map(|channel| channel.as_str().into()).collect();
        let ids = |connections: &[ConnectionId]| connections.iter().map(|id| id.0).collect();
        let to = match &publish.audience {
            Audience::Channel(channel) => WireAudience::Channel(channel.as_str().into()),
            Audience::Several { channels, connections, except, but } => WireAudience::Several {
                channels: names(channels),
                connections: ids(connections),
                except: names(except),
                but: ids(but),
            },
            Audience::Connection(id) => WireAudience::Connection(id.0),
            Audience::User(user) => WireAudience::User(Arc::clone(user)),
            Audience::Everyone => WireAudience::Everyone,
        };
        let (draft, unix_ms) = (publish.draft.clone(), now.unix_ms);
        let (except, but) = Default::default();
        let said = Utterance { draft, origin: None, unix_ms, sender: None, echo: publish.echo, except, but };
        AskQuestion { to, said: said.encode(), limit: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) }
    }

    /// `None` for what makes no sense here.
    fn publish(&self) -> Option<Publish> {
        let names = |names: &[Arc<str>]| names.iter().map(|name| Channel::new(name).ok()).collect::<Option<Vec<_>>>();
        let ids = |ids: &[u64]| ids.iter().copied().map(ConnectionId).collect();
        let audience = match &self.to {
            WireAudience::Channel(name) => Audience::Channel(Channel::new(name).ok()?),
            WireAudience::Several { channels, connections, except, but } => Audience::Several {
                channels: names(channels)?,
                connections: ids(connections),
                except: names(except)?,
                but: ids(but),
            },
            WireAudience::Connection(id) => Audience::Connection(ConnectionId(*id)),
            WireAudience::User(user) => Audience::User(Arc::clone(user)),
            WireAudience::Everyone => Audience::Everyone,
        };
        let Utterance { draft, echo, .. } = Utterance::decode(&self.said).ok()?;
        Some(Publish { ticket: 0, audience, draft, echo })
    }
}
