//! One direction of a way: packets go in, and come out when they are due. It has no clock and no socket of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::conditions::Conditions;

/// Packets under way; bounded by rate times delay and by the queue, or where there is no rate by what TCP dares.
#[derive(Default)]
pub struct Line {
    packets: BinaryHeap<Reverse<Packet>>,
    /// When the narrow place is through with what it was given.
    free_at: Option<Instant>,
    /// When the latest of those in order is due.
    last_due: Option<Instant>,
    number: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    due: Instant,
    /// Of two that are due at once the first comes first.
    number: u64,
    bytes: Vec<u8>,
}

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    OnItsWay,
    /// By chance or in a black hole.
    Lost,
    /// The queue was full.
    Overflowed,
}

impl Line {
    /// Takes a packet, or loses it.
    pub fn offer(&mut self, bytes: Vec<u8>, now: Instant, conditions: &Conditions, chance: &mut fastrand::Rng) -> Fate {
        if conditions.black_hole || chance.f64() < conditions.loss {
            return Fate::Lost;
        }
        let mut due = now;
        if conditions.rate > 0 {
            let time = |bytes: u64| Duration::from_secs_f64(bytes as f64 * 8.0 / conditions.rate as f64);
            let begins = self.free_at.map_or(now, |free| free.max(now));
            if begins - now + time(bytes.len() as u64) > time(conditions.queue) {
                return Fate::Overflowed;
            }
            due = begins + time(bytes.len() as u64);
            self.free_at = Some(due);
        }
        due += conditions.delay + conditions.jitter.mul_f64(chance.f64());
        if chance.f64() < conditions.reordering.share {
            due += conditions.reordering.by;
        } else {
            due = self.last_due.map_or(due, |last| last.max(due));
            self.last_due = Some(due);
        }
        self.number += 1;
        self.packets.push(Reverse(Packet { due, number: self.number, bytes }));
        Fate::OnItsWay
    }

    /// The next packet that has arrived.
    pub fn arrived(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.packets.peek().filter(|Reverse(packet)| packet.due <= now)?;
        self.packets.pop().map(|Reverse(packet)| packet.bytes)
    }

    /// When the next packet arrives.
    pub fn next(&self) -> Option<Instant> {
        self.packets.peek().map(|Reverse(packet)| packet.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Reordering;

    const MS: Duration = Duration::from_millis(1);

    /// The milliseconds after which each of `many` packets of 1,000 bytes, offered at once, has arrived.
    fn arrivals(conditions: &Conditions, many: u8) -> Vec<(u8, u128)> {
        let (mut line, start, mut chance) = (Line::default(), Instant::now(), fastrand::Rng::with_seed(7));
        for number in 0..many {
            line.offer(vec![number; 1000], start, conditions, &mut chance);
        }
        let mut arrived = Vec::new();
        while let Some(next) = line.next() {
            assert!(line.arrived(next - Duration::from_nanos(1)).is_none());
            arrived.push((line.arrived(next).unwrap()[0], (next - start).as_millis()));
        }
        arrived
    }

    #[test]
    fn delay_and_rate_add_up() {
        let conditions = Conditions { delay: 50 * MS, rate: 800_000, ..Conditions::default() };
        assert_eq!(arrivals(&conditions, 3), [(0, 60), (1, 70), (2, 80)]);
    }

    #[test]
    fn the_queue_is_bounded() {
        let conditions = Conditions { rate: 800_000, queue: 2500, ..Conditions::default() };
        assert_eq!(arrivals(&conditions, 9), [(0, 10), (1, 20)]);
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jitter = Conditions { delay: 10 * MS, jitter: 20 * MS, ..Conditions::default() };
        let order: Vec<u8> = arrivals(&jitter, 50).into_iter().map(|(number, _)| number).collect();
        assert!(order.is_sorted());
        let reordering = Conditions { reordering: Reordering { share: 0.2, by: 5 * MS }, ..Conditions::default() };
        let order: Vec<u8> = arrivals(&reordering, 50).into_iter().map(|(number, _)| number).collect();
        assert!(!order.is_sorted() && order.len() == 50);
    }

    #[test]
    fn loss_is_a_share_and_a_black_hole_all() {
        let loss = Conditions { loss: 0.5, ..Conditions::default() };
        assert!((50..150).contains(&arrivals(&loss, 200).len()));
        assert!(arrivals(&Conditions { black_hole: true, ..loss }, 200).is_empty());
    }
}
