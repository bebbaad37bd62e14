//! Any frames at all from a client of Ably: it is told in the protocol's form, or its connection ends; never a panic. Each
//! frame with a `msgSerial` is acknowledged once and in its order, and what goes to others is whole. A line is a frame:
//! JSON as it stands; behind an `m`, hexadecimal digits of MessagePack, for a client that speaks it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use doorway::realtime::ably::apps::{AblyApps, Credentials};
use doorway::realtime::ably::connections::{Claimant, Connections};
use doorway::realtime::ably::machine::{AblyMachine, Greeting, Manner, Opening};
use doorway::realtime::ably::wire::Format;
use doorway::realtime::ably::wire::annotation::AblyAnnotation;
use doorway::realtime::ably::wire::message::AblyMessage;
use doorway::realtime::broker::memory::{Amending, Keep, Keeps, Log};
use doorway::realtime::dialect::{Action, Dialect, Step};
use doorway::realtime::door::ProtocolConfig;
use doorway::realtime::vocabulary::{
    Command, ConnectionId, Epoch, Event, Frame, Member, Message, Moment, Origin, Payload, Position, PublishSeveral,
    Receipt, Recovery, Span, Subscribed,
};
use doorway::settings;
use serde_json::Value;

const ID: ConnectionId = ConnectionId(5 << 32 | 6);
const KEY: &str = "app.key:a-secret-of-enough-bytes";

static APPS: LazyLock<Arc<AblyApps>> = LazyLock::new(|| {
    let source = format!("[[ably]]\nkey = \"{KEY}\"\nmax_message = \"200B\"\n");
    let config = settings::read("app", &source, |root| doorway::realtime::ably::Config::read(root, "/api/ws"));
    Arc::new(AblyApps::new(&config.expect("a right section"), None))
});

/// A client, what it was promised an answer to, and whether its conversation is over.
struct Talk {
    machine: AblyMachine,
    format: Format,
    now: Moment,
    unanswered: Vec<u64>,
    is_over: bool,
    /// The channel's.
    log: Log,
}

impl Talk {
    fn new(format: Format) -> Talk {
        let now = Moment::now();
        let connections = Arc::new(Connections::default());
        let auth = APPS.authenticate(Credentials::Key(KEY), now).expect("its own key");
        let claimant = Claimant { app: Arc::clone(auth.app.id()), client: None, key_name: Arc::clone(&auth.key_name) };
        let (opened, error) = connections.open(None, &claimant, ID, now.instant);
        let manner = Manner { format, echo: true, heartbeats: true };
        let greeting = Some(Box::new(Greeting { error, grace: Duration::ZERO, displace: None }));
        let (apps, app) = (Arc::clone(&APPS), Arc::clone(&auth.app));
        let opening = Opening { apps, connections, app, auth, client: None, link: ID, opened, greeting };
        Talk {
            machine: AblyMachine::new(opening, manner, now),
            format,
            now,
            unanswered: Vec::new(),
            is_over: false,
            log: Log::new(Epoch(1)),
        }
    }

    fn say(&mut self, frame: Frame) {
        let bytes = match &frame {
            Frame::Text(text) => text.as_bytes().to_vec(),
            Frame::Binary(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        };
        let said = self.format.read_object::<doorway::realtime::ably::wire::protocol::SaidFrame>(&bytes);
        let mut step = Step::default();
        if self.machine.receive(frame, self.now, &mut step).is_err() {
            self.is_over = true;
            return;
        }
        // What is published, and what a member does.
        if let Ok(said) = said
            && matches!(said.action, 14 | 15 | 19 | 21)
        {
            self.unanswered.extend(said.msg_serial);
        }
        self.perform(step);
    }

    /// Does what a machine wants, as a hub would that allows everything.
    fn perform(&mut self, step: Step) {
        for action in step.actions {
            match action {
                Action::Send(frame) => self.heed(&frame),
                Action::SendEncoded(encoded) => encoded.frames().iter().for_each(|frame| self.heed(frame)),
                Action::Do(command) | Action::Agreed(command) => self.carry_out(command),
            }
        }
    }

    fn heed(&mut self, frame: &Frame) {
        let told: Value = match (frame, self.format) {
            (Frame::Text(text), Format::Json) => serde_json::from_str(text).expect("JSON"),
            (Frame::Binary(bytes), Format::Msgpack) => Format::Msgpack.read(bytes).expect("MessagePack"),
            (Frame::Close(_), _) => return,
            other => panic!("not in the format of the connection: {other:?}"),
        };
        let action = told["action"].as_u64().expect("an action");
        if let (1 | 2, Some(serial)) = (action, told["msgSerial"].as_u64()) {
            assert_eq!(self.unanswered.first(), Some(&serial), "in order, and each once");
            self.unanswered.remove(0);
        }
        if let Some(error) = told.get("error") {
            assert!(error["code"].as_u64().is_some_and(|code| (40_000..100_000).contains(&code)), "{error}");
        }
    }

    fn carry_out(&mut self, command: Command) {
        let position = |offset| Position { epoch: Epoch(1), offset };
        let event = match command {
            Command::Grant(_) | Command::SetGrace(_) => return,
            Command::Identify { ticket, identity } => {
                Event::Connected { ticket, connection: ID, identity: Some(identity), data: None }
            }
            Command::Subscribe(wish) => Event::Subscribed(Box::new(Subscribed {
                ticket: wish.ticket,
                channel: wish.channel,
                top: position(3),
                recovery: Recovery::Complete(0),
                members: vec![Arc::new(Member::new("somebody"))],
                subscribers: 1,
                is_mutable: true,
            })),
            Command::Unsubscribe { ticket, channel } => Event::Unsubscribed { ticket, channel, why: None },
            Command::Members { ticket, channel } => Event::Members { ticket, channel, members: Vec::new() },
            Command::PublishSeveral(several) => self.published(*several),
            Command::Enter { ticket, member, .. } => {
                assert!(member.user.is_some(), "{member:?}");
                Event::Accepted { ticket, position: None }
            }
            Command::Leave { ticket, .. } => Event::Accepted { ticket, position: None },
            Command::Close(why) => {
                let mut step = Step::default();
                self.machine.close_frames(&why, self.now, &mut step);
                self.is_over = true;
                return self.perform(step);
            }
            other => panic!("it has no use for this: {other:?}"),
        };
        let mut step = Step::default();
        self.machine.deliver(&event, self.now, &mut step);
        self.perform(step);
    }

    /// What is published is kept and read back, also where it changes what was.
    fn published(&mut self, several: PublishSeveral) -> Event {
        const KEEP: Keeps = Keeps { policy: Keep { messages: 9, age: Duration::from_secs(9) }, wish: None };
        let (mut length, mut receipts) = (0, Vec::new());
        for mut draft in several.drafts {
            length += draft.data.len();
            if let Payload::Json(json) = &draft.data {
                let _: serde::de::IgnoredAny = serde_json::from_str(json).expect("JSON is JSON");
            }
            let user = several.speakers.first().and_then(|who| who.user.clone());
            let (now, origin) = (self.now.instant, Some(Origin { connection: ID, user }));
            let channel = several.channel.clone();
            let told = match draft.amends.take() {
                None => {
                    let message = |position| Message::new(channel, position, 1, origin, draft);
                    self.log.append(message, KEEP, ROOM, None, now)
                }
                Some(amendment) => {
                    let amending =
                        Amending { amendment: *amendment, draft, origin, unix_ms: 2, most: 300, tells_whole: false };
                    match self.log.amend(amending, KEEP, ROOM, None, now) {
                        Ok(told) => told,
                        Err(refusal) => {
                            return Event::Refused { ticket: several.ticket, channel: Some(channel), refusal };
                        }
                    }
                }
            };
            receipts.push(Receipt { position: Some(told.position), unix_ms: 1 });
            is_readable(&told);
        }
        assert!(length <= 200, "longer than it may be");
        assert!(self.log.bytes() <= ROOM);
        let (kept, _) = self.log.read(&Span::default(), 99);
        assert!(kept.len() <= 9);
        for message in kept {
            assert!(message.draft.len() <= 300, "longer than a message may become");
            is_readable(&message);
            self.log.versions(message.position).iter().for_each(|version| is_readable(version));
        }
        Event::Published { ticket: several.ticket, receipts }
    }
}

const ROOM: usize = 8 * 1024;

/// Whoever reads the other format can read it.
fn is_readable(message: &Message) {
    for format in [Format::Json, Format::Msgpack] {
        let mut shown = AblyMessage::shown(message, format);
        let read: AblyMessage = format.read(&format.bytes(&shown)).expect("what is shown is read");
        // What annotations come to is never a client's to say.
        shown.annotations = None;
        assert_eq!(read, shown);
        if let Some(annotation) = AblyAnnotation::shown(message, format) {
            let read: AblyAnnotation = format.read(&format.bytes(&annotation)).expect("what is shown is read");
            assert_eq!(read, annotation);
        }
    }
}

fn from_hex(line: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = line.iter().filter_map(digit).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub fn holds(input: &[u8]) {
    let (mut json, mut msgpack) = (Talk::new(Format::Json), Talk::new(Format::Msgpack));
    for line in input.split(|byte| *byte == b'\n').take(200) {
        let (talk, frame) = match line.split_first() {
            Some((b'm', digits)) => (&mut msgpack, Frame::Binary(from_hex(digits).into())),
            _ => match std::str::from_utf8(line) {
                Ok(text) => (&mut json, Frame::text(text)),
                Err(_) => continue,
            },
        };
        if !talk.is_over {
            talk.say(frame);
        }
    }
    for talk in [&json, &msgpack] {
        assert!(talk.is_over || talk.unanswered.is_empty(), "never told of {:?}", talk.unanswered);
    }
}
