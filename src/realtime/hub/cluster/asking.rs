//! Questions of one door to all others that live, and what they answer.
//!
//! Nothing of a question outlives its time-out, nor the future of who asked: an answer that comes later finds nobody.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::word::{AnswerWord, DoorWord, QuestionWord};
use super::{Cluster, wire};
use crate::realtime::broker::{NodeId, Recipient};
use crate::realtime::hub::Hub;
use crate::realtime::hub::sync::Mutex;
use crate::telemetry::LogThrottle;

/// Questions that wait for answers, at most.
const MAX_OPEN: usize = 1024;

/// What one door answers, at most, in bytes.
pub(super) const MAX_ANSWER_LEN: usize = 4 * 1024 * 1024;

/// Answers that are here and not read yet, or not whole yet, at most.
const MAX_HELD_LEN: usize = 64 * 1024 * 1024;

/// How long a question waits for doors that live, where nothing else says so.
pub const DOORS_PATIENCE: Duration = Duration::from_secs(1);

/// Something that one door asks others. Fields are added at its end, with defaults: doors of two versions talk.
pub trait DoorQuestion: Serialize + DeserializeOwned + Send + 'static {
    /// Another for each kind of question.
    const KIND: &'static str;
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// True for an answer after which nobody waits for those of other doors.
    fn is_enough(_: &Self::Answer) -> bool {
        false
    }
}

/// What the other doors answered. Of one door alone: nothing, and nothing is missing.
#[derive(Debug)]
pub struct DoorReplies<A> {
    pub given: Vec<A>,
    /// Doors that live, as far as is known, and have not answered in time.
    pub missing: usize,
    /// Nobody could be asked: the broker is away.
    pub is_away: bool,
}

impl<A> DoorReplies<A> {
    /// Nobody else was there to answer.
    pub(in crate::realtime::hub) fn nothing() -> DoorReplies<A> {
        DoorReplies { given: Vec::new(), missing: 0, is_away: false }
    }

    fn away() -> DoorReplies<A> {
        DoorReplies { is_away: true, ..DoorReplies::nothing() }
    }

    /// All doors have answered that there are.
    pub fn is_whole(&self) -> bool {
        self.missing == 0 && !self.is_away
    }
}

/// The questions of this door that wait for answers.
#[derive(Default)]
pub(super) struct OpenQuestions(Mutex<Board>);

#[derive(Default)]
struct Board {
    open: HashMap<u64, OpenQuestion>,
    last: u64,
    /// Of all answers that are here.
    bytes: usize,
}

struct OpenQuestion {
    /// The doors that are yet to answer, and what has come of their answers.
    awaited: HashMap<NodeId, Vec<u8>>,
    /// Takes at most one answer of each door.
    came: UnboundedSender<Option<Bytes>>,
    bytes: usize,
}

/// One question, for as long as anybody waits for it.
struct Pending<'a> {
    board: &'a OpenQuestions,
    number: u64,
    came: UnboundedReceiver<Option<Bytes>>,
}

impl Hub {
    /// Asks all other doors that live, and gives what they answer within `patience`. Who is missing is said in the log.
    pub async fn ask_doors<Q: DoorQuestion>(&self, question: &Q, patience: Duration) -> DoorReplies<Q::Answer> {
        static SAID: LogThrottle = LogThrottle::new();
        let Some(cluster) = self.cluster() else { return DoorReplies::nothing() };
        let replies = cluster.ask(question, Instant::now() + patience).await;
        if !replies.is_whole() && SAID.may() {
            let DoorReplies { missing, is_away, .. } = replies;
            warn!(kind = Q::KIND, missing, is_away, "other doors have not answered: what is told lacks what they know");
        }
        replies
    }

    /// Tells all other doors something that they need not answer.
    pub async fn tell_doors<Q: DoorQuestion>(&self, told: &Q) {
        let Some(cluster) = self.cluster() else { return };
        if let Err(error) = cluster.broker.tell(Recipient::All, cluster.question(0, told)).await {
            warn!(kind = Q::KIND, %error, "the other doors could not be told something");
        }
    }
}

impl Cluster {
    fn question<Q: DoorQuestion>(&self, number: u64, question: &Q) -> Bytes {
        let (from, kind, body) = (self.broker.node().0, Q::KIND.to_owned(), wire::encode(question));
        wire::encode(&DoorWord::Question(QuestionWord { from, number, kind, body }))
    }

    async fn ask<Q: DoorQuestion>(&self, question: &Q, until: Instant) -> DoorReplies<Q::Answer> {
        let Ok(Ok(nodes)) = timeout_at(until, self.broker.nodes()).await else { return DoorReplies::away() };
        let others: Vec<_> = nodes.into_iter().filter(|node| *node != self.broker.node()).collect();
        if others.is_empty() {
            return DoorReplies::nothing();
        }
        let mut missing = others.len();
        let Some(mut pending) = self.questions.open(&others) else {
            warn!(kind = Q::KIND, most = MAX_OPEN, "too many questions wait for other doors");
            return DoorReplies { missing, ..DoorReplies::nothing() };
        };
        let told = self.broker.tell(Recipient::All, self.question(pending.number, question));
        if !matches!(timeout_at(until, told).await, Ok(Ok(()))) {
            return DoorReplies::away();
        }
        let mut given = Vec::with_capacity(missing);
        for _ in &others {
            let Ok(Some(came)) = timeout_at(until, pending.came.recv()).await else { break };
            let Some(came) = came else { continue };
            match wire::decode::<Q::Answer>(&came) {
                Ok(answer) => {
                    missing -= 1;
                    let is_enough = Q::is_enough(&answer);
                    given.push(answer);
                    if is_enough {
                        missing = 0;
                        break;
                    }
                }
                Err(error) => warn!(kind = Q::KIND, %error, "another door's answer"),
            }
        }
        DoorReplies { given, missing, is_away: false }
    }

    /// Takes what another door answers.
    pub(super) fn take_answer(&self, answer: AnswerWord) {
        self.questions.take(answer);
    }
}

impl OpenQuestions {
    fn open(&self, others: &[NodeId]) -> Option<Pending<'_>> {
        let mut board = self.0.lock();
        if board.open.len() >= MAX_OPEN {
            return None;
        }
        board.last += 1;
        let (number, (sender, came)) = (board.last, mpsc::unbounded_channel());
        let awaited = others.iter().map(|node| (*node, Vec::new())).collect();
        board.open.insert(number, OpenQuestion { awaited, came: sender, bytes: 0 });
        Some(Pending { board: self, number, came })
    }

    /// What is not awaited, or no longer, is nothing.
    fn take(&self, answer: AnswerWord) {
        let AnswerWord { from, number, body, goes_on } = answer;
        let mut board = self.0.lock();
        let Board { open, bytes: held, .. } = &mut *board;
        let Some(open) = open.get_mut(&number) else { return };
        let Some(parts) = open.awaited.get_mut(&NodeId(from)) else { return };
        let length = body.as_ref().map_or(0, Bytes::len);
        let is_refused = body.is_none() || parts.len() + length > MAX_ANSWER_LEN || *held + length > MAX_HELD_LEN;
        if is_refused {
            open.awaited.remove(&NodeId(from));
            let _ = open.came.send(None);
            return;
        }
        *held += length;
        open.bytes += length;
        parts.extend_from_slice(&body.unwrap_or_default());
        if !goes_on && let Some(whole) = open.awaited.remove(&NodeId(from)) {
            let _ = open.came.send(Some(whole.into()));
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut board = self.board.0.lock();
        if let Some(open) = board.open.remove(&self.number) {
            board.bytes -= open.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(from: u64, number: u64, body: Option<&'static [u8]>, goes_on: bool) -> AnswerWord {
        AnswerWord { from, number, body: body.map(Bytes::from_static), goes_on }
    }

    #[test]
    fn an_answer_comes_in_parts_and_once() {
        let board = OpenQuestions::default();
        let mut pending = board.open(&[NodeId(1), NodeId(2)]).unwrap();
        let number = pending.number;
        board.take(answer(1, number, Some(b"a"), true));
        board.take(answer(3, number, Some(b"x"), false));
        board.take(answer(1, number + 1, Some(b"x"), false));
        assert!(pending.came.try_recv().is_err());
        board.take(answer(1, number, Some(b"b"), false));
        board.take(answer(1, number, Some(b"c"), false));
        board.take(answer(2, number, None, false));
        assert_eq!(pending.came.try_recv().unwrap(), Some(Bytes::from_static(b"ab")));
        assert_eq!(pending.came.try_recv().unwrap(), None);
        assert!(pending.came.try_recv().is_err());
        drop(pending);
        let board = board.0.lock();
        assert_eq!((board.open.len(), board.bytes), (0, 0));
    }

    #[test]
    fn what_is_open_and_held_has_a_bound() {
        let board = OpenQuestions::default();
        let mut open: Vec<_> = (0..MAX_OPEN).map(|_| board.open(&[NodeId(1)]).unwrap()).collect();
        assert!(board.open(&[NodeId(1)]).is_none());
        let long = Bytes::from(vec![0; MAX_ANSWER_LEN]);
        for pending in &open {
            board.take(AnswerWord { from: 1, number: pending.number, body: Some(long.clone()), goes_on: true });
            assert!(board.0.lock().bytes <= MAX_HELD_LEN);
        }
        board.take(answer(1, open[0].number, Some(b"x"), false));
        assert_eq!(open[0].came.try_recv().unwrap(), None, "longer than an answer may be");
        assert_eq!(open[MAX_OPEN - 1].came.try_recv().unwrap(), None, "no room");
        drop(open);
        assert_eq!(board.0.lock().bytes, 0);
    }
}
