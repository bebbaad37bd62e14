//! Conversations: what a client says and what is done about it, a line an action, on a clock of the test's own.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::realtime::dialect::{Action, Dialect, Step};
use crate::realtime::vocabulary::{
    Audience, Channel, Command, ConnectionId, DisconnectReason, Draft, Epoch, Event, Extras, Frame, Payload, Position,
    Recovery, Ref, Refusal, Subscribed,
};
use crate::settings::Pattern;
use crate::shares::Holder;

/// A client, and a hub of paper that lets it do everything.
pub(super) struct Client {
    pub(super) machine: Machine,
    pub(super) now: Moment,
    /// What the authorizer says to a `Connect`, if not yes.
    pub(super) refusal: Option<Refusal>,
    /// The authorizer has not answered yet, and the test says what comes of it.
    pub(super) is_asking: bool,
    pub(super) lines: Vec<String>,
}

const ID: ConnectionId = ConnectionId(7);

impl Client {
    pub(super) fn new(asked: bool, change: impl FnOnce(&mut Config)) -> Client {
        let mut config = Config::default();
        change(&mut config);
        let now = Moment { unix_ms: 1_700_000_000_000, ..Moment::now() };
        let mut machine = SocketIo::new(config).machine(ID, asked, now);
        machine.recoverable(Holder::Trusted);
        Client { machine, now, refusal: None, is_asking: false, lines: Vec::new() }
    }

    pub(super) fn frames(&mut self, frames: &[Frame]) {
        for frame in frames {
            self.lines.push(match frame {
                Frame::Text(text) => format!("< {}", self.anonymous(text)),
                Frame::Binary(bytes) => format!("< {} bytes", bytes.len()),
                other => format!("< {other:?}"),
            });
        }
    }

    /// Ids are random: in lines they are SID.
    fn anonymous(&self, text: &str) -> String {
        let sids = self.machine.sids();
        sids.iter().fold(text.to_owned(), |text, sid| text.replace(&**sid, "SID"))
    }

    pub(super) fn perform(&mut self, step: Step) {
        for action in step.actions {
            match action {
                Action::Send(frame) => self.frames(&[frame]),
                Action::SendEncoded(encoded) => self.frames(encoded.frames()),
                Action::Do(command) | Action::Agreed(command) => self.command(command),
            }
        }
    }

    pub(super) fn tell(&mut self, event: &Event) {
        let mut step = Step::default();
        self.machine.deliver(event, self.now, &mut step);
        self.perform(step);
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Connect { ticket, scope, credentials, .. } => {
                self.lines.push(format!("connect {scope} {}", shown(credentials.as_ref())));
                if self.is_asking {
                    return;
                }
                let event = match self.refusal.take() {
                    Some(refusal) => Event::Refused { ticket, channel: None, refusal },
                    None => Event::Connected { ticket, connection: ID, identity: None, data: None },
                };
                self.tell(&event);
            }
            Command::Subscribe(wish) => {
                self.lines.push(format!("subscribe {}", wish.channel));
                self.tell(&subscribed(wish.ticket, wish.channel));
            }
            Command::Unsubscribe { ticket, channel } => {
                self.lines.push(format!("unsubscribe {channel}"));
                self.tell(&Event::Unsubscribed { ticket, channel, why: None });
            }
            Command::Publish(publish) => {
                let Audience::Channel(channel) = &publish.audience else { panic!("{publish:?}") };
                let name = publish.draft.name.as_deref().unwrap_or_default();
                let data = self.anonymous(&shown(Some(&publish.draft.data)));
                self.lines.push(format!("publish {channel} {name} {data} echo {}", publish.echo));
                self.tell(&Event::Accepted { ticket: publish.ticket, position: None });
            }
            Command::Rpc(call) => {
                let attachments = draft::attached(&call.extras).len();
                let data = shown(Some(&call.data));
                self.lines
                    .push(format!("call {} {} {data} +{attachments} answer {}", call.scope, call.name, call.answer));
                let data = (&*call.name != "silent").then(|| Payload::Json("[\"done\"]".into()));
                self.tell(&Event::Answered { ticket: call.ticket, data, extras: Extras::default() });
            }
            Command::Answer { asks, data, .. } => self.lines.push(format!("answer {asks} {}", shown(data.as_ref()))),
            Command::Left { scope, reason, .. } => self.lines.push(format!("depart {scope}: {reason}")),
            Command::Close(why) => self.lines.push(format!("close {}", why.label())),
            other => self.lines.push(format!("{other:?}")),
        }
    }

    pub(super) fn say(&mut self, frame: Frame) -> Vec<String> {
        let mut step = Step::default();
        let outcome = self.machine.receive(frame, self.now, &mut step);
        self.perform(step);
        if let Err(violation) = outcome {
            self.lines.push(format!("violation: {violation}"));
        }
        std::mem::take(&mut self.lines)
    }

    pub(super) fn text(&mut self, text: &str) -> Vec<String> {
        self.say(Frame::text(text))
    }

    pub(super) fn told(&mut self, event: &Event) -> Vec<String> {
        self.tell(event);
        std::mem::take(&mut self.lines)
    }

    /// In `/` already.
    pub(super) fn joined(asked: bool, change: impl FnOnce(&mut Config)) -> Client {
        let mut client = Client::new(asked, change);
        client.text("40");
        client
    }
}

fn shown(payload: Option<&Payload>) -> String {
    match payload {
        None => "-".to_owned(),
        Some(Payload::Json(text) | Payload::Text(text)) => text.to_string(),
        Some(Payload::Binary(bytes)) => format!("{} bytes", bytes.len()),
    }
}

fn subscribed(ticket: Ref, channel: Channel) -> Event {
    let top = Position { epoch: Epoch(1), offset: 0 };
    let members = Vec::new();
    Event::Subscribed(Box::new(Subscribed {
        ticket,
        channel,
        top,
        recovery: Recovery::Live,
        members,
        subscribers: 1,
        is_mutable: false,
    }))
}

#[test]
fn a_client_connects_to_the_root() {
    let mut client = Client::new(false, |_| {});
    assert_eq!(client.text("40"), ["connect / -", "subscribe /", r#"< 40{"sid":"SID"}"#]);
}

#[test]
fn credentials_go_to_the_app_and_its_refusal_has_data() {
    let mut client = Client::new(true, |_| {});
    let data = Some(Payload::Json("{\"retry\":false}".into()));
    client.refusal = Some(Refusal::App { code: None, reason: "no \"token\"".into(), data });
    assert_eq!(
        client.text("40{\"token\":1}"),
        ["connect / {\"token\":1}", r#"< 44{"message":"no \"token\"","data":{"retry":false}}"#]
    );
    assert_eq!(client.text("40"), ["connect / -", "subscribe /", r#"< 40{"sid":"SID"}"#], "it may try again");
}

#[test]
fn namespaces_are_those_of_the_config() {
    let mut client = Client::new(false, |config| config.namespaces = vec![Pattern::new("/"), Pattern::new("/room-*")]);
    assert_eq!(client.text("40/room-7,"), ["connect /room-7 -", "subscribe /room-7", r#"< 40/room-7,{"sid":"SID"}"#]);
    assert_eq!(client.text("40/other,"), [r#"< 44/other,{"message":"Invalid namespace"}"#]);
    assert_eq!(client.text("40/room-7,"), ["violation: not expected in this state"]);
}

#[test]
fn events_are_calls_where_the_app_hears_them() {
    let mut client = Client::joined(true, |_| {});
    assert_eq!(client.text(r#"42["say",1,{"a":2}]"#), [r#"call / say [1,{"a":2}] +0 answer false"#]);
    assert_eq!(client.text(r#"429["say"]"#), ["call / say [] +0 answer true", r#"< 439["done"]"#]);
    assert_eq!(client.text(r#"429["silent"]"#), ["call / silent [] +0 answer true"]);
}

#[test]
fn attachments_come_after_their_packet() {
    let mut client = Client::joined(true, |_| {});
    let packet = r#"452-["up",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    assert_eq!(client.text(packet), Vec::<String>::new());
    assert_eq!(client.say(Frame::Binary("a".into())), Vec::<String>::new());
    let call = r#"call / up [{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}] +2 answer false"#;
    assert_eq!(client.say(Frame::Binary("b".into())), [call]);
    assert_eq!(client.say(Frame::Binary("c".into())), ["violation: illegal attachments"]);
    let mut client = Client::joined(true, |_| {});
    client.text(packet);
    assert_eq!(client.text("42[\"x\"]"), ["violation: illegal attachments"], "text where bytes are due");
}

#[test]
fn the_tutorial_needs_no_app() {
    let mut client = Client::joined(false, |_| {});
    assert_eq!(
        client.text(r#"42["message","hi"]"#),
        [r#"publish / message {"id":"SID","data":"hi","timestamp":1700000000000} echo true"#]
    );
    assert_eq!(
        client.text(r#"421["join-room","lobby"]"#),
        ["subscribe lobby", r#"publish lobby user-joined {"id":"SID","room":"lobby"} echo false"#, "< 431[]"]
    );
    assert_eq!(
        client.text(r#"42["leave-room","lobby"]"#),
        ["unsubscribe lobby", r#"publish lobby user-left {"id":"SID","room":"lobby"} echo false"#]
    );
    assert_eq!(client.text(r#"42["anything"]"#), Vec::<String>::new());
}

#[test]
fn rooms_are_limited() {
    let mut client =
        Client::joined(false, |config| (config.max_rooms, config.max_room_name) = (1, crate::settings::Size(5)));
    client.text(r#"42["join-room","a"]"#);
    assert_eq!(client.text(r#"421["join-room","b"]"#), [r#"< 431[{"error":"too many rooms"}]"#]);
    assert_eq!(
        client.text(r#"421["leave-room","abcdef"]"#),
        [r#"< 431[{"error":"a channel's name is longer than 512 bytes"}]"#]
    );
}

#[test]
fn a_client_leaves_a_namespace_and_its_rooms() {
    let mut client = Client::joined(false, |_| {});
    client.text(r#"42["join-room","lobby"]"#);
    assert_eq!(client.text("41"), ["unsubscribe /", "unsubscribe lobby", "depart /: client namespace disconnect"]);
    assert_eq!(client.text("42[\"x\"]"), ["violation: not expected in this state"]);
    assert_eq!(client.text("40").last().unwrap(), r#"< 40{"sid":"SID"}"#);
}

#[test]
fn the_app_has_a_client_leave() {
    let mut client = Client::joined(false, |_| {});
    let dismissed = Event::Kicked { scope: "/".into() };
    assert_eq!(client.told(&dismissed), ["< 41", "unsubscribe /", "depart /: server namespace disconnect"]);
    assert_eq!(client.told(&dismissed), Vec::<String>::new());
}

#[test]
fn whoever_joins_nothing_is_closed() {
    let mut client = Client::new(false, |_| {});
    assert_eq!(client.machine.next_wake(), Some(client.now.instant + Duration::from_secs(45)));
    let mut step = Step::default();
    client.machine.wake(client.now + Duration::from_secs(45), &mut step);
    client.perform(step);
    assert_eq!(client.lines, ["close idle"]);
    assert_eq!(Client::joined(false, |_| {}).machine.next_wake(), None);
}

#[test]
fn what_is_no_packet_ends_the_connection() {
    for (text, why) in [
        ("4", "unknown packet type"),
        ("x", "unknown packet type"),
        ("42{}", "invalid payload"),
        ("42[\"a\"", "invalid payload"),
        ("42[\"connect\"]", "reserved event name"),
        ("42/none,[\"a\"]", "not expected in this state"),
        ("44{\"message\":\"x\"}", "not expected in this state"),
        ("40", "not expected in this state"),
        ("452-[\"a\"]", ""),
        ("4511-[\"a\"]", "too many attachments"),
        ("43[1]", ""),
    ] {
        let said = Client::joined(true, |_| {}).text(text);
        let expected: Vec<_> = if why.is_empty() { Vec::new() } else { vec![format!("violation: {why}")] };
        assert_eq!(said, expected, "{text}");
    }
}

#[test]
fn answers_to_questions_go_to_the_hub() {
    let mut client = Client::joined(true, |_| {});
    assert_eq!(client.text("4312[\"yes\",1]"), ["answer 12 [\"yes\",1]"]);
}

#[test]
fn what_is_for_one_client_only_is_said_in_its_namespace() {
    let mut client = Client::new(true, |config| config.namespaces = vec![Pattern::new("*")]);
    client.text("40/x,");
    let draft = event("news", "[1,2]").unwrap();
    let direct = |draft: Draft| Event::Direct(Arc::new(draft));
    let whisper = Emit { scope: "/x", to: &[], except: &[], but: None }.whisper(draft.clone());
    assert_eq!(client.told(&direct(whisper)), ["< 42/x,[\"news\",1,2]"]);
    let other = Emit { scope: "/y", to: &[], except: &[], but: None }.whisper(draft.clone());
    assert_eq!(client.told(&direct(other)), Vec::<String>::new());
    assert_eq!(client.told(&direct(draft)), ["< 42/x,[\"news\",1,2]"], "of another dialect");
    let stranger = [super::sid::sid(ID).to_string()];
    let emit = Emit { scope: "/x", to: &stranger, except: &[], but: None };
    let (_, draft) = emit.address(event("news", "[]").unwrap()).unwrap();
    assert_eq!(client.told(&direct(draft)), Vec::<String>::new(), "the id of an earlier client");
}

#[test]
fn ends_have_the_words_of_the_node_server() {
    for (word, reason) in [
        ("closed", "transport close"),
        ("lost", "transport close"),
        ("idle", "ping timeout"),
        ("kicked", "server namespace disconnect"),
        ("going_away", "server shutting down"),
        ("violation", "forced close"),
    ] {
        let mut left_scopes = Vec::new();
        Client::joined(true, |_| {})
            .machine
            .left_scopes(word, &mut |scope, _, reason, _| left_scopes.push((scope, reason)));
        assert_eq!(left_scopes, [("/".into(), reason)]);
    }
}

#[test]
fn only_a_client_that_is_sent_away_is_told_so() {
    let said = |why: &DisconnectReason| {
        let mut client = Client::joined(true, |_| {});
        let mut step = Step::default();
        client.machine.close_frames(why, client.now, &mut step);
        client.perform(step);
        client.lines
    };
    let kicked = DisconnectReason::Kicked { code: None, reason: "".into() };
    assert_eq!(said(&kicked).first().map(String::as_str), Some("< 41"));
    assert_eq!(said(&DisconnectReason::GoingAway).len(), 1, "only the link's close");
}

#[test]
fn msgpack_is_another_way_to_write_the_same() {
    let mut client = Client::new(true, |config| config.parser = Parser::Msgpack);
    let said = client.say(Frame::Binary(msgpack::packet(0, "/", None, "{\"token\":1}", &[])));
    assert_eq!(said.first().map(String::as_str), Some("connect / {\"token\":1}"));
    let packet = msgpack::packet(2, "/", Some(3), r#"["say",{"_placeholder":true,"num":0}]"#, &["xyz".into()]);
    let said = client.say(Frame::Binary(packet));
    assert_eq!(said[0], r#"call / say [{"_placeholder":true,"num":0}] +1 answer true"#);
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(client.text("42[\"x\"]"), ["violation: not MessagePack"]);
    assert_eq!(client.say(Frame::Binary("\u{1}".into())), ["violation: not MessagePack"]);
}

#[test]
fn parcels_are_made_once() {
    let shared = SocketIo::new(Config::default());
    let first = shared.machine(ID, false, Moment::now());
    let second = shared.machine(ConnectionId(8), false, Moment::now());
    let channel = Channel::new("lobby").unwrap();
    assert_eq!(first.encoding(&channel), second.encoding(&channel));
}
