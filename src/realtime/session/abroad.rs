//! A client whose session is on another door: it is brought back there, and this door has only its connection.
#![expect(clippy::disallowed_methods, reason = "whoever carries a client holds a guard")]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep_until, timeout};
use tracing::debug;

use super::returning::Resumption;
use super::{Session, SessionEnd, SessionRecord};
use crate::drain::Signal;
use crate::realtime::broker::NodeId;
use crate::realtime::hub::Held;
use crate::realtime::link::{Link, LinkError};
use crate::realtime::peer::{FrameStream, PeerFrame, Peers, RequestHead};
use crate::realtime::vocabulary::{CloseFrame, Frame};

/// What may wait to be written in one direction before no more is read for it.
const MOST_UNWRITTEN: usize = 64 * 1024;

/// Marks that wait at once: the other door sends one at a time.
const MOST_MARKS: usize = 16;

/// The other doors, for a client that may belong to one of them, and with what it came.
pub struct Abroad {
    peers: Arc<Peers>,
    head: RequestHead,
    drain: Signal,
}

impl Abroad {
    pub fn new(peers: &Arc<Peers>, head: RequestHead, drain: &Signal) -> Abroad {
        Abroad { peers: Arc::clone(peers), head, drain: drain.clone() }
    }

    /// Brings the client to the session that it asks for, on its door. What is returned resolves with the client, where
    /// that has nothing for it.
    fn bring(
        self,
        home: NodeId,
        key: u128,
        client: Box<Resumption>,
        close_timeout: Duration,
    ) -> oneshot::Receiver<Box<Resumption>> {
        let (back, outcome) = oneshot::channel();
        let guard = self.drain.guard();
        tokio::spawn(async move {
            let way = self.peers.reach(home).await;
            let way = way.inspect_err(|error| debug!(door = %home, ?error, "a client's session is lost")).ok();
            let granted = match way {
                Some(way) => way.resume(key, &self.head).await,
                None => None,
            };
            let Some((stream, _tunnel)) = granted else {
                // Its session may have ended meanwhile; then so does its link.
                let _ = back.send(client);
                return;
            };
            drop(back);
            let Resumption { link, record, held, frame, .. } = *client;
            Carrier::new((link, record, held), frame, stream).run(self.drain, close_timeout).await;
            drop(guard);
        });
        outcome
    }
}

impl Session {
    /// Where the client's first words name a session of another door, it is brought there; else they are given back.
    pub(super) fn hand_abroad(&mut self, frame: Frame) -> Option<Frame> {
        // With its first words, or never.
        let Some(abroad) = self.resume.as_mut().and_then(|resume| resume.abroad.take()) else { return Some(frame) };
        let machine = self.dialect.resumable();
        let asked = machine.and_then(|machine| Some((machine.resume_key(&frame)?, machine.resume_home(&frame)?)));
        let Some((key, home)) = asked else { return Some(frame) };
        if abroad.peers.node() == home {
            return Some(frame);
        }
        let client = match self.take_client(frame) {
            Ok(client) => client,
            Err(frame) => return Some(frame),
        };
        let outcome = abroad.bring(home, key, client, self.close_timeout);
        if let Some(resume) = &mut self.resume {
            resume.handed_abroad(outcome);
        }
        None
    }
}

/// Hands frames to and fro between a client's link and the door that has its session.
struct Carrier {
    link: Box<dyn Link>,
    record: Option<SessionRecord>,
    _held: Option<Held>,
    frames: FrameStream<TokioIo<Upgraded>>,
    /// What is to be said to have arrived, each with how many pings were sent before it.
    marks: VecDeque<(u32, u32)>,
    /// Pushed to the link since it had written everything.
    unwritten: usize,
    timer: Pin<Box<Sleep>>,
}

/// Why a client is carried no further.
enum CarryEnd {
    /// Its link ended, for this reason.
    Link(&'static str, String),
    /// Its session did, with this close if any.
    Session(Option<CloseFrame>),
    /// The other door is gone.
    Door,
}

impl Carrier {
    fn new(
        (link, record, held): (Box<dyn Link>, Option<SessionRecord>, Option<Held>),
        first: Frame,
        stream: TokioIo<Upgraded>,
    ) -> Carrier {
        let mut frames = FrameStream::new(stream);
        frames.push(&PeerFrame::Frame(first));
        let timer = Box::pin(sleep_until(tokio::time::Instant::now()));
        Carrier { link, record, _held: held, frames, marks: VecDeque::new(), unwritten: 0, timer }
    }

    /// Until the link, the session or this door ends.
    async fn run(mut self, mut drain: Signal, close_timeout: Duration) {
        let end = tokio::select! {
            end = std::future::poll_fn(|context| self.poll(context)) => end,
            _ = drain.draining() => CarryEnd::Door,
        };
        let (told, ended) = match end {
            CarryEnd::Link(word, detail) => {
                self.frames.push(&PeerFrame::Ended(word));
                (None, SessionEnd::Link { word, detail })
            }
            CarryEnd::Session(close) => {
                let code = close.as_ref().map_or(1005, |close| close.code);
                (Some(close), SessionEnd::Us { word: "elsewhere", code, backlog: None })
            }
            CarryEnd::Door => {
                self.frames.push(&PeerFrame::Ended("transport close"));
                let close = CloseFrame::new(1012, "");
                (Some(Some(close)), SessionEnd::Us { word: "elsewhere", code: 1012, backlog: None })
            }
        };
        if let Some(close) = told {
            self.link.push(Frame::Close(close));
        }
        let Carrier { link, frames, .. } = &mut self;
        let last = std::future::poll_fn(|context| frames.poll_shutdown(context));
        let close = std::future::poll_fn(|context| link.poll_close(context));
        // Too slow or gone already: all the same.
        let _ = timeout(close_timeout, async { tokio::join!(last, close) }).await;
        if let Some(record) = &mut self.record {
            record.count(self.link.traffic());
            record.ended(ended);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<CarryEnd> {
        loop {
            let now = tokio::time::Instant::now();
            if self.link.next_wake().is_some_and(|due| due <= now.into_std())
                && let Err(LinkError::Ended { word, detail }) = self.link.wake(now.into_std())
            {
                return Poll::Ready(CarryEnd::Link(word, detail.into_owned()));
            }
            let mut moved = false;
            if let Some(end) = self.poll_client(context, &mut moved) {
                return Poll::Ready(end);
            }
            if let Some(end) = self.poll_door(context, &mut moved) {
                return Poll::Ready(end);
            }
            self.answer_marks();
            if let Poll::Ready(Err(_)) = self.frames.poll_flush(context) {
                return Poll::Ready(CarryEnd::Door);
            }
            match self.link.poll_flush(context) {
                Poll::Ready(Ok(())) => moved |= std::mem::take(&mut self.unwritten) >= MOST_UNWRITTEN,
                Poll::Ready(Err(error)) => return Poll::Ready(lost(error.to_string())),
                Poll::Pending => {}
            }
            if let Some(record) = &mut self.record {
                record.count(self.link.traffic());
            }
            if !moved && self.poll_timer(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// What the client says.
    fn poll_client(&mut self, context: &mut Context<'_>, moved: &mut bool) -> Option<CarryEnd> {
        while self.frames.unwritten() < MOST_UNWRITTEN {
            match self.link.poll_receive(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(frame))) => self.frames.push(&PeerFrame::Frame(frame)),
                Poll::Ready(Some(Err(LinkError::Ended { word, detail }))) => {
                    return Some(CarryEnd::Link(word, detail.into_owned()));
                }
                Poll::Ready(Some(Err(error))) => return Some(lost(error.to_string())),
                Poll::Ready(None) => return Some(lost("the client is gone".to_owned())),
            }
            *moved = true;
        }
        None
    }

    /// What its session says.
    fn poll_door(&mut self, context: &mut Context<'_>, moved: &mut bool) -> Option<CarryEnd> {
        while self.unwritten < MOST_UNWRITTEN && self.marks.len() < MOST_MARKS {
            match self.frames.poll_next(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(PeerFrame::Frame(Frame::Close(close))))) => return Some(CarryEnd::Session(close)),
                Poll::Ready(Some(Ok(PeerFrame::Frame(frame)))) => {
                    self.unwritten += frame.len() + 1;
                    self.link.push(frame);
                }
                Poll::Ready(Some(Ok(PeerFrame::Mark(number)))) => {
                    self.marks.push_back((number, self.link.ping_count().sent));
                }
                Poll::Ready(Some(Ok(PeerFrame::Marked(_) | PeerFrame::Ended(_)))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Some(CarryEnd::Door),
            }
            *moved = true;
        }
        None
    }

    /// What was sent before a ping has arrived when that is answered.
    fn answer_marks(&mut self) {
        let answered = self.link.ping_count().answered;
        while let Some((number, sent)) = self.marks.front() {
            let since = answered.wrapping_sub(*sent);
            if since == 0 || since > u32::MAX / 2 {
                return;
            }
            self.frames.push(&PeerFrame::Marked(*number));
            self.marks.pop_front();
        }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.link.next_wake() else { return Poll::Pending };
        self.timer.as_mut().reset(tokio::time::Instant::from_std(due));
        self.timer.as_mut().poll(context)
    }
}

fn lost(detail: String) -> CarryEnd {
    CarryEnd::Link("transport close", detail)
}
