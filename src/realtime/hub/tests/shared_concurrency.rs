//! Where threads meet in a hub that shares its channels: what it hears, what it reads, those who come and go, and the sweep, in
//! many orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use super::concurrency::{offsets, read_until};
use super::model_broker::{Hearing, Model};
use super::*;
use crate::realtime::broker::{Broker, BrokerListener};
use crate::realtime::hub::sync::model;
use crate::realtime::vocabulary::Member;

const DOORS: usize = 2;
const EACH: usize = 3;

/// Two doors, each with a thread that hears for it and does what is to be done behind everybody's back.
struct Scene {
    broker: Arc<Model>,
    doors: Vec<Arc<World>>,
    is_over: Arc<AtomicBool>,
    keepers: Vec<JoinHandle<Hearing>>,
}

impl Scene {
    fn new(change: impl Fn(&mut Config)) -> Scene {
        let (broker, is_over) = (Arc::new(Model::default()), Arc::default());
        let mut scene = Scene { broker, doors: Vec::new(), is_over, keepers: Vec::new() };
        for number in 0..DOORS {
            let world = Arc::new(World::new(|config| {
                config.channels =
                    vec![rule("*", |policy| (policy.history, policy.presence_grace) = (100, Duration::ZERO))];
                change(config);
            }));
            let (link, hearing) = scene.broker.attach(number as u64);
            world.hub.share(link as Arc<dyn Broker>);
            scene.keepers.push(scene.keep(&world, hearing));
            scene.doors.push(world);
        }
        scene
    }

    fn keep(&self, world: &Arc<World>, mut hearing: Hearing) -> JoinHandle<Hearing> {
        let (world, is_over) = (Arc::clone(world), Arc::clone(&self.is_over));
        thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                keep_one(&world, &mut hearing);
                thread::yield_now();
            }
            hearing
        })
    }

    /// Says so many things at a door, on a thread of its own.
    fn say(&self, door: usize, count: usize) -> JoinHandle<()> {
        let world = Arc::clone(&self.doors[door]);
        thread::spawn(move || {
            for number in 0..count {
                let said = block_on(world.hub.publish_shared(publish("room", &format!("{door}-{number}")), world.now));
                assert!(said.unwrap().is_some());
            }
        })
    }

    /// Until nothing is under way.
    fn end(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let mut hearings: Vec<_> = self.keepers.drain(..).map(|keeper| keeper.join().unwrap()).collect();
        let mut kept =
            || self.doors.iter().zip(&mut hearings).filter_map(|(door, hearing)| keep_one(door, hearing)).count();
        while kept() > 0 {}
    }
}

/// Does what a door does beside serving its clients, if there is anything.
fn keep_one(world: &World, hearing: &mut Hearing) -> Option<()> {
    let has_heard = hearing.hear_one(&world.hub);
    (block_on(world.hub.keep_one()) || has_heard).then_some(())
}

/// Comes as a session does. Where the channel is forgotten before that is done, it is done again.
fn come(world: &World, wish: &Subscribe) -> (Reader, Subscribed) {
    loop {
        let mirrored = block_on(world.hub.mirror(&wish.channel, Holder::Trusted));
        let caught_up = block_on(world.hub.catch_up(&wish.channel, wish.since.position()));
        let mut reader = world.reader();
        match mirrored.and(caught_up).and_then(|()| reader.subscribe(world, wish)) {
            Ok(subscribed) => return (reader, subscribed),
            Err(refusal) => assert_eq!(refusal, Refusal::Unavailable),
        }
        reader.part(world);
        thread::yield_now();
    }
}

#[test]
fn who_comes_amid_messages_of_two_doors_hears_all_in_order() {
    model(200, || {
        let mut scene = Scene::new(|_| {});
        let speakers: Vec<_> = (0..DOORS).map(|door| scene.say(door, EACH)).collect();
        let readers: Vec<_> = (0..DOORS)
            .map(|door| {
                let world = Arc::clone(&scene.doors[door]);
                thread::spawn(move || {
                    let (mut reader, _) = come(&world, &since("room", Since::Start));
                    read_until(&mut reader, &world, DOORS * EACH);
                    reader.told.clone()
                })
            })
            .collect();
        speakers.into_iter().for_each(|speaker| speaker.join().unwrap());
        let told: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        scene.end();
        assert_eq!(told[0], told[1]);
        assert_eq!(offsets(&told[0]), (1..=(DOORS * EACH) as u64).collect::<Vec<_>>());
    });
}

#[test]
fn a_mirror_is_let_go_and_made_again_without_a_gap() {
    model(200, || {
        let mut scene = Scene::new(|config| config.forget_after = Duration::ZERO);
        let sweeper = {
            let world = Arc::clone(&scene.doors[0]);
            thread::spawn(move || {
                for _ in 0..4 {
                    (0..world.hub.parts()).for_each(|part| world.hub.sweep(part, world.now));
                    thread::yield_now();
                }
            })
        };
        let speaker = scene.say(1, 2 * EACH);
        let world = &scene.doors[0];
        let (mut heard, mut at) = (Vec::new(), Since::Start);
        while heard.len() < 2 * EACH {
            let (mut reader, subscribed) = come(world, &since("room", at));
            assert_ne!(subscribed.recovery, Recovery::Impossible);
            read_until(&mut reader, world, 1);
            reader.part(world);
            let offsets = offsets(&reader.told);
            at = Since::After(Position { offset: *offsets.last().unwrap(), ..subscribed.top });
            heard.extend(offsets);
        }
        speaker.join().unwrap();
        sweeper.join().unwrap();
        scene.end();
        assert_eq!(heard, (1..=2 * EACH as u64).collect::<Vec<_>>());
    });
}

#[test]
fn what_was_not_heard_is_fetched_whatever_comes_meanwhile() {
    model(200, || {
        let mut scene = Scene::new(|_| {});
        let world = Arc::clone(&scene.doors[0]);
        let (mut reader, _) = come(&world, &since("room", Since::Start));
        let speaker = scene.say(1, 2 * EACH);
        let breaker = {
            let (broker, world) = (Arc::clone(&scene.broker), Arc::clone(&world));
            thread::spawn(move || {
                for _ in 0..2 {
                    broker.set_deaf(0, true);
                    thread::yield_now();
                    broker.set_deaf(0, false);
                    world.hub.on_gap(&name("room"));
                    thread::yield_now();
                }
            })
        };
        read_until(&mut reader, &world, 2 * EACH);
        speaker.join().unwrap();
        breaker.join().unwrap();
        scene.end();
        assert_eq!(offsets(&reader.told), (1..=2 * EACH as u64).collect::<Vec<_>>());
        assert!(reader.read(&world).len() == 2 * EACH, "nothing was told beside it");
    });
}

#[test]
fn members_of_two_doors_leave_nothing_behind() {
    model(200, || {
        let mut scene = Scene::new(|_| {});
        let (mut watcher, _) = come(&scene.doors[0], &to("room"));
        let comers: Vec<_> = (0..DOORS)
            .map(|door| {
                let world = Arc::clone(&scene.doors[door]);
                thread::spawn(move || {
                    for _ in 0..2 {
                        let (mut reader, _) = come(&world, &to("room"));
                        // The same member at both.
                        let entered =
                            reader.client().enter(&name("room"), Member::new("ann"), Authority::App, world.now);
                        assert_eq!(entered, Ok(()));
                        assert!(world.hub.members(&name("room")).iter().any(|member| *member.key == *"ann"));
                        reader.part(&world);
                    }
                })
            })
            .collect();
        comers.into_iter().for_each(|comer| comer.join().unwrap());
        scene.end();
        let told = watcher.read(&scene.doors[0]);
        for (place, line) in told.iter().enumerate() {
            assert_eq!(line, ["+ann", "-ann"][place % 2], "{told:?}");
        }
        assert_eq!(told.len() % 2, 0, "{told:?}");
        for world in &scene.doors {
            assert_eq!(world.hub.members(&name("room")), []);
        }
        watcher.part(&scene.doors[0]);
        assert!(scene.broker.roster(&name("room")).iter().all(|field| !field.contains(":m:")));
    });
}
