//! Conversations with a machine on a clock of the tests' own: what a client says, and what is wanted for it.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::realtime::dialect::{Action, Dialect, Encoded, Step};
use crate::realtime::hub::policy::Allowed;
use crate::realtime::pusher::config::AppConfig;
use crate::realtime::pusher::key::AppKey;
use crate::realtime::vocabulary::{
    Command, DisconnectReason, Draft, Epoch, Event, Member, Message, Payload, Position, Presence, Recovery, Subscribe,
    Subscribed,
};
use crate::settings;
use crate::shares::Holder;

/// An app with more lines in its section.
fn app(more: &str) -> Arc<PusherApp> {
    let source = format!("[[pusher]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n{more}\n");
    let config = settings::read("test", &source, |root| AppConfig::read(&root.sections("pusher")[0], true));
    PusherApp::new(config.unwrap_or_else(|problems| panic!("{problems}")))
}

/// One client, and its clock.
struct Talk {
    machine: Machine,
    now: Moment,
}

const ID: ConnectionId = ConnectionId(5 << 32 | 6);

impl Talk {
    fn new(more: &str) -> Talk {
        let now = Moment::now();
        Talk {
            machine: app(more).connect(ID, Holder::Trusted, None, now).unwrap_or_else(|code| panic!("{code:?}")),
            now,
        }
    }

    fn say(&mut self, text: &str) -> Vec<String> {
        let mut step = Step::default();
        self.machine.receive(Frame::text(text), self.now, &mut step).expect("nothing ends for it");
        lines(step)
    }

    fn tell(&mut self, event: &Event) -> Vec<String> {
        let mut step = Step::default();
        self.machine.deliver(event, self.now, &mut step);
        lines(step)
    }

    /// Subscribes, and the hub agrees.
    fn enter(&mut self, channel: &str, recovery: Recovery, members: &[(&str, &str)]) -> Vec<String> {
        let key = AppKey::new("k", "s");
        let data = json!({ "user_id": "me" }).to_string();
        let is_presence = channel.starts_with("presence-");
        let more = if is_presence { format!(":{data}") } else { String::new() };
        let auth = format!("k:{}", key.sign(&[format!("5.6:{channel}{more}").as_bytes()]));
        let mut data = json!({ "channel": channel, "auth": auth, "channel_data": data });
        if !is_presence {
            data.as_object_mut().unwrap().remove("channel_data");
        }
        let wanted = self.say(&json!({ "event": "pusher:subscribe", "data": data }).to_string());
        assert!(wanted.len() == 1 && wanted[0].contains("Subscribe"), "{wanted:?}");
        let member = |(key, info): &(&str, &str)| {
            let info = Some(Payload::Json((*info).into()));
            Arc::new(Member { info, ..Member::new(*key) })
        };
        self.tell(&Event::Subscribed(Box::new(Subscribed {
            ticket: 1,
            channel: Channel::new(channel).unwrap(),
            top: Position { epoch: Epoch(1), offset: 0 },
            recovery,
            members: members.iter().map(member).collect(),
            subscribers: 1,
            is_mutable: false,
        })))
    }
}

/// Frames as they are, commands by their debug form.
fn lines(step: Step) -> Vec<String> {
    let line = |action| match action {
        Action::Send(Frame::Text(text)) => text.to_string(),
        Action::Send(Frame::Close(close)) => format!("close {}", close.map_or(0, |close| close.code)),
        other => format!("{other:?}"),
    };
    step.actions.into_iter().map(line).collect()
}

#[test]
fn the_first_word_is_who_you_are() {
    let mut talk = Talk::new("activity_timeout = \"30s\"");
    let mut step = Step::default();
    talk.machine.open(talk.now, &mut step);
    let data = r#""{\"activity_timeout\":30,\"socket_id\":\"5.6\"}""#;
    assert_eq!(lines(step), [format!(r#"{{"event":"pusher:connection_established","data":{data}}}"#)]);
}

#[test]
fn only_private_channels_need_the_app() {
    let mut talk = Talk::new("");
    let wanted = talk.say(r#"{"event":"pusher:subscribe","data":{"channel":"news"}}"#);
    assert!(wanted[0].starts_with("Do(Subscribe("), "the hub's policies decide: {wanted:?}");
    let wanted = talk.say(r#"{"event":"pusher:subscribe","data":{"channel":"private-x","auth":"k:00"}}"#);
    assert!(wanted[0].contains("pusher:subscription_error") && wanted[0].contains("401"), "{wanted:?}");
    let told = talk.enter("private-y", Recovery::Live, &[]);
    assert_eq!(told, [r#"{"event":"pusher_internal:subscription_succeeded","channel":"private-y","data":"{}"}"#]);
    let again = talk.say(r#"{"event":"pusher:subscribe","data":{"channel":"news"}}"#);
    assert!(again[0].contains("Existing subscription"), "{again:?}");
}

#[test]
fn members_are_told_as_ids_and_a_hash() {
    let mut talk = Talk::new("");
    let told = talk.enter("presence-x", Recovery::Live, &[("me", "{\"n\":1}"), ("a\"b", "null")]);
    let told: Value = serde_json::from_str(&told[0]).unwrap();
    let data: Value = serde_json::from_str(told["data"].as_str().unwrap()).unwrap();
    let hash = json!({ "me": { "n": 1 }, "a\"b": null });
    assert_eq!(data, json!({ "presence": { "count": 2, "ids": ["me", "a\"b"], "hash": hash } }));
}

#[test]
fn cache_channel_gives_the_last_event_or_says_a_miss() {
    let mut talk = Talk::new("");
    let told = talk.enter("private-cache-x", Recovery::Complete(0), &[]);
    assert_eq!(told[1], r#"{"event":"pusher:cache_miss","channel":"private-cache-x"}"#);
    assert_eq!(talk.enter("private-cache-y", Recovery::Complete(1), &[]).len(), 1);
    let wanted = talk.say(r#"{"event":"client-x","channel":"private-cache-x","data":1}"#);
    assert!(wanted[0].contains("passing: true"), "clients' events are not remembered: {wanted:?}");
}

#[test]
fn the_rate_of_client_events_comes_back_with_time() {
    let mut talk = Talk::new("client_event_rate = 2");
    talk.enter("private-x", Recovery::Live, &[]);
    let said = r#"{"event":"client-x","channel":"private-x","data":{}}"#;
    let is_published = |told: Vec<String>| told[0].contains("Publish");
    assert!(is_published(talk.say(said)) && is_published(talk.say(said)));
    assert!(talk.say(said)[0].contains("4301"));
    talk.now = talk.now + Duration::from_millis(501);
    assert!(is_published(talk.say(said)));
    assert!(talk.say(said)[0].contains("4301"));
}

#[test]
fn what_is_no_message_is_an_error_and_no_end() {
    let mut talk = Talk::new("");
    for text in ["", "{", "[1]", r#"{"event":"pusher:subscribe"}"#, r#"{"event":"client-x"}"#] {
        assert!(talk.say(text)[0].starts_with(r#"{"event":"pusher:error""#), "{text}");
    }
    assert_eq!(talk.say(r#"{"event":"pusher:ping"}"#), [r#"{"event":"pusher:pong","data":"{}"}"#]);
    assert_eq!(talk.say(r#"{"event":"something:else"}"#), Vec::<String>::new());
}

#[test]
fn silence_is_pinged_and_then_the_end() {
    let mut talk = Talk::new("activity_timeout = \"30s\"\npong_timeout = \"5s\"");
    let mut wake = |seconds| {
        talk.now = talk.now + Duration::from_secs(seconds);
        let mut step = Step::default();
        talk.machine.wake(talk.now, &mut step);
        lines(step)
    };
    assert_eq!(wake(29), Vec::<String>::new());
    assert_eq!(wake(1), [r#"{"event":"pusher:ping","data":"{}"}"#]);
    assert_eq!(wake(4), Vec::<String>::new());
    assert!(wake(1)[0].contains("Close(Dead)"));
}

#[test]
fn every_end_has_a_code_of_the_right_class() {
    let kicked = |code| DisconnectReason::Kicked { code, reason: "out".into() };
    for (why, code) in [
        (DisconnectReason::GoingAway, 4101),
        (DisconnectReason::Restarting, 4101),
        (DisconnectReason::Dead, 4201),
        (DisconnectReason::Slow, 4100),
        (DisconnectReason::Overloaded, 4100),
        (DisconnectReason::Failed, 4200),
        (DisconnectReason::Expired, 4200),
        (kicked(None), 4009),
        (kicked(Some(1008)), 4009),
        (kicked(Some(4009)), 4009),
        (kicked(Some(4299)), 4299),
    ] {
        let mut talk = Talk::new("");
        let mut step = Step::default();
        talk.machine.close_frames(&why, talk.now, &mut step);
        let told = lines(step);
        assert!(told[0].contains(&format!("\"code\":{code}")), "{why:?}: {told:?}");
        assert_eq!(told[1], format!("close {code}"));
    }
}

#[test]
fn an_app_that_is_gone_sends_its_clients_away() {
    let mut talk = Talk::new("");
    talk.machine.app.reload(None);
    assert!(talk.say(r#"{"event":"pusher:ping"}"#)[0].contains("4001"));
}

#[test]
fn places_are_given_back() {
    let app = app("max_connections = 1");
    let first = app.connect(ID, Holder::Trusted, None, Moment::now());
    assert!(first.is_ok());
    assert_eq!(app.connect(ID, Holder::Trusted, None, Moment::now()).err(), Some(Code::Full));
    drop(first);
    assert!(app.connect(ID, Holder::Trusted, None, Moment::now()).is_ok());
}

fn encoded(app: &PusherApp, event: &Event) -> Option<String> {
    match app.encoding().encode(event) {
        Encoded::Shared(encoded) => {
            let texts = encoded.frames().iter().map(|frame| match frame {
                Frame::Text(text) => text.to_string(),
                other => panic!("{other:?}"),
            });
            Some(texts.collect::<Vec<_>>().join("\n"))
        }
        Encoded::Skip => None,
        Encoded::PerClient => panic!("it is the same for all"),
    }
}

fn message(channel: &str, name: Option<&str>, data: Payload) -> Event {
    let mut draft = Draft::new(data);
    draft.name = name.map(Into::into);
    let position = Position { epoch: Epoch(1), offset: 1 };
    let channel = Channel::new(channel).unwrap();
    Event::Message(Arc::new(Message::new(channel, position, 0, None, draft)))
}

#[test]
fn data_is_always_a_string() {
    let app = app("prefix = \"p/\"");
    for (data, expected) in [
        (Payload::Json("{\"a\":1}".into()), r#""{\"a\":1}""#),
        (Payload::Text("text".into()), r#""text""#),
        (Payload::Text("li\nne \u{2028}\u{1}".into()), "\"li\\nne \u{2028}\\u0001\""),
        (Payload::Binary(vec![1, 2, 255].into()), r#""AQL/""#),
    ] {
        let text = encoded(&app, &message("p/news", Some("e\"v"), data)).unwrap();
        assert_eq!(text, format!(r#"{{"event":"e\"v","channel":"news","data":{expected}}}"#));
    }
    let unnamed = encoded(&app, &message("p/news", None, Payload::Text("x".into()))).unwrap();
    assert!(unnamed.starts_with(r#"{"event":"message","#));
}

#[test]
fn nobody_speaks_for_the_door() {
    let app = app("");
    for name in ["pusher:error", "pusher_internal:member_removed"] {
        assert_eq!(encoded(&app, &message("news", Some(name), Payload::Json("{}".into()))), None);
    }
}

#[test]
fn presence_and_watchlists_are_the_same_words_for_all() {
    let app = app("");
    let member = Arc::new(Member { info: Some(Payload::Json("{}".into())), ..Member::new("ann") });
    let event = |channel: &Channel, change| {
        let (channel, member) = (channel.clone(), member.clone());
        Event::Presence { channel, change, member, user_stays: false, unix_ms: 5 }
    };
    let room = Channel::new("presence-x").unwrap();
    assert!(
        encoded(&app, &event(&room, Presence::Joined)).unwrap().contains(r#"{\"user_id\":\"ann\",\"user_info\":{}}"#)
    );
    assert!(encoded(&app, &event(&room, Presence::Left)).unwrap().contains("pusher_internal:member_removed"));
    let [gone, come] = [Presence::Left, Presence::Joined].map(|change| encoded(&app, &event(&room, change)).unwrap());
    assert_eq!(encoded(&app, &event(&room, Presence::Updated)).unwrap(), format!("{gone}\n{come}"));
    let watched = app.watched("ann");
    assert_eq!(encoded(&app, &event(&watched, Presence::Updated)), None);
    assert!(encoded(&app, &event(&watched, Presence::Joined)).unwrap().contains(r#"\"name\":\"online\""#));
}

#[test]
fn a_user_hears_their_own_channel_only() {
    let mut talk = Talk::new("");
    let user_data = json!({ "id": "ann", "watchlist": ["bob", "bob"] }).to_string();
    let auth = format!("k:{}", AppKey::new("k", "s").sign(&[format!("5.6::user::{user_data}").as_bytes()]));
    let said = json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } });
    assert!(talk.say(&said.to_string())[0].contains("Identify"));
    let connected = Event::Connected { ticket: 3, connection: ID, identity: None, data: None };
    let told = talk.tell(&connected);
    assert!(told[0].starts_with(r#"{"event":"pusher:signin_success""#), "{told:?}");
    assert_eq!(told.len(), 3, "online, and one watched: {told:?}");
    let own = |user| json!({"event":"pusher:subscribe","data":{"channel": name::channel_of(user)}}).to_string();
    assert!(talk.say(&own("bob"))[0].contains("pusher:subscription_error"));
    assert!(talk.say(&own("ann"))[0].contains("Authorized"));
}

#[test]
fn what_an_app_demands_of_its_channels() {
    let app = app("prefix = \"p/\"\nmax_members = 7\ncache_age = \"1m\"");
    let demands = app.settings().demands();
    let policy = |name: &str| crate::realtime::hub::policy::policy(&[], &demands, false, &Channel::new(name).unwrap());
    assert_eq!(policy("p/news"), policy("elsewhere"));
    assert_eq!(policy("private-x"), policy("elsewhere"), "not this app's");
    for guarded in ["p/private-x", "p/presence-x", "p/private-encrypted-x", "p/#server-to-user-x"] {
        assert_eq!(
            (policy(guarded).subscribe, policy(guarded).publish),
            (Allowed::Reserved, Allowed::Reserved),
            "{guarded}"
        );
    }
    for cached in ["p/cache-x", "p/private-cache-x", "p/presence-cache-x", "p/private-encrypted-cache-x"] {
        assert_eq!((policy(cached).history, policy(cached).history_age), (1, Duration::from_secs(60)), "{cached}");
    }
    assert_eq!((policy("p/presence-x").crowd.max_members, policy("p/private-x").crowd.max_members), (7, 0));
}

#[test]
fn a_command_names_the_hubs_channel() {
    let mut talk = Talk::new("prefix = \"p/\"");
    let wanted = talk.say(r#"{"event":"pusher:subscribe","data":{"channel":"news"}}"#);
    let expected = Subscribe { ticket: 1, publishes: false, ..Subscribe::to(Channel::new("p/news").unwrap()) };
    let expected = Command::Subscribe(expected);
    assert_eq!(wanted, [format!("Do({expected:?})")]);
}
