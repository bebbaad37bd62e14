//! What nobody read of a request's body. The next request of HTTP/1.1 begins behind it, so that it is read to its end where
//! that is at hand; where it is not, the connection cannot be kept, and the answer says so (RFC 9112 section 9.3): a client
//! that is not told sends its next request into a connection that closes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::Body as _;
use parking_lot::Mutex;

use crate::http::Body;

/// How much is read to keep a connection, in bytes.
const AT_HAND: u64 = 64 * 1024;
/// How often the connection is asked for more before what it has not brought counts as not at hand.
const TURNS: u8 = 2;

/// What became of a request's body, for its connection.
#[derive(Clone, Default)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    /// Somebody reads it, or will: an app that answers early hears the rest until its answer ends, and no longer.
    #[default]
    Begun,
    /// It was read to its end.
    Read,
    /// Nobody reads on.
    Left(Unread),
}

struct Unread {
    body: Body,
    /// Its client waits to be asked for it (RFC 9110 section 10.1.1), and will not be.
    is_awaited: bool,
    taken: u64,
    turns: u8,
}

impl Progress {
    /// It was read to its end.
    pub fn end(&self) {
        *self.0.lock() = State::Read;
    }

    /// Nobody reads on in `body`; its client `is_awaited` where it sends nothing before it is asked to.
    pub fn leave(&self, body: Body, is_awaited: bool) {
        let mut state = self.0.lock();
        if matches!(*state, State::Begun) {
            *state = State::Left(Unread { body, is_awaited, taken: 0, turns: 0 });
        }
    }

    /// Reads what was left. Ready when the answer may go, with whether the connection may be kept behind it.
    pub fn poll_clear(&self, context: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.0.lock();
        let is_whole = match &mut *state {
            State::Begun => false,
            State::Read => true,
            State::Left(unread) => ready!(unread.poll_to_end(context)),
        };
        *state = State::Read;
        Poll::Ready(is_whole)
    }
}

impl Unread {
    /// Whether its end was at hand.
    fn poll_to_end(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.is_awaited {
            return Poll::Ready(false);
        }
        while !self.body.is_end_stream() {
            if self.taken + self.body.size_hint().lower() > AT_HAND {
                return Poll::Ready(false);
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.taken += frame.data_ref().map_or(0, |data| data.len() as u64);
                    self.turns = 0;
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(None) => break,
                Poll::Pending if self.turns == TURNS => return Poll::Ready(false),
                Poll::Pending => {
                    // The connection reads on only when it has its turn.
                    self.turns += 1;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(true)
    }
}
