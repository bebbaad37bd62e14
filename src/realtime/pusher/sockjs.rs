//! SockJS's framing as `pusher-js` speaks it: `o` opens, `a[…]` are messages, `h` is a beat, `c[code,reason]` closes.
//!
//! What the client hears is the body of one request that goes on (streaming) or of one after another (polling); what it
//! says comes in further requests, several at a time if it likes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
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

/// A client that has heard nothing for so long is sent a beat, which finds out whether it is there.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(25);
/// How long a beat may be unanswered, or a client whose poll was answered not ask again, before it counts as gone.
const AWAY_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for one that broke off a request while it listened: it is gone, or about to listen anew.
const BROKEN_OFF: Duration = Duration::from_secs(3);
/// How long the last words wait for somebody to hear them while nobody listens: one that polls is about to ask again.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// The text of one response, in UTF-16 units, beyond which `pusher-js` gives up the request as soon as it has used up what
/// came, and opens the next (`MAX_BUFFER_LENGTH` of its `http_request.ts`). What came after would be lost.
const MAX_STREAMED: usize = 256 * 1024;
/// How long one whose response is beyond [`MAX_STREAMED`] may take to read it and to open the next: no beat can ask it meanwhile.
const SUCCESSOR_TIMEOUT: Duration = Duration::from_secs(35);
/// Messages that may wait for the session; a request that brings more waits itself, at most for [`BUSY_TIMEOUT`].
const MAX_WAITING: usize = 64;
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The sessions of all clients, by what `K` tells them apart. As many as were let in.
pub struct SockJsSessions<K>(Mutex<HashMap<K, Arc<SockJsSession>>>);

impl<K> Default for SockJsSessions<K> {
    fn default() -> Self {
        SockJsSessions(Mutex::new(HashMap::new()))
    }
}

impl<K: Hash + Eq + Clone> SockJsSessions<K> {
    pub fn find(&self, key: &K) -> Option<Arc<SockJsSession>> {
        self.0.lock().get(key).map(Arc::clone)
    }

    /// A new session under `key`; `None` where there is one.
    pub fn open(self: &Arc<Self>, key: K) -> Option<(SockJs<K>, Arc<SockJsSession>)> {
        let session = Arc::new(SockJsSession::default());
        session.state.lock().chunk = Some(Bytes::from_static(b"o\n"));
        let mut sessions = self.0.lock();
        if sessions.contains_key(&key) {
            return None;
        }
        sessions.insert(key.clone(), Arc::clone(&session));
        let link = SockJs {
            session: Arc::clone(&session),
            sessions: Arc::clone(self),
            key,
            waiting: Vec::new(),
            waiting_bytes: 0,
            closing: None,
            beat: now() + HEARTBEAT_INTERVAL,
            linger: None,
            traffic: Traffic::default(),
        };
        Some((link, session))
    }
}

/// Where the requests of a client and its session meet.
#[derive(Debug, Default)]
pub struct SockJsSession {
    state: Mutex<SockJsState>,
    room: Notify,
}

#[derive(Debug, Default)]
struct SockJsState {
    /// At most about [`MAX_WAITING`] messages.
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
    is_stream: bool,
    /// When a stream was sent a beat: the client will say that it got it.
    asked: Option<Instant>,
    /// The stream that listens has had all that its client will read of it: what follows is the next one's.
    is_full: bool,
    is_over: bool,
    session: Option<Waker>,
    listener: Option<Waker>,
}

impl SockJsState {
    /// When the client counts as gone, if nothing comes from it.
    fn gone_by(&self) -> Option<Instant> {
        let unanswered = self.asked.map(|since| since + AWAY_TIMEOUT);
        self.away.into_iter().chain(unanswered).min()
    }

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

/// Says no in the framing: the session opens and is closed at once.
pub fn refusal(code: u16, reason: &str) -> String {
    format!("o\n{}", close(code, reason))
}

fn close(code: u16, reason: &str) -> String {
    format!("c[{code},{}]\n", serde_json::to_string(reason).expect("text is text"))
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl SockJsSession {
    /// The body of a request that listens, in place of any that did.
    pub fn listen(self: &Arc<Self>, is_stream: bool) -> Listening {
        let mut state = self.state.lock();
        state.listened += 1;
        state.listening = state.listened;
        (state.away, state.asked, state.is_full) = (None, None, false);
        state.is_stream = is_stream;
        state.is_alive = true;
        state.wake_listener();
        state.wake_session();
        Listening { number: state.listening, is_stream, is_done: false, told: 0, session: Arc::clone(self) }
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
        if state.posted.len() >= MAX_WAITING && !state.is_over {
            return false;
        }
        state.posted.push_back(message.into());
        state.wake_session();
        true
    }

    /// The client says that it lives, or wants to know whether we do.
    pub fn heartbeat(&self) {
        let mut state = self.state.lock();
        state.is_alive = true;
        let is_answer = state.is_stream && state.asked.take().is_some();
        if !is_answer && state.chunk.is_none() {
            state.asked = (state.is_stream && !state.is_full).then(now);
            state.chunk = Some(Bytes::from_static(b"h\n"));
            state.wake_listener();
        }
        state.wake_session();
    }
}

/// The session's side.
pub struct SockJs<K: Hash + Eq> {
    session: Arc<SockJsSession>,
    sessions: Arc<SockJsSessions<K>>,
    key: K,
    waiting: Vec<Text>,
    waiting_bytes: usize,
    closing: Option<String>,
    beat: Instant,
    /// Runs while the last words wait and nobody listens.
    linger: Option<Pin<Box<Sleep>>>,
    traffic: Traffic,
}

impl<K: Hash + Eq> SockJs<K> {
    fn render(&mut self) -> Option<Bytes> {
        let mut chunk = String::new();
        for (place, text) in self.waiting.iter().enumerate() {
            chunk += if place == 0 { "a[" } else { "," };
            chunk += &serde_json::to_string(text.as_str()).expect("text is text");
        }
        if !chunk.is_empty() {
            chunk += "]\n";
        }
        (self.waiting, self.waiting_bytes) = (Vec::new(), 0);
        chunk += self.closing.take().as_deref().unwrap_or_default();
        (!chunk.is_empty()).then(|| chunk.into())
    }
}

impl<K: Hash + Eq> SockJs<K> {
    /// Hands on what waits. Says how many bytes no request has taken yet; while there are any, the session is woken when
    /// one takes more.
    fn hand_on(&mut self, context: &Context<'_>) -> usize {
        let session = Arc::clone(&self.session);
        let mut state = session.state.lock();
        if state.chunk.as_ref().is_none_or(|chunk| **chunk == *b"h\n")
            && let Some(chunk) = self.render()
        {
            self.traffic.bytes_out += chunk.len() as u64;
            self.beat = now() + HEARTBEAT_INTERVAL;
            if state.chunk.is_some() {
                // A beat that was not sent is not answered.
                state.asked = None;
            }
            state.chunk = Some(chunk);
            state.wake_listener();
        }
        let handed_on = state.chunk.as_ref().map_or(0, Bytes::len);
        let left = handed_on + self.waiting_bytes + self.closing.as_ref().map_or(0, String::len);
        if left > 0 {
            state.session = Some(context.waker().clone());
        }
        left
    }
}

impl<K: Hash + Eq + Unpin + Send> Link for SockJs<K> {
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
            Frame::Text(text) => {
                self.traffic.messages_out += 1;
                self.waiting_bytes += text.len() + size_of::<Text>();
                self.waiting.push(text);
            }
            Frame::Close(said) if self.closing.is_none() => {
                let said = said.as_ref().map_or((1000, ""), |said| (said.code, said.reason.as_str()));
                self.closing = Some(close(said.0, said.1));
            }
            Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => {}
        }
    }

    fn push_encoded(&mut self, encoded: EncodedFrames) {
        encoded.frames().iter().for_each(|frame| self.push(frame.clone()));
    }

    /// Ready while little waits: between two requests of a client is its whole way to and fro.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let left = self.hand_on(context);
        let has_room = self.closing.is_none() && left < MAX_BETWEEN_POLLS;
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
        let state = self.session.state.lock();
        Some(state.gone_by().map_or(self.beat, |gone| gone.min(self.beat)))
    }

    fn wake(&mut self, now: Instant) -> Result<(), LinkError> {
        let mut state = self.session.state.lock();
        if state.gone_by().is_some_and(|gone| now >= gone) {
            return Err(LinkError::Ended { word: "gone", detail: "nobody listens any more".into() });
        }
        if now >= self.beat {
            self.beat = now + HEARTBEAT_INTERVAL;
            if state.chunk.is_none() && state.listening != 0 && !state.is_full {
                state.asked = state.is_stream.then_some(now);
                state.chunk = Some(Bytes::from_static(b"h\n"));
                state.wake_listener();
            }
        }
        Ok(())
    }
}

impl<K: Hash + Eq> Drop for SockJs<K> {
    fn drop(&mut self) {
        self.sessions.0.lock().remove(&self.key);
        let mut state = self.session.state.lock();
        state.is_over = true;
        state.wake_listener();
        drop(state);
        self.session.room.notify_waiters();
    }
}

/// The body of a request that listens.
pub struct Listening {
    session: Arc<SockJsSession>,
    number: u64,
    is_stream: bool,
    /// One that polls has had its answer, and one that streams all that its client reads of one response.
    is_done: bool,
    /// UTF-16 units so far.
    told: usize,
}

impl Listening {
    /// What of this chunk the client will read, by whole lines; the rest is left for the next request.
    fn readable(&mut self, chunk: &mut Bytes) -> Bytes {
        let mut end = 0;
        while self.told <= MAX_STREAMED && end < chunk.len() {
            let line = chunk[end..].iter().position(|byte| *byte == b'\n').map_or(chunk.len(), |place| end + place + 1);
            self.told += utf16_units(&chunk[end..line]);
            end = line;
        }
        chunk.split_to(end)
    }
}

/// The length of UTF-8 as JavaScript counts it: one for each character, two beyond the Basic Multilingual Plane.
fn utf16_units(text: &[u8]) -> usize {
    text.iter().map(|byte| usize::from(byte & 0xC0 != 0x80) + usize::from(*byte >= 0xF0)).sum()
}

impl http_body::Body for Listening {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, io::Error>>> {
        let session = Arc::clone(&self.session);
        let mut state = session.state.lock();
        if state.listening != self.number || (self.is_done && !self.is_stream) {
            return Poll::Ready(None);
        }
        if !self.is_done
            && let Some(mut chunk) = state.chunk.take()
        {
            self.is_done = !self.is_stream;
            let told = self.readable(&mut chunk);
            if self.is_stream && self.told > MAX_STREAMED {
                self.is_done = true;
                state.is_full = true;
                (state.asked, state.away) = (None, Some(now() + SUCCESSOR_TIMEOUT));
            } else if self.is_stream && *told == *b"h\n" {
                state.asked = Some(now());
            }
            state.chunk = (!chunk.is_empty()).then_some(chunk);
            state.wake_session();
            return Poll::Ready(Some(Ok(BodyFrame::data(told))));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        state.listener = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Listening {
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
mod tests;
