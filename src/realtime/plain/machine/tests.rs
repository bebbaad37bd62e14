//! What a plain client says and hears, on a clock of the test's own.

use std::time::Duration;

use super::*;
use crate::realtime::dialect::{Action, Encoded};
use crate::realtime::vocabulary::{EncodedFrames, Epoch, Member, Message, Position, Presence};

fn plain(change: impl FnOnce(&mut Config)) -> Arc<Plain> {
    let mut config = Config::default();
    change(&mut config);
    Arc::new(Plain::new(config))
}

fn lobby() -> Channel {
    Channel::new("lobby").unwrap()
}

/// What a step comes to, a line an action.
fn lines(step: Step) -> Vec<String> {
    step.actions
        .into_iter()
        .map(|action| match action {
            Action::Send(Frame::Text(text)) => format!("< {text}"),
            Action::Send(frame) => format!("< {frame:?}"),
            Action::SendEncoded(encoded) => format!("< {encoded:?}"),
            Action::Do(Command::Publish(publish)) => format!("publish {:?} echo {}", publish.draft.data, publish.echo),
            Action::Do(Command::Subscribe(subscribe)) => {
                format!("subscribe {} {:?}", subscribe.channel, subscribe.since)
            }
            Action::Do(Command::Close(why)) => format!("close {}", why.close().code),
            Action::Do(command) | Action::Agreed(command) => format!("{command:?}"),
        })
        .collect()
}

fn hear(machine: &mut Machine, frame: Frame) -> Vec<String> {
    let mut step = Step::default();
    let now = Moment { unix_ms: 1_700_000_000_000, ..Moment::now() };
    match machine.receive(frame, now, &mut step) {
        Ok(()) => lines(step),
        Err(violation) => vec![format!("violation {}", violation.breach.code())],
    }
}

fn told(machine: &mut Machine, event: &Event) -> Vec<String> {
    let mut step = Step::default();
    machine.deliver(event, Moment::now(), &mut step);
    lines(step)
}

fn message(data: Payload) -> Event {
    Event::Message(Arc::new(Message::new(lobby(), Position { epoch: Epoch(10), offset: 7 }, 5, None, Draft::new(data))))
}

fn shared(machine: &Machine, event: &Event) -> EncodedFrames {
    match machine.encoding(&lobby()).encode(event) {
        Encoded::Shared(encoded) => encoded,
        other => panic!("{other:?}"),
    }
}

fn shown(machine: &Machine, event: &Event) -> String {
    match shared(machine, event).frames() {
        [Frame::Text(text)] => text.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_message_is_echoed_and_then_broadcast() {
    let mut machine = plain(|_| {}).socket(lobby(), None, Moment::now());
    assert_eq!(
        hear(&mut machine, Frame::text("hi \"there\"")),
        [
            r#"< {"type":"echo","data":"hi \"there\"","timestamp":1700000000000}"#,
            r#"publish Text("hi \"there\"") echo true"#,
        ]
    );
    assert_eq!(
        shown(&machine, &message(Payload::Text("hi \"there\"".into()))),
        r#"{"type":"broadcast","data":"hi \"there\""}"#
    );
}

#[test]
fn both_halves_are_switches() {
    let mut machine = plain(|config| config.echo = false).socket(lobby(), None, Moment::now());
    assert_eq!(hear(&mut machine, Frame::text("x")), [r#"publish Text("x") echo true"#]);
    let mut machine = plain(|config| {
        config.echo = false;
        config.broadcast = Broadcast::Others;
    })
    .socket(lobby(), None, Moment::now());
    assert_eq!(hear(&mut machine, Frame::text("x")), [r#"publish Text("x") echo false"#]);
    let mut machine = plain(|config| config.broadcast = Broadcast::Off).socket(lobby(), None, Moment::now());
    assert_eq!(hear(&mut machine, Frame::text("x")), [r#"< {"type":"echo","data":"x","timestamp":1700000000000}"#]);
}

#[test]
fn binary_is_refused_but_in_verbatim() {
    let mut machine = plain(|_| {}).socket(lobby(), None, Moment::now());
    assert_eq!(hear(&mut machine, Frame::Binary("x".into())), ["violation 1003"]);
    let mut machine = plain(|config| config.verbatim = true).socket(lobby(), None, Moment::now());
    assert_eq!(
        hear(&mut machine, Frame::Binary("x".into())),
        [r#"< Binary(b"x")"#, r#"publish Binary(b"x") echo true"#]
    );
    assert_eq!(shared(&machine, &message(Payload::Binary("x".into()))).frames(), [Frame::Binary("x".into())]);
    assert_eq!(shown(&machine, &message(Payload::Text("as it is".into()))), "as it is");
}

#[test]
fn json_of_other_dialects_is_json_here() {
    let machine = plain(|_| {}).socket(lobby(), None, Moment::now());
    assert_eq!(
        shown(&machine, &message(Payload::Json(r#"{"a":[1]}"#.into()))),
        r#"{"type":"broadcast","data":{"a":[1]}}"#
    );
    assert_eq!(
        shown(&machine, &message(Payload::Binary("abc".into()))),
        r#"{"type":"broadcast","data":"YWJj","encoding":"base64"}"#
    );
}

#[test]
fn every_text_is_valid_json_when_quoted() {
    let machine = plain(|_| {}).socket(lobby(), None, Moment::now());
    let wild: String = (0..0x300).filter_map(char::from_u32).chain("\u{2028}\u{10ffff}💡".chars()).collect();
    let text = shown(&machine, &message(Payload::Text(wild.as_str().into())));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["data"], wild);
}

#[test]
fn asking_for_the_past_shows_positions_and_the_outcome() {
    let mut machine = plain(|_| {}).socket(lobby(), Some(Since::Start), Moment::now());
    let mut step = Step::default();
    machine.open(Moment::now(), &mut step);
    assert_eq!(lines(step), ["subscribe lobby Start"]);
    let mut subscribed = Subscribed {
        ticket: SUBSCRIBE,
        channel: lobby(),
        top: Position { epoch: Epoch(10), offset: 7 },
        recovery: Recovery::Complete(2),
        members: Vec::new(),
        subscribers: 1,
        is_mutable: false,
    };
    assert_eq!(
        told(&mut machine, &Event::Subscribed(Box::new(subscribed.clone()))),
        [r#"< {"type":"subscribed","id":"a-5","recovered":true,"missed":2}"#]
    );
    subscribed.recovery = Recovery::Impossible;
    assert_eq!(
        told(&mut machine, &Event::Subscribed(Box::new(subscribed))),
        [r#"< {"type":"subscribed","id":"a-7","recovered":false}"#]
    );
    assert_eq!(
        shown(&machine, &message(Payload::Text("x".into()))),
        r#"{"type":"broadcast","data":"x","id":"a-7","time":5}"#
    );
}

#[test]
fn presence_is_shown_where_there_is_some() {
    let mut machine = plain(|_| {}).socket(lobby(), None, Moment::now());
    let member = Member { info: Some(Payload::Json(r#"{"n":1}"#.into())), ..Member::new("ann") };
    let presence = |change, member: &Member, user_stays| Event::Presence {
        channel: lobby(),
        change,
        member: Arc::new(member.clone()),
        user_stays,
        unix_ms: 5,
    };
    let event = presence(Presence::Joined, &member, false);
    assert_eq!(shown(&machine, &event), r#"{"type":"join","member":{"id":"ann","info":{"n":1}}}"#);
    let subscribed = Subscribed {
        ticket: SUBSCRIBE,
        channel: lobby(),
        top: Position { epoch: Epoch(10), offset: 7 },
        recovery: Recovery::Live,
        members: vec![Arc::new(member.clone()), Arc::new(Member { user: Some("ann".into()), ..Member::new("7:ann") })],
        subscribers: 1,
        is_mutable: false,
    };
    assert_eq!(
        told(&mut machine, &Event::Subscribed(Box::new(subscribed))),
        [r#"< {"type":"presence","members":[{"id":"ann","info":{"n":1}}]}"#],
        "one user is one member, whatever it comes by"
    );
    let other = Member { user: Some("ann".into()), ..Member::new("7:ann") };
    let told = machine.encoding(&lobby()).encode(&presence(Presence::Left, &other, true));
    assert!(matches!(told, Encoded::Skip));
    assert_eq!(shown(&machine, &presence(Presence::Left, &other, false)), r#"{"type":"leave","member":{"id":"ann"}}"#);
}

#[test]
fn a_stream_is_server_sent_events() {
    let machine = plain(|_| {}).event_stream(lobby(), None, Moment::now());
    assert_eq!(
        shown(&machine, &message(Payload::Text("x".into()))),
        "id: a-7\ndata: {\"type\":\"broadcast\",\"data\":\"x\"}\n\n"
    );
    let machine = plain(|config| config.verbatim = true).event_stream(lobby(), None, Moment::now());
    assert_eq!(
        shown(&machine, &message(Payload::Text("a\nb\r\nid: 9-9\rc".into()))),
        "id: a-7\ndata: a\ndata: b\ndata: id: 9-9\ndata: c\n\n"
    );
}

#[test]
fn silence_is_pinged_and_then_closed() {
    let start = Moment::now();
    let mut machine = plain(|_| {}).socket(lobby(), None, start);
    let mut wake = |seconds| {
        let mut step = Step::default();
        machine.wake(start + Duration::from_secs(seconds), &mut step);
        lines(step)
    };
    assert_eq!(wake(29), [""; 0]);
    assert_eq!(wake(30), [r#"< Ping(b"")"#]);
    assert_eq!(wake(50), ["close 1001"]);
}

#[test]
fn idling_is_not_saved_by_pongs() {
    let start = Moment::now();
    let config = |config: &mut Config| config.idle_timeout = Duration::from_secs(60);
    let mut machine = plain(config).socket(lobby(), None, start);
    for seconds in (0..60).step_by(10) {
        let mut step = Step::default();
        machine.receive(Frame::Pong("".into()), start + Duration::from_secs(seconds), &mut step).unwrap();
    }
    let mut step = Step::default();
    machine.wake(start + Duration::from_secs(60), &mut step);
    assert_eq!(lines(step), ["close 1001"]);
}
