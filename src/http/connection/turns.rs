//! Whose turn it is to send, on one connection of HTTP/2: the most urgent answer's. The library beneath sends what it was
//! given in the order in which it came, so it is given little: what it has must be in the socket before there is more.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::priority::{AnswerSays, Priority, Said};
use super::updates::{TooMany, Updates};

/// What the library is given until all of it is in the socket, in bytes; of what has no end half as much, all together: what
/// is flooded there does not starve the answers behind it.
const AT_ONCE: usize = 64 * 1024;
/// The same at first.
const FIRST_AT_ONCE: usize = 16 * 1024;
/// And at least, on a way so narrow that a ping behind more of it would come too late.
const LEAST_AT_ONCE: usize = 4 * 1024;
/// All of it was in the socket within so long: there may be twice as much.
const QUICK: Duration = Duration::from_millis(500);
/// It took so long: no more than the first, and half of it again and again.
const SLOW: Duration = Duration::from_secs(2);
/// And of one answer that shares with others.
const PIECE: usize = 16 * 1024;

/// The answers and sockets of one connection that wait for their turn: as many as it has streams.
#[derive(Debug)]
pub struct Turns {
    waiting: Mutex<Waiting>,
    /// All that was written is in the socket.
    is_flushed: AtomicBool,
    /// The stream whose request the library was shown last, until it hands it over; else 0.
    shown: AtomicU32,
}

#[derive(Debug)]
struct Waiting {
    /// What the library may be given now, and how much of it by what has no end.
    room: usize,
    live_room: usize,
    /// What `room` begins with.
    at_once: usize,
    /// Since when there is no room.
    full_since: Option<Instant>,
    answers: Line,
    live: Line,
    next: u64,
    updates: Updates,
    /// Wakes the connection itself.
    connection: Option<Waker>,
}

/// Those that wait, by urgency and order. Whoever is woken is not in it any more, and comes back if need be.
type Line = BTreeMap<Place, Waiter>;

/// Urgency, and the order among those that are as urgent.
type Place = (u8, u64);

#[derive(Debug)]
struct Waiter {
    stream: u32,
    waker: Waker,
}

/// One answer's place in line, or one socket's.
#[derive(Debug)]
pub struct Turn {
    /// 0 where it is not known.
    stream: u32,
    says: AnswerSays,
    priority: Priority,
    /// How often clients had said something when this priority was found.
    heard: u64,
    place: Option<Place>,
    /// Given at this place, in bytes.
    given: usize,
    /// It has given, and there is room for more.
    is_on: bool,
}

impl Default for Turns {
    fn default() -> Self {
        let waiting = Waiting {
            room: FIRST_AT_ONCE,
            live_room: FIRST_AT_ONCE / 2,
            at_once: FIRST_AT_ONCE,
            full_since: None,
            answers: Line::new(),
            live: Line::new(),
            next: 0,
            updates: Updates::default(),
            connection: None,
        };
        Turns { waiting: Mutex::new(waiting), is_flushed: AtomicBool::new(true), shown: AtomicU32::new(0) }
    }
}

impl Turn {
    /// Of the answer on `stream`, whose request says so much, and itself so much.
    pub fn new(stream: u32, said: Said, says: AnswerSays) -> Turn {
        Turn { stream, says, priority: says.priority(said), heard: 0, place: None, given: 0, is_on: false }
    }

    /// Of a socket. Whatever its client says, it keeps its place.
    pub fn of_socket() -> Turn {
        Turn::new(0, Said::default(), AnswerSays::fixed(Priority::SOCKET))
    }
}

impl Turns {
    /// The library has been shown the whole head of a request on `stream`, and nothing after it.
    pub fn show(&self, stream: u32) {
        self.shown.store(stream, Ordering::Relaxed);
    }

    /// The stream of the request that the library hands over now; 0 where it is not known.
    pub fn handed_over(&self) -> u32 {
        self.shown.swap(0, Ordering::Relaxed)
    }

    /// The client says something new of the answer on `stream`; as [`Updates::keep`] has it.
    ///
    /// # Errors
    /// As there.
    pub fn update(&self, stream: u32, said: Said, highest: u32, most: u32) -> Result<(), TooMany> {
        let mut waiting = self.waiting.lock();
        waiting.updates.keep(stream, said, highest, most)?;
        // It looks for its new place by itself.
        let waiter = waiting.take_out(stream);
        drop(waiting);
        wake(waiter);
        Ok(())
    }

    /// Ready with how much of `length` bytes may be given now: those of the answer whose turn it is.
    pub fn poll_take(&self, turn: &mut Turn, length: usize, context: &Context<'_>) -> Poll<usize> {
        let mut waiting = self.waiting.lock();
        waiting.heed(turn);
        let is_live = turn.priority.is_live;
        let place = *turn.place.get_or_insert_with(|| {
            waiting.next += 1;
            (turn.priority.urgency, waiting.next)
        });
        let room = if is_live { waiting.room.min(waiting.live_room) } else { waiting.room };
        if room == 0 || !waiting.is_first(place) {
            let waiter = Waiter { stream: turn.stream, waker: context.waker().clone() };
            waiting.line(is_live).insert(place, waiter);
            turn.is_on = false;
            let next = waiting.next();
            // What a socket gave may wait for a window of its own, and nobody be woken by it.
            let connection = waiting.connection.clone().filter(|_| is_live && self.is_flushed.load(Ordering::Relaxed));
            drop(waiting);
            wake(next);
            wake(connection);
            return Poll::Pending;
        }
        waiting.line(is_live).remove(&place);
        let most = if turn.priority.is_incremental { PIECE - turn.given } else { AT_ONCE };
        let taken = length.min(most).min(room);
        waiting.room -= taken;
        if is_live {
            waiting.live_room -= taken;
        }
        if waiting.room == 0 || waiting.live_room == 0 {
            waiting.full_since.get_or_insert_with(Instant::now);
        }
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
                self.flushed(context.waker());
            }
            polled
        })
        .await;
    }

    /// All that was given is in the socket, or waits for windows of its own.
    fn flushed(&self, connection: &Waker) {
        let mut waiting = self.waiting.lock();
        if waiting.connection.as_ref().is_none_or(|known| !known.will_wake(connection)) {
            waiting.connection = Some(connection.clone());
        }
        waiting.make_room();
        let next = waiting.next();
        drop(waiting);
        wake(next);
    }

    /// An answer ends. If it was its turn, it is the next one's.
    pub fn leave(&self, turn: &Turn) {
        let mut waiting = self.waiting.lock();
        if let Some(place) = turn.place {
            waiting.line(turn.priority.is_live).remove(&place);
        }
        waiting.updates.forget(turn.stream);
        let next = waiting.next();
        drop(waiting);
        wake(next);
    }
}

impl Waiting {
    /// All that was given is in the socket.
    fn make_room(&mut self) {
        if let Some(since) = self.full_since.take() {
            self.at_once = match since.elapsed() {
                quick if quick <= QUICK => AT_ONCE.min(2 * self.at_once),
                slow if slow >= SLOW => (self.at_once / 2).clamp(LEAST_AT_ONCE, FIRST_AT_ONCE),
                _ => self.at_once,
            };
        }
        (self.room, self.live_room) = (self.at_once, self.at_once / 2);
    }

    fn line(&mut self, is_live: bool) -> &mut Line {
        if is_live { &mut self.live } else { &mut self.answers }
    }

    /// What the client has said of it in the meantime.
    fn heed(&mut self, turn: &mut Turn) {
        if turn.heard == self.updates.count() {
            return;
        }
        turn.heard = self.updates.count();
        let Some(said) = self.updates.of(turn.stream) else { return };
        let priority = turn.says.priority(said);
        if priority != turn.priority {
            turn.priority = priority;
            turn.given = 0;
            if let Some(place) = turn.place.take() {
                self.line(priority.is_live).remove(&place);
            }
        }
    }

    /// The first that may be given room.
    fn first(&self) -> Option<(Place, bool)> {
        let live = self.live.keys().next().filter(|_| self.live_room > 0).map(|place| (*place, true));
        let answer = self.answers.keys().next().map(|place| (*place, false));
        live.into_iter().chain(answer).min()
    }

    fn is_first(&self, place: Place) -> bool {
        self.first().is_none_or(|(first, _)| place <= first)
    }

    /// Who is to be woken now.
    fn next(&mut self) -> Option<Waker> {
        let (place, is_live) = self.first().filter(|_| self.room > 0)?;
        self.line(is_live).remove(&place).map(|waiter| waiter.waker)
    }

    /// Whoever waits on `stream`.
    fn take_out(&mut self, stream: u32) -> Option<Waker> {
        for line in [&mut self.answers, &mut self.live] {
            let place = line.iter().find(|(_, waiter)| waiter.stream == stream).map(|(place, _)| *place);
            if let Some(waiter) = place.and_then(|place| line.remove(&place)) {
                return Some(waiter.waker);
            }
        }
        None
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
            Answer::with(Priority { urgency, is_incremental, is_live: false })
        }

        fn with(priority: Priority) -> Answer {
            let turn = Turn::new(7, Said::default(), AnswerSays::fixed(priority));
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

    /// On a way that takes all at once.
    fn wide() -> Turns {
        let turns = Turns::default();
        let mut waiting = turns.waiting.lock();
        waiting.at_once = AT_ONCE;
        waiting.make_room();
        drop(waiting);
        turns
    }

    /// What each of them gives in so many rounds, once all wait.
    fn rounds(turns: &Turns, answers: &mut [Answer], rounds: usize) -> Vec<usize> {
        let before: Vec<_> = answers.iter().map(|answer| answer.given).collect();
        for _ in 0..rounds {
            turns.flushed(Waker::noop());
            while answers.iter().any(|answer| answer.bell.0.load(Ordering::SeqCst)) {
                answers.iter_mut().for_each(|answer| answer.run(turns));
            }
        }
        answers.iter().zip(before).map(|(answer, before)| answer.given - before).collect()
    }

    #[test]
    fn the_most_urgent_goes_first_and_who_shares_gets_a_share() {
        let turns = wide();
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
    fn what_has_no_end_is_urgent_and_takes_half_at_most() {
        let turns = wide();
        let socket = || Answer::with(Priority::SOCKET);
        let mut answers = [socket(), socket(), Answer::new(6, true)];
        rounds(&turns, &mut answers, 1);
        let given = rounds(&turns, &mut answers, 100);
        assert_eq!((given[0] + given[1], given[2]), (100 * AT_ONCE / 2, 100 * AT_ONCE / 2));
        assert!(given[0].abs_diff(given[1]) <= AT_ONCE, "{given:?}");
        // One that has little to say does not wait for the download.
        turns.leave(&answers[0].turn);
        turns.leave(&answers[1].turn);
        turns.flushed(Waker::noop());
        let mut quiet = socket();
        let context = Context::from_waker(Waker::noop());
        assert_eq!(turns.poll_take(&mut quiet.turn, 100, &context), Poll::Ready(100));
    }

    #[test]
    fn what_is_said_later_moves_an_answer_that_waits() {
        let turns = wide();
        let mut answers = [Answer::new(3, false), Answer::new(3, false)];
        answers[1].turn = Turn::new(9, Said::default(), AnswerSays::in_headers(&http::HeaderMap::new()));
        rounds(&turns, &mut answers, 1);
        assert_eq!(rounds(&turns, &mut answers, 10), [10 * AT_ONCE, 0]);
        let mut say = |stream, value: &[u8]| {
            turns.update(stream, Said::in_value(value), 9, 10).unwrap();
            // Whoever is woken takes its new place.
            answers.iter_mut().for_each(|answer| answer.run(&turns));
            rounds(&turns, &mut answers, 10)
        };
        assert_eq!(say(9, b"u=2"), [0, 10 * AT_ONCE]);
        assert_eq!(say(9, b"u=4"), [10 * AT_ONCE, 0]);
        // What was said of others moves nobody.
        assert_eq!(say(11, b"u=0"), [10 * AT_ONCE, 0]);
    }

    #[test]
    fn whoever_leaves_hands_its_turn_on() {
        let turns = wide();
        let mut answers = [Answer::new(3, false), Answer::new(3, false)];
        rounds(&turns, &mut answers, 1);
        turns.flushed(Waker::noop());
        // The first was woken, and leaves without giving anything.
        assert!(answers[0].bell.0.load(Ordering::SeqCst) && !answers[1].bell.0.load(Ordering::SeqCst));
        turns.leave(&answers[0].turn);
        assert!(answers[1].bell.0.load(Ordering::SeqCst));
    }

    #[test]
    fn little_is_given_at_once_until_it_is_gone_soon() {
        let turns = Turns::default();
        let mut answers = [Answer::new(3, false)];
        rounds(&turns, &mut answers, 1);
        assert_eq!(answers[0].given, FIRST_AT_ONCE);
        rounds(&turns, &mut answers, 4);
        assert_eq!(rounds(&turns, &mut answers, 10), [10 * AT_ONCE]);
        // It took long.
        for at_once in [FIRST_AT_ONCE, FIRST_AT_ONCE / 2, LEAST_AT_ONCE, LEAST_AT_ONCE] {
            turns.waiting.lock().full_since = Instant::now().checked_sub(SLOW);
            assert_eq!(rounds(&turns, &mut answers, 1), [at_once]);
        }
    }
}
