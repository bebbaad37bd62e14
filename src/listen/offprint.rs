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
use tracing::debug;

use super::passage::{Passage, ROOM};
use super::system;

/// Below this, in bytes, copying is what costs least.
pub const WORTH_A_PIPE: usize = 64 * 1024;
/// What is longer, in bytes, has none: it would be copied while others wait.
pub const LONGEST: usize = 4 * 1024 * 1024;
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
    pipes: Arc<[Piece]>,
    sent: Instant,
}

impl Offprint {
    /// That of `body`, where it has one; the second time that it is sent, one is made.
    pub fn of(body: &Bytes) -> Option<Offprint> {
        if body.len() < WORTH_A_PIPE {
            return None;
        }
        let pipes = SHELF.lock().find_or_make(body, Instant::now())?;
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

fn pipes(body: &Bytes) -> io::Result<Arc<[Piece]>> {
    let piece = |bytes: &[u8]| Ok(Piece { reader: system::filled_pipe(bytes)?, length: bytes.len() });
    body.chunks(ROOM).map(piece).collect()
}

impl Shelf {
    fn find_or_make(&mut self, body: &Bytes, now: Instant) -> Option<Arc<[Piece]>> {
        let place = body.as_ptr().addr();
        if let Some(kept) = self.kept.get_mut(&place)
            && kept.bytes.len() == body.len()
        {
            kept.sent = now;
            return Some(Arc::clone(&kept.pipes));
        }
        if self.kept.contains_key(&place) || !self.is_seen(body) || !self.makes_room(body.len(), now) {
            return None;
        }
        // A few hundred microseconds, once, in which no other makes the same.
        let pipes =
            pipes(body).inspect_err(|error| debug!(%error, "no pipe is to be had: what is sent is copied")).ok()?;
        self.bytes += body.len();
        self.kept.insert(place, Kept { bytes: body.clone(), pipes: Arc::clone(&pipes), sent: now });
        Some(pipes)
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
        let (now, mut shelf) = (Instant::now(), shelf());
        let (whole, other) = (Bytes::from(vec![7; 300_000]), Bytes::from(vec![7; 300_000]));
        assert!(shelf.find_or_make(&whole, now).is_none());
        let made = shelf.find_or_make(&whole, now).unwrap();
        assert_eq!(made.iter().map(|piece| piece.length).collect::<Vec<_>>(), [ROOM, 300_000 - ROOM]);
        assert!(Arc::ptr_eq(&made, &shelf.find_or_make(&whole.slice(..), now).unwrap()));
        for part in [&whole.slice(1..), &whole.slice(..200_000), &other] {
            assert!(shelf.find_or_make(part, now).is_none());
        }
        assert!(shelf.find_or_make(&whole.slice(..200_000), now).is_none(), "where another begins there is none");
        let short = whole.slice(..WORTH_A_PIPE - 1);
        assert!(Offprint::of(&short).is_none() && Offprint::of(&short).is_none());
    }

    #[test]
    fn all_together_are_bounded_and_what_is_old_gives_way() {
        let (now, mut shelf) = (Instant::now(), shelf());
        let mut make = |length: usize, now| {
            let bytes = Bytes::from(vec![0; length]);
            shelf.find_or_make(&bytes, now);
            let is_made = shelf.find_or_make(&bytes, now).is_some();
            (is_made, shelf.kept.len(), shelf.bytes)
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
