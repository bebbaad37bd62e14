//! The other side: a client as the stock one is, and one that does as it likes.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::realtime::link::polling::Denied;

/// The other side of a link: an Engine.IO client that polls and may go over to a WebSocket.
pub struct Client {
    pub sessions: Arc<PollingSessions>,
    pub sid: Sid,
    pub shared: Arc<PollingSession>,
    close: watch::Sender<bool>,
    server: JoinHandle<&'static str>,
}

impl Client {
    /// A session that polls; `talks` where the server says something by itself, that often.
    pub fn open(config: Config, talks: Option<Duration>) -> Client {
        let sessions = Arc::new(PollingSessions::new(Metrics::default(), None));
        let sid = Sid::random().unwrap();
        let (link, open) = Engine::polling(sid, &sessions, &Arc::new(config), clock());
        assert!(open.starts_with("0{\"sid\":\""), "{open}");
        let Some(Lookup::Polling(shared)) = sessions.find(sid) else { panic!("it cannot be found") };
        let (close, closing) = watch::channel(false);
        let timer = Box::pin(tokio::time::sleep(SECOND));
        let says = talks.map(tokio::time::interval);
        let server = tokio::spawn(Server { link, timer, says, said: 0, closing }.run());
        Client { sessions, sid, shared, close, server }
    }

    /// What one GET is answered with.
    pub async fn poll(&self) -> Option<String> {
        let body = self.shared.exchange.read().ok()?.only().await?;
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    pub async fn post(&self, body: impl Into<String>) -> Result<(), Denied> {
        self.shared.exchange.post()?.give(body.into().into()).await
    }

    /// A second transport, which the server takes for a WebSocket.
    pub fn second(&self) -> Wire {
        assert!(self.shared.claim(), "there is one already");
        let wire = Wire::default();
        self.shared.hand_over(Box::new(wire.clone()));
        wire
    }

    /// The server ends it.
    pub fn close(&self) {
        let _ = self.close.send(true);
    }

    /// Why it ended.
    pub async fn end(self) -> &'static str {
        let word = self.server.await.unwrap();
        assert!(self.sessions.find(self.sid).is_none(), "nothing is left of it");
        word
    }
}

/// A WebSocket in memory; clones are its two ends.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    in_: VecDeque<Frame>,
    out: VecDeque<Frame>,
    is_cut: bool,
    is_closed: bool,
    server: Option<Waker>,
    client: Option<Waker>,
}

impl Wire {
    pub fn say(&self, text: impl Into<String>) {
        let mut ends = self.0.lock();
        ends.in_.push_back(Frame::text(text.into()));
        if let Some(server) = ends.server.take() {
            server.wake();
        }
    }

    /// The connection is gone.
    pub fn cut(&self) {
        let mut ends = self.0.lock();
        ends.is_cut = true;
        if let Some(server) = ends.server.take() {
            server.wake();
        }
    }

    /// The next text; `None` when the server has closed.
    pub async fn hear(&self) -> Option<String> {
        poll_fn(|context| {
            let mut ends = self.0.lock();
            match ends.out.pop_front() {
                Some(Frame::Text(text)) => Poll::Ready(Some(text.to_string())),
                Some(frame) => panic!("{frame:?}"),
                None if ends.is_closed => Poll::Ready(None),
                None => {
                    ends.client = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn close(&self) {
        let mut ends = self.0.lock();
        ends.is_closed = true;
        if let Some(client) = ends.client.take() {
            client.wake();
        }
    }
}

impl Link for Wire {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        let mut ends = self.0.lock();
        if let Some(frame) = ends.in_.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if ends.is_cut {
            return Poll::Ready(None);
        }
        ends.server = Some(context.waker().clone());
        Poll::Pending
    }

    fn push(&mut self, frame: Frame) {
        let mut ends = self.0.lock();
        ends.out.push_back(frame);
        if let Some(client) = ends.client.take() {
            client.wake();
        }
    }

    fn push_encoded(&mut self, encoded: EncodedFrames) {
        encoded.frames().iter().for_each(|frame| self.push(frame.clone()));
    }

    fn poll_flush(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
