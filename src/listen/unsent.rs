//! What of an answer may wait in the kernel for its turn on the way: little, and more for a client that takes it at once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::TcpStream;

use super::system::bound_unsent;
use super::tcp_info::TcpInfo;

/// What may wait in the kernel at first, in bytes, besides what is on the way already (TCP_NOTSENT_LOWAT), and again where the
/// way is none of the fast ones. A client that takes little holds memory that no limit of ours counts.
pub const USUAL: u32 = 128 * 1024;
/// What may wait at first where several answers share a connection: with more there, what is urgent waits behind it.
const SHARED: u32 = 16 * 1024;
/// What may wait at least. On a way of 16 kbit/s, a socket's ping behind more of a download would come later than its answer is
/// due.
const LEAST: u32 = 4 * 1024;
/// What may wait at most: no more than the kernel allows by itself (`net.ipv4.tcp_wmem`). On loopback, or from a balancer in
/// the next rack, less is gone before there is more, and each wait costs more than the bytes.
const MOST: u32 = 4 * 1024 * 1024;
/// What all connections may have together beyond [`USUAL`] each, in bytes: a client that was fast and takes nothing any more
/// holds on to what it was given.
const ALL: u32 = 64 * 1024 * 1024;

/// The kernel wakes us when half of the mark is left. Was the other half gone within so long, there may be twice as much, up
/// to [`USUAL`]; a long way takes it by round trips.
const QUICK: Duration = Duration::from_millis(500);
/// Was it gone within so long, there may be twice as much, up to [`MOST`]: what waits is gone within four times this. A
/// shorter time would take a processor that others use too for a slow client.
const FAST: Duration = Duration::from_millis(20);
/// Only for who is that near, there and back: on a long way what is sent is soon gone from here too, and a client that then takes
/// nothing any more would hold on to it.
const NEAR: Duration = Duration::from_millis(5);
/// Did it take so long, there is nothing beyond [`USUAL`] any more.
const USUAL_FROM: Duration = Duration::from_millis(200);
/// And so long, nothing beyond [`SHARED`], and half of it again and again.
const LESS_FROM: Duration = Duration::from_secs(2);

/// What connections have together beyond [`USUAL`], in bytes.
static RESERVED: AtomicU32 = AtomicU32::new(0);

/// The mark of one connection, by how fast its client takes.
#[derive(Debug, Default)]
pub struct Unsent {
    /// Small for the many that never wait: none is as the listener has it.
    watched: Option<Box<Watched>>,
}

#[derive(Debug)]
struct Watched {
    waits_since: Option<Instant>,
    mark: Mark,
}

/// How much may wait, in bytes. What it has beyond [`USUAL`] is given back when this is dropped.
#[derive(Debug)]
struct Mark {
    bytes: u32,
    all: &'static AtomicU32,
}

impl Unsent {
    /// Said after each write: whether the socket took nothing. Only where it did so before this costs anything.
    pub fn note(&mut self, waits: bool, tcp: &TcpStream) {
        if waits {
            let watched = self.watched.get_or_insert_with(|| Watched::new(USUAL));
            watched.waits_since.get_or_insert_with(Instant::now);
        } else if let Some(watched) = &mut self.watched
            && let Some(since) = watched.waits_since.take()
            && watched.mark.heed(since.elapsed(), || TcpInfo::of(tcp).is_ok_and(|info| info.round_trip <= NEAR))
        {
            watched.set(tcp);
        }
    }

    /// Several answers share the connection, which has sent nothing yet.
    pub fn share(&mut self, tcp: &TcpStream) {
        self.watched.insert(Watched::new(SHARED)).set(tcp);
    }
}

impl Watched {
    fn new(mark: u32) -> Box<Watched> {
        Box::new(Watched { waits_since: None, mark: Mark::new(mark, &RESERVED) })
    }

    /// Where the kernel does not want it, all stays as it was.
    fn set(&self, tcp: &TcpStream) {
        let _ = bound_unsent(&SockRef::from(tcp), self.mark.bytes);
    }
}

impl Mark {
    fn new(bytes: u32, all: &'static AtomicU32) -> Mark {
        Mark { bytes, all }
    }

    /// Half of what was there is gone, after `wait`: whether the mark is another now. `is_near` is asked before there is more
    /// than usual.
    fn heed(&mut self, wait: Duration, is_near: impl FnOnce() -> bool) -> bool {
        let before = self.bytes;
        if wait >= LESS_FROM {
            self.fall((self.bytes / 2).clamp(LEAST, SHARED));
        } else if wait >= USUAL_FROM && self.bytes > USUAL {
            self.fall(USUAL);
        } else if self.bytes < USUAL {
            if wait <= QUICK {
                self.double();
            }
        } else if wait <= FAST && self.bytes < MOST && is_near() {
            self.double();
        }
        self.bytes != before
    }

    fn double(&mut self) {
        let wanted = 2 * self.bytes;
        let more = if wanted > USUAL { self.bytes } else { 0 };
        let grant = |taken: u32| taken.checked_add(more).filter(|taken| *taken <= ALL);
        if wanted <= MOST && self.all.try_update(Ordering::Relaxed, Ordering::Relaxed, grant).is_ok() {
            self.bytes = wanted;
        }
    }

    fn fall(&mut self, to: u32) {
        self.all.fetch_sub(self.bytes.saturating_sub(USUAL), Ordering::Relaxed);
        self.bytes = to;
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.fall(LEAST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_by_how_long_the_client_takes() {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let mut mark = Mark::new(USUAL, &TAKEN);
        while mark.heed(LESS_FROM, || true) {}
        assert_eq!(mark.bytes, LEAST);
        while mark.heed(QUICK, || true) {}
        assert_eq!((mark.bytes, TAKEN.load(Ordering::Relaxed)), (USUAL, 0));
        assert!(!mark.heed(FAST, || false));
        while mark.heed(FAST, || true) {}
        assert_eq!((mark.bytes, TAKEN.load(Ordering::Relaxed)), (MOST, MOST - USUAL));
        assert!(!mark.heed((FAST + USUAL_FROM) / 2, || true));
        assert!(mark.heed(USUAL_FROM, || true));
        assert_eq!((mark.bytes, TAKEN.load(Ordering::Relaxed)), (USUAL, 0));
        assert!(!mark.heed((QUICK + LESS_FROM) / 2, || true) && mark.heed(LESS_FROM, || true));
        assert_eq!(mark.bytes, SHARED);
    }

    #[test]
    fn all_together_are_bounded_and_who_leaves_gives_back() {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let mut marks: Vec<_> = (0..100).map(|_| Mark::new(USUAL, &TAKEN)).collect();
        for mark in &mut marks {
            while mark.heed(Duration::ZERO, || true) {}
        }
        assert!(marks.iter().all(|mark| mark.bytes >= USUAL));
        let beyond: u32 = marks.iter().map(|mark| mark.bytes - USUAL).sum();
        assert_eq!(beyond, TAKEN.load(Ordering::Relaxed));
        assert!((ALL - MOST..=ALL).contains(&beyond), "{beyond}");
        drop(marks);
        assert_eq!(TAKEN.load(Ordering::Relaxed), 0);
    }
}
