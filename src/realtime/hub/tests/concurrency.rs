//! Where threads meet: publishers, readers, those who leave, and the sweep, in many orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake};

use shuttle::thread;

use super::*;
use crate::realtime::hub::outbox::{OutboxLimits, Slow};
use crate::realtime::hub::sync::model;

const PUBLISHERS: usize = 2;
const EACH: usize = 4;

/// Says that its session was woken.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Reads as a session does, and sleeps until it is woken: a wake-up that is lost is a sleep without end.
pub(super) fn read_until(reader: &mut Reader, world: &World, lines: usize) {
    let bell = Arc::new(Bell::default());
    let waker = Arc::clone(&bell).into();
    while reader.told.len() < lines {
        let client = reader.client.as_mut().expect("still here");
        if client.poll_fill(world.now, &mut Context::from_waker(&waker)).is_pending() {
            while !bell.0.swap(false, Ordering::SeqCst) {
                thread::yield_now();
            }
            continue;
        }
        while let Some(entry) = client.next_entry() {
            let Item::Encoded(encoded) = entry.item else { panic!("{:?}", entry.item) };
            let [Frame::Text(text)] = encoded.frames() else { panic!("one text") };
            reader.told.push(text.to_string());
        }
        assert!(client.closing().is_none());
    }
}

pub(super) fn offsets(told: &[String]) -> Vec<u64> {
    told.iter().map(|line| line.split_once(':').unwrap().0.parse().unwrap()).collect()
}

#[test]
fn every_reader_hears_all_of_it_in_the_one_order() {
    model(300, || {
        let world = Arc::new(World::new(|config| {
            config.outbox = OutboxLimits { messages: 2, bytes: Size(1000) };
            config.channels = vec![rule("*", |policy| (policy.slow, policy.history) = (Slow::DropOldest, 100))];
        }));
        let mut readers: Vec<_> = (0..2).map(|_| world.reader()).collect();
        for reader in &mut readers {
            reader.subscribe(&world, &to("room")).unwrap();
        }
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    for number in 0..EACH {
                        world.publish("room", &format!("{publisher}-{number}")).unwrap();
                    }
                })
            })
            .collect();
        let reading: Vec<_> = readers
            .into_iter()
            .map(|mut reader| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    read_until(&mut reader, &world, PUBLISHERS * EACH);
                    reader.told.clone()
                })
            })
            .collect();
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        let told: Vec<_> = reading.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert_eq!(told[0], told[1]);
        assert_eq!(offsets(&told[0]), (1..=(PUBLISHERS * EACH) as u64).collect::<Vec<_>>());
    });
}

#[test]
fn return_amid_messages_misses_and_repeats_nothing() {
    model(300, || {
        let world = Arc::new(World::new(|config| {
            config.outbox = OutboxLimits { messages: 2, bytes: Size(1000) };
            config.channels = vec![rule("*", |policy| (policy.slow, policy.history) = (Slow::DropOldest, 100))];
        }));
        let publisher = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                (0..8).for_each(|number| world.publish("room", &number.to_string()).map(|_| ()).unwrap())
            })
        };
        let (mut heard, mut at) = (Vec::new(), Since::Start);
        while heard.len() < 8 {
            let mut reader = world.reader();
            let subscribed = reader.subscribe(&world, &since("room", at)).unwrap();
            assert_ne!(subscribed.recovery, Recovery::Impossible);
            read_until(&mut reader, &world, 1);
            let offsets = offsets(&reader.told);
            at = Since::After(Position { offset: *offsets.last().unwrap(), ..subscribed.top });
            heard.extend(offsets);
        }
        publisher.join().unwrap();
        assert_eq!(heard, (1..=8).collect::<Vec<_>>());
    });
}

#[test]
fn a_channel_is_never_forgotten_under_a_subscriber() {
    model(500, || {
        let world = Arc::new(World::new(|config| config.forget_after = Duration::ZERO));
        let sweeper = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                for _ in 0..3 {
                    (0..world.hub.parts()).for_each(|part| world.hub.sweep(part, world.now));
                }
            })
        };
        let comers: Vec<_> = (0..2)
            .map(|_| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    for _ in 0..2 {
                        let mut reader = world.reader();
                        reader.subscribe(&world, &to("room")).unwrap();
                        world.publish("room", "x").unwrap();
                        read_until(&mut reader, &world, 1);
                        reader.part(&world);
                    }
                })
            })
            .collect();
        comers.into_iter().for_each(|comer| comer.join().unwrap());
        sweeper.join().unwrap();
        (0..world.hub.parts()).for_each(|part| world.hub.sweep(part, world.now));
        assert_eq!(world.hub.channels(), []);
        assert_eq!(world.hub.connections(), []);
    });
}
