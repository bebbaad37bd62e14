//! What may be known of a channel and of connections without being in it.

use super::*;
use crate::realtime::vocabulary::{Amendment, Annotation, Change, ConnectionId, Identity, Member, Method, Span};

/// A draft that changes the message at `target`.
fn changing(target: Position, change: Change, text: &str) -> Publish {
    let amendment = Amendment { target, change, only_of: None, keeps_data: false };
    let mut publish = publish("edited", text);
    publish.draft.amends = Some(Box::new(amendment));
    publish
}

fn texts(messages: &[Arc<crate::realtime::vocabulary::Message>]) -> Vec<String> {
    let text = |payload: &Payload| if let Payload::Text(text) = payload { text.to_string() } else { String::new() };
    messages.iter().map(|message| text(&message.draft.data)).collect()
}

#[test]
fn connections_are_known_by_what_they_are() {
    let world = World::new(|_| {});
    let (mut ann, mut bob) = (world.reader(), world.reader());
    ann.client().identify(Identity { user: "ann".into(), info: None });
    ann.subscribe(&world, &to("a")).unwrap();
    bob.subscribe(&world, &to("b")).unwrap();
    let (anns, bobs) = (ann.client().id(), bob.client().id());
    let hub = &world.hub;
    assert_eq!((hub.user_of(anns).as_deref(), hub.user_of(bobs)), (Some("ann"), None));
    assert!(hub.is_connected(anns) && !hub.is_connected(ConnectionId(anns.0 ^ 1 << 32)), "of another time");
    for (id, channel, hears) in [(anns, "a", true), (anns, "b", false), (bobs, "a", false), (bobs, "b", true)] {
        assert_eq!(hub.hears(id, &name(channel)), hears, "{channel}");
    }
    assert!(!hub.hears(anns, &name("nowhere")) && !hub.hears(ConnectionId(anns.0 ^ 1 << 32), &name("a")));
    assert_eq!((hub.subscribers(&name("a")), hub.subscribers(&name("nowhere"))), (1, 0));
    ann.part(&world);
    assert_eq!((hub.subscribers(&name("a")), hub.hears(anns, &name("a"))), (0, false));
}

#[test]
fn a_message_is_read_with_its_versions_and_what_is_said_of_it() {
    let world = World::new(|config| {
        config.channels = vec![rule("edited", |policy| (policy.history, policy.mutable) = (10, true))];
    });
    let hub = &world.hub;
    let position = world.publish("edited", "first").unwrap().unwrap();
    hub.publish(changing(position, Change::Update, "second"), world.now).unwrap();
    let annotation = Annotation { kind: "like".into(), method: Method::Total, count: 1, removes: false };
    hub.publish(changing(position, Change::Annotate(annotation), "well said"), world.now).unwrap();
    let channel = name("edited");
    assert_eq!(texts(&[hub.message(&channel, position, world.now).unwrap()]), ["second"]);
    assert_eq!(texts(&hub.versions(&channel, position, world.now)), ["first", "second"]);
    assert_eq!(texts(&hub.annotations(&channel, position, world.now)), ["well said"]);
    let (read, more) = hub.read(&channel, &Span::default(), 9, world.now);
    assert_eq!((texts(&read), more), (vec!["second".to_owned()], false));
    let beyond = Position { offset: 99, ..position };
    assert!(hub.message(&channel, beyond, world.now).is_none() && hub.versions(&channel, beyond, world.now).is_empty());
}

#[test]
fn what_became_of_members_is_read_where_it_is_kept() {
    let mut world = World::new(|_| {});
    let mut reader = world.reader();
    reader.subscribe(&world, &Subscribe { retain: Duration::from_secs(60), ..to("a") }).unwrap();
    let now = world.now;
    reader.client().enter(&name("a"), Member::new("ann"), Authority::App, now).unwrap();
    reader.client().leave(&name("a"), "ann", None, now);
    let changes = |world: &World| -> Vec<_> {
        let changes = world.hub.presence_changes(&name("a"), world.now);
        changes.iter().map(|change| (change.change, change.member.key.to_string())).collect()
    };
    assert_eq!(changes(&world), [(Presence::Joined, "ann".into()), (Presence::Left, "ann".into())]);
    world.pass(Duration::from_secs(61));
    assert!(changes(&world).is_empty(), "and no longer than it is kept");
}
