//! Copies of what is sent again and again, in pipes that nobody empties: the kernel sends what is in them, and copies nothing.
//!
//! Only what is in memory as it is to be sent has one, and it is known by where it lies there: the same bytes, whatever
//! becomes of the file or the page that they were made of. Whoever sends something else sends it as ever.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tracing::debug;

use super::passage::{Passage, ROOM};
use super::system;

/// Below this, in bytes, copying is what costs least.
pub const WORTH_A_PIPE: usize = 64 * 1024;
/// What is longer, in bytes, has none: no more is held in memory where files have what is usual.
const LONGEST: usize = 8 * 1024 * 1024;
/// What is longer is put into its pipes on a thread that may be held up, and copied until they are full.
const AT_ONCE: usize = 1024 * 1024;
/// All together, in bytes; each is in memory twice then. One user may have 64 MiB in pipes (`pipe-user-pages-soft`).
const MOST: usize = 16 * 1024 * 1024;
/// So many at most, each with an open file for each [`ROOM`] of it.
const MOST_KEPT: usize = 128;
/// One that was not sent for so long gives way to another.
const OLD: Duration = Duration::from_secs(60);

static SHELF: Mutex<Shelf> = Mutex::new(Shelf { kept: BTreeMap::new(), bytes: 0, seen: [(0, 0); 64], next: 0 });

/// One of them, for one answer.
#[derive(Debug)]
pub struct Offprint {
    pipes: Arc<[Piece]>,
    /// The piece that goes next.
    next: usize,
    passage: Arc<Passage>,
}

#[derive(Debug)]
struct Piece {
    reader: OwnedFd,
    length: usize,
}

struct Shelf {
    /// By where the bytes begin in memory.
    kept: BTreeMap<usize, Kept>,
    bytes: usize,
    /// What was sent once of late, by where it lies.
    seen: [(usize, usize); 64],
    next: usize,
}

struct Kept {
    /// For as long as it is here nothing else can lie in its place.
    bytes: Bytes,
    /// `None` while they are being filled.
    pipes: Option<Arc<[Piece]>>,
    sent: Instant,
}

/// What the shelf says of a body.
enum Found {
    Pipes(Arc<[Piece]>),
    /// It is to have some, and there is room for them: whoever asked makes them.
    Room,
    Nothing,
}

impl Offprint {
    /// That of `body`, where it has one; the second time that it is sent, one is made.
    pub fn of(body: &Bytes) -> Option<Offprint> {
        if body.len() < WORTH_A_PIPE {
            return None;
        }
        let found = SHELF.lock().find(body, Instant::now());
        let pipes = match found {
            Found::Pipes(pipes) => pipes,
            // A few hundred microseconds at most, once.
            Found::Room if body.len() <= AT_ONCE => make(body)?,
            Found::Room => {
                let body = body.clone();
                drop(spawn_blocking(move || make(&body)));
                return None;
            }
            Found::Nothing => return None,
        };
        Some(Offprint { pipes, next: 0, passage: Passage::open()? })
    }

    /// The passage with what goes next. `None` where there is nothing any more: what is left of the body is to be copied.
    pub fn filled(&mut self) -> Option<&Passage> {
        if self.passage.is_empty() {
            let piece = self.pipes.get(self.next)?;
            let length = self.passage.copy_in(&piece.reader, piece.length)?;
            // A pipe can be seen from its beginning only: of one that does not fit, the rest is copied.
            self.next = if length == piece.length { self.next + 1 } else { self.pipes.len() };
        }
        Some(&self.passage)
    }
}

/// Puts `body` into pipes, for which there is room on the shelf.
fn make(body: &Bytes) -> Option<Arc<[Piece]>> {
    let piece = |bytes: &[u8]| Ok(Piece { reader: system::filled_pipe(bytes)?, length: bytes.len() });
    let made: io::Result<Arc<[Piece]>> = body.chunks(ROOM).map(piece).collect();
    let made = made.inspect_err(|error| debug!(%error, "no pipe is to be had: what is sent is copied")).ok();
    SHELF.lock().put(body, made.clone());
    made
}

impl Shelf {
    /// What there is of `body`, or its room: nobody else is told of that.
    fn find(&mut self, body: &Bytes, now: Instant) -> Found {
        let place = body.as_ptr().addr();
        if let Some(kept) = self.kept.get_mut(&place) {
            let is_it = kept.bytes.len() == body.len();
            let pipes = kept.pipes.as_ref().filter(|_| is_it);
            let Some(pipes) = pipes.map(Arc::clone) else { return Found::Nothing };
            kept.sent = now;
            return Found::Pipes(pipes);
        }
        if !self.is_seen(body) || !self.makes_room(body.len(), now) {
            return Found::Nothing;
        }
        self.bytes += body.len();
        self.kept.insert(place, Kept { bytes: body.clone(), pipes: None, sent: now });
        Found::Room
    }

    /// Takes the pipes of `body`, or its room back where there are none.
    fn put(&mut self, body: &Bytes, made: Option<Arc<[Piece]>>) {
        let place = body.as_ptr().addr();
        match (made, self.kept.get_mut(&place)) {
            (Some(pipes), Some(kept)) => kept.pipes = Some(pipes),
            (None, Some(_)) => {
                self.kept.remove(&place);
                self.bytes -= body.len();
            }
            // It had become old meanwhile.
            (_, None) => {}
        }
    }

    /// Whether it was sent of late already.
    fn is_seen(&mut self, body: &Bytes) -> bool {
        let place = (body.as_ptr().addr(), body.len());
        if self.seen.contains(&place) {
            return true;
        }
        self.seen[self.next] = place;
        self.next = (self.next + 1) % self.seen.len();
        false
    }

    /// Whether there is room for so many bytes more; what is old gives way.
    fn makes_room(&mut self, length: usize, now: Instant) -> bool {
        if length > LONGEST {
            return false;
        }
        let is_full = |shelf: &Shelf| shelf.bytes + length > MOST || shelf.kept.len() >= MOST_KEPT;
        if is_full(self) {
            self.kept.retain(|_, kept| now.duration_since(kept.sent) < OLD);
            self.bytes = self.kept.values().map(|kept| kept.bytes.len()).sum();
        }
        !is_full(self)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn shelf() -> Shelf {
        Shelf { kept: BTreeMap::new(), bytes: 0, seen: [(0, 0); 64], next: 0 }
    }

    #[test]
    fn it_is_made_the_second_time_and_of_nothing_else() {
        let (whole, other) = (Bytes::from(vec![7; 300_000]), Bytes::from(vec![7; 300_000]));
        assert!(Offprint::of(&whole).is_none());
        let made = Offprint::of(&whole).unwrap().pipes;
        assert_eq!(made.iter().map(|piece| piece.length).collect::<Vec<_>>(), [ROOM, 300_000 - ROOM]);
        assert!(Arc::ptr_eq(&made, &Offprint::of(&whole.slice(..)).unwrap().pipes));
        for part in [&whole.slice(1..), &whole.slice(..200_000), &other] {
            assert!(Offprint::of(part).is_none());
        }
        assert!(Offprint::of(&whole.slice(..200_000)).is_none(), "where another begins there is none");
        let short = whole.slice(..WORTH_A_PIPE - 1);
        assert!(Offprint::of(&short).is_none() && Offprint::of(&short).is_none());
    }

    #[test]
    fn one_makes_them_and_what_comes_to_nothing_leaves_its_room() {
        let (now, mut shelf) = (Instant::now(), shelf());
        let body = Bytes::from(vec![0; LONGEST]);
        assert!(matches!(shelf.find(&body, now), Found::Nothing));
        assert!(matches!(shelf.find(&body, now), Found::Room));
        assert!(matches!(shelf.find(&body, now), Found::Nothing), "they are being filled");
        shelf.put(&body, None);
        assert_eq!((shelf.kept.len(), shelf.bytes), (0, 0));
        assert!(matches!(shelf.find(&body, now), Found::Room));
        shelf.put(&body, Some(Arc::new([])));
        assert!(matches!(shelf.find(&body, now), Found::Pipes(_)));
    }

    #[tokio::test]
    async fn a_long_one_is_filled_beside_and_is_there_in_the_end() {
        let body = Bytes::from(vec![9; AT_ONCE + 1]);
        assert!(Offprint::of(&body).is_none() && Offprint::of(&body).is_none());
        let deadline = Instant::now() + Duration::from_secs(60);
        while Offprint::of(&body).is_none() {
            assert!(Instant::now() < deadline, "it is filled");
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn all_together_are_bounded_and_what_is_old_gives_way() {
        let (now, mut shelf) = (Instant::now(), shelf());
        let mut make = |length: usize, now| {
            let bytes = Bytes::from(vec![0; length]);
            shelf.find(&bytes, now);
            let has_room = matches!(shelf.find(&bytes, now), Found::Room);
            shelf.put(&bytes, has_room.then(|| Arc::new([]) as Arc<[Piece]>));
            (has_room, shelf.kept.len(), shelf.bytes)
        };
        assert_eq!(make(LONGEST + 1, now), (false, 0, 0));
        for count in 1..=MOST / LONGEST {
            assert_eq!(make(LONGEST, now), (true, count, count * LONGEST));
        }
        assert_eq!(make(WORTH_A_PIPE, now + OLD / 2), (false, MOST / LONGEST, MOST));
        assert_eq!(make(LONGEST, now + OLD), (true, 1, LONGEST));
    }

    #[tokio::test]
    async fn what_is_sent_of_it_is_the_same_each_time() {
        let random = std::iter::repeat_with(|| fastrand::u8(..));
        let body = Bytes::from(random.take(3 * ROOM + 5).collect::<Vec<_>>());
        assert!(Offprint::of(&body).is_none());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut receiver = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (target, _) = listener.accept().await.unwrap();
        for _ in 0..3 {
            let mut offprint = Offprint::of(&body).expect("it has one now");
            let sending = async {
                while let Some(passage) = offprint.filled() {
                    poll_fn(|context| passage.poll_drain(context, &target, usize::MAX)).await.unwrap();
                }
            };
            let mut read = vec![0; body.len()];
            let ((), done) = tokio::join!(sending, receiver.read_exact(&mut read));
            done.unwrap();
            assert!(read == body);
        }
    }
}
