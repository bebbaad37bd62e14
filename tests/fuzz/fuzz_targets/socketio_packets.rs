//! Any frames at all from a Socket.IO client: commands or a violation, never a panic; and what goes to others is whole.

#![no_main]

use std::sync::{Arc, LazyLock};

use doorway::realtime::dialect::socketio::{Config, Parser, SocketIo};
use doorway::realtime::dialect::{Action, Dialect, Step};
use doorway::realtime::vocabulary::{Command, ConnectionId, Event, Frame, Moment, Payload, Position, Recovery, Subscribed, Epoch};
use libfuzzer_sys::fuzz_target;

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
                }))
            }
            Command::Unsubscribe { ticket, channel } => Event::Unsubscribed { ticket, channel, why: None },
            Command::Publish(publish) => {
                whole(&publish.draft.data);
                Event::Accepted { ticket: publish.ticket, position: None }
            }
            Command::Call(call) => {
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
        serde_json::from_str::<serde::de::IgnoredAny>(json).expect("what others are sent is JSON");
    }
}

fuzz_target!(|input: (bool, bool, Vec<Result<String, Vec<u8>>>)| {
    let (is_msgpack, asked, frames) = input;
    let shared = if is_msgpack { &MSGPACK } else { &JSON };
    let now = Moment::now();
    let mut machine = shared.machine(ConnectionId(1), asked, now);
    if !is_msgpack {
        let mut step = Step::default();
        machine.receive(Frame::text("40"), now, &mut step).expect("a right packet");
        perform(&mut machine, step, now);
    }
    for frame in frames {
        let frame = match frame {
            Ok(text) => Frame::text(format!("4{text}")),
            Err(bytes) => Frame::Binary(bytes.into()),
        };
        let mut step = Step::default();
        let outcome = machine.receive(frame, now, &mut step);
        perform(&mut machine, step, now);
        if outcome.is_err() {
            return;
        }
    }
});
