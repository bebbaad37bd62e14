//! One promise a test.

use super::*;
use crate::realtime::hub::outbox::{OutboxLimits, Slow};
use crate::realtime::hub::policy::{Allowed, MemberLimit};
use crate::realtime::vocabulary::{Command, Identity, Member};

const SECOND: Duration = Duration::from_secs(1);

fn history(messages: usize) -> impl FnOnce(&mut Config) {
    move |config| config.channels = vec![rule("*", |policy| policy.history = messages)]
}

#[test]
fn every_subscriber_hears_a_message_once_and_in_order() {
    let world = World::new(|_| {});
    let mut readers: Vec<_> = (0..5).map(|_| world.reader()).collect();
    for reader in &mut readers {
        reader.subscribe(&world, &to("room")).unwrap();
        reader.subscribe(&world, &to("room")).unwrap();
    }
    let mut other = world.reader();
    other.subscribe(&world, &to("other")).unwrap();
    for text in ["a", "b"] {
        world.publish("room", text).unwrap();
    }
    for reader in &mut readers {
        assert_eq!(reader.read(&world), ["1:a", "2:b"]);
    }
    assert_eq!(other.read(&world), [""; 0]);
}

#[test]
fn sender_hears_itself_as_asked_unless_the_policy_forbids() {
    let world = World::new(|config| {
        config.channels =
            vec![rule("always", |policy| policy.echo = Some(true)), rule("never", |policy| policy.echo = Some(false))];
    });
    for (channel, asks, hears) in
        [("as-asked", true, 1), ("as-asked", false, 0), ("always", false, 1), ("never", true, 0)]
    {
        let mut sender = world.reader();
        sender.subscribe(&world, &to(channel)).unwrap();
        let message = Publish { echo: asks, ..publish(channel, "x") };
        let now = world.now;
        sender.client().publish(message, Authority::Client, now).unwrap();
        assert_eq!(sender.read(&world).len(), hears, "{channel}, asks {asks}");
    }
}

#[test]
fn nothing_is_heard_after_unsubscribing() {
    let world = World::new(|_| {});
    let mut reader = world.reader();
    reader.subscribe(&world, &to("room")).unwrap();
    world.publish("room", "a").unwrap();
    let now = world.now;
    assert!(reader.client().unsubscribe(&name("room"), now));
    assert!(!reader.client().unsubscribe(&name("room"), now));
    world.publish("room", "b").unwrap();
    assert_eq!(reader.read(&world), [""; 0]);
    reader.subscribe(&world, &to("room")).unwrap();
    world.publish("room", "c").unwrap();
    assert_eq!(reader.read(&world), ["3:c"]);
}

#[test]
fn who_comes_back_gets_exactly_what_it_missed() {
    let world = World::new(history(3));
    let first = world.publish("room", "a").unwrap().unwrap();
    for text in ["b", "c"] {
        world.publish("room", text).unwrap();
    }
    let mut reader = world.reader();
    let subscribed = reader.subscribe(&world, &since("room", Since::After(first))).unwrap();
    assert_eq!((subscribed.recovery, subscribed.top.offset), (Recovery::Complete(2), 3));
    world.publish("room", "d").unwrap();
    assert_eq!(reader.read(&world), ["2:b", "3:c", "4:d"]);
    world.publish("room", "e").unwrap();
    assert_eq!(reader.read(&world), ["5:e"]);

    let mut late = world.reader();
    let subscribed = late.subscribe(&world, &since("room", Since::After(first))).unwrap();
    assert_eq!(subscribed.recovery, Recovery::Impossible, "2 is no longer kept");
    assert_eq!(late.read(&world), [""; 0]);
    let mut all = world.reader();
    assert_eq!(all.subscribe(&world, &since("room", Since::Start)).unwrap().recovery, Recovery::Complete(3));
    assert_eq!(all.read(&world), ["3:c", "4:d", "5:e"]);
}

#[test]
fn a_position_of_another_run_is_not_mistaken_for_one_of_this() {
    let (world, other) = (World::new(history(3)), World::new(history(3)));
    let position = other.publish("room", "x").unwrap().unwrap();
    world.publish("room", "a").unwrap();
    let mut reader = world.reader();
    let subscribed = reader.subscribe(&world, &since("room", Since::After(position))).unwrap();
    assert_eq!(subscribed.recovery, Recovery::Impossible);
}

#[test]
fn a_forgotten_channel_begins_a_new_epoch() {
    let mut world = World::new(|_| {});
    let mut reader = world.reader();
    reader.subscribe(&world, &to("room")).unwrap();
    let position = world.publish("room", "a").unwrap().unwrap();
    reader.part(&world);
    world.pass(30 * SECOND);
    let mut soon = world.reader();
    let subscribed = soon.subscribe(&world, &since("room", Since::After(position))).unwrap();
    assert_eq!(subscribed.recovery, Recovery::Complete(0), "it is remembered for a minute");
    soon.part(&world);
    world.pass(61 * SECOND);
    assert_eq!(world.hub.channels(), []);
    let mut late = world.reader();
    let subscribed = late.subscribe(&world, &since("room", Since::After(position))).unwrap();
    assert_eq!(subscribed.recovery, Recovery::Impossible);
}

#[test]
fn nothing_is_kept_for_channels_that_nobody_is_in() {
    let mut world = World::new(|config| {
        config.channels = vec![rule("kept", |policy| policy.history = 10)];
    });
    assert_eq!(world.publish("nobody", "x"), Ok(None));
    assert_eq!(world.hub.channels(), []);
    world.publish("kept", "x").unwrap();
    assert_eq!(world.hub.channels().len(), 1);
    world.pass(400 * SECOND);
    world.pass(61 * SECOND);
    assert_eq!(world.hub.channels(), []);
    assert_eq!(world.hub.history.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn the_memory_of_all_histories_is_bounded() {
    let world = World::new(|config| {
        history(1000)(config);
        config.max_history = Size(10_000);
    });
    for number in 0..1000 {
        world.publish(&format!("room-{}", number % 7), &"x".repeat(100)).unwrap();
        assert!(world.hub.history.load(std::sync::atomic::Ordering::Relaxed) <= 10_000);
    }
}

#[test]
fn a_reload_of_the_config_keeps_positions() {
    let world = World::new(history(5));
    let position = world.publish("room", "a").unwrap().unwrap();
    for text in ["b", "c", "d"] {
        world.publish("room", text).unwrap();
    }
    let mut config = Config::default();
    history(3)(&mut config);
    world.hub.reload(config, world.now.instant);
    let mut reader = world.reader();
    let subscribed = reader.subscribe(&world, &since("room", Since::After(position))).unwrap();
    assert_eq!(subscribed.recovery, Recovery::Complete(3));
    assert_eq!(reader.read(&world), ["2:b", "3:c", "4:d"]);
}

fn tight(slow: Slow, messages: usize) -> World {
    World::new(|config| {
        config.outbox = OutboxLimits { messages: 3, bytes: Size(10_000) };
        config.channels = vec![rule("*", |policy| (policy.slow, policy.history) = (slow, messages))];
    })
}

#[test]
fn a_slow_client_is_closed_and_holds_nobody_back() {
    let world = tight(Slow::Disconnect, 0);
    let (mut slow, mut fast) = (world.reader(), world.reader());
    slow.subscribe(&world, &to("room")).unwrap();
    fast.subscribe(&world, &to("room")).unwrap();
    for text in ["a", "b", "c", "d"] {
        world.publish("room", text).unwrap();
        assert_eq!(fast.read(&world).len(), 1);
    }
    assert_eq!(slow.read(&world), ["1:a", "2:b", "3:c", "closing slow"]);
}

#[test]
fn a_slow_client_loses_the_oldest_and_is_told() {
    let world = tight(Slow::DropOldest, 0);
    let mut slow = world.reader();
    slow.subscribe(&world, &to("room")).unwrap();
    for text in ["a", "b", "c", "d", "e"] {
        world.publish("room", text).unwrap();
    }
    assert_eq!(slow.read(&world), ["lost room 0..2", "3:c", "4:d", "5:e"]);
}

#[test]
fn with_history_a_slow_client_loses_nothing_that_is_kept() {
    let world = tight(Slow::DropOldest, 100);
    let mut slow = world.reader();
    slow.subscribe(&world, &to("room")).unwrap();
    for number in 1..=50 {
        world.publish("room", &format!("x{number}")).unwrap();
    }
    let expected: Vec<_> = (1..=50).map(|number| format!("{number}:x{number}")).collect();
    assert_eq!(slow.read(&world), expected);
    world.publish("room", "live").unwrap();
    assert_eq!(slow.read(&world), ["51:live"]);
}

#[test]
fn with_too_little_history_a_slow_client_is_told_what_is_gone() {
    let world = tight(Slow::DropOldest, 5);
    let mut slow = world.reader();
    slow.subscribe(&world, &to("room")).unwrap();
    for number in 1..=20 {
        world.publish("room", &format!("x{number}")).unwrap();
    }
    assert_eq!(
        slow.read(&world),
        ["1:x1", "2:x2", "3:x3", "lost room 3..15", "16:x16", "17:x17", "18:x18", "19:x19", "20:x20"]
    );
}

#[test]
fn only_the_latest_is_kept_where_that_is_what_counts() {
    let world = tight(Slow::KeepLatest, 0);
    let mut slow = world.reader();
    slow.subscribe(&world, &to("cursor")).unwrap();
    for number in 1..=20 {
        world.publish("cursor", &format!("x{number}")).unwrap();
    }
    let told = slow.read(&world);
    assert!(told.len() <= 3 && told.last().unwrap() == "20:x20", "{told:?}");
}

#[test]
fn volatile_messages_wait_behind_nothing_and_leave_no_trace() {
    let world = World::new(history(10));
    let mut reader = world.reader();
    reader.subscribe(&world, &to("room")).unwrap();
    let volatile = |text| {
        let mut publish = publish("room", text);
        publish.draft.volatile = true;
        world.hub.publish(publish, world.now).unwrap()
    };
    assert_eq!(volatile("v1"), None);
    assert_eq!(volatile("v2"), None);
    world.publish("room", "a").unwrap();
    assert_eq!(volatile("v3"), None);
    assert_eq!(reader.read(&world), ["0:v1", "1:a"]);
    assert_eq!(world.hub.history(&name("room"), Since::Start, 10, world.now).unwrap().messages.len(), 1);
}

#[test]
fn message_repeated_under_its_name_is_said_once() {
    let world = World::new(|_| {});
    let mut reader = world.reader();
    reader.subscribe(&world, &to("room")).unwrap();
    let say = |id: &str, text| {
        let mut publish = publish("room", text);
        publish.draft.id = Some(id.into());
        world.hub.publish(publish, world.now).unwrap().unwrap()
    };
    let first = say("1", "a");
    assert_ne!(say("2", "b"), first);
    assert_eq!(say("1", "a"), first);
    assert_eq!(reader.read(&world), ["1:a", "2:b"]);
    for number in 3..300 {
        say(&number.to_string(), "x");
        reader.read(&world);
    }
    assert_ne!(say("1", "a"), first, "long ago is forgotten: what is remembered is bounded");
}

#[test]
fn presence_tells_who_comes_and_goes_but_not_of_reloads() {
    let mut world = World::new(|config| {
        config.channels = vec![rule("*", |policy| policy.presence = MemberLimit::All)];
    });
    let mut watcher = world.reader();
    let now = world.now;
    watcher.client().identify(Identity { user: "watcher".into(), info: None });
    let subscribed = watcher.subscribe(&world, &to("room")).unwrap();
    assert_eq!(subscribed.members.iter().map(|member| &*member.key).collect::<Vec<_>>(), ["watcher"]);
    let ann = |world: &World| {
        let mut ann = world.reader();
        ann.client().identify(Identity { user: "ann".into(), info: None });
        ann.subscribe(world, &to("room")).unwrap();
        ann
    };
    let first = ann(&world);
    let mut second = ann(&world);
    assert_eq!(watcher.read(&world), ["+ann"], "one member, two connections");
    // As when its session panics: the handle is dropped, nothing is said first.
    drop(first);
    world.pass(10 * SECOND);
    assert_eq!(watcher.read(&world), [""; 0]);
    second.part(&world);
    world.pass(SECOND);
    let mut reloaded = ann(&world);
    world.pass(10 * SECOND);
    assert_eq!(watcher.read(&world), [""; 0], "a reload is silent");
    reloaded.part(&world);
    world.pass(SECOND);
    assert_eq!(watcher.read(&world), [""; 0]);
    world.pass(5 * SECOND);
    assert_eq!(watcher.read(&world), ["-ann"]);
    assert_eq!(world.hub.members(&name("room")).len(), 1);
    assert!(watcher.client().leave(&name("room"), "watcher", None, now));
    assert_eq!(watcher.read(&world), ["-watcher"], "who says good-bye leaves at once");
}

#[test]
fn policies_say_who_may_do_what() {
    let world = World::new(|config| {
        config.channels = vec![
            rule("news-*", |policy| policy.publish = Allowed::App),
            rule("members-*", |policy| {
                (policy.subscribe, policy.publish) = (Allowed::Identified, Allowed::Identified);
                policy.presence = MemberLimit::Off;
            }),
            rule("small", |policy| (policy.crowd.max_subscribers, policy.max_message) = (1, Size(3))),
            rule("slow-*", |policy| policy.publish_rate = 2),
        ];
        config.max_subscriptions = 3;
    });
    let now = world.now;
    let mut reader = world.reader();
    let say = |reader: &mut Reader, channel: &str, text: &str, later: Duration| {
        reader.client().publish(publish(channel, text), Authority::Client, now + later)
    };
    reader.subscribe(&world, &to("news-1")).unwrap();
    assert_eq!(say(&mut reader, "news-1", "x", SECOND), Err(Refusal::Closed));
    world.publish("news-1", "x").unwrap();
    assert_eq!(reader.read(&world), ["1:x"]);

    assert_eq!(reader.subscribe(&world, &to("members-1")), Err(Refusal::Forbidden));
    assert_eq!(say(&mut reader, "members-1", "x", SECOND), Err(Refusal::Forbidden));
    reader.client().identify(Identity { user: "ann".into(), info: None });
    reader.subscribe(&world, &to("members-1")).unwrap();
    say(&mut reader, "members-1", "x", SECOND).unwrap();
    let member = Member::new("ann");
    assert_eq!(reader.client().enter(&name("members-1"), member, Authority::Client, now), Err(Refusal::Forbidden));

    reader.subscribe(&world, &to("small")).unwrap();
    assert!(matches!(world.reader().subscribe(&world, &to("small")), Err(Refusal::TooMany { .. })));
    assert_eq!(say(&mut reader, "small", "long", SECOND), Err(Refusal::TooBig { most: 3 }));
    assert!(matches!(reader.subscribe(&world, &to("fourth")), Err(Refusal::TooMany { .. })));

    for (text, later, passes) in [("a", 0, true), ("b", 0, true), ("c", 0, false), ("d", 500, true), ("e", 500, false)]
    {
        let said = say(&mut reader, "slow-1", text, Duration::from_millis(later));
        assert_eq!(said.is_ok(), passes, "{text}: {said:?}");
    }
    for audience in [Audience::Everyone, Audience::User("ann".into()), Audience::Connection(reader.client().id())] {
        let publish = Publish { audience, ..publish("x", "x") };
        assert_eq!(reader.client().publish(publish, Authority::Client, now), Err(Refusal::Closed));
    }
}

#[test]
fn what_the_app_agrees_to_is_held_against_the_policies_beside() {
    let mut world = World::new(|config| {
        config.channels = vec![
            rule("news", |policy| policy.publish = Allowed::App),
            rule("closed", |policy| policy.subscribe = Allowed::App),
            rule("members", |policy| (policy.subscribe, policy.publish) = (Allowed::Identified, Allowed::Identified)),
        ];
        config.is_apps = true;
    });
    let now = world.now;
    let mut reader = world.reader();
    for (channel, client, consent, signature, app) in [
        ("news", false, false, false, true),
        ("members", false, false, true, true),
        ("unnamed", false, true, true, true),
        ("/space", false, true, true, true),
    ] {
        for (authority, passes) in [
            (Authority::Client, client),
            (Authority::Consent, consent),
            (Authority::Signature, signature),
            (Authority::App, app),
        ] {
            let said = reader.client().publish(publish(channel, "x"), authority, now);
            assert_eq!(said.is_ok(), passes, "{channel} {authority:?}: {said:?}");
        }
    }
    for (channel, client, consent) in
        [("closed", false, false), ("members", false, false), ("unnamed", false, true), ("/space", false, true)]
    {
        for (authority, passes) in [(Authority::Client, client), (Authority::Consent, consent), (Authority::App, true)]
        {
            let read = reader.client().may_read(&name(channel), authority);
            assert_eq!(read.is_ok(), passes, "{channel} {authority:?}: {read:?}");
        }
    }
    reader.client().admit(name("unnamed"));
    reader.subscribe(&world, &to("unnamed")).unwrap();
    assert_eq!(reader.subscribe(&world, &to("another")), Err(Refusal::Closed));
    assert_eq!(reader.subscribe(&world, &to("/space")), Err(Refusal::Closed));
    reader.client().set_namespaces(true);
    reader.subscribe(&world, &to("/space")).unwrap();
    // Channels that exist are under the new policies at once, and who is in stays in.
    world = World::new(|_| {});
    let (mut early, mut late) = (world.reader(), world.reader());
    early.subscribe(&world, &to("room")).unwrap();
    world.hub.reload(Config { is_apps: true, ..Config::default() }, now.instant);
    early.subscribe(&world, &to("room")).unwrap();
    assert_eq!(late.subscribe(&world, &to("room")), Err(Refusal::Closed));
    assert_eq!(early.client().publish(publish("room", "x"), Authority::Client, now), Err(Refusal::Closed));
}

#[test]
fn the_app_reaches_users_connections_and_everyone() {
    let world = World::new(|_| {});
    let (mut ann, mut bob) = (world.reader(), world.reader());
    ann.client().identify(Identity { user: "ann".into(), info: None });
    let bobs = bob.client().id();
    let say = |audience| world.hub.publish(Publish { audience, ..publish("x", "hi") }, world.now);
    say(Audience::User("ann".into())).unwrap();
    assert_eq!((ann.read(&world).len(), bob.read(&world).len()), (1, 0));
    say(Audience::Connection(bobs)).unwrap();
    assert_eq!((ann.read(&world).len(), bob.read(&world).len()), (0, 1));
    say(Audience::Everyone).unwrap();
    assert_eq!((ann.read(&world).len(), bob.read(&world).len()), (1, 1));
    bob.part(&world);
    assert_eq!(say(Audience::Connection(bobs)), Err(Refusal::Unknown));
    let carol = world.reader();
    assert_eq!(say(Audience::Connection(bobs)), Err(Refusal::Unknown), "her mailbox may lie where his did");
    assert!(!world.hub.disconnect(bobs, DisconnectReason::Done));
    drop(carol);
    ann.part(&world);
    assert_eq!(world.hub.connections_of("ann"), []);
}

#[test]
fn several_channels_at_once_reach_each_client_once() {
    let world = World::new(|_| {});
    let mut readers: Vec<_> = (0..4).map(|_| world.reader()).collect();
    for (reader, channels) in readers.iter_mut().zip([&["a", "b"][..], &["b"], &["a", "quiet"], &["c"]]) {
        for channel in channels {
            reader.subscribe(&world, &to(channel)).unwrap();
        }
    }
    let audience = Audience::Several {
        channels: vec![name("a"), name("b")],
        connections: vec![],
        except: vec![name("quiet")],
        but: vec![],
    };
    world.hub.publish(Publish { audience, ..publish("x", "hi") }, world.now).unwrap();
    let heard: Vec<_> = readers.iter_mut().map(|reader| reader.read(&world).len()).collect();
    assert_eq!(heard, [1, 1, 0, 0]);
}

#[test]
fn a_client_can_be_closed_from_outside_after_what_it_was_sent() {
    let world = World::new(|_| {});
    let mut reader = world.reader();
    reader.subscribe(&world, &to("room")).unwrap();
    world.publish("room", "a").unwrap();
    let id = reader.client().id();
    assert!(world.hub.disconnect(id, DisconnectReason::GoingAway) && world.hub.disconnect(id, DisconnectReason::Done));
    assert_eq!(reader.read(&world), ["1:a", "closing going_away"]);
}

#[test]
fn an_end_that_was_taken_is_kept_until_it_is_asked_for() {
    let world = World::new(|_| {});
    let mut reader = world.reader();
    reader.subscribe(&world, &to("room")).unwrap();
    let (client, now) = (reader.client(), world.now);
    world.hub.disconnect(client.id(), DisconnectReason::Done);
    let context = &mut Context::from_waker(Waker::noop());
    for _ in 0..2 {
        assert!(client.poll_fill(now, context).is_ready(), "whoever looks again loses nothing");
    }
    assert!(client.next_entry().is_none());
    assert_eq!(client.closing(), Some(DisconnectReason::Done));
}

#[test]
fn who_writes_has_so_long_for_its_end_from_when_it_is_ordered() {
    let world = World::new(|_| {});
    let mut reader = world.reader();
    let (client, now, context) = (reader.client(), world.now, &Context::from_waker(Waker::noop()));
    let second = Duration::from_secs(1);
    client.writing(now, second, context);
    assert_eq!(client.ends_by(), None, "nobody has ordered it");
    world.hub.disconnect(client.id(), DisconnectReason::Done);
    for _ in 0..2 {
        client.writing(now, second, context);
        assert_eq!(client.ends_by(), Some(now.instant + second));
    }
    client.writing(now + second, second, context);
    assert_eq!(client.ends_by(), Some(now.instant + second), "not anew with each try");
    client.goes_on();
    assert_eq!(client.ends_by(), None);
}

#[test]
fn nothing_waits_for_who_takes_no_more() {
    let world = World::new(|_| {});
    let mut reader = world.reader();
    let client = reader.client();
    assert!(world.hub.send_command(client.id(), Command::Close(DisconnectReason::Done)));
    client.retire();
    assert!(!world.hub.send_command(client.id(), Command::Close(DisconnectReason::Done)));
    assert!(client.poll_fill(world.now, &mut Context::from_waker(Waker::noop())).is_pending());
}

#[test]
fn half_of_what_may_wait_is_a_crowd_and_a_batch_is_not_all() {
    let world = World::new(|config| config.outbox.messages = 8);
    let mut reader = world.reader();
    reader.subscribe(&world, &to("room")).unwrap();
    let (client, now) = (reader.client(), world.now);
    let context = &mut Context::from_waker(Waker::noop());
    let text = "x".repeat(40 * 1024);
    for number in 1..=4 {
        assert!(!client.is_crowded(), "{number}");
        world.publish("room", &text).unwrap();
    }
    assert!(client.is_crowded());
    assert!(client.poll_fill(now, context).is_ready());
    assert!(!client.took_all() && !client.has_all());
    let mut taken = 0;
    while client.poll_fill(now, context).is_ready() {
        taken += usize::from(client.next_entry().is_some());
    }
    assert_eq!(taken, 4);
    assert!(client.took_all() && client.has_all() && !client.is_crowded());
}

#[test]
fn who_reads_a_history_has_not_all_before_its_last_part() {
    let world = World::new(history(200));
    for number in 1..=101 {
        world.publish("room", &number.to_string()).unwrap();
    }
    let mut reader = world.reader();
    reader.subscribe(&world, &since("room", Since::Start)).unwrap();
    let context = &mut Context::from_waker(Waker::noop());
    for (has_all, expected) in [(false, 64), (true, 101)] {
        assert!(reader.read_some(&world));
        assert_eq!((reader.client().has_all(), reader.told.len()), (has_all, expected));
    }
    assert!(reader.client().took_all() && reader.client().poll_fill(world.now, context).is_pending());
}

#[test]
fn of_long_messages_few_are_read_at_a_time() {
    let world = World::new(history(9));
    for _ in 0..9 {
        world.publish("room", &"x".repeat(20 << 10)).unwrap();
    }
    let mut reader = world.reader();
    reader.subscribe(&world, &since("room", Since::Start)).unwrap();
    // The last of a part goes beyond 64 KiB.
    for expected in [4, 8, 9] {
        assert!(reader.read_some(&world));
        assert_eq!(reader.told.len(), expected);
    }
}
