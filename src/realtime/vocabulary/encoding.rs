//! How an event becomes frames once for many clients: dialects bring the encoders, fan-out uses them.

use std::fmt;
use std::sync::Arc;

use super::{EncodedFrames, Event};

/// How events look to every client of one form. It holds no client's state: what it makes is shared.
pub trait Encode: Send + Sync {
    fn encode(&self, event: &Event) -> Encoded;

    /// Whether its clients can answer a message that asks. Default no.
    fn answers(&self) -> bool {
        false
    }
}

/// What an encoder makes of an event.
#[derive(Debug, Clone)]
pub enum Encoded {
    /// The same for every client of the encoding.
    Shared(EncodedFrames),
    /// Each machine makes its own of it.
    PerClient,
    /// Nothing is said of it in this form.
    Skip,
}

/// An encoder with an identity: clients of the same encoding share what it makes.
#[derive(Clone)]
pub struct Encoding(Arc<dyn Encode>);

impl Encoding {
    pub fn new(encoder: impl Encode + 'static) -> Encoding {
        Encoding(Arc::new(encoder))
    }

    pub fn encode(&self, event: &Event) -> Encoded {
        self.0.encode(event)
    }

    pub fn answers(&self) -> bool {
        self.0.answers()
    }

    fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl PartialEq for Encoding {
    fn eq(&self, other: &Encoding) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Encoding {}

impl fmt::Debug for Encoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Encoding({:p})", self.address())
    }
}
