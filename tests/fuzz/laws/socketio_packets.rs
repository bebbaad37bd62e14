//! Any frames at all from a Socket.IO client: commands or a violation, never a panic; and what goes to others is whole.
//! A line is a frame, `t` and a text or `b` and bytes; the first line has `m` for MessagePack, `a` for an app that is asked.

use std::sync::{Arc, LazyLock};

use doorway::realtime::dialect::{Action, Dialect, Step};
use doorway::realtime::socketio::machine::{Config, Parser, SocketIo};
use doorway::realtime::vocabulary::{
    Command, ConnectionId, Epoch, Event, Frame, Moment, Payload, Position, Recovery, Subscribed,
};

static JSON: LazyLock<Arc<SocketIo>> = LazyLock::new(|| SocketIo::new(Config::default()));
static MSGPACK: LazyLock<Arc<SocketIo>> =
    LazyLock::new(|| SocketIo::new(Config { parser: Parser::Msgpack, ..Config::default() }));

/// Does what a machine wants, as a hub would that allows everything.
fn perform(machine: &mut dyn Dialect, step: Step, now: Moment) {
    for action in step.actions {
        let (Action::Do(command) | Action::Agreed(command)) = action else { continue };
        let event = match command {
            Command::Connect { ticket, .. } => {
                Event::Connected { ticket, connection: ConnectionId(1), identity: None, data: None }
            }
            Command::Subscribe(wish) => {
                let top = Position { epoch: Epoch(1), offset: 0 };
                Event::Subscribed(Box::new(Subscribed {
                    ticket: wish.ticket,
                    channel: wish.channel,
                    top,
                    recovery: Recovery::Live,
                    members: Vec::new(),
                    subscribers: 1,
                    is_mutable: false,
                }))
            }
            Command::Unsubscribe { ticket, channel } => Event::Unsubscribed { ticket, channel, why: None },
            Command::Publish(publish) => {
                whole(&publish.draft.data);
                Event::Accepted { ticket: publish.ticket, position: None }
            }
            Command::Rpc(call) => {
                whole(&call.data);
                Event::Answered { ticket: call.ticket, data: Some(call.data), extras: call.extras }
            }
            _ => continue,
        };
        let mut next = Step::default();
        machine.deliver(&event, now, &mut next);
        perform(machine, next, now);
    }
}

fn whole(data: &Payload) {
    if let Payload::Json(json) = data {
        serde_json::from_str::<&serde_json::value::RawValue>(json).expect("what others are sent is JSON");
    }
}

pub fn holds(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let is_msgpack = first.contains(&b'm');
    let shared = if is_msgpack { &MSGPACK } else { &JSON };
    let now = Moment::now();
    let mut machine = shared.machine(ConnectionId(1), first.contains(&b'a'), now);
    if !is_msgpack {
        let mut step = Step::default();
        machine.receive(Frame::text("40"), now, &mut step).expect("a right packet");
        perform(&mut machine, step, now);
    }
    for line in lines {
        let frame = match (line.split_first(), std::str::from_utf8(line)) {
            (Some((b't', _)), Ok(text)) => Frame::text(format!("4{}", &text[1..])),
            (Some((b'b', bytes)), _) => Frame::Binary(bytes.to_vec().into()),
            _ => continue,
        };
        let mut step = Step::default();
        let outcome = machine.receive(frame, now, &mut step);
        perform(&mut machine, step, now);
        if outcome.is_err() {
            return;
        }
    }
}
