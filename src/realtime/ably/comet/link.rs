//! The link of such a client: what it hears are lists of frames, each the whole body of a request or a line of one that
//! goes on; what it says comes in further requests.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Frame as BodyFrame;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep, timeout};

use crate::realtime::link::polling::MAX_BETWEEN_POLLS;
use crate::realtime::link::{Link, LinkError, Traffic};
use crate::realtime::vocabulary::{EncodedFrames, Frame, Text};

/// How long a client whose request was answered may take to ask again.
const AWAY_TIMEOUT: Duration = Duration::from_secs(15);
/// The same for one that broke off a request while it listened.
const BROKEN_OFF: Duration = Duration::from_secs(5);
/// How long the last words wait for somebody to hear them while nobody listens.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Messages that may wait for the session; a request that brings more waits itself, at most for [`BUSY_TIMEOUT`].
const MAX_WAITING: usize = 64;
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// A list of nothing: somebody is there.
const BEAT: &[u8] = b"[]\n";

/// Those that are open, by the keys of their connections. As many as were let in.
#[derive(Default)]
pub struct CometSessions(Mutex<HashMap<Box<str>, Arc<CometSession>>>);

impl CometSessions {
    pub fn find(&self, key: &str) -> Option<Arc<CometSession>> {
        self.0.lock().get(key).map(Arc::clone)
    }

    /// A new one; its key is nobody else's.
    pub fn open(self: &Arc<Self>, key: &str) -> (CometLink, Arc<CometSession>) {
        let session = Arc::new(CometSession::default());
        session.state.lock().away = Some(now() + AWAY_TIMEOUT);
        self.0.lock().insert(key.into(), Arc::clone(&session));
        let link = CometLink {
            session: Arc::clone(&session),
            sessions: Arc::clone(self),
            key: key.into(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            is_closing: false,
            linger: None,
            traffic: Traffic::default(),
        };
        (link, session)
    }
}

/// Where the requests of a client and its session meet.
#[derive(Default)]
pub struct CometSession {
    state: Mutex<CometState>,
    room: Notify,
}

#[derive(Default)]
struct CometState {
    /// At most [`MAX_WAITING`] messages.
    posted: VecDeque<Text>,
    /// It has shown that it lives, without a message.
    is_alive: bool,
    /// One at a time: what is not read holds the session back.
    chunk: Option<Bytes>,
    /// The number of the request that listens, the latest of them; 0 for none.
    listening: u64,
    listened: u64,
    /// Nobody listens, and somebody has to by then.
    away: Option<Instant>,
    is_over: bool,
    session: Option<Waker>,
    listener: Option<Waker>,
}

impl CometState {
    fn wake_session(&mut self) {
        if let Some(waker) = self.session.take() {
            waker.wake();
        }
    }

    fn wake_listener(&mut self) {
        if let Some(waker) = self.listener.take() {
            waker.wake();
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl CometSession {
    /// The body of a request that listens, in place of any that did.
    pub fn listen(self: &Arc<Self>, is_stream: bool) -> Heard {
        let mut state = self.state.lock();
        state.listened += 1;
        state.listening = state.listened;
        state.away = None;
        state.is_alive = true;
        state.wake_listener();
        state.wake_session();
        Heard { number: state.listening, is_stream, is_done: false, session: Arc::clone(self) }
    }

    /// Takes what a request brought. Says whether it could be taken in time.
    pub async fn post(&self, messages: Vec<String>) -> bool {
        let taking = async {
            for message in messages {
                while !self.take(&message) {
                    self.room.notified().await;
                }
            }
            // For the next that waits.
            self.room.notify_one();
        };
        timeout(BUSY_TIMEOUT, taking).await.is_ok()
    }

    fn take(&self, message: &str) -> bool {
        let mut state = self.state.lock();
        if state.is_over {
            return true;
        }
        if state.posted.len() >= MAX_WAITING {
            return false;
        }
        state.posted.push_back(message.into());
        state.wake_session();
        true
    }
}

/// The session's side.
pub struct CometLink {
    session: Arc<CometSession>,
    sessions: Arc<CometSessions>,
    key: Box<str>,
    waiting: Vec<Text>,
    waiting_bytes: usize,
    is_closing: bool,
    /// Runs while the last words wait and nobody listens.
    linger: Option<Pin<Box<Sleep>>>,
    traffic: Traffic,
}

impl CometLink {
    fn render(&mut self) -> Option<Bytes> {
        if self.waiting.is_empty() {
            return None;
        }
        let mut chunk = String::with_capacity(self.waiting_bytes + 3);
        for (index, text) in self.waiting.iter().enumerate() {
            chunk.push(if index == 0 { '[' } else { ',' });
            chunk.push_str(text.as_str());
        }
        chunk.push_str("]\n");
        (self.waiting, self.waiting_bytes) = (Vec::new(), 0);
        Some(chunk.into())
    }

    /// Hands on what waits. Says how many bytes no request has taken yet; while there are any, the session is woken when
    /// one takes more.
    fn hand_on(&mut self, context: &Context<'_>) -> usize {
        let session = Arc::clone(&self.session);
        let mut state = session.state.lock();
        if state.chunk.as_ref().is_none_or(|chunk| **chunk == *BEAT)
            && let Some(chunk) = self.render()
        {
            self.traffic.bytes_out += chunk.len() as u64;
            state.chunk = Some(chunk);
            state.wake_listener();
        }
        let left = state.chunk.as_ref().map_or(0, Bytes::len) + self.waiting_bytes;
        if left > 0 {
            state.session = Some(context.waker().clone());
        }
        left
    }
}

impl Link for CometLink {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        let mut state = self.session.state.lock();
        if let Some(text) = state.posted.pop_front() {
            drop(state);
            self.session.room.notify_one();
            self.traffic.messages_in += 1;
            self.traffic.bytes_in += text.len() as u64;
            return Poll::Ready(Some(Ok(Frame::Text(text))));
        }
        if std::mem::take(&mut state.is_alive) {
            return Poll::Ready(Some(Ok(Frame::Pong(Bytes::new()))));
        }
        state.session = Some(context.waker().clone());
        Poll::Pending
    }

    fn push(&mut self, frame: Frame) {
        match frame {
            Frame::Text(text) if !self.is_closing => {
                self.traffic.messages_out += 1;
                self.waiting_bytes += text.len() + size_of::<Text>();
                self.waiting.push(text);
            }
            Frame::Close(_) => self.is_closing = true,
            Frame::Ping(_) => {
                let mut state = self.session.state.lock();
                if state.chunk.is_none() && state.listening != 0 && self.waiting.is_empty() {
                    state.chunk = Some(Bytes::from_static(BEAT));
                    state.wake_listener();
                }
            }
            Frame::Text(_) | Frame::Binary(_) | Frame::Pong(_) => {}
        }
    }

    fn push_encoded(&mut self, encoded: EncodedFrames) {
        encoded.frames().iter().for_each(|frame| self.push(frame.clone()));
    }

    /// Ready while little waits: between two requests of a client is its whole way to and fro.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let left = self.hand_on(context);
        let has_room = !self.is_closing && left < MAX_BETWEEN_POLLS;
        if left == 0 || has_room { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut written = if self.hand_on(context) == 0 { Poll::Ready(()) } else { Poll::Pending };
        if self.session.state.lock().listening != 0 {
            self.linger = None;
        } else if written.is_pending() {
            let linger = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER_TIMEOUT)));
            written = linger.as_mut().poll(context);
        }
        if written.is_ready() {
            let mut state = self.session.state.lock();
            state.is_over = true;
            state.wake_listener();
        }
        written.map(Ok)
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn next_wake(&self) -> Option<Instant> {
        self.session.state.lock().away
    }

    fn wake(&mut self, now: Instant) -> Result<(), LinkError> {
        if self.session.state.lock().away.is_some_and(|gone| now >= gone) {
            return Err(LinkError::Ended { word: "gone", detail: "nobody listens any more".into() });
        }
        Ok(())
    }
}

impl Drop for CometLink {
    fn drop(&mut self) {
        self.sessions.0.lock().remove(&self.key);
        let mut state = self.session.state.lock();
        state.is_over = true;
        state.posted.clear();
        state.wake_listener();
        drop(state);
        self.session.room.notify_waiters();
    }
}

/// The body of a request that listens.
pub struct Heard {
    session: Arc<CometSession>,
    number: u64,
    is_stream: bool,
    /// One that polls has had its answer.
    is_done: bool,
}

impl http_body::Body for Heard {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, io::Error>>> {
        let session = Arc::clone(&self.session);
        let mut state = session.state.lock();
        if state.listening != self.number || self.is_done {
            return Poll::Ready(None);
        }
        if let Some(chunk) = state.chunk.take() {
            self.is_done = !self.is_stream;
            state.is_alive = true;
            state.wake_session();
            return Poll::Ready(Some(Ok(BodyFrame::data(chunk))));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        state.listener = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let mut state = self.session.state.lock();
        if state.listening == self.number {
            state.listening = 0;
            state.away = Some(now() + if self.is_done { AWAY_TIMEOUT } else { BROKEN_OFF });
            state.wake_session();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use http_body_util::BodyExt;
    use std::future::poll_fn;

    async fn hear(body: &mut Heard) -> Option<String> {
        let frame = body.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    }

    async fn flush(link: &mut CometLink) {
        poll_fn(|context| link.poll_flush(context)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_poll_is_answered_with_what_waits() {
        let sessions = Arc::<CometSessions>::default();
        let (mut link, session) = sessions.open("key");
        link.push(Frame::Text("{\"action\":4}".into()));
        flush(&mut link).await;
        let mut first = session.listen(false);
        assert_eq!(hear(&mut first).await.as_deref(), Some("[{\"action\":4}]\n"));
        assert_eq!(hear(&mut first).await, None, "the answer ends");
        drop(first);
        let mut next = session.listen(false);
        assert!(hear(&mut next).now_or_never().is_none(), "it is held");
        link.push(Frame::Text("1".into()));
        link.push(Frame::Text("2".into()));
        flush(&mut link).await;
        assert_eq!(hear(&mut next).await.as_deref(), Some("[1,2]\n"));
        drop(next);
        let mut idle = session.listen(false);
        link.push(Frame::Ping(Bytes::new()));
        assert_eq!(hear(&mut idle).await.as_deref(), Some("[]\n"));
        assert!(sessions.find("key").is_some());
        drop(link);
        assert!(sessions.find("key").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_goes_on_and_gives_way_to_the_next() {
        let (mut link, session) = Arc::<CometSessions>::default().open("key");
        let mut stream = session.listen(true);
        for text in ["1", "2"] {
            link.push(Frame::Text(text.into()));
            flush(&mut link).await;
            assert_eq!(hear(&mut stream).await, Some(format!("[{text}]\n")));
        }
        let _next = session.listen(true);
        assert_eq!(hear(&mut stream).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_ask_again_is_gone() {
        let (mut link, session) = Arc::<CometSessions>::default().open("key");
        drop(session.listen(false));
        let gone = link.next_wake().unwrap();
        assert!(link.wake(gone - Duration::from_millis(1)).is_ok() && link.wake(gone).is_err());
        let _here = session.listen(false);
        assert_eq!(link.next_wake(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_comes_in_its_order_and_within_bounds() {
        let (mut link, session) = Arc::<CometSessions>::default().open("key");
        let many = (0..=MAX_WAITING).map(|number| number.to_string()).collect();
        let posting = tokio::spawn({
            let session = Arc::clone(&session);
            async move { session.post(many).await }
        });
        for number in 0..=MAX_WAITING {
            let frame = poll_fn(|context| link.poll_receive(context)).await.unwrap().unwrap();
            assert_eq!(frame, Frame::Text(number.to_string().into()));
        }
        assert!(posting.await.unwrap());
        assert!(!session.post((0..=MAX_WAITING).map(|number| number.to_string()).collect()).await, "nobody reads");
    }
}
