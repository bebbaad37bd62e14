//! Questions to many clients at once, and what each of them answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Hub;
use super::publish::Sender;
use super::sync::Mutex;
use crate::realtime::vocabulary::{ConnectionId, Extras, Moment, Payload, Publish, Refusal};

/// The questions that are open. At most `max_questions`; one more is refused. Answers that do not fit into
/// `max_answers` are not kept: who gave them counts as missing.
#[derive(Default)]
pub struct Questions(Mutex<Board>);

#[derive(Default)]
struct Board {
    open: HashMap<u64, Open>,
    /// The number of the last. Clients that speak JavaScript can count this far.
    last: u64,
    bytes: usize,
}

struct Open {
    /// Those who were asked and have not answered; unknown while the question is on its way out.
    missing: Option<HashSet<ConnectionId>>,
    /// In the order in which they came. Nothing, where there was nobody to answer.
    given: Vec<(ConnectionId, Option<AckReply>)>,
    /// Those who answered while the question was on its way out.
    early: HashSet<ConnectionId>,
    done: Option<oneshot::Sender<()>>,
}

/// One client's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct AckReply {
    /// The client's name in its protocol.
    pub alias: Option<Arc<str>>,
    pub data: Payload,
    pub extras: Extras,
}

/// The outcome of a question.
#[derive(Debug, Default)]
pub struct Answers {
    pub given: Vec<(ConnectionId, AckReply)>,
    /// Clients that were asked and have not answered.
    pub missing: Vec<ConnectionId>,
    /// Doors that have not answered for their clients.
    pub missing_doors: usize,
}

/// A question that is open. Dropped, it is no longer.
pub struct PendingAck {
    hub: Arc<Hub>,
    number: u64,
    done: oneshot::Receiver<()>,
}

impl Hub {
    /// Asks everyone in an audience whose dialect can answer. Nobody who comes later is asked.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] with too many questions open, else as [`Hub::publish`]. Nobody there is no error.
    pub fn ask(self: &Arc<Self>, mut publish: Publish, now: Moment) -> Result<PendingAck, Refusal> {
        let (done, is_done) = oneshot::channel();
        let number = self.questions.open(done, self.config().max_questions).ok_or(Refusal::Unavailable)?;
        let asking = PendingAck { hub: Arc::clone(self), number, done: is_done };
        self.metrics.questions.inc();
        publish.draft.asks = Some(number);
        publish.draft.passing = true;
        let asked = Mutex::new(HashSet::new());
        let sender = Sender { asked: Some(&asked), ..Sender::default() };
        match self.publish_as(&sender, publish, now) {
            Ok(_) | Err(Refusal::Unknown) => {}
            Err(refusal) => return Err(refusal),
        }
        let asked = std::mem::take(&mut *asked.lock());
        self.questions.asked(number, asked);
        Ok(asking)
    }

    /// Questions open at once, at most.
    pub fn max_questions(&self) -> usize {
        self.config().max_questions
    }

    /// A client's answer to question `number`; without one, there is nobody who could answer. The first counts.
    pub fn answer(&self, number: u64, from: ConnectionId, given: Option<AckReply>) {
        self.questions.answer(number, from, given, self.config().max_answers.bytes());
    }
}

impl PendingAck {
    /// Waits until everyone has answered.
    pub async fn answered(&mut self) {
        let _ = (&mut self.done).await;
    }

    /// The question is closed: what was answered so far.
    pub fn close(self) -> Answers {
        self.hub.questions.close(self.number)
    }
}

impl Drop for PendingAck {
    fn drop(&mut self) {
        self.hub.questions.close(self.number);
        self.hub.metrics.questions.dec();
    }
}

impl AckReply {
    fn detached(self) -> AckReply {
        AckReply { data: self.data.detached(), extras: self.extras.detached(), ..self }
    }
}

fn size(given: &Option<AckReply>) -> usize {
    let carried = given.as_ref().map_or(0, |given| given.data.len() + given.extras.size());
    size_of::<(ConnectionId, Option<AckReply>)>() + carried
}

impl Open {
    fn settle(&mut self) {
        if self.missing.as_ref().is_some_and(HashSet::is_empty)
            && let Some(done) = self.done.take()
        {
            let _ = done.send(());
        }
    }
}

impl Questions {
    fn open(&self, done: oneshot::Sender<()>, most: usize) -> Option<u64> {
        let mut board = self.0.lock();
        if board.open.len() >= most {
            return None;
        }
        board.last += 1;
        let number = board.last;
        board.open.insert(number, Open { missing: None, given: Vec::new(), early: HashSet::new(), done: Some(done) });
        Some(number)
    }

    /// The question has gone out to these. Some may have answered already.
    fn asked(&self, number: u64, mut asked: HashSet<ConnectionId>) {
        let mut board = self.0.lock();
        let Board { open, bytes, .. } = &mut *board;
        let Some(open) = open.get_mut(&number) else { return };
        open.early = HashSet::new();
        open.given.retain(|(from, given)| {
            let was_asked = asked.remove(from);
            if !was_asked {
                *bytes -= size(given);
            }
            was_asked
        });
        open.missing = Some(asked);
        open.settle();
    }

    fn answer(&self, number: u64, from: ConnectionId, given: Option<AckReply>, most: usize) {
        let mut board = self.0.lock();
        let Board { open, bytes, .. } = &mut *board;
        let Some(open) = open.get_mut(&number) else { return };
        let is_awaited = match &open.missing {
            Some(missing) => missing.contains(&from),
            None => !open.early.contains(&from),
        };
        if !is_awaited {
            return;
        }
        let size = size(&given);
        if *bytes + size > most {
            return;
        }
        *bytes += size;
        // Kept for as long as the others take: as it came it would hold on to the buffer that it was read into.
        open.given.push((from, given.map(AckReply::detached)));
        match &mut open.missing {
            Some(missing) => missing.remove(&from),
            None => open.early.insert(from),
        };
        open.settle();
    }

    fn close(&self, number: u64) -> Answers {
        let mut board = self.0.lock();
        let Some(open) = board.open.remove(&number) else { return Answers::default() };
        board.bytes -= open.given.iter().map(|(_, given)| size(given)).sum::<usize>();
        let is_few = board.open.len() < board.open.capacity() / 4;
        if is_few {
            let keep = board.open.len() * 2;
            board.open.shrink_to(keep);
        }
        Answers {
            given: open.given.into_iter().filter_map(|(from, given)| Some((from, given?))).collect(),
            missing: open.missing.into_iter().flatten().collect(),
            missing_doors: 0,
        }
    }
}
