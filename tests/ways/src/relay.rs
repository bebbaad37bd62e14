//! The thread between the two ends: takes packets from each, and gives them to the other when they are due.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::time::TimeSpec;
use parking_lot::Mutex;
use tun_rs::SyncDevice;

use crate::conditions::{Conditions, Patience};
use crate::line::{Fate, Line};
use crate::nat::{Nat, Verdict};

/// How long a turn may wait where nothing is due: whoever ends the relay waits for this.
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// Packets taken from one end before the other is looked at.
const TURN: usize = 64;

/// What is said to a running relay.
#[derive(Default)]
pub struct Control {
    pub settings: Mutex<Settings>,
    pub stop: AtomicBool,
    /// From the client, and from the server.
    pub counters: [Counters; 2],
}

#[derive(Default)]
pub struct Settings {
    /// From the client, and from the server.
    pub conditions: [Conditions; 2],
    pub patience: Patience,
    /// The NAT is to forget what it knows.
    pub forget: bool,
}

/// Of one direction.
#[derive(Default)]
pub struct Counters {
    passed: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    overflowed: AtomicU64,
    forgotten: AtomicU64,
}

/// Packets of one direction so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// They arrived.
    pub passed: u64,
    /// Bytes of these, headers and all.
    pub bytes: u64,
    /// By chance or in a black hole.
    pub lost: u64,
    /// Where the way is narrow and the queue full.
    pub overflowed: u64,
    /// Of connections that the NAT did not know (any more).
    pub forgotten: u64,
}

impl Counters {
    pub fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            passed: read(&self.passed),
            bytes: read(&self.bytes),
            lost: read(&self.lost),
            overflowed: read(&self.overflowed),
            forgotten: read(&self.forgotten),
        }
    }
}

fn count(counter: &AtomicU64, many: usize) {
    counter.fetch_add(many as u64, Ordering::Relaxed);
}

/// Relays until it is told to stop.
pub fn run(ends: [SyncDevice; 2], control: &Arc<Control>) {
    let mut lines = [Line::default(), Line::default()];
    let (mut nat, mut chance) = (Nat::default(), fastrand::Rng::new());
    let mut buffer = vec![0; 65_536];
    while !control.stop.load(Ordering::Relaxed) {
        let (conditions, patience) = {
            let mut settings = control.settings.lock();
            if std::mem::take(&mut settings.forget) {
                nat.forget();
            }
            (settings.conditions, settings.patience)
        };
        for from in [0, 1] {
            for _ in 0..TURN {
                let Ok(length) = ends[from].recv(&mut buffer) else { break };
                let (packet, now, counters) = (&buffer[..length], Instant::now(), &control.counters[from]);
                // A kernel speaks of itself by IPv6, unasked.
                if packet.first().is_none_or(|first| first >> 4 != 4) {
                    continue;
                }
                match nat.judge(packet, from == 0, now, patience) {
                    Verdict::Passes => {}
                    verdict => {
                        count(&counters.forgotten, 1);
                        if let Verdict::Refused(reset) = verdict {
                            // A full device loses packets, as any does.
                            let _ = ends[from].send(&reset);
                        }
                        continue;
                    }
                }
                match lines[from].offer(packet.to_vec(), now, &conditions[from], &mut chance) {
                    Fate::OnItsWay => {}
                    Fate::Lost => count(&counters.lost, 1),
                    Fate::Overflowed => count(&counters.overflowed, 1),
                }
            }
        }
        for from in [0, 1] {
            let counters = &control.counters[from];
            while let Some(packet) = lines[from].arrived(Instant::now()) {
                if conditions[from].black_hole {
                    count(&counters.lost, 1);
                    continue;
                }
                let _ = ends[1 - from].send(&packet);
                count(&counters.passed, 1);
                count(&counters.bytes, packet.len());
            }
        }
        let next = lines.iter().filter_map(Line::next).min();
        let wait = next.map_or(LONGEST_WAIT, |due| due.saturating_duration_since(Instant::now()).min(LONGEST_WAIT));
        let mut both =
            [PollFd::new(ends[0].as_fd(), PollFlags::POLLIN), PollFd::new(ends[1].as_fd(), PollFlags::POLLIN)];
        // Interrupted, it looks again.
        let _ = nix::poll::ppoll(&mut both, Some(TimeSpec::from_duration(wait)), None);
    }
}
