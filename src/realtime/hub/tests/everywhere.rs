//! What one door is asked, and all that share a broker answer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::questions::Asked;
use super::shared::Doors;
use super::*;
use crate::realtime::hub::{AckReply, ChannelQuery, DOORS_PATIENCE, DoorQuestion};
use crate::realtime::vocabulary::{ConnectionId, Extras, Identity, Member, Text};

fn query(prefix: &str, after: Option<&str>, most: usize) -> ChannelQuery {
    ChannelQuery { prefix: prefix.to_owned(), after: after.map(str::to_owned), most, with_users: true }
}

fn known_as(reader: &mut Reader, user: &str) -> ConnectionId {
    let info = Some(Payload::Json("1".into()));
    reader.client().identify(Identity { user: user.into(), info });
    reader.client().id()
}

/// One at each of so many doors, in channel `a`.
async fn one_at_each(doors: &mut Doors, count: usize) -> Vec<Reader> {
    let mut readers = Vec::new();
    for door in 0..count {
        readers.push(doors.reader(door, &Subscribe::to(name("a"))).await);
    }
    doors.settle().await;
    readers
}

#[tokio::test(start_paused = true)]
async fn lists_have_the_channels_of_all_doors() {
    let mut doors = Doors::new(3, |_| {});
    let mut readers = Vec::new();
    for (door, channel) in [(0, "a"), (1, "a"), (1, "b1"), (2, "b2"), (2, "b3"), (2, "c")] {
        readers.push(doors.reader(door, &Subscribe::to(name(channel))).await);
    }
    // Two members of one user, at two doors.
    for (door, reader) in [(0, 0), (1, 1)] {
        let member = Member { user: Some("ann".into()), ..Member::new(format!("ann-{door}")) };
        let now = doors.worlds[door].now;
        readers[reader].client().enter(&name("a"), member, Authority::App, now).unwrap();
    }
    doors.settle().await;
    let all = ["a", "b1", "b2", "b3", "c"];
    for world in &doors.worlds {
        let (channels, next) = world.hub.list_channels(&query("", None, 10)).await;
        assert_eq!(next, None);
        assert_eq!(channels.iter().map(|one| one.overview.name.as_str()).collect::<Vec<_>>(), all);
        let of_a = &channels[0];
        assert_eq!((of_a.overview.subscribers, of_a.overview.members, of_a.users), (2, 2, 1), "of both doors");
        // In parts, from any of them, each once and in order.
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (channels, next) = world.hub.list_channels(&query("", after.as_deref(), 2)).await;
            assert!(channels.len() <= 2);
            found.extend(channels.iter().map(|one| one.overview.name.as_str().to_owned()));
            let Some(next) = next else { break };
            after = Some(next.as_str().to_owned());
        }
        assert_eq!(found, all);
        let (channels, _) = world.hub.list_channels(&query("b", Some("b1"), 10)).await;
        assert_eq!(channels.len(), 2);
    }
    // A door that does not answer is missing, and nobody waits for it for long.
    doors.model.set_deaf(2, true);
    let (channels, next) = doors.worlds[0].hub.list_channels(&query("", None, 10)).await;
    assert_eq!((channels.len(), next), (2, None));
    doors.model.set_away(true);
    assert_eq!(doors.worlds[0].hub.list_channels(&query("", None, 10)).await.0.len(), 1, "its own");
}

#[tokio::test(start_paused = true)]
async fn who_is_connected_is_known_on_every_door() {
    let mut doors = Doors::new(3, |_| {});
    let mut readers = one_at_each(&mut doors, 3).await;
    let ids: Vec<_> =
        readers.iter_mut().zip(["ann", "ann", "bob"]).map(|(reader, user)| known_as(reader, user)).collect();
    for world in &doors.worlds {
        assert_eq!(world.hub.census_everywhere().await, (3, 2));
        let of_ann: BTreeSet<_> = world.hub.connections_everywhere("ann").await.into_iter().collect();
        assert_eq!(of_ann, BTreeSet::from([ids[0], ids[1]]));
        assert!(world.hub.connections_everywhere("cid").await.is_empty());
        let found = world.hub.find_connection(ids[2], Some(&name("a"))).await.unwrap().unwrap();
        assert_eq!((found.user.as_deref(), found.hears), (Some("bob"), true));
        assert_eq!(found.identity.unwrap().info, Some(Payload::Json("1".into())));
        assert!(!world.hub.find_connection(ids[2], Some(&name("b"))).await.unwrap().unwrap().hears);
        assert_eq!(world.hub.find_connection(ConnectionId(7), None).await, Ok(None));
    }
    doors.model.set_deaf(2, true);
    let hub = &doors.worlds[0].hub;
    assert_eq!(hub.census_everywhere().await, (2, 1));
    assert_eq!(hub.find_connection(ids[2], None).await, Err(Refusal::Unavailable), "it may be there");
    assert!(hub.find_connection(ids[1], None).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn connections_end_on_whatever_door_they_are() {
    let mut doors = Doors::new(2, |_| {});
    let mut readers = one_at_each(&mut doors, 2).await;
    let mut second = doors.reader(1, &Subscribe::to(name("a"))).await;
    let ids = [known_as(&mut readers[0], "ann"), known_as(&mut readers[1], "ann"), known_as(&mut second, "bob")];
    let hub = &doors.worlds[0].hub;
    let reason = Text::from_static("enough");
    assert_eq!(hub.end_connection(ids[2], Some(3000), &reason).await, Ok(()));
    assert_eq!(second.read(&doors.worlds[1]), ["closing kicked"]);
    assert_eq!(hub.end_connection(ConnectionId(7), None, &reason).await, Err(Refusal::Unknown));
    assert_eq!(hub.end_user(&"ann".into(), None, &reason).await, Ok(2));
    for (reader, world) in readers.iter_mut().zip(&doors.worlds) {
        assert_eq!(reader.read(world), ["closing kicked"]);
    }
    doors.model.set_away(true);
    assert_eq!(hub.end_user(&"ann".into(), None, &reason).await.err(), Some(Refusal::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_to_connections_is_counted_on_all_doors() {
    let mut doors = Doors::new(2, |_| {});
    let mut readers = one_at_each(&mut doors, 2).await;
    let ids = [known_as(&mut readers[0], "ann"), known_as(&mut readers[1], "ann")];
    let draft = || Draft::new(Payload::Text("x".into()));
    let hub = &doors.worlds[0].hub;
    assert_eq!(hub.send_to_user("ann".into(), draft()).await, Ok(2));
    assert_eq!(hub.send_to_everyone(draft()).await, Ok(2));
    assert_eq!(hub.send_to_connection(ids[1], draft()).await, Ok(1));
    assert_eq!(hub.send_to_connection(ConnectionId(7), draft()).await, Err(Refusal::Unknown));
    assert_eq!((readers[0].read(&doors.worlds[0]).len(), readers[1].read(&doors.worlds[1]).len()), (2, 3));
    doors.model.set_deaf(1, true);
    assert_eq!(hub.send_to_everyone(draft()).await, Ok(1));
    assert_eq!(hub.send_to_connection(ids[1], draft()).await, Err(Refusal::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn clients_of_all_doors_are_asked() {
    let doors = Doors::new(2, |_| {});
    let (mut readers, answering) = (Vec::new(), Encoding::new(Asked));
    for world in &doors.worlds {
        let mut reader = world.reader();
        world.hub.mirror(&name("a"), Holder::Trusted).await.unwrap();
        reader.client().subscribe(&to("a"), &answering, Authority::Client, world.now).unwrap();
        readers.push(reader);
    }
    let limit = Duration::from_secs(5);
    let answer = |door: usize, id: ConnectionId| {
        let data = Payload::Json(format!("[{door}]").as_str().into());
        let given = AckReply { alias: Some(door.to_string().into()), data, extras: Extras::default() };
        doors.worlds[door].hub.answer(1, id, Some(given));
    };
    let ids: Vec<_> = readers.iter_mut().map(|reader| reader.client().id()).collect();
    let asked = doors.worlds[0].hub.ask_everywhere(publish("a", "?"), limit, Moment::now()).unwrap();
    answer(0, ids[0]);
    let answering = async {
        // When the question has come there.
        tokio::time::sleep(Duration::from_secs(1)).await;
        answer(1, ids[1]);
    };
    let (answers, ()) = futures_util::future::join(asked.answers(), answering).await;
    let given: Vec<_> = answers.given.iter().map(|(id, given)| (*id, given.alias.clone().unwrap())).collect();
    assert_eq!(given, [(ids[0], "0".into()), (ids[1], "1".into())]);
    assert_eq!((answers.missing, answers.missing_doors), (vec![], 0));
    // Who does not answer is named, on whatever door.
    let asked = doors.worlds[0].hub.ask_everywhere(publish("a", "?"), limit, Moment::now()).unwrap();
    let answers = asked.answers().await;
    let missing: BTreeSet<_> = answers.missing.into_iter().collect();
    assert_eq!((missing, answers.missing_doors), (ids.iter().copied().collect(), 0));
    doors.model.set_deaf(1, true);
    let asked = doors.worlds[0].hub.ask_everywhere(publish("a", "?"), limit, Moment::now()).unwrap();
    let answers = asked.answers().await;
    assert_eq!((answers.missing, answers.missing_doors), (vec![ids[0]], 1));
}

#[derive(Serialize, Deserialize)]
struct Long {
    length: usize,
}

impl DoorQuestion for Long {
    const KIND: &'static str = "long";
    type Answer = Vec<String>;
}

#[derive(Serialize, Deserialize)]
struct Newer {}

impl DoorQuestion for Newer {
    const KIND: &'static str = "newer";
    type Answer = ();
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_parts_and_have_a_bound() {
    let doors = Doors::new(2, |_| {});
    doors.worlds[1].hub.answer_doors_by(|_, Long { length }| async move { vec!["x".repeat(length)] });
    let hub = &doors.worlds[0].hub;
    for length in [0, 256 * 1024, 1_000_000] {
        let replies = hub.ask_doors(&Long { length }, DOORS_PATIENCE).await;
        assert!(replies.is_whole());
        assert_eq!(replies.given[0][0].len(), length);
    }
    for replies in [
        hub.ask_doors(&Long { length: 5_000_000 }, DOORS_PATIENCE).await.missing,
        hub.ask_doors(&Newer {}, DOORS_PATIENCE).await.missing,
        doors.worlds[1].hub.ask_doors(&Long { length: 1 }, DOORS_PATIENCE).await.missing,
    ] {
        assert_eq!(replies, 1, "it says at once that it cannot");
    }
}

#[tokio::test(start_paused = true)]
async fn who_wants_to_know_is_told_that_words_are_lost() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let mut doors = Doors::new(2, |_| {});
    let losses = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&losses);
    doors.worlds[0].hub.when_words_are_lost(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    doors.model.set_deaf(0, true);
    doors.settle().await;
    assert_eq!(losses.load(Ordering::Relaxed), 0);
    doors.model.set_deaf(0, false);
    doors.settle().await;
    assert_eq!(losses.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn commands_reach_connections_of_any_door() {
    use crate::realtime::vocabulary::{Command, DisconnectReason};
    let mut doors = Doors::new(2, |_| {});
    let mut readers = one_at_each(&mut doors, 2).await;
    let id = readers[1].client().id();
    let close = Command::Close(DisconnectReason::Kicked { code: Some(3001), reason: Text::from_static("bye") });
    doors.worlds[0].hub.command_anywhere(id, close.clone()).await;
    doors.settle().await;
    assert_eq!(readers[1].read(&doors.worlds[1]), [format!("{close:?}")]);
}
