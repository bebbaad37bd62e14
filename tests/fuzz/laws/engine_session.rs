//! A session of Engine.IO and requests that do as they like: reads, posts, broken-off ones, second transports, time.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use doorway::realtime::link::{Link, LinkError, Traffic};
use doorway::realtime::socketio::engineio::transport::{Config, Engine, Lookup, Metrics, PollingSessions, Sid};
use doorway::realtime::vocabulary::{EncodedFrames, Frame};

/// A second transport that says what the input has for it.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<(VecDeque<Frame>, bool)>>);

impl Link for Wire {
    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        let mut ends = self.0.lock().unwrap();
        match ends.0.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if ends.1 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn push(&mut self, _: Frame) {}

    fn push_encoded(&mut self, _: EncodedFrames) {}

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

type Request = Pin<Box<dyn Future<Output = ()>>>;

pub fn holds(input: &[u8]) {
    // Where a close packet waits for a poll, there is a timer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    let mut context = Context::from_waker(Waker::noop());
    let sessions = Arc::new(PollingSessions::new(Metrics::default(), None));
    let sid = Sid::random().expect("randomness");
    let (mut link, _) = Engine::polling(sid, &sessions, &Arc::new(Config::default()), Instant::now());
    let Some(Lookup::Polling(shared)) = sessions.find(sid) else { panic!("it cannot be found") };
    let mut requests: Vec<Request> = Vec::new();
    let wire = Wire::default();
    for step in input.split(|byte| *byte == b'\n') {
        let Some((what, rest)) = step.split_first() else { continue };
        match what {
            b'r' => {
                if let Ok(reader) = shared.exchange.read() {
                    requests.push(Box::pin(async { drop(reader.only().await) }));
                }
            }
            b'p' => {
                if let Ok(post) = shared.exchange.post() {
                    let body = Bytes::copy_from_slice(rest);
                    requests.push(Box::pin(async {
                        let _ = post.give(body).await;
                    }));
                }
            }
            b'x' => drop(requests.pop()),
            b'u' if shared.claim() => shared.hand_over(Box::new(wire.clone())),
            b'w' => wire.0.lock().unwrap().0.push_back(Frame::text(String::from_utf8_lossy(rest).into_owned())),
            b'c' => wire.0.lock().unwrap().1 = true,
            b's' => link.push(Frame::text("4said")),
            b't' => {
                if let Some(due) = link.next_wake()
                    && link.wake(due.max(Instant::now() + Duration::from_millis(1))).is_err()
                {
                    break;
                }
            }
            _ => {}
        }
        requests.retain_mut(|request| request.as_mut().poll(&mut context).is_pending());
        let mut is_over = false;
        while let Poll::Ready(received) = link.poll_receive(&mut context) {
            match received {
                Some(Ok(Frame::Text(text))) => assert!(text.starts_with('4'), "{text:?}"),
                Some(Ok(Frame::Binary(_))) => {}
                Some(Ok(frame)) => panic!("{frame:?}"),
                Some(Err(_)) => is_over = true,
                None => break,
            }
        }
        let _ = link.poll_flush(&mut context);
        requests.retain_mut(|request| request.as_mut().poll(&mut context).is_pending());
        if is_over {
            break;
        }
    }
    let _ = link.poll_close(&mut context);
    drop(link);
    assert!(sessions.find(sid).is_none(), "it is forgotten");
    requests.retain_mut(|request| request.as_mut().poll(&mut context).is_pending());
    assert!(requests.is_empty(), "every request ends with it");
}
