//! Several hubs that share a broker: what is promised on one door holds on all of them together.

use std::collections::BTreeSet;

use tokio::time::sleep;

use super::model_broker::{Model, ModelLink};
use super::*;
use crate::drain::Drain;
use crate::realtime::broker::{Broker, BrokerListener};
use crate::realtime::vocabulary::{ConnectionId, Member};

/// Doors on one machine, and what they share.
pub(super) struct Doors {
    pub model: Arc<Model>,
    pub worlds: Vec<World>,
    drains: Vec<Drain>,
}

impl Doors {
    pub fn new(count: usize, change: impl Fn(&mut Config)) -> Doors {
        let model = Arc::new(Model::default());
        let mut doors = Doors { model, worlds: Vec::new(), drains: Vec::new() };
        for number in 0..count {
            let world = World::new(|config| {
                config.channels = vec![
                    rule("kept", |policy| policy.history = 100),
                    rule("quiet", |policy| policy.echo = Some(false)),
                    rule("edited", |policy| (policy.history, policy.mutable) = (100, true)),
                ];
                config.forget_after = Duration::from_secs(30);
                change(config);
            });
            let link: Arc<ModelLink> = doors.model.join(number as u64, &world.hub);
            world.hub.share(link as Arc<dyn Broker>);
            let drain = Drain::default();
            tokio::spawn(Arc::clone(&world.hub).keep_shared(drain.signal()));
            tokio::spawn(Arc::clone(&world.hub).answer_doors(drain.signal()));
            doors.drains.push(drain);
            doors.worlds.push(world);
        }
        doors
    }

    /// Time passes on all of them, until nothing is under way.
    pub async fn settle(&mut self) {
        self.pass(Duration::from_secs(2)).await;
    }

    pub async fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_secs() {
            sleep(Duration::from_secs(1)).await;
            for world in &mut self.worlds {
                world.now = Moment::now();
                world.pass(Duration::ZERO);
            }
        }
    }

    pub async fn reader(&mut self, door: usize, wish: &Subscribe) -> Reader {
        let world = &self.worlds[door];
        let mut reader = world.reader();
        let hub = &world.hub;
        hub.mirror(&wish.channel, Holder::Trusted).await.expect("the broker is there");
        hub.catch_up(&wish.channel, wish.since.position()).await.expect("the broker is there");
        reader.subscribe(world, wish).expect("nobody is refused");
        reader
    }

    pub async fn say(&self, door: usize, channel: &str, text: &str) -> Result<Option<Position>, Refusal> {
        self.worlds[door].hub.publish_shared(publish(channel, text), Moment::now()).await
    }

    fn members(&self, door: usize, channel: &str) -> BTreeSet<String> {
        self.worlds[door].hub.members(&name(channel)).iter().map(|member| member.key.to_string()).collect()
    }

    pub fn enter(&mut self, door: usize, reader: &mut Reader, channel: &str, key: &str) {
        reader.client().enter(&name(channel), Member::new(key), Authority::App, self.worlds[door].now).unwrap();
    }
}

fn set<const N: usize>(keys: [&str; N]) -> BTreeSet<String> {
    keys.map(str::to_owned).into()
}

#[tokio::test(start_paused = true)]
async fn all_doors_hear_all_in_one_order() {
    let mut doors = Doors::new(3, |_| {});
    let mut readers = Vec::new();
    for door in 0..3 {
        readers.push(doors.reader(door, &Subscribe::to(name("a"))).await);
    }
    let said: Vec<_> = (0..30).map(|number| (number % 3, number.to_string())).collect();
    let saying = said.iter().map(|(door, text)| doors.say(*door, "a", text));
    let positions = futures_util::future::join_all(saying).await;
    let offsets: BTreeSet<_> = positions.iter().map(|said| said.clone().unwrap().unwrap().offset).collect();
    assert_eq!(offsets, (1..=30).collect());
    doors.settle().await;
    let heard: Vec<_> = readers.iter_mut().zip(&doors.worlds).map(|(reader, world)| reader.read(world)).collect();
    assert_eq!(heard[0].len(), 30);
    assert!(heard.iter().all(|one| *one == heard[0]));
}

#[tokio::test(start_paused = true)]
async fn history_is_the_same_on_any_door() {
    let mut doors = Doors::new(2, |_| {});
    let mut positions = Vec::new();
    for number in 1..=5 {
        positions.push(doors.say(0, "kept", &number.to_string()).await.unwrap().unwrap());
    }
    let mut late = doors.reader(1, &since("kept", Since::After(positions[1]))).await;
    assert_eq!(late.read(&doors.worlds[1]), ["3:3", "4:4", "5:5"]);
    doors.say(0, "kept", "6").await.unwrap();
    doors.settle().await;
    assert_eq!(late.read(&doors.worlds[1]), ["6:6"]);
    // A channel that both have forgotten is still the broker's.
    late.part(&doors.worlds[1]);
    doors.pass(Duration::from_secs(60)).await;
    assert_eq!(doors.worlds[1].hub.channels().len(), 0);
    assert_eq!(doors.model.heard(1), 0, "and it is not heard any more");
    let mut later = doors.reader(1, &since("kept", Since::After(positions[4]))).await;
    assert_eq!(later.read(&doors.worlds[1]), ["6:6"]);
}

#[tokio::test(start_paused = true)]
async fn a_position_is_understood_by_a_door_that_is_behind() {
    let mut doors = Doors::new(2, |_| {});
    let _there = doors.reader(1, &to("kept")).await;
    doors.model.set_deaf(1, true);
    let first = doors.say(0, "kept", "1").await.unwrap().unwrap();
    doors.say(0, "kept", "2").await.unwrap();
    let mut back = doors.reader(1, &since("kept", Since::After(first))).await;
    assert_eq!(back.read(&doors.worlds[1]), ["2:2"]);
    // Nor is it lost on one that has not heard that another process of the broker goes on.
    doors.model.lose(0);
    let third = doors.say(0, "kept", "3").await.unwrap().unwrap();
    assert_ne!(third.epoch, first.epoch);
    let mut back = doors.reader(1, &since("kept", Since::After(third))).await;
    doors.model.set_deaf(1, false);
    doors.say(0, "kept", "4").await.unwrap();
    doors.settle().await;
    assert_eq!(back.read(&doors.worlds[1]), ["4:4"]);
}

#[tokio::test(start_paused = true)]
async fn what_clients_of_one_door_want_kept_is_kept_on_all() {
    let mut doors = Doors::new(2, |_| {});
    let wish = Subscribe { retain: Duration::from_secs(120), ..Subscribe::to(name("a")) };
    let mut ann = doors.reader(0, &wish).await;
    doors.settle().await;
    let position = doors.say(0, "a", "1").await.unwrap().unwrap();
    doors.say(1, "a", "2").await.unwrap();
    doors.settle().await;
    let mut late = doors.reader(1, &since("a", Since::Start)).await;
    assert_eq!(late.read(&doors.worlds[1]), ["1:1", "2:2"]);
    let mut back = doors.reader(1, &since("a", Since::After(position))).await;
    assert_eq!(back.read(&doors.worlds[1]), ["2:2"]);
    // And no longer than they may come back.
    ann.part(&doors.worlds[0]);
    doors.pass(Duration::from_secs(125)).await;
    assert_eq!(doors.worlds[1].hub.history(&name("a"), Since::Start, 9, Moment::now()).unwrap().messages.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_to_hear_it_does_not_on_any_door() {
    let mut doors = Doors::new(2, |_| {});
    let mut own = doors.reader(0, &Subscribe::to(name("quiet"))).await;
    let mut other = doors.reader(1, &Subscribe::to(name("quiet"))).await;
    let said = own.client().publish_shared(publish("quiet", "x"), Authority::Client, Moment::now()).unwrap();
    assert!(said.await.unwrap().is_some());
    doors.settle().await;
    assert!(own.read(&doors.worlds[0]).is_empty());
    assert_eq!(other.read(&doors.worlds[1]), ["1:x"]);
    // In several channels each hears it once; in the excepted, not at all.
    let mut both = doors.reader(1, &Subscribe::to(name("a"))).await;
    both.subscribe_too(&doors, 1, "b").await;
    let mut left_out = doors.reader(1, &Subscribe::to(name("a"))).await;
    left_out.subscribe_too(&doors, 1, "c").await;
    let but = doors.reader(1, &Subscribe::to(name("a"))).await;
    let audience = Audience::Several {
        channels: vec![name("a"), name("b")],
        connections: Vec::new(),
        except: vec![name("c")],
        but: vec![but.client.as_ref().unwrap().id()],
    };
    let publish = Publish { audience, ..publish("a", "y") };
    doors.worlds[0].hub.publish_shared(publish, Moment::now()).await.unwrap();
    doors.settle().await;
    assert_eq!(both.read(&doors.worlds[1]), ["1:y"]);
    assert!(left_out.read(&doors.worlds[1]).is_empty());
}

impl Reader {
    async fn subscribe_too(&mut self, doors: &Doors, door: usize, channel: &str) {
        let world = &doors.worlds[door];
        world.hub.mirror(&name(channel), Holder::Trusted).await.unwrap();
        self.subscribe(world, &Subscribe::to(name(channel))).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn connections_users_and_everyone_hear_on_any_door() {
    let mut doors = Doors::new(2, |_| {});
    let mut reader = doors.reader(1, &Subscribe::to(name("a"))).await;
    let id: ConnectionId = reader.client().id();
    reader.client().identify(crate::realtime::vocabulary::Identity { user: "ann".into(), info: None });
    for audience in [Audience::Connection(id), Audience::User("ann".into()), Audience::Everyone] {
        let publish = Publish { audience, ..publish("a", "x") };
        doors.worlds[0].hub.publish_shared(publish, Moment::now()).await.unwrap();
    }
    doors.settle().await;
    assert_eq!(reader.read(&doors.worlds[1]).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn members_are_seen_and_told_once_on_every_door() {
    let mut doors = Doors::new(2, |_| {});
    let mut ann = doors.reader(0, &to("a")).await;
    let mut bob = doors.reader(1, &to("a")).await;
    doors.enter(0, &mut ann, "a", "ann");
    doors.enter(1, &mut bob, "a", "bob");
    // The same member by another door.
    let mut second = doors.reader(1, &Subscribe::to(name("a"))).await;
    doors.enter(1, &mut second, "a", "ann");
    doors.settle().await;
    for door in 0..2 {
        assert_eq!(doors.members(door, "a"), set(["ann", "bob"]));
    }
    let heard = |reader: &mut Reader, world: &World| -> BTreeSet<String> { reader.read(world).into_iter().collect() };
    assert_eq!(heard(&mut ann, &doors.worlds[0]), set(["+ann", "+bob"]));
    assert_eq!(heard(&mut bob, &doors.worlds[1]), set(["+ann", "+bob"]));
    second.part(&doors.worlds[1]);
    doors.pass(Duration::from_secs(10)).await;
    assert!(ann.read(&doors.worlds[0]).is_empty() && bob.read(&doors.worlds[1]).is_empty(), "one of two");
    let mut late = doors.reader(1, &to("a")).await;
    assert_eq!(doors.members(1, "a"), set(["ann", "bob"]));
    ann.part(&doors.worlds[0]);
    doors.pass(Duration::from_secs(10)).await;
    assert_eq!((bob.read(&doors.worlds[1]), late.read(&doors.worlds[1])), (vec!["-ann".into()], vec!["-ann".into()]));
    assert_eq!(doors.worlds[0].hub.members(&name("a")).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn counts_are_those_of_all_doors() {
    let mut doors = Doors::new(3, |_| {});
    let mut readers = Vec::new();
    for door in [0, 0, 1, 2] {
        readers.push((door, doors.reader(door, &Subscribe::to(name("a"))).await));
    }
    doors.settle().await;
    for world in &doors.worlds {
        assert_eq!(world.hub.subscribers(&name("a")), 4);
    }
    let (door, mut gone) = readers.remove(0);
    gone.part(&doors.worlds[door]);
    doors.settle().await;
    assert_eq!(doors.worlds[2].hub.subscribers(&name("a")), 3);
}

#[tokio::test(start_paused = true)]
async fn a_door_that_dies_takes_its_own_with_it() {
    let mut doors = Doors::new(2, |_| {});
    let mut ann = doors.reader(0, &to("a")).await;
    let mut bob = doors.reader(1, &to("a")).await;
    doors.enter(0, &mut ann, "a", "ann");
    doors.settle().await;
    assert_eq!(bob.read(&doors.worlds[1]), ["+ann"]);
    doors.model.sweep(0);
    doors.settle().await;
    assert_eq!(bob.read(&doors.worlds[1]), ["-ann"]);
    assert_eq!(doors.worlds[1].hub.subscribers(&name("a")), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_heard_is_fetched() {
    let mut doors = Doors::new(2, |_| {});
    let mut reader = doors.reader(1, &to("kept")).await;
    doors.model.set_deaf(1, true);
    for number in 1..=3 {
        doors.say(0, "kept", &number.to_string()).await.unwrap();
    }
    let mut ann = doors.reader(0, &to("kept")).await;
    doors.enter(0, &mut ann, "kept", "ann");
    doors.settle().await;
    assert!(reader.read(&doors.worlds[1]).is_empty());
    doors.model.set_deaf(1, false);
    doors.say(0, "kept", "4").await.unwrap();
    doors.settle().await;
    assert_eq!(reader.read(&doors.worlds[1]), ["+ann", "1:1", "2:2", "3:3", "4:4"]);
    // Also where nothing more is said, and nobody knows that something was lost.
    doors.model.set_deaf(1, true);
    doors.say(0, "kept", "5").await.unwrap();
    doors.settle().await;
    doors.model.set_deaf(1, false);
    doors.pass(Duration::from_secs(40)).await;
    assert_eq!(reader.read(&doors.worlds[1]), ["5:5"]);
    // And where nothing is kept for clients.
    let mut reader = doors.reader(1, &to("a")).await;
    doors.say(0, "a", "1").await.unwrap();
    doors.model.set_deaf(1, true);
    for number in 2..=4 {
        doors.say(0, "a", &number.to_string()).await.unwrap();
    }
    doors.model.set_deaf(1, false);
    doors.pass(Duration::from_secs(40)).await;
    assert_eq!(reader.read(&doors.worlds[1]), ["1:1", "2:2", "3:3", "4:4"]);
    let mut late = doors.reader(1, &since("a", Since::Start)).await;
    assert!(late.read(&doors.worlds[1]).is_empty(), "they are not for clients");
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_has_lost_is_told() {
    let mut doors = Doors::new(2, |_| {});
    let mut reader = doors.reader(1, &to("kept")).await;
    doors.enter(1, &mut reader, "kept", "ann");
    for number in 1..=3 {
        doors.say(0, "kept", &number.to_string()).await.unwrap();
    }
    doors.settle().await;
    reader.read(&doors.worlds[1]);
    doors.model.flush();
    let position = doors.say(0, "kept", "new").await.unwrap().unwrap();
    assert_eq!(position.offset, 1, "another life");
    doors.settle().await;
    assert_eq!(reader.read(&doors.worlds[1]), ["lost kept 0..0", "1:new"]);
    assert_eq!(doors.model.fields(&name("kept")), 2, "what is here is put there again");
    // A channel that keeps nothing for clients has 200 messages for doors.
    let mut other = doors.reader(1, &Subscribe::to(name("a"))).await;
    doors.model.set_deaf(1, true);
    for _ in 0..250 {
        doors.say(0, "a", "x").await.unwrap();
    }
    doors.model.set_deaf(1, false);
    doors.say(0, "a", "y").await.unwrap();
    doors.settle().await;
    let told = other.read(&doors.worlds[1]);
    assert_eq!((told.len(), told[0].as_str(), told[200].as_str()), (201, "lost a 0..51", "251:y"));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_failed_over_without_loss_goes_on() {
    let mut doors = Doors::new(2, |_| {});
    let mut reader = doors.reader(1, &to("kept")).await;
    let first = doors.say(0, "kept", "1").await.unwrap().unwrap();
    doors.say(0, "kept", "2").await.unwrap();
    doors.settle().await;
    assert_eq!(reader.read(&doors.worlds[1]), ["1:1", "2:2"]);
    for number in 3..=4 {
        doors.model.lose(0);
        let position = doors.say(0, "kept", &number.to_string()).await.unwrap().unwrap();
        assert_ne!(position.epoch, first.epoch);
        doors.settle().await;
        assert_eq!(reader.read(&doors.worlds[1]), [format!("{number}:{number}")], "nobody is told of a loss");
    }
    // A place of before is a place still, on a door that had the channel and on one that had not.
    for door in 0..2 {
        let mut back = doors.reader(door, &since("kept", Since::After(first))).await;
        assert_eq!(back.read(&doors.worlds[door]), ["2:2", "3:3", "4:4"]);
    }
    // What was lost has no place any more.
    doors.say(0, "kept", "lost").await.unwrap();
    doors.settle().await;
    assert_eq!(reader.read(&doors.worlds[1]), ["5:lost"]);
    doors.model.lose(1);
    assert_eq!(doors.model.top(&name("kept")), 4);
    doors.say(0, "kept", "5").await.unwrap();
    doors.settle().await;
    let told = reader.read(&doors.worlds[1]);
    assert!(told[0].starts_with("lost kept"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_broker_nothing_is_said_and_all_goes_on_after() {
    let mut doors = Doors::new(2, |_| {});
    let mut ann = doors.reader(0, &to("kept")).await;
    let mut bob = doors.reader(1, &to("kept")).await;
    doors.model.set_away(true);
    assert_eq!(doors.say(0, "kept", "x").await, Err(Refusal::Unavailable));
    assert_eq!(doors.worlds[0].hub.mirror(&name("other"), Holder::Trusted).await, Err(Refusal::Unavailable));
    doors.enter(0, &mut ann, "kept", "ann");
    doors.settle().await;
    assert_eq!((doors.members(0, "kept"), doors.members(1, "kept")), (set(["ann"]), set([])));
    doors.model.set_away(false);
    doors.settle().await;
    assert_eq!(doors.members(1, "kept"), set(["ann"]));
    doors.say(1, "kept", "x").await.unwrap();
    doors.settle().await;
    assert_eq!(ann.read(&doors.worlds[0]), ["+ann", "1:x"]);
    assert_eq!(bob.read(&doors.worlds[1]), ["+ann", "1:x"]);
    // A door that was taken for dead puts its own again.
    doors.model.flush();
    doors.worlds[0].hub.on_expelled();
    doors.pass(Duration::from_secs(40)).await;
    assert_eq!(doors.members(1, "kept"), set(["ann"]));
}

#[tokio::test(start_paused = true)]
async fn a_message_of_one_name_is_said_once() {
    let mut doors = Doors::new(2, |_| {});
    let mut reader = doors.reader(0, &Subscribe::to(name("a"))).await;
    let named = |text: &str| {
        let mut publish = publish("a", text);
        publish.draft.id = Some("id".into());
        publish
    };
    let first = doors.worlds[0].hub.publish_shared(named("x"), Moment::now()).await.unwrap();
    let again = doors.worlds[1].hub.publish_shared(named("x"), Moment::now()).await.unwrap();
    assert_eq!(first, again);
    doors.settle().await;
    assert_eq!(reader.read(&doors.worlds[0]), ["1:x"]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_message_is_the_same_on_every_door() {
    use crate::realtime::vocabulary::{Amendment, Change};
    let mut doors = Doors::new(2, |_| {});
    let position = doors.say(0, "edited", "before").await.unwrap().unwrap();
    let amend = |target, text: &str| {
        let mut publish = publish("edited", text);
        let (only_of, keeps_data) = (None, false);
        publish.draft.amends = Some(Box::new(Amendment { target, change: Change::Update, only_of, keeps_data }));
        publish
    };
    doors.worlds[1].hub.publish_shared(amend(position, "after"), Moment::now()).await.unwrap();
    let beyond = Position { offset: 99, ..position };
    let refused = doors.worlds[1].hub.publish_shared(amend(beyond, "x"), Moment::now()).await;
    assert_eq!(refused, Err(Refusal::Forgotten));
    doors.settle().await;
    for door in 0..2 {
        let hub = &doors.worlds[door].hub;
        hub.mirror(&name("edited"), Holder::Trusted).await.unwrap();
        let message = hub.message(&name("edited"), position, Moment::now()).unwrap();
        assert_eq!(message.draft.data, Payload::Text("after".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn one_door_tells_for_all_what_begins_and_what_is_over() {
    use crate::realtime::hub::{Teller, Told};
    let mut doors = Doors::new(2, |_| {});
    let hubs = [Arc::clone(&doors.worlds[0].hub), Arc::clone(&doors.worlds[1].hub)];
    let room = name("kept");
    let (occupied, member) = (Told::Occupied, Told::Member("ann".into()));
    let begins = async |told: &Told| {
        [hubs[0].begin_to_tell(&room, told).await.unwrap(), hubs[1].begin_to_tell(&room, told).await.unwrap()]
    };
    let ends = async |told: &Told| {
        [hubs[1].end_of_telling(&room, told).await.unwrap(), hubs[0].end_of_telling(&room, told).await.unwrap()]
    };
    assert_eq!(begins(&occupied).await, [Teller::Nobody; 2]);
    let mut ann = doors.reader(0, &to("kept")).await;
    let ann_too = doors.reader(1, &to("kept")).await;
    doors.enter(0, &mut ann, "kept", "ann");
    doors.settle().await;
    for told in [&occupied, &member] {
        assert_eq!(begins(told).await, [Teller::This, Teller::Another]);
        assert_eq!(ends(told).await, [false; 2], "it is so");
    }
    drop(ann);
    doors.pass(Duration::from_secs(10)).await;
    assert_eq!((ends(&occupied).await, ends(&member).await), ([false; 2], [true, false]));
    drop(ann_too);
    doors.settle().await;
    assert_eq!(ends(&occupied).await, [true, false]);
    assert_eq!(begins(&occupied).await, [Teller::Nobody; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_request_of_which_nobody_knows_what_became_is_said_once() {
    let mut doors = Doors::new(2, |_| {});
    let mut reader = doors.reader(0, &to("a")).await;
    let ask = async |door: usize, name: &str| {
        let hub = &doors.worlds[door].hub;
        hub.publish_once(publish("a", "x"), Some(name.into()), Moment::now()).await
    };
    let first = ask(0, "one").await.unwrap();
    assert_eq!(ask(1, "one").await.unwrap(), first);
    assert_ne!(ask(1, "other").await.unwrap(), first);
    doors.settle().await;
    assert_eq!(reader.read(&doors.worlds[0]), ["1:x", "2:x"]);
}
