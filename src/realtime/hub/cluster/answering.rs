//! What this door answers where another one asks.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tracing::warn;

use super::asking::{DoorQuestion, MAX_ANSWER_LEN};
use super::word::{AnswerWord, DoorWord, QuestionWord};
use super::{Cluster, wire};
use crate::drain::Signal;
use crate::realtime::broker::{NodeId, Recipient};
use crate::realtime::hub::Hub;
use crate::realtime::hub::sync::Mutex;
use crate::telemetry::LogThrottle;

/// Questions that wait for their turn, at most. One more is not answered.
const MAX_WAITING: usize = 4096;

/// Questions that are being answered, at most: those to clients take as long as clients do.
const AT_ONCE: usize = 4096;

/// How much of an answer is sent at a time, in bytes.
const PART_LEN: usize = 256 * 1024;

type Answering = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// What answers one kind of question.
type Answerer = Arc<dyn Fn(&Arc<Hub>, &Bytes) -> Result<Answering, wire::NotUnderstood> + Send + Sync>;

/// What this door can answer, and what it was asked.
#[derive(Default)]
pub(super) struct DoorAnswers {
    known: Mutex<HashMap<&'static str, Answerer>>,
    waiting: Mutex<VecDeque<QuestionWord>>,
    came: Notify,
    /// Who is to know where what other doors told may be lost. Set as the door starts.
    of_loss: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

impl Hub {
    /// Answers questions of one kind from now on. On one door alone, nobody asks.
    pub fn answer_doors_by<Q: DoorQuestion, F>(&self, answer: impl Fn(Arc<Hub>, Q) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Q::Answer> + Send + 'static,
    {
        let Some(cluster) = self.cluster() else { return };
        let answerer = move |hub: &Arc<Hub>, body: &Bytes| {
            let answering = answer(Arc::clone(hub), wire::decode::<Q>(body)?);
            Ok(Box::pin(async move { wire::encode(&answering.await) }) as Answering)
        };
        cluster.answers.known.lock().insert(Q::KIND, Arc::new(answerer));
    }

    /// Has `listener` told where words of other doors may be lost: what was to be done here, was not.
    pub fn when_words_are_lost(&self, listener: impl Fn() + Send + Sync + 'static) {
        if let Some(cluster) = self.cluster() {
            cluster.answers.of_loss.lock().push(Arc::new(listener));
        }
    }

    /// Answers what other doors ask, until the end. It holds no guard.
    pub async fn answer_doors(self: Arc<Self>, mut drain: Signal) {
        let Some(cluster) = self.cluster() else { return };
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < AT_ONCE
                && let Some(question) = cluster.answers.next()
            {
                running.push(cluster.answer(&self, question));
            }
            tokio::select! {
                () = cluster.answers.came.notified(), if running.len() < AT_ONCE => {}
                Some(()) = running.next(), if !running.is_empty() => {}
                _ = drain.ended() => return,
            }
        }
    }
}

impl DoorAnswers {
    pub(super) fn tell_of_loss(&self) {
        let listeners = self.of_loss.lock().clone();
        listeners.iter().for_each(|listener| listener());
    }

    fn next(&self) -> Option<QuestionWord> {
        self.waiting.lock().pop_front()
    }
}

impl Cluster {
    /// Takes a question of another door; what this one asks, it knows itself.
    pub(super) fn take_question(&self, question: QuestionWord) {
        static SAID: LogThrottle = LogThrottle::new();
        if NodeId(question.from) == self.broker.node() {
            return;
        }
        let mut waiting = self.answers.waiting.lock();
        if waiting.len() < MAX_WAITING {
            waiting.push_back(question);
            drop(waiting);
            self.answers.came.notify_one();
            return;
        }
        drop(waiting);
        self.answers.tell_of_loss();
        if SAID.may() {
            warn!("questions of other doors are not answered: there are too many");
        }
    }

    async fn answer(&self, hub: &Arc<Hub>, question: QuestionWord) {
        let QuestionWord { from, number, kind, body } = question;
        let answered = self.answer_to(hub, &kind, &body).await;
        if number == 0 {
            return;
        }
        let me = self.broker.node().0;
        let say = |body, goes_on| {
            let answer = AnswerWord { from: me, number, body, goes_on };
            self.broker.tell(Recipient::Node(NodeId(from)), wire::encode(&DoorWord::Answer(answer)))
        };
        let Some(mut rest) = answered else {
            let _ = say(None, false).await;
            return;
        };
        loop {
            let part = rest.split_to(rest.len().min(PART_LEN));
            // Who asked finds that this door is missing.
            if say(Some(part), !rest.is_empty()).await.is_err() || rest.is_empty() {
                return;
            }
        }
    }

    async fn answer_to(&self, hub: &Arc<Hub>, kind: &str, body: &Bytes) -> Option<Bytes> {
        static SAID: LogThrottle = LogThrottle::new();
        let answerer = self.answers.known.lock().get(kind).cloned();
        let answer = match answerer.map(|answerer| answerer(hub, body)) {
            Some(Ok(answering)) => answering.await,
            // A newer door's, say.
            None | Some(Err(_)) => {
                if SAID.may() {
                    warn!(kind, "another door asks what this one does not understand: it is of another version");
                }
                return None;
            }
        };
        if answer.len() > MAX_ANSWER_LEN {
            warn!(kind, bytes = answer.len(), "an answer to another door is too long");
            return None;
        }
        Some(answer)
    }
}
