//! Whose turn it is to send, on one connection of HTTP/2: the most urgent answer's. The library beneath sends what it was
//! given in the order in which it came, so it is given little: what it has must be in the socket before there is more.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::priority::Priority;

/// What the library is given until all of it is in the socket, in bytes.
const AT_ONCE: usize = 64 * 1024;
/// And of one answer that shares with others.
const PIECE: usize = 16 * 1024;

/// The answers of one connection that wait for their turn: as many as it has streams.
#[derive(Debug)]
pub struct Turns {
    waiting: Mutex<Waiting>,
    /// All that was written is in the socket.
    is_flushed: AtomicBool,
}

#[derive(Debug)]
struct Waiting {
    /// What the library may be given now.
    room: usize,
    /// By urgency and order. Whoever is woken is not in it any more, and comes back if need be.
    answers: BTreeMap<Place, Waker>,
    next: u64,
}

/// Urgency, and the order among those that are as urgent.
type Place = (u8, u64);

/// One answer's place in line.
#[derive(Debug)]
pub struct Turn {
    place: Option<Place>,
    priority: Priority,
    /// Given at this place, in bytes.
    given: usize,
    /// It has given, and there is room for more.
    is_on: bool,
}

impl Default for Turns {
    fn default() -> Self {
        let waiting = Mutex::new(Waiting { room: AT_ONCE, answers: BTreeMap::new(), next: 0 });
        Turns { waiting, is_flushed: AtomicBool::new(true) }
    }
}

impl Turn {
    pub fn new(priority: Priority) -> Turn {
        Turn { place: None, priority, given: 0, is_on: false }
    }
}

impl Turns {
    /// Ready with how much of `length` bytes may be given now: those of the answer whose turn it is.
    pub fn poll_take(&self, turn: &mut Turn, length: usize, context: &Context<'_>) -> Poll<usize> {
        let mut waiting = self.waiting.lock();
        let place = *turn.place.get_or_insert_with(|| {
            waiting.next += 1;
            (turn.priority.urgency, waiting.next)
        });
        let is_first = waiting.answers.keys().next().is_none_or(|first| place <= *first);
        if waiting.room == 0 || !is_first {
            waiting.answers.insert(place, context.waker().clone());
            turn.is_on = false;
            let next = waiting.next();
            drop(waiting);
            wake(next);
            return Poll::Pending;
        }
        waiting.answers.remove(&place);
        let most = if turn.priority.is_incremental { PIECE - turn.given } else { AT_ONCE };
        let taken = length.min(most).min(waiting.room);
        waiting.room -= taken;
        // It stays its turn for as long as it has more at once.
        turn.is_on = waiting.room > 0;
        if turn.priority.is_incremental {
            turn.given += taken;
            if turn.given == PIECE {
                // Behind those that share with it.
                (turn.place, turn.given) = (None, 0);
            }
        }
        Poll::Ready(taken)
    }

    /// An answer has no more to give for now: the next one's turn.
    pub fn pass(&self, turn: &mut Turn) {
        if std::mem::take(&mut turn.is_on) {
            let next = self.waiting.lock().next();
            wake(next);
        }
    }

    /// The connection wrote something, or what it wrote is in the socket.
    pub fn note_flush(&self, is_flushed: bool) {
        self.is_flushed.store(is_flushed, Ordering::Relaxed);
    }

    /// Drives the connection: each time that it has nothing left to write, the next answers may give something.
    pub async fn resting<C: Future>(&self, mut connection: Pin<&mut C>) {
        std::future::poll_fn(|context| {
            let polled = connection.as_mut().poll(context).map(drop);
            if polled.is_pending() && self.is_flushed.load(Ordering::Relaxed) {
                self.flushed();
            }
            polled
        })
        .await;
    }

    /// All that was given is in the socket, or waits for windows of its own.
    fn flushed(&self) {
        let mut waiting = self.waiting.lock();
        waiting.room = AT_ONCE;
        let next = waiting.next();
        drop(waiting);
        wake(next);
    }

    /// An answer ends. If it was its turn, it is the next one's.
    pub fn leave(&self, turn: &Turn) {
        let mut waiting = self.waiting.lock();
        if let Some(place) = turn.place {
            waiting.answers.remove(&place);
        }
        let next = waiting.next();
        drop(waiting);
        wake(next);
    }
}

impl Waiting {
    /// Who is to be woken now.
    fn next(&mut self) -> Option<Waker> {
        if self.room == 0 { None } else { self.answers.pop_first().map(|(_, waker)| waker) }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicBool);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// An answer without end.
    struct Answer {
        turn: Turn,
        bell: Arc<Bell>,
        given: usize,
    }

    impl Answer {
        fn new(urgency: u8, is_incremental: bool) -> Answer {
            let turn = Turn::new(Priority { urgency, is_incremental });
            Answer { turn, bell: Arc::new(Bell(AtomicBool::new(true))), given: 0 }
        }

        /// Gives what it may, if it was woken.
        fn run(&mut self, turns: &Turns) {
            if !self.bell.0.swap(false, Ordering::SeqCst) {
                return;
            }
            let waker = Waker::from(Arc::clone(&self.bell));
            while let Poll::Ready(taken) = turns.poll_take(&mut self.turn, 1 << 20, &Context::from_waker(&waker)) {
                self.given += taken;
            }
        }
    }

    /// What each of them gives in so many rounds, once all wait.
    fn rounds(turns: &Turns, answers: &mut [Answer], rounds: usize) -> Vec<usize> {
        let before: Vec<_> = answers.iter().map(|answer| answer.given).collect();
        for _ in 0..rounds {
            turns.flushed();
            while answers.iter().any(|answer| answer.bell.0.load(Ordering::SeqCst)) {
                answers.iter_mut().for_each(|answer| answer.run(turns));
            }
        }
        answers.iter().zip(before).map(|(answer, before)| answer.given - before).collect()
    }

    #[test]
    fn the_most_urgent_goes_first_and_who_shares_gets_a_share() {
        let turns = Turns::default();
        let mut answers = [Answer::new(5, true), Answer::new(5, true), Answer::new(1, false)];
        rounds(&turns, &mut answers, 1);
        assert_eq!(rounds(&turns, &mut answers, 10), [0, 0, 10 * AT_ONCE]);
        // It ends, and the others go on, half and half.
        turns.leave(&answers[2].turn);
        let given = rounds(&turns, &mut answers[..2], 100);
        assert_eq!(given[0] + given[1], 100 * AT_ONCE);
        assert!(given[0].abs_diff(given[1]) <= 2 * AT_ONCE, "{given:?}");
    }

    #[test]
    fn whoever_leaves_hands_its_turn_on() {
        let turns = Turns::default();
        let mut answers = [Answer::new(3, false), Answer::new(3, false)];
        rounds(&turns, &mut answers, 1);
        turns.flushed();
        // The first was woken, and leaves without giving anything.
        assert!(answers[0].bell.0.load(Ordering::SeqCst) && !answers[1].bell.0.load(Ordering::SeqCst));
        turns.leave(&answers[0].turn);
        assert!(answers[1].bell.0.load(Ordering::SeqCst));
    }
}
