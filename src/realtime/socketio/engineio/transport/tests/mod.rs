//! The session of one client, on a clock of the tests' own and without a network.

mod client;
mod ends;
mod traffic;
mod upgrade;

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::*;
use client::Client;

const SECOND: Duration = Duration::from_secs(1);

/// What a server does with a link: sends back what it hears, keeps the link's time, and closes when told to.
struct Server {
    link: Engine,
    timer: std::pin::Pin<Box<tokio::time::Sleep>>,
    /// Said from time to time, numbered.
    says: Option<tokio::time::Interval>,
    said: usize,
    closing: tokio::sync::watch::Receiver<bool>,
}

impl Server {
    /// Runs until the link ends; the word for why.
    async fn run(mut self) -> &'static str {
        let word = poll_fn(|context| self.poll(context)).await;
        let closing = poll_fn(|context| self.link.poll_close(context));
        let _ = tokio::time::timeout(5 * SECOND, closing).await;
        word
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        let now = clock();
        if self.link.next_wake().is_some_and(|due| due <= now)
            && let Err(LinkError::Ended { word, .. }) = self.link.wake(now)
        {
            return Poll::Ready(word);
        }
        while let Poll::Ready(received) = self.link.poll_receive(context) {
            match received {
                Some(Ok(frame)) => self.link.push(frame),
                Some(Err(LinkError::Ended { word, .. })) => return Poll::Ready(word),
                other => panic!("{other:?}"),
            }
        }
        if let Some(says) = &mut self.says {
            while says.poll_tick(context).is_ready() {
                self.link.push_encoded(EncodedFrames::new(Frame::text(format!("4s{}", self.said))));
                self.said += 1;
            }
        }
        if self.link.poll_flush(context).is_ready() && *self.closing.borrow() {
            return Poll::Ready("forced close");
        }
        if let Some(due) = self.link.next_wake() {
            self.timer.as_mut().reset(due.into());
            if self.timer.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}
