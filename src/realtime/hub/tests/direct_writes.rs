//! Delivery that a flusher carries while sessions sleep: all of it, in order, whoever writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use shuttle::thread;

use super::*;
use crate::realtime::hub::outbox::{OutboxLimits, Slow};
use crate::realtime::hub::sync::{Mutex, model};
use crate::realtime::hub::{DirectWriter, FlushBatch, Queued, Written};

/// What was written to a client, by whom, and whether its session sleeps.
#[derive(Default)]
struct Line {
    told: Vec<String>,
    by_flusher: usize,
    is_lent: bool,
    is_stuck: bool,
}

#[derive(Default)]
struct Lent {
    line: Mutex<Line>,
    /// Every so many writes the line takes no more for now.
    stuck_every: usize,
}

impl DirectWriter for Lent {
    fn write_queued(&self, queued: Queued<'_>) -> Option<Written> {
        let mut line = self.line.lock();
        if !line.is_lent || line.is_stuck {
            return None;
        }
        let encoded: Vec<_> = queued.take()?.collect();
        line.by_flusher += encoded.len();
        line.told.extend(encoded.iter().map(text));
        line.is_stuck = self.stuck_every > 0 && line.told.len().is_multiple_of(self.stuck_every);
        Some(Written { messages: encoded.len() as u64, bytes: 0, is_stuck: line.is_stuck })
    }
}

fn text(encoded: &EncodedFrames) -> String {
    let [Frame::Text(text)] = encoded.frames() else { panic!("one text") };
    text.to_string()
}

#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What a session does in its turn: takes its line back, reads, lends it again.
fn turn(client: &mut Client, lent: &Lent, world: &World, context: &mut Context<'_>) {
    {
        let mut line = lent.line.lock();
        (line.is_lent, line.is_stuck) = (false, false);
    }
    while client.poll_fill(world.now, context).is_ready() {
        while let Some(entry) = client.next_entry() {
            let Item::Encoded(encoded) = entry.item else { panic!("{:?}", entry.item) };
            lent.line.lock().told.push(text(&encoded));
        }
        assert!(client.closing().is_none());
    }
    if client.has_all() {
        lent.line.lock().is_lent = true;
    }
}

fn world(messages: usize) -> World {
    World::new(|config| {
        config.outbox = OutboxLimits { messages, bytes: Size(1000) };
        config.channels = vec![rule("*", |policy| (policy.slow, policy.history) = (Slow::DropOldest, 100))];
    })
}

#[test]
fn a_session_that_sleeps_is_not_woken() {
    let world = world(8);
    world.hub.has_flushers();
    let mut reader = world.reader();
    reader.subscribe(&world, &to("room")).unwrap();
    let lent = reader.client().write_directly_by(Arc::<Lent>::default).expect("there are flushers");
    let bell = Arc::new(Bell::default());
    let waker: Waker = Arc::clone(&bell).into();
    turn(reader.client(), &lent, &world, &mut Context::from_waker(&waker));
    let mut round = FlushBatch::default();
    let mut carry = || {
        let context = Context::from_waker(Waker::noop());
        (0..world.hub.shards()).any(|shard| world.hub.poll_flush(shard, &mut round, &context).is_ready())
    };
    assert!(!carry(), "nothing was said");
    for text in ["a", "b"] {
        world.publish("room", text).unwrap();
    }
    assert!(carry());
    world.publish("room", "c").unwrap();
    assert!(carry());
    assert_eq!(lent.line.lock().told, ["1:a", "2:b", "3:c"]);
    assert!(!bell.0.load(Ordering::SeqCst));
    // What is not the same for everybody is its machine's affair.
    let id = reader.client().id();
    assert_eq!(world.hub.send([id], Draft::new(Payload::Text("you".into()))), 1);
    world.publish("room", "d").unwrap();
    assert!(carry());
    assert!(bell.0.load(Ordering::SeqCst));
    assert_eq!(lent.line.lock().told.len(), 3, "the rest is in order behind it");
}

#[test]
fn where_nobody_carries_nothing_is_lent() {
    let world = world(8);
    let mut reader = world.reader();
    assert!(reader.client().write_directly_by(Arc::<Lent>::default).is_none());
}

#[test]
fn who_has_left_is_not_written_to() {
    let world = world(8);
    world.hub.has_flushers();
    let mut reader = world.reader();
    reader.subscribe(&world, &to("room")).unwrap();
    let lent = reader.client().write_directly_by(Arc::<Lent>::default).unwrap();
    turn(reader.client(), &lent, &world, &mut Context::from_waker(Waker::noop()));
    world.publish("room", "a").unwrap();
    reader.part(&world);
    // Whoever comes next has the same mailbox.
    let mut next = [world.reader(), world.reader()];
    next.iter_mut().for_each(|reader| drop(reader.subscribe(&world, &to("room")).unwrap()));
    world.publish("room", "b").unwrap();
    let mut round = FlushBatch::default();
    for shard in 0..world.hub.shards() {
        while world.hub.poll_flush(shard, &mut round, &Context::from_waker(Waker::noop())).is_ready() {}
    }
    assert!(lent.line.lock().told.is_empty());
    assert_eq!(next.map(|mut reader| reader.read(&world)), [["2:b"], ["2:b"]]);
}

#[test]
fn flusher_and_session_share_a_link_without_loss_or_repeats() {
    const EACH: usize = 6;
    for stuck_every in [0, 2] {
        model(400, move || {
            let world = Arc::new(world(2));
            world.hub.has_flushers();
            let mut reader = world.reader();
            reader.subscribe(&world, &to("room")).unwrap();
            let lent = reader.client().write_directly_by(|| Arc::new(Lent { stuck_every, ..Lent::default() })).unwrap();
            let publishers: Vec<_> = (0..2)
                .map(|_| {
                    let world = Arc::clone(&world);
                    thread::spawn(move || (0..EACH).for_each(|_| assert!(world.publish("room", "x").is_ok())))
                })
                .collect();
            let is_over = Arc::new(AtomicBool::new(false));
            let flushers: Vec<_> = (0..world.hub.shards())
                .map(|shard| {
                    let (world, is_over) = (Arc::clone(&world), Arc::clone(&is_over));
                    thread::spawn(move || {
                        let (mut round, bell) = (FlushBatch::default(), Arc::new(Bell::default()));
                        let waker = Arc::clone(&bell).into();
                        while !is_over.load(Ordering::SeqCst) {
                            if world.hub.poll_flush(shard, &mut round, &Context::from_waker(&waker)) == Poll::Pending {
                                while !bell.0.swap(false, Ordering::SeqCst) && !is_over.load(Ordering::SeqCst) {
                                    thread::yield_now();
                                }
                            }
                        }
                    })
                })
                .collect();
            let bell = Arc::new(Bell::default());
            let waker = Arc::clone(&bell).into();
            let is_all = || lent.line.lock().told.len() == 2 * EACH;
            while !is_all() {
                turn(reader.client(), &lent, &world, &mut Context::from_waker(&waker));
                while !is_all() && !bell.0.swap(false, Ordering::SeqCst) {
                    thread::yield_now();
                }
            }
            is_over.store(true, Ordering::SeqCst);
            publishers.into_iter().chain(flushers).for_each(|thread| thread.join().unwrap());
            let told = std::mem::take(&mut lent.line.lock().told);
            assert_eq!(told, (1..=2 * EACH).map(|offset| format!("{offset}:x")).collect::<Vec<_>>());
        });
    }
}
