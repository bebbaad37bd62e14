//! Any frames at all from a client of Pusher Channels: it is told in the protocol's form or closed with one of its codes,
//! never a panic; and what goes to others is whole. A line is a frame: `t` and a text, `s` and a channel's name (and after
//! a space its data) that the app has signed, `u` and data of a user likewise, `b` and bytes.

use std::sync::{Arc, LazyLock};

use doorway::realtime::dialect::{Action, Dialect, Step};
use doorway::realtime::pusher::key::AppKey;
use doorway::realtime::pusher::machine::PusherApp;
use doorway::realtime::pusher::{AppConfig, name};
use doorway::realtime::vocabulary::{
    CloseFrame, Command, ConnectionId, Epoch, Event, Frame, Member, Moment, Payload, Position, Publish, Recovery,
    Subscribed,
};
use doorway::settings;
use doorway::shares::Holder;
use serde_json::{Value, json};

const ID: ConnectionId = ConnectionId(5 << 32 | 6);

static APP: LazyLock<Arc<PusherApp>> = LazyLock::new(|| {
    let source = "[[pusher]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\nprefix = \"p/\"\nmax_event = \"100B\"\n";
    let config = settings::read("app", source, |root| AppConfig::read(&root.sections("pusher")[0], true));
    PusherApp::new(config.expect("a right section"))
});

fn sign(text: &str) -> String {
    format!("k:{}", AppKey::new("k", "s").sign(&[text.as_bytes()]))
}

/// A client, and whether its conversation is over.
struct Talk {
    machine: Box<dyn Dialect>,
    now: Moment,
    is_over: bool,
}

impl Talk {
    fn say(&mut self, frame: Frame) {
        let mut step = Step::default();
        self.machine.receive(frame, self.now, &mut step).expect("this dialect has its own way to end it");
        self.perform(step);
    }

    /// Does what a machine wants, as a hub would that allows everything.
    fn perform(&mut self, step: Step) {
        for action in step.actions {
            match action {
                Action::Send(frame) => heed(&frame),
                Action::SendEncoded(encoded) => encoded.frames().iter().for_each(heed),
                Action::Do(command) | Action::Agreed(command) => self.carry_out(command),
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        let event = match command {
            Command::Authorized(command) => return self.carry_out(*command),
            Command::Identify { ticket, identity } => {
                Event::Connected { ticket, connection: ID, identity: Some(identity), data: None }
            }
            Command::Subscribe(wish) => {
                if !wish.channel.is_reserved() {
                    assert!(APP.name(&wish.channel).is_some_and(name::is_valid), "{:?}", wish.channel);
                }
                Event::Subscribed(Box::new(Subscribed {
                    ticket: wish.ticket,
                    channel: wish.channel,
                    top: Position { epoch: Epoch(1), offset: 0 },
                    recovery: Recovery::Complete(0),
                    members: wish.member.into_iter().map(whole).map(Arc::new).collect(),
                    subscribers: 1,
                    is_mutable: false,
                }))
            }
            Command::Unsubscribe { ticket, channel } => Event::Unsubscribed { ticket, channel, why: None },
            Command::Publish(publish) => {
                let Publish { ticket, draft, .. } = *publish;
                assert!(draft.name.as_deref().is_some_and(|name| name.starts_with("client-")), "{draft:?}");
                assert!(draft.data.len() <= 100, "longer than an event may be");
                is_json(&draft.data);
                Event::Accepted { ticket, position: None }
            }
            Command::Enter { ticket, member, .. } => {
                whole(member);
                Event::Accepted { ticket, position: None }
            }
            Command::Leave { ticket, .. } => Event::Accepted { ticket, position: None },
            Command::Close(why) => {
                let mut step = Step::default();
                self.machine.close_frames(&why, self.now, &mut step);
                self.is_over = true;
                assert!(step.actions.len() == 2, "an error and a close: {why:?}");
                return self.perform(step);
            }
            other => panic!("it has no use for this: {other:?}"),
        };
        let mut step = Step::default();
        self.machine.deliver(&event, self.now, &mut step);
        self.perform(step);
    }
}

fn whole(member: Member) -> Member {
    assert!(name::is_user(&member.key), "{:?}", member.key);
    member.info.iter().for_each(is_json);
    member
}

fn is_json(data: &Payload) {
    if let Payload::Json(json) = data {
        serde_json::from_str::<&serde_json::value::RawValue>(json).expect("what others are sent is JSON");
    }
}

/// A frame in the protocol's form.
fn heed(frame: &Frame) {
    match frame {
        Frame::Text(text) => {
            let said: Value = serde_json::from_str(text).expect("JSON");
            assert!(said["event"].as_str().is_some_and(name::is_reserved), "{text}");
            match &said["data"] {
                Value::String(data) => drop(serde_json::from_str::<Value>(data).expect("JSON within a string")),
                data => assert!(data.is_object() || said["event"] == "pusher:cache_miss", "{text}"),
            }
        }
        Frame::Close(Some(CloseFrame { code: 4000..=4299, .. })) => {}
        other => panic!("no frame of this protocol: {other:?}"),
    }
}

pub fn holds(input: &[u8]) {
    let now = Moment::now();
    let machine = APP.connect(ID, Holder::Trusted, None, now).unwrap_or_else(|code| panic!("{code:?}"));
    let mut talk = Talk { machine: Box::new(machine), now, is_over: false };
    let mut step = Step::default();
    talk.machine.open(now, &mut step);
    talk.perform(step);
    for line in input.split(|byte| *byte == b'\n') {
        let Some((what, rest)) = line.split_first() else { continue };
        let text = std::str::from_utf8(rest);
        let frame = match (what, text) {
            (b't', Ok(text)) => Frame::text(text),
            (b's', Ok(text)) => {
                let (channel, data) =
                    text.split_once(' ').map_or((text, None), |(channel, data)| (channel, Some(data)));
                let signed = data.map_or(format!("5.6:{channel}"), |data| format!("5.6:{channel}:{data}"));
                let data = json!({ "channel": channel, "auth": sign(&signed), "channel_data": data });
                Frame::text(json!({ "event": "pusher:subscribe", "data": data }).to_string())
            }
            (b'u', Ok(data)) => {
                let data = json!({ "auth": sign(&format!("5.6::user::{data}")), "user_data": data });
                Frame::text(json!({ "event": "pusher:signin", "data": data }).to_string())
            }
            (b'b', _) => Frame::Binary(rest.to_vec().into()),
            _ => continue,
        };
        talk.say(frame);
        if talk.is_over {
            break;
        }
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let Some(id) = name::connection(text)
    {
        assert_eq!(name::connection(&name::socket_id(id)), Some(id));
    }
}
