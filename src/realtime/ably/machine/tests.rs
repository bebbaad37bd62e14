//! Conversations with the machine, on a clock of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::realtime::ably::Config;
use crate::realtime::ably::connections::Claimant;
use crate::realtime::ably::key::AblyKey;
use crate::realtime::ably::token::{Revocation, mint};
use crate::realtime::dialect::Action;
use crate::realtime::door::ProtocolConfig;
use crate::realtime::vocabulary::{
    Epoch, Member, Position, PublishSeveral, Receipt, Recovery, Refusal, Since, Subscribe, Subscribed,
};
use crate::settings;

struct Talk {
    machine: AblyMachine,
    connections: Arc<Connections>,
    now: Moment,
}

const KEY: &str = "app.key:a-secret-of-enough-bytes";

impl Talk {
    /// A client with the key, who is `client`.
    fn new(client: Option<&str>) -> Talk {
        Talk::with(Credentials::Key(KEY), client)
    }

    fn with(credentials: Credentials, client: Option<&str>) -> Talk {
        let source = format!("[[ably]]\nkey = \"{KEY}\"\n");
        let config =
            settings::read("test", &source, |root| Config::read(root, "/api/ws")).unwrap_or_else(|bad| panic!("{bad}"));
        let (apps, connections) = (Arc::new(AblyApps::new(&config, None)), Arc::new(Connections::default()));
        let now = Moment::now();
        let auth = apps.authenticate(credentials, now).unwrap();
        let client: Option<Arc<str>> = client.map(Into::into);
        let claimant =
            Claimant { app: Arc::clone(auth.app.id()), client: client.clone(), key_name: Arc::clone(&auth.key_name) };
        let link = ConnectionId(7);
        let (opened, error) = connections.open(None, &claimant, link, now.instant);
        let manner = Manner { format: Format::Json, echo: true, heartbeats: true };
        let (app, kept) = (Arc::clone(&auth.app), Arc::clone(&connections));
        let greeting = Some(Box::new(Greeting { error, grace: Duration::from_secs(15), displace: None }));
        let opening = Opening { apps, connections: kept, app, auth, client, link, opened, greeting };
        Talk { machine: AblyMachine::new(opening, manner, now), connections, now }
    }

    fn step(&mut self, act: impl FnOnce(&mut AblyMachine, Moment, &mut Step)) -> (Vec<Value>, Vec<Command>) {
        let mut step = Step::default();
        act(&mut self.machine, self.now, &mut step);
        let (mut told, mut wanted) = (Vec::new(), Vec::new());
        for action in step.actions {
            match action {
                Action::Send(Frame::Text(text)) => told.push(serde_json::from_str(&text).unwrap()),
                Action::Do(command) => wanted.push(command),
                Action::Send(_) => {}
                other => panic!("{other:?}"),
            }
        }
        (told, wanted)
    }

    fn say(&mut self, said: Value) -> (Vec<Value>, Vec<Command>) {
        self.step(|machine, now, step| machine.receive(Frame::text(said.to_string()), now, step).unwrap())
    }

    fn tell(&mut self, event: &Event) -> Vec<Value> {
        self.step(|machine, now, step| machine.deliver(event, now, step)).0
    }

    fn attach(&mut self, said: Value) -> Subscribe {
        let (told, mut wanted) = self.say(said);
        assert!(told.is_empty(), "{told:?}");
        match wanted.pop() {
            Some(Command::Subscribe(wish)) => wish,
            other => panic!("{other:?}"),
        }
    }

    fn attached(&mut self, recovery: Recovery, members: Vec<Arc<Member>>) -> Vec<Value> {
        self.tell(&Event::Subscribed(Box::new(Subscribed {
            ticket: ATTACH,
            channel: room(),
            top: at(9),
            recovery,
            members,
            subscribers: 1,
            is_mutable: false,
        })))
    }
}

fn room() -> Channel {
    Channel::new("room").unwrap()
}

fn at(offset: u64) -> Position {
    Position { epoch: Epoch(1), offset }
}

fn several(commands: &[Command]) -> &PublishSeveral {
    match commands {
        [Command::PublishSeveral(several)] => several,
        other => panic!("{other:?}"),
    }
}

#[test]
fn first_it_says_who_is_connected() {
    let mut talk = Talk::new(Some("ann"));
    let (told, wanted) = talk.step(|machine, now, step| machine.open(now, step));
    assert_eq!(wanted, [Command::SetGrace(Duration::from_secs(15))]);
    let details = &told[0]["connectionDetails"];
    assert_eq!((told.len(), &told[0]["action"], &details["clientId"]), (1, &json!(4), &json!("ann")));
    assert!(details["connectionKey"].as_str().unwrap().starts_with(told[0]["connectionId"].as_str().unwrap()));
    assert_eq!((&details["maxIdleInterval"], &details["connectionStateTtl"]), (&json!(15_000), &json!(120_000)));
}

#[test]
fn a_key_is_let_go_when_the_next_has_come() {
    let is_let_go = |is_displacing: bool, frame: Frame| {
        let mut talk = Talk::new(None);
        let (connections, key) = (Arc::clone(&talk.connections), talk.machine.key().to_owned());
        let (opening, displaced) = (&mut talk.machine.opening, Arc::new(AtomicBool::new(false)));
        let claimant = Claimant { app: "app".into(), client: None, key_name: "app.key".into() };
        if is_displacing {
            let (greeting, displaced) = (opening.greeting.as_mut().unwrap(), Arc::clone(&displaced));
            greeting.displace = Some(Box::new(move || displaced.store(true, Ordering::Relaxed)));
        } else {
            connections.leave(&opening.opened.id, opening.link, false, talk.now.instant);
        }
        (opening.opened, _) = connections.open(Some(&key), &claimant, opening.link, talk.now.instant);
        talk.machine.has_old_key = opening.opened.is_resumed;
        let mut step = Step::default();
        talk.machine.open(talk.now, &mut step);
        let pings = step.actions.iter().any(|action| matches!(action, Action::Send(Frame::Ping(_))));
        assert_eq!((pings, displaced.load(Ordering::Relaxed)), (is_displacing, false));
        talk.machine.receive(frame, talk.now, &mut step).unwrap();
        let is_let_go = connections.of_key(&key, "app").is_none();
        assert_eq!(displaced.load(Ordering::Relaxed), is_displacing && is_let_go);
        is_let_go
    };
    for is_displacing in [false, true] {
        assert!(!is_let_go(is_displacing, Frame::Pong(Default::default())));
        assert!(is_let_go(is_displacing, Frame::text(r#"{"action":0}"#)));
    }
    assert!(is_let_go(true, Frame::Pong(DISPLACING.into())));
}

#[test]
fn pings_are_answered_by_their_ids() {
    let mut talk = Talk::new(None);
    assert_eq!(talk.say(json!({ "action": 0, "id": "x" })).0, [json!({ "action": 0, "id": "x" })]);
    assert_eq!(talk.say(json!({ "action": 99, "unknown": [1] })), (vec![], vec![]), "what is unknown is ignored");
}

#[test]
fn an_attachment_says_its_modes_and_whether_it_is_whole() {
    let mut talk = Talk::new(None);
    let wish = talk.attach(json!({ "action": 10, "channel": "room" }));
    assert_eq!((wish.since, wish.messages, wish.notices), (Since::Now, true, true));
    assert!(!wish.retain.is_zero());
    let told = talk.attached(Recovery::Live, Vec::new());
    let flags = |told: &[Value]| told[0]["flags"].as_u64().unwrap();
    assert_eq!((told.len(), &told[0]["channelSerial"], flags(&told) & 7), (1, &json!("1-9"), 0));
    assert_eq!(flags(&told) >> 16, 0b1111);

    let wish = talk.attach(json!({ "action": 10, "channel": "room", "channelSerial": "1-4" }));
    assert_eq!(wish.since, Since::After(at(4)));
    let told = talk.attached(Recovery::Complete(5), Vec::new());
    assert_eq!((flags(&told) & 7, &told[0]["channelSerial"]), (4, &json!("1-4")), "resumed, from where it was");
    let told = talk.attached(Recovery::Impossible, Vec::new());
    assert_eq!((flags(&told) & 7, &told[0]["error"]["code"]), (0, &json!(80018)));
    talk.attach(json!({ "action": 10, "channel": "room", "channelSerial": "nonsense" }));
    assert_eq!(talk.attached(Recovery::Live, Vec::new())[0]["error"]["code"], 80018);
    talk.attach(json!({ "action": 10, "channel": "room", "params": { "rewind": 2 } }));
    let told = talk.attached(Recovery::Complete(2), Vec::new());
    assert_eq!((flags(&told) & 7, &told[0]["params"]), (2, &json!({ "rewind": "2" })), "a backlog");
}

#[test]
fn who_is_there_comes_in_pages() {
    let mut talk = Talk::new(None);
    talk.attach(json!({ "action": 10, "channel": "room" }));
    let members: Vec<_> = (0..201).map(|number| Arc::new(Member::new(format!("u{number}")))).collect();
    let told = talk.attached(Recovery::Live, members);
    assert_eq!(told[0]["flags"].as_u64().unwrap() & 1, 1);
    let pages: Vec<_> = told[1..].iter().map(|told| told["presence"].as_array().unwrap().len()).collect();
    assert_eq!(pages, [100, 100, 1]);
    let serial = |told: &Value| {
        told["channelSerial"].as_str().unwrap().split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    let (first, last) = (serial(&told[1]).unwrap(), serial(&told[3]).unwrap());
    assert_eq!((&first.0, first.1.is_empty(), last.1.is_empty()), (&last.0, false, true));
}

#[test]
fn acknowledgements_keep_the_order() {
    let mut talk = Talk::new(Some("ann"));
    let say = |serial: u64| json!({ "action": 15, "channel": "room", "msgSerial": serial, "messages": [{ "data": "x" }, { "name": "n" }] });
    let (_, first) = talk.say(say(0));
    let (_, second) = talk.say(say(1));
    let (first, second) = (several(&first).clone(), several(&second).clone());
    assert_eq!(first.drafts[1].id.as_deref().unwrap().split_once(':').unwrap().1, "0:1");
    assert_eq!(first.speakers[0].user.as_deref(), Some("ann"));
    let receipts = vec![Receipt { position: Some(at(1)), unix_ms: 5 }, Receipt { position: None, unix_ms: 5 }];
    let published = |ticket| Event::Published { ticket, receipts: receipts.clone() };
    assert_eq!(talk.tell(&published(second.ticket)), [] as [Value; 0], "the first is not done");
    let refused = Event::Refused { ticket: first.ticket, channel: Some(room()), refusal: Refusal::TooBig { most: 1 } };
    let told = talk.tell(&refused);
    assert_eq!(
        (&told[0]["action"], &told[0]["msgSerial"], &told[0]["error"]["code"]),
        (&json!(2), &json!(0), &json!(40009))
    );
    let serials = json!([{ "serials": ["00000000000005-000000000001@1", null] }]);
    assert_eq!(told[1], json!({ "action": 1, "msgSerial": 1, "count": 1, "res": serials }));
    let bad = json!({ "action": 15, "channel": ":hell", "msgSerial": 2, "messages": [{ "data": "x" }] });
    assert_eq!(talk.say(bad).0[0]["error"]["code"], 40010);
}

#[test]
fn it_speaks_as_nobody_else() {
    let say = |message: Value| {
        let mut talk = Talk::new(Some("ann"));
        let said = json!({ "action": 15, "channel": "room", "msgSerial": 0, "messages": [message] });
        let (told, wanted) = talk.say(said);
        match told.first() {
            Some(told) => told["error"]["code"].to_string(),
            None => several(&wanted).speakers[0].user.clone().unwrap().to_string(),
        }
    };
    assert_eq!(say(json!({ "clientId": "ann" })), "ann");
    assert_eq!((say(json!({ "clientId": "bob" })), say(json!({ "clientId": "*" }))), ("40012".into(), "40012".into()));
    assert_eq!(say(json!({ "connectionKey": "nobody" })), "40006");
    let mut free = Talk::new(None);
    let (_, wanted) = free.say(json!({ "action": 15, "channel": "room", "messages": [{ "clientId": "bob" }] }));
    assert_eq!(several(&wanted).speakers[0].user.as_deref(), Some("bob"));
}

#[test]
fn members_come_and_go_by_their_connection() {
    let mut talk = Talk::new(Some("ann"));
    let id = talk.machine.opening.opened.id.to_string();
    let present = |action: u8, more: Value| {
        let mut item = json!({ "action": action });
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "action": 14, "channel": "room", "msgSerial": 3, "presence": [item] })
    };
    let (_, wanted) = talk.say(present(2, json!({ "data": "hi" })));
    let [Command::Enter { ticket, member, .. }] = &wanted[..] else { panic!("{wanted:?}") };
    assert_eq!((&*member.key, member.user.as_deref()), (&*format!("{id}:ann"), Some("ann")));
    let told = talk.tell(&Event::Accepted { ticket: *ticket, position: None });
    assert_eq!(told, [json!({ "action": 1, "msgSerial": 3, "count": 1, "res": [{ "serials": [] }] })]);
    let (_, wanted) = talk.say(present(3, json!({})));
    assert!(matches!(&wanted[..], [Command::Leave { parting: None, .. }]), "{wanted:?}");
    let (_, wanted) = talk.say(present(3, json!({ "data": "bye" })));
    assert!(matches!(&wanted[..], [Command::Leave { parting: Some(_), .. }]), "{wanted:?}");
    let mut nobody = Talk::new(None);
    assert_eq!(nobody.say(present(2, json!({}))).0[0]["error"]["code"], 91000);
}

#[test]
fn its_own_members_it_always_hears_of() {
    let mut talk = Talk::new(Some("ann"));
    let modes = attachment::mode::PRESENCE;
    talk.attach(json!({ "action": 10, "channel": "room", "flags": modes }));
    talk.attached(Recovery::Live, Vec::new());
    let item = json!({ "action": 2, "data": "hi" });
    let (_, wanted) = talk.say(json!({ "action": 14, "channel": "room", "msgSerial": 0, "presence": [item] }));
    let [Command::Enter { ticket, .. }] = &wanted[..] else { panic!("{wanted:?}") };
    let told = talk.tell(&Event::Accepted { ticket: *ticket, position: None });
    assert_eq!((told[0]["action"].as_u64(), told[1]["action"].as_u64()), (Some(14), Some(1)));
    let id = talk.machine.opening.opened.id.to_string();
    assert_eq!(
        (&told[0]["presence"][0]["id"], &told[0]["presence"][0]["clientId"]),
        (&json!(format!("{id}:0:0")), &json!("ann"))
    );
    let (told, _) = talk.say(json!({ "action": 15, "channel": "room", "msgSerial": 1, "messages": [{}] }));
    assert_eq!(told[0]["error"]["code"], 40160, "nor may it publish");
}

#[test]
fn what_the_app_ends_is_not_begun_again() {
    let mut talk = Talk::new(None);
    talk.attach(json!({ "action": 10, "channel": "room" }));
    talk.attached(Recovery::Live, Vec::new());
    let put_out = Event::Unsubscribed { ticket: 0, channel: room(), why: None };
    let told = talk.tell(&put_out);
    assert_eq!((&told[0]["action"], &told[0]["channel"]), (&json!(9), &json!("room")));
    talk.attach(json!({ "action": 10, "channel": "room" }));
    let (_, wanted) = talk.say(json!({ "action": 12, "channel": "room" }));
    assert_eq!(wanted, [Command::Unsubscribe { ticket: DETACH, channel: room() }]);
    let told = talk.tell(&Event::Unsubscribed { ticket: DETACH, channel: room(), why: None });
    assert_eq!(told, [json!({ "action": 13, "channel": "room" })]);
    assert_eq!(talk.say(json!({ "action": 12, "channel": "other" })).0[0]["action"], 13);
}

#[test]
fn who_closes_is_forgotten_and_who_is_cut_is_not() {
    let kept = |said: Option<Value>| {
        let mut talk = Talk::new(None);
        if let Some(said) = said {
            talk.say(said);
        }
        let key = talk.machine.opening.opened.key.clone();
        let connections = Arc::clone(&talk.connections);
        drop(talk);
        connections.of_key(&key, "app").is_some()
    };
    assert!(kept(None) && kept(Some(json!({ "action": 5 }))));
    assert!(!kept(Some(json!({ "action": 7 }))));
}

#[test]
fn the_last_word_says_whether_to_come_back() {
    let last = |why: DisconnectReason| {
        let mut talk = Talk::new(None);
        let (told, _) = talk.step(|machine, now, step| machine.close_frames(&why, now, step));
        (told[0]["action"].as_u64().unwrap(), told[0]["error"]["code"].as_u64().unwrap_or_default())
    };
    assert_eq!(last(DisconnectReason::Restarting), (6, 80003));
    assert_eq!(last(DisconnectReason::Expired), (6, 40142));
    assert_eq!(last(DisconnectReason::Done), (8, 0));
    assert_eq!(last(DisconnectReason::Kicked { code: Some(REVOKED), reason: "".into() }), (6, 40141));
    assert_eq!(last(DisconnectReason::Kicked { code: None, reason: "out".into() }), (9, 40300));
}

#[test]
fn silence_is_broken_by_a_ping_and_a_frame() {
    let mut talk = Talk::new(None);
    let due = talk.machine.next_wake().unwrap();
    assert_eq!(due, talk.now.instant + MAX_IDLE);
    talk.now = talk.now + MAX_IDLE;
    assert_eq!(talk.step(|machine, now, step| machine.wake(now, step)).0, [json!({ "action": 0 })]);
    talk.now = talk.now + MAX_IDLE;
    let (_, wanted) = talk.step(|machine, now, step| machine.wake(now, step));
    assert_eq!(wanted, [Command::Close(DisconnectReason::Dead)]);
}

#[test]
fn what_is_no_frame_ends_it() {
    let mut talk = Talk::new(None);
    for frame in [Frame::text("{"), Frame::text("[]"), Frame::Binary("x".into()), Frame::text(r#"{"action":"x"}"#)] {
        let mut step = Step::default();
        assert!(talk.machine.receive(frame.clone(), talk.now, &mut step).is_err(), "{frame:?}");
    }
}

#[test]
fn a_revoked_token_ends_it_after_time_for_another() {
    let issued = Moment::now().unix_ms;
    let key = AblyKey::parse(KEY).unwrap();
    let token = mint(&key, issued, 3_600_000, r#"{"*":["*"]}"#.into(), Some("ann".into())).token;
    let mut talk = Talk::with(Credentials::Token(&token), Some("ann"));
    talk.now = talk.now + Duration::from_millis(1);
    let wake = |talk: &mut Talk| talk.step(|machine, now, step| machine.wake(now, step));
    assert_eq!(wake(&mut talk), (vec![], vec![]));
    let (at, applies_at) = (talk.now.unix_ms, talk.now.unix_ms + 30_000);
    let apps = Arc::clone(&talk.machine.opening.apps);
    apps.revoke("app.key", "clientId:ann", Revocation { issued_before: at, applies_at }, talk.now).unwrap();
    let (told, wanted) = wake(&mut talk);
    assert_eq!((told[0]["action"].as_u64(), wanted), (Some(action::AUTH.into()), vec![]));
    talk.now = talk.now + Duration::from_secs(30);
    let (_, wanted) = wake(&mut talk);
    let [Command::Close(DisconnectReason::Kicked { code: Some(REVOKED), .. })] = &wanted[..] else {
        panic!("{wanted:?}")
    };
}
