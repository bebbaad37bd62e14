//! A client whose links are cut as the input likes: as long as it keeps its id, it hears each event that is kept once
//! and in order, whatever was lost; and it keeps its id as long as no more was said than is kept.
//!
//! A byte is a step: what the server says, what arrives, what breaks. See [`World::step`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use doorway::realtime::dialect::{Action, Dialect, Encoded, Resumable, Step};
use doorway::realtime::socketio::machine::{Config, Emit, Machine, RecoveryMode, SocketIo, event};
use doorway::realtime::vocabulary::{
    Channel, Command, ConnectionId, DisconnectReason, Draft, Epoch, Event, Frame, LeaveKind, Message, Moment, Payload,
    Position, Recovery as Replay, Ref, Refusal, Subscribed,
};
use doorway::settings::Pattern;
use doorway::shares::Holder;

const MOST: u64 = 6;
const SCOPES: [&str; 2] = ["/", "/x"];

static SHARED: LazyLock<Arc<SocketIo>> = LazyLock::new(|| {
    SocketIo::new(Config {
        namespaces: vec![Pattern::new("/*")],
        recovery: RecoveryMode::Within(Duration::from_secs(10)),
        recovery_messages: MOST as usize,
        ..Config::default()
    })
});

/// What a client with one id was told, and what it heard.
#[derive(Default)]
struct Life {
    told: Vec<u64>,
    heard: usize,
}

/// One namespace, as the stock client knows it.
#[derive(Default)]
struct Socket {
    sid: Option<String>,
    pid: Option<String>,
    offset: Option<String>,
    is_asking: bool,
    is_connected: bool,
}

enum Sent {
    Text(String),
    Ping,
}

struct World {
    now: Moment,
    machine: Machine,
    /// The session is over: whoever comes finds another.
    is_over: bool,
    /// The server believes in the link.
    is_up: bool,
    /// The client has let go of it.
    is_cut: bool,
    link: VecDeque<Sent>,
    is_pinged: bool,
    has_answered: bool,
    sockets: [Socket; 2],
    /// By ids; `here` are those of the clients that the server has now.
    lives: HashMap<String, Life>,
    here: [Option<String>; 2],
    hears: [bool; 2],
    number: u64,
    /// How much was said in all, when the client was last asked whether it lives, and of that what it has answered for.
    pushed: u64,
    mark: u64,
    confirmed: u64,
    /// Answers of the app that are still to come.
    is_slow: bool,
    refuses: bool,
    waiting: VecDeque<Ref>,
}

fn machine(now: Moment) -> Machine {
    let mut machine = SHARED.machine(ConnectionId(1), true, now);
    machine.recoverable(Holder::Trusted).expect("recovery is on");
    machine
}

/// The namespace of a packet, and what comes after it.
fn scoped(rest: &str) -> (usize, &str) {
    match rest.strip_prefix("/x,") {
        Some(rest) => (1, rest),
        None => (0, rest),
    }
}

impl World {
    fn new() -> World {
        let now = Moment::now();
        World {
            now,
            machine: machine(now),
            is_over: false,
            is_up: true,
            is_cut: false,
            link: VecDeque::new(),
            is_pinged: false,
            has_answered: false,
            sockets: Default::default(),
            lives: HashMap::new(),
            here: Default::default(),
            hears: [false; 2],
            number: 0,
            pushed: 0,
            mark: 0,
            confirmed: 0,
            is_slow: false,
            refuses: false,
            waiting: VecDeque::new(),
        }
    }

    fn step(&mut self, what: u8) {
        match what {
            b'b' => self.broadcast(0, false),
            b'x' => self.broadcast(1, false),
            b'v' => self.broadcast(0, true),
            b'd' => self.whisper(0),
            b'e' => self.whisper(1),
            b'q' => self.ask(),
            b'a' => self.arrive(),
            b'A' => self.arrive_all(),
            b'p' if self.is_up && !self.is_over && !self.is_pinged => {
                self.is_pinged = true;
                self.mark = self.pushed;
                if !self.is_cut {
                    self.link.push_back(Sent::Ping);
                }
                self.machine.on_ping_sent();
            }
            b'g' if std::mem::take(&mut self.has_answered) => {
                self.is_pinged = false;
                self.confirmed = self.confirmed.max(self.mark);
                self.machine.on_pong();
            }
            b'l' => self.lose(),
            // Nobody tells the server.
            b'c' => self.cut(),
            b'r' => self.come(0),
            b's' => self.come(1),
            b'w' => {
                self.now = self.now + Duration::from_secs(3);
                let mut step = Step::default();
                self.machine.wake(self.now, &mut step);
                self.perform(step);
            }
            b'z' => self.refuses = true,
            b'h' => self.is_slow = true,
            b'i' => {
                self.is_slow = false;
                self.answer();
            }
            _ => {}
        }
    }

    fn perform(&mut self, step: Step) {
        for action in step.actions {
            match action {
                Action::Send(frame) => self.send(&[frame]),
                Action::SendEncoded(encoded) => self.send(encoded.frames()),
                Action::Do(command) | Action::Agreed(command) => self.carry_out(command),
            }
        }
    }

    fn tell(&mut self, event: &Event) {
        let mut step = Step::default();
        self.machine.deliver(event, self.now, &mut step);
        self.perform(step);
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Connect { ticket, .. } => {
                self.waiting.push_back(ticket);
                if !self.is_slow {
                    self.answer();
                }
            }
            Command::Subscribe(wish) => {
                self.hears[usize::from(wish.channel.as_str() == "/x")] = true;
                let top = Position { epoch: Epoch(1), offset: 0 };
                self.tell(&Event::Subscribed(Box::new(Subscribed {
                    ticket: wish.ticket,
                    channel: wish.channel,
                    top,
                    recovery: Replay::Live,
                    members: Vec::new(),
                    subscribers: 1,
                    is_mutable: false,
                })));
            }
            Command::Unsubscribe { ticket, channel } => {
                self.hears[usize::from(channel.as_str() == "/x")] = false;
                self.tell(&Event::Unsubscribed { ticket, channel, why: None });
            }
            Command::Left { scope, alias, kind, .. } => {
                let place = usize::from(&*scope == "/x");
                if kind != LeaveKind::Detached && self.here[place].as_deref() == alias.as_deref() {
                    self.here[place] = None;
                }
            }
            Command::Close(why) => {
                assert!(
                    matches!(why, DisconnectReason::Done | DisconnectReason::Slow | DisconnectReason::Idle),
                    "{why:?}"
                );
                self.end();
            }
            _ => {}
        }
    }

    /// The app answers whatever it was asked.
    fn answer(&mut self) {
        while let Some(ticket) = self.waiting.pop_front() {
            let event = if std::mem::take(&mut self.refuses) {
                Event::Refused { ticket, channel: None, refusal: Refusal::Forbidden }
            } else {
                Event::Connected { ticket, connection: ConnectionId(1), identity: None, data: None }
            };
            self.tell(&event);
        }
    }

    fn send(&mut self, frames: &[Frame]) {
        for frame in frames {
            let Frame::Text(text) = frame else { continue };
            if let Some(rest) = text.strip_prefix("40") {
                let (place, body) = scoped(rest);
                let welcome: serde_json::Value = serde_json::from_str(body).expect("a welcome");
                let sid = welcome["sid"].as_str().expect("an id").to_owned();
                let is_new = self.here[place].as_ref() != Some(&sid);
                assert_eq!(is_new, !self.lives.contains_key(&sid), "an id has one life");
                self.lives.entry(sid.clone()).or_default();
                self.here[place] = Some(sid);
            }
            if self.is_up && !self.is_cut && !self.is_over {
                self.link.push_back(Sent::Text(text.to_string()));
            }
        }
    }

    fn told(&mut self, place: usize) {
        if let Some(life) = self.here[place].as_ref().and_then(|sid| self.lives.get_mut(sid)) {
            life.told.push(self.number);
            self.pushed += 1;
        }
    }

    fn broadcast(&mut self, place: usize, volatile: bool) {
        if self.is_over || !self.hears[place] {
            return;
        }
        self.number += 1;
        let channel = Channel::new(SCOPES[place]).expect("a channel");
        let data = if volatile { "\"now\"".to_owned() } else { self.number.to_string() };
        let draft = Draft { name: Some("e".into()), volatile, ..Draft::new(Payload::Json(data.into())) };
        let position = Position { epoch: Epoch(1), offset: self.number };
        let message = Message::new(channel.clone(), position, 0, None, draft);
        let Encoded::Shared(encoded) = self.machine.encoding(&channel).encode(&Event::Message(Arc::new(message)))
        else {
            panic!("it is the same for all")
        };
        if !volatile {
            self.told(place);
        }
        let mut step = Step::default();
        let passes = self.machine.record(&encoded, !volatile, &mut step);
        self.perform(step);
        if passes {
            self.send(encoded.frames());
        }
    }

    fn whisper(&mut self, place: usize) {
        if self.is_over {
            return;
        }
        self.number += 1;
        let emit = Emit { scope: SCOPES[place], to: &[], except: &[], but: None };
        let draft = emit.whisper(event("e", &format!("[{}]", self.number)).expect("an event"));
        self.told(place);
        self.tell(&Event::Direct(Arc::new(draft)));
    }

    fn ask(&mut self) {
        if self.is_over {
            return;
        }
        self.number += 1;
        let emit = Emit { scope: "/", to: &[], except: &[], but: None };
        let question = Draft { asks: Some(self.number), ..event("e", "[\"who?\"]").expect("an event") };
        self.tell(&Event::Direct(Arc::new(emit.whisper(question))));
    }

    /// The next of what is on its way is there.
    fn arrive(&mut self) {
        match self.link.pop_front() {
            Some(Sent::Ping) => self.has_answered = true,
            Some(Sent::Text(text)) => self.hear(&text),
            None => {}
        }
    }

    fn arrive_all(&mut self) {
        while !self.link.is_empty() {
            self.arrive();
        }
    }

    fn hear(&mut self, text: &str) {
        let (kind, (place, body)) = (&text[..2], scoped(&text[2..]));
        let socket = &mut self.sockets[place];
        match kind {
            "40" => {
                let welcome: serde_json::Value = serde_json::from_str(body).expect("a welcome");
                let (sid, pid) = (welcome["sid"].as_str(), welcome["pid"].as_str());
                let is_same = socket.sid.as_deref() == sid;
                assert_eq!(is_same, socket.pid.as_deref() == pid, "the client takes it for what it is");
                (socket.sid, socket.pid) = (sid.map(Into::into), pid.map(Into::into));
                (socket.is_connected, socket.is_asking) = (true, false);
            }
            "42" => {
                // With a question, its callback stands last.
                if !body.starts_with('[') {
                    return;
                }
                let args: Vec<serde_json::Value> = serde_json::from_str(body).expect("an event");
                assert!(socket.is_connected, "it hears nothing before its welcome: {text}");
                if let Some(offset) = args.last().and_then(|last| last.as_str()) {
                    socket.offset = Some(offset.to_owned());
                }
                if let Some(number) = args[1].as_u64() {
                    let life = socket.sid.as_ref().and_then(|sid| self.lives.get_mut(sid)).expect("a life");
                    assert_eq!(life.told.get(life.heard), Some(&number), "once and in order");
                    life.heard += 1;
                }
            }
            "41" | "44" => (socket.is_connected, socket.is_asking) = (false, false),
            _ => panic!("{text}"),
        }
    }

    /// The client's side of the link is gone, with all that was on its way.
    fn cut(&mut self) {
        self.is_cut = true;
        self.link.clear();
        self.has_answered = false;
        for socket in &mut self.sockets {
            (socket.is_connected, socket.is_asking) = (false, false);
        }
    }

    /// And the server's.
    fn lose(&mut self) {
        self.cut();
        if self.is_over || !self.is_up {
            return;
        }
        (self.is_up, self.is_pinged) = (false, false);
        let mut step = Step::default();
        let stays = self.machine.link_lost("transport close", self.now, &mut step);
        self.perform(step);
        if !stays {
            self.end();
        }
    }

    fn end(&mut self) {
        self.is_over = true;
        self.cut();
        self.waiting.clear();
        self.here = Default::default();
        self.hears = [false; 2];
    }

    /// The client is in none of its namespaces, or asks for one more.
    fn come(&mut self, place: usize) {
        if self.sockets[place].is_connected || self.sockets[place].is_asking {
            return;
        }
        let has_link = self.is_up && !self.is_cut && !self.is_over;
        if !has_link {
            // By another one.
            self.lose();
        }
        if self.is_over {
            self.machine = machine(self.now);
            (self.is_over, self.pushed, self.mark, self.confirmed) = (false, 0, 0, 0);
        }
        (self.is_up, self.is_cut, self.is_pinged) = (true, false, has_link && self.is_pinged);
        let socket = &mut self.sockets[place];
        let was = self.here[place].clone();
        let claims = was.is_some() && was == socket.sid;
        let may_claim = claims && self.pushed - self.confirmed <= MOST && !self.is_slow && !self.refuses;
        let prefix = if place == 0 { "40" } else { "40/x," };
        let auth = match (&socket.pid, &socket.offset) {
            (Some(pid), Some(offset)) => serde_json::json!({ "pid": pid, "offset": offset }).to_string(),
            (Some(pid), None) => serde_json::json!({ "pid": pid }).to_string(),
            _ => String::new(),
        };
        socket.is_asking = true;
        let mut step = Step::default();
        let outcome = self.machine.receive(Frame::text(format!("{prefix}{auth}")), self.now, &mut step);
        self.perform(step);
        outcome.expect("what the stock client says is right");
        if may_claim {
            assert_eq!(self.here[place], was, "no more was said than is kept");
        }
    }
}

pub fn holds(input: &[u8]) {
    let mut world = World::new();
    for what in input {
        world.step(*what);
    }
    // In the end all is well, and whoever is still who it was has heard everything.
    (world.is_slow, world.refuses) = (false, false);
    world.answer();
    for place in 0..2 {
        world.arrive_all();
        world.come(place);
        world.arrive_all();
        let sid = world.here[place].as_ref().expect("it is in");
        let life = &world.lives[sid];
        assert_eq!(life.heard, life.told.len(), "{:?}", life.told);
    }
}
