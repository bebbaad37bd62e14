//! A request's body on its way in: how long it may take and how long it may be. Trailers end here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::lazy_timer::LazyTimer;
use super::unread::Progress;
use crate::http::body::{BodyError, Carried};
use crate::http::{Body, Config, Refusal, Request};
use crate::listen::Passage;

/// How a body ended badly; in the extensions of every request that has one.
#[derive(Debug, Clone, Default)]
pub struct BodyOutcome(Arc<AtomicU8>);

/// What an outcome may be; 0 stands for none.
const OUTCOMES: [Refusal; 3] = [Refusal::Body, Refusal::BodyTooLarge, Refusal::BodyTimeout];

impl BodyOutcome {
    fn set(&self, refusal: Refusal) {
        let index = OUTCOMES.iter().position(|outcome| *outcome == refusal).map_or(0, |index| index as u8 + 1);
        self.0.store(index, Ordering::Release);
    }

    /// The refusal that the body ended with, if it ended badly.
    pub fn get(&self) -> Option<Refusal> {
        OUTCOMES.get(usize::from(self.0.load(Ordering::Acquire).checked_sub(1)?)).copied()
    }
}

/// Puts the limits of `config` on the body of `request`, if it has one, and says how far it is read.
pub fn limit(request: &mut Request, config: &Config) -> Option<Progress> {
    if request.body().is_end_stream() {
        return None;
    }
    let read = Progress::default();
    let outcome = BodyOutcome::default();
    request.extensions_mut().insert(outcome.clone());
    let source = std::mem::take(request.body_mut());
    *request.body_mut() = Body::Carried(Box::pin(Upload {
        source,
        outcome,
        left: config.max_body.map(|limit| limit.0),
        timeout: config.body_timeout,
        progress: config.min_progress.0,
        since: None,
        brought: 0,
        timer: LazyTimer::default(),
        is_awaited: request.headers().contains_key(EXPECT),
        read: read.clone(),
    }));
    Some(read)
}

/// The body, watched.
struct Upload {
    source: Body,
    outcome: BodyOutcome,
    /// How much it may still bring, where that is limited.
    left: Option<u64>,
    timeout: Duration,
    progress: u64,
    /// Since when the client is awaited, and what it has brought since.
    since: Option<Instant>,
    brought: u64,
    timer: LazyTimer,
    /// Its client waits to be asked for it.
    is_awaited: bool,
    read: Progress,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.read.leave(std::mem::take(&mut self.source), self.is_awaited);
    }
}

impl Upload {
    fn fail(&self, refusal: Refusal) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.outcome.set(refusal);
        Poll::Ready(Some(Err(refusal.sentence().into())))
    }

    fn progress(&mut self, length: u64) {
        self.brought += length;
        if self.brought >= self.progress {
            self.since = None;
        }
    }

    fn poll_timeout(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(|| {
            self.brought = 0;
            Instant::now()
        });
        self.timer.poll(context, since + self.timeout)
    }
}

impl Carried for Upload {
    fn carry(self: Pin<&mut Self>) -> Option<Arc<Passage>> {
        self.get_mut().source.carry()
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        this.is_awaited = false;
        loop {
            let frame = match Pin::new(&mut this.source).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    this.outcome.set(Refusal::Body);
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    this.read.end();
                    return Poll::Ready(None);
                }
                Poll::Pending if this.poll_timeout(context).is_ready() => return this.fail(Refusal::BodyTimeout),
                Poll::Pending => return Poll::Pending,
            };
            let Ok(data) = frame.into_data() else { continue };
            let length = data.len() as u64;
            if let Some(left) = &mut this.left {
                match left.checked_sub(length) {
                    Some(rest) => *left = rest,
                    None => return this.fail(Refusal::BodyTooLarge),
                }
            }
            if this.source.is_end_stream() {
                this.read.end();
            }
            this.progress(length);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}
