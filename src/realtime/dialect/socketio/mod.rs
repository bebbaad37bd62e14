//! Socket.IO 5: the default namespace, and nothing in it yet.

use std::sync::Arc;
use std::time::Instant;

use super::{Dialect, Encode, Encoding, Form, Step};
use crate::realtime::vocabulary::{Breach, Channel, Closing, Command, Event, Frame, Moment, Violation};

/// What all clients of one endpoint share.
pub struct SocketIo {
    encoding: Encoding,
}

struct Silent;

impl Encode for Silent {
    fn encode(&self, _event: &Event) -> Form {
        Form::Silent
    }
}

impl Default for SocketIo {
    fn default() -> SocketIo {
        SocketIo { encoding: Encoding::new(Silent) }
    }
}

impl SocketIo {
    /// The machine of one client.
    pub fn machine(self: &Arc<Self>, _now: Moment) -> Machine {
        Machine { shared: Arc::clone(self) }
    }
}

/// One client.
pub struct Machine {
    shared: Arc<SocketIo>,
}

impl Dialect for Machine {
    fn open(&mut self, _now: Moment, _step: &mut Step) {}

    fn receive(&mut self, frame: Frame, _now: Moment, step: &mut Step) -> Result<(), Violation> {
        match frame {
            Frame::Text(text) if text.starts_with("40") => {
                step.command(Command::Connect { ticket: 1, scope: "/".into(), credentials: None });
                Ok(())
            }
            Frame::Text(_) | Frame::Binary(_) => Err(Violation::new(Breach::Protocol, "not connected to a namespace")),
            _ => Ok(()),
        }
    }

    fn deliver(&mut self, event: &Event, _now: Moment, step: &mut Step) {
        match event {
            Event::Connected { connection, .. } => step.send(Frame::text(format!("40{{\"sid\":\"{connection}\"}}"))),
            Event::Refused { refusal, .. } => {
                step.send(Frame::text(format!("44{{\"message\":\"{}\"}}", refusal.word())))
            }
            _ => {}
        }
    }

    fn encoding(&self, _channel: &Channel) -> Encoding {
        self.shared.encoding.clone()
    }

    fn wake(&mut self, _now: Moment, _step: &mut Step) {}

    fn next_wake(&self) -> Option<Instant> {
        None
    }

    fn farewell(&mut self, why: &Closing, _now: Moment, step: &mut Step) {
        step.send(Frame::Close(Some(why.close())));
    }
}
