//! Answers that are at hand as soon as a request is read: they are given from beneath hyper, which sees nothing of them.
//!
//! The guard has judged each head by then. A plain one (see [`Head::is_plain`](super::Head)) becomes a request of the house
//! here, and the onion is asked once. Where its answer is there without waiting (a file in memory, a kept page, a redirect,
//! a refusal), it is written at once. For as long as a connection has no hyper (see [`io`](super::io)) another answer is
//! waited for, and written in the same way if it is whole then. Whatever else the onion says is handed over to hyper, with
//! a harmless head in place of the client's: hyper then only waits and writes. So there is one onion, asked once a request,
//! and no second way to decide anything.

mod reading;
mod writing;

use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use parking_lot::Mutex;

pub use reading::request;
pub use writing::{Written, granted, write};

use crate::http::connection::{Answers, Begun, Connected, at_hand};

/// What was begun beneath hyper, for the service that hyper asks.
pub type Handover = Arc<Mutex<Option<Begun>>>;

/// What becomes of a plain head.
pub enum Taken {
    /// It is answered by these bytes, a head and a body.
    Answered(Vec<u8>, Bytes),
    /// It is begun: [`Early::awaited`] has it.
    Begun,
    /// hyper is to see this in its place.
    HandedOver(&'static [u8]),
}

/// An answer that is waited for, of a request for a head alone where it says so.
pub struct Awaited {
    pub begun: Begun,
    pub is_head: bool,
    /// It has just been asked, and will wake the connection's task for nothing but its own news.
    pub is_asked: bool,
}

/// The way past hyper.
pub struct Early {
    answers: Arc<dyn Answers>,
    handover: Handover,
    /// So many answers have ended when all that was held of them was written.
    written: u64,
    is_on: bool,
    /// The connection has no hyper: what is begun is kept here.
    is_beneath: bool,
    awaited: Option<Awaited>,
}

impl std::fmt::Debug for Early {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Early").field("written", &self.written).finish_non_exhaustive()
    }
}

impl Early {
    pub fn new(answers: Arc<dyn Answers>, handover: Handover) -> Early {
        Early { answers, handover, written: 0, is_on: true, is_beneath: false, awaited: None }
    }

    /// Takes nothing: all is hyper's.
    #[cfg(test)]
    pub fn off(self) -> Early {
        Early { is_on: false, ..self }
    }

    /// There is no hyper yet, or there is one from now on.
    pub fn set_beneath(&mut self, is_beneath: bool) {
        self.is_beneath = is_beneath;
    }

    /// What was begun, for whoever waits for it.
    pub fn awaited(&mut self) -> Option<Awaited> {
        self.awaited.take()
    }

    /// All answers so far are written, or will be before anything else is.
    pub fn flushed(&mut self, connected: &Connected) {
        self.written = connected.answered();
    }

    /// Whether the request by this number may be taken: every one before it is answered, and its answer written.
    pub fn may_take(&self, number: u64, connected: &Connected) -> bool {
        self.is_on && connected.asked() + 1 == number && self.written + 1 == number
    }

    /// Asks for the answer to a plain head; `None` where it is for hyper to read.
    pub fn take(&mut self, head: &[u8], connected: &Connected, context: &mut Context<'_>) -> Option<Taken> {
        let (request, is_head) = request(head)?;
        let begun = match self.answers.ask(request, context) {
            Ok(response) => match write(response, is_head, context) {
                Written::Whole(head, body) => {
                    self.written = connected.answered();
                    return Some(Taken::Answered(head, body));
                }
                Written::Not(response) => at_hand(*response),
            },
            Err(begun) if self.is_beneath => {
                // Where the task's turn was over, it may have been asked for nothing.
                let is_asked = tokio::task::coop::has_budget_remaining();
                self.awaited = Some(Awaited { begun, is_head, is_asked });
                return Some(Taken::Begun);
            }
            Err(begun) => begun,
        };
        *self.handover.lock() = Some(begun);
        Some(Taken::HandedOver(stand_in(is_head)))
    }
}

/// What hyper is shown in place of a request that was begun already.
pub fn stand_in(is_head: bool) -> &'static [u8] {
    if is_head { b"HEAD / HTTP/1.1\r\n\r\n" } else { b"GET / HTTP/1.1\r\n\r\n" }
}
