//! A connection for as long as nobody needs hyper: what is answered as a whole, and an upgrade, which is most often the
//! first that is asked for on its connection. So a socket comes to be without a connection of hyper's, and who only ever
//! asks for small things has none either.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::awaited::Came;
use super::{Guarded, READ_PIECE, Read};
use crate::drain::Signal;
use crate::http::Body;
use crate::http::connection::http1::early::{self, Awaited, Handover};
use crate::http::connection::{Answers, Begun, Outgoing, at_hand};

/// In the extensions of a request for an upgrade that hyper has not seen: where its connection comes to once it is granted.
#[derive(Debug, Clone)]
pub struct Promised(Arc<Mutex<Option<oneshot::Receiver<Box<Guarded>>>>>);

impl Promised {
    /// For whoever comes first.
    pub fn take(&self) -> Option<oneshot::Receiver<Box<Guarded>>> {
        self.0.lock().take()
    }
}

/// What is to be done with a connection next.
enum First {
    /// hyper is needed.
    Library,
    /// An upgrade is asked for, of an answer to HEAD where it says so.
    Upgrade(Box<Request<Body>>, bool),
    /// An answer is begun: it is waited for here, or it is left to hyper.
    Wait(Awaited),
    /// The client has gone, or was awaited for too long.
    End,
    /// It broke.
    Broken,
}

/// Serves what needs no hyper, and gives the connection back where that is needed.
pub async fn serve(
    mut guarded: Box<Guarded>,
    answers: &Arc<dyn Answers>,
    handover: &Handover,
    drain: &mut Signal,
) -> Option<Box<Guarded>> {
    let mut running = drain.clone();
    let mut draining = pin!(running.draining());
    guarded.early.set_beneath(true);
    let first = loop {
        let first = tokio::select! {
            biased;
            first = poll_fn(|context| guarded.poll_first(context)) => first,
            _ = draining.as_mut() => First::End,
        };
        let First::Wait(mut awaited) = first else { break first };
        let came = tokio::select! {
            biased;
            _ = draining.as_mut() => None,
            came = poll_fn(|context| guarded.poll_awaited(&mut awaited, context)) => Some(came),
        };
        match came {
            Some(Came::Gone) => break First::Broken,
            Some(Came::Whole(head, body)) => {
                guarded.set_answer(head, body);
                guarded.early.flushed(&guarded.connected);
            }
            Some(Came::Answer(response)) => {
                awaited.begun = at_hand(*response);
                break First::Wait(awaited);
            }
            // It is the last of its connection, and hyper says so.
            None => break First::Wait(awaited),
        }
    };
    guarded.early.set_beneath(false);
    match first {
        First::Library => Some(guarded),
        First::Wait(Awaited { begun, is_head, .. }) => {
            guarded.hand_over(begun, is_head, handover);
            Some(guarded)
        }
        First::Broken => None,
        First::End => {
            tokio::select! {
                biased;
                _ = poll_fn(|context| Pin::new(&mut *guarded).poll_shutdown(context)) => {}
                () = drain.ended() => {}
            }
            None
        }
        // Apart: whoever asks for no socket is to have no room for that.
        First::Upgrade(request, is_head) => {
            Box::pin(upgrade(guarded, (request, is_head), answers, handover, drain)).await
        }
    }
}

/// Asks for an upgrade. Where it is not granted, hyper says so.
async fn upgrade(
    mut guarded: Box<Guarded>,
    (mut request, is_head): (Box<Request<Body>>, bool),
    answers: &Arc<dyn Answers>,
    handover: &Handover,
    drain: &mut Signal,
) -> Option<Box<Guarded>> {
    let (promise, promised) = oneshot::channel();
    request.extensions_mut().insert(Promised(Arc::new(Mutex::new(Some(promised)))));
    let mut begun = answers.begin(*request);
    let answered = tokio::select! {
        biased;
        answered = poll_fn(|context| match guarded.poll_left(context) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => begun.as_mut().poll(context).map(Some),
        }) => answered,
        () = drain.ended() => None,
    };
    let Ok(response) = answered?;
    guarded.settle_upgrade();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        guarded.hand_over(at_hand(response), is_head, handover);
        return Some(guarded);
    }
    let is_written = tokio::select! {
        biased;
        is_written = grant(&mut guarded, response) => is_written,
        () = drain.ended() => false,
    };
    if is_written {
        // Nobody may want it any more.
        let _ = promise.send(guarded);
    }
    None
}

/// Writes the answer that grants an upgrade; false where the client is gone.
async fn grant(guarded: &mut Guarded, response: Response<Outgoing>) -> bool {
    guarded.aside.set_answer(early::granted(&response), Bytes::new(), None);
    drop(response);
    poll_fn(|context| {
        ready!(guarded.poll_aside(context))?;
        Pin::new(&mut *guarded).poll_flush(context)
    })
    .await
    .is_ok()
}

fn asks_to_close(headers: &HeaderMap) -> bool {
    let options = headers.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    options.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(b"close"))
}

impl Guarded {
    /// Leaves to hyper what was begun: it sees a harmless request, and behind it what the client has sent since.
    fn hand_over(&mut self, begun: Begun, is_head: bool, handover: &Handover) {
        *handover.lock() = Some(begun);
        let rest = self.held.take_rest();
        self.held.keep_unseen(early::stand_in(is_head), &rest);
    }

    /// Answers what is at hand, until there is something else.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<First> {
        loop {
            if self.aside.is_answer() && ready!(self.poll_aside(context)).is_err() {
                return Poll::Ready(First::Broken);
            }
            if self.held.has_clean() || self.end.is_some() {
                return Poll::Ready(self.take_upgrade().unwrap_or(First::Library));
            }
            match self.poll_more(context) {
                Poll::Ready(Ok(Read::End)) => return Poll::Ready(First::End),
                Poll::Ready(Ok(_)) => {
                    if let Some(awaited) = self.early.awaited() {
                        return Poll::Ready(First::Wait(awaited));
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(First::Broken),
                Poll::Pending => match ready!(self.poll_timeout(context)) {
                    Ok(()) if self.held.has_clean() => {}
                    Ok(()) => return Poll::Ready(First::End),
                    Err(_) => return Poll::Ready(First::Broken),
                },
            }
        }
    }

    /// Reads more, and looks at it.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Read>> {
        if self.held.is_empty() { self.poll_new(context) } else { self.poll_held(context) }
    }

    /// Reads what begins a head, and looks at it: what is answered at once has been nowhere but on the stack.
    fn poll_new(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Read>> {
        let mut block = [MaybeUninit::uninit(); READ_PIECE];
        let mut buffer = ReadBuf::uninit(&mut block);
        if ready!(self.poll_read_piece(context, &mut buffer))? == 0 {
            return Poll::Ready(Ok(Read::End));
        }
        Poll::Ready(self.take_or_keep(context, buffer.filled()))
    }

    /// The request for an upgrade, where that is all that hyper would see.
    fn take_upgrade(&mut self) -> Option<First> {
        let is_alone = self.early.may_take(self.guard.heads(), &self.connected) && self.end.is_none();
        let head = self.held.clean().filter(|_| is_alone && self.guard.is_upgrading())?;
        let (request, is_head) = early::request(head)?;
        if asks_to_close(request.headers()) {
            // Where it is refused, hyper closes the connection behind that.
            return None;
        }
        self.held.keep_unseen(&[], &[]);
        Some(First::Upgrade(Box::new(request), is_head))
    }

    /// Watches the client while it waits for its upgrade: ready when it is gone. What it sends before the answer spoils it.
    fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.end.is_none() {
            match ready!(self.poll_more(context)) {
                Ok(Read::End) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }
}
