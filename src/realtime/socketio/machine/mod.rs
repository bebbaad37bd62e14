//! Socket.IO (protocol 5) on an Engine.IO link: namespaces, events, acknowledgements, binary, rooms.
//!
//! The link carries Engine.IO *messages*: text frames begin with `4`, binary frames are attachments as they are. What a
//! server's code does elsewhere is the app's here: `connect` and every event are asked of its callbacks. Where it wants
//! to hear nothing, a relay does what the usual tutorial server does.

pub mod rooms;

mod config;
mod draft;
mod emit;
mod encode;
mod inline;
mod machine;
mod msgpack;
mod packet;
mod recovery;
mod relay;
mod sid;
mod space;
mod trail;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use config::{Config, Parser, Recovery, Relay};
pub use draft::attached;
pub use emit::{Emit, answer, connection, event};
pub use inline::inline;
pub use machine::Machine;
pub use recovery::Numbers;

use crate::realtime::dialect::Encoding;
use crate::realtime::vocabulary::{ConnectionId, Moment};
use encode::Shape;

/// What all clients of one config share: its settings and its encoding.
#[derive(Debug)]
pub struct SocketIo {
    config: Config,
    shape: Shape,
    encoding: Encoding,
    /// The name of the usual namespace, which most clients are in.
    root: Arc<str>,
    numbers: Numbers,
}

impl SocketIo {
    pub fn new(config: Config) -> Arc<SocketIo> {
        SocketIo::counted(config, Numbers::default())
    }

    /// One that counts what it does.
    pub fn counted(config: Config, numbers: Numbers) -> Arc<SocketIo> {
        let shape = Shape { parser: config.parser, recovers: config.recovery != Recovery::Off };
        let encoding = Encoding::new(shape);
        Arc::new(SocketIo { config, shape, encoding, root: rooms::ROOT.into(), numbers })
    }

    /// The machine of one client. `asked` where the app is asked about messages: then nothing is relayed without it.
    pub fn machine(self: &Arc<Self>, connection: ConnectionId, asked: bool, now: Moment) -> Machine {
        Machine::new(Arc::clone(self), connection, asked, now)
    }

    fn scope(&self, name: &str) -> Arc<str> {
        if name == rooms::ROOT { Arc::clone(&self.root) } else { name.into() }
    }
}
