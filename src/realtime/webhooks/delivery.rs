//! One receiver: events wait in order, go out in signed batches, and are tried again until they are taken.
#![expect(
    clippy::disallowed_methods,
    reason = "a receiver's task ends when all is delivered; it holds a late guard meanwhile"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use super::WebhookMetrics;
use crate::callbacks::{App as NextApp, Receiver};
use crate::drain::Signal;

/// Events that may wait for one receiver; one more is dropped, counted and logged.
const MAX_WAITING: usize = 10_000;
/// For one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between the first attempt and the second; twice as long each time after, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause once the door stops: it is the last chance.
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// How a protocol writes what it tells.
pub trait WebhookEnvelope: Send + Sync + 'static {
    /// How many events are told in one request at most. At least one.
    fn most(&self) -> usize;

    /// How long the first of them waits for others.
    fn gathers(&self) -> Duration;

    /// How long it is tried to deliver a request.
    fn deadline(&self) -> Duration;

    /// What is told, at this time. It is the same in all attempts.
    fn body(&self, events: &[Value], unix_ms: u64) -> Bytes;

    /// Headers of one attempt, besides the type of the content and the id.
    ///
    /// # Errors
    /// Why there are none: the attempt counts as failed.
    fn headers(&self, id: &str, body: &Bytes) -> Result<HeaderMap, String>;
}

/// The queue of one receiver.
pub struct DeliveryQueue {
    queue: mpsc::Sender<Value>,
    metrics: WebhookMetrics,
    receiver: Receiver,
}

impl DeliveryQueue {
    /// Begins to deliver to `receiver` what is [`put`](DeliveryQueue::put); ends when it is dropped and all is delivered.
    pub fn start(
        envelope: impl WebhookEnvelope,
        receiver: Receiver,
        way: (Arc<NextApp>, Signal),
        metrics: WebhookMetrics,
    ) -> Arc<DeliveryQueue> {
        let (queue, events) = mpsc::channel(MAX_WAITING);
        let worker = DeliveryWorker {
            envelope,
            receiver: receiver.clone(),
            next: way.0,
            drain: way.1,
            metrics: metrics.clone(),
        };
        tokio::spawn(worker.run(events));
        Arc::new(DeliveryQueue { queue, metrics, receiver })
    }

    pub fn put(&self, event: Value) {
        if let Err(error) = self.queue.try_send(event) {
            self.metrics.dropped.inc();
            let why = match error {
                TrySendError::Full(_) => "too many wait",
                TrySendError::Closed(_) => "nobody delivers any more",
            };
            warn!(receiver = %self.receiver, why, "a webhook's event is dropped");
        }
    }
}

struct DeliveryWorker<E> {
    envelope: E,
    receiver: Receiver,
    next: Arc<NextApp>,
    drain: Signal,
    metrics: WebhookMetrics,
}

impl<E: WebhookEnvelope> DeliveryWorker<E> {
    async fn run(self, mut events: mpsc::Receiver<Value>) {
        // The drain waits for it (until its deadline): it ends when the ledger has put what it knows and let go.
        let _late_guard = self.drain.late_guard();
        let mut end = self.drain.clone();
        let mut batch = Vec::new();
        while events.recv_many(&mut batch, self.envelope.most()).await > 0 {
            tokio::select! {
                () = self.gather(&mut batch, &mut events) => {}
                () = end.ended() => return self.give_up(batch.len(), events).await,
            }
            tokio::select! {
                () = self.deliver(&batch) => batch.clear(),
                () = end.ended() => return self.give_up(batch.len(), events).await,
            }
        }
    }

    /// Waits for a moment until the batch is full; not when the door stops.
    async fn gather(&self, batch: &mut Vec<Value>, events: &mut mpsc::Receiver<Value>) {
        if batch.len() == self.envelope.most() {
            return;
        }
        let mut drain = self.drain.clone();
        tokio::select! {
            () = sleep(self.envelope.gathers()) => {}
            _ = drain.draining() => {}
        }
        while batch.len() < self.envelope.most()
            && let Ok(event) = events.try_recv()
        {
            batch.push(event);
        }
    }

    /// The door has stopped: what was under way and what waits is lost, and it is said how much that is.
    async fn give_up(&self, under_way: usize, mut events: mpsc::Receiver<Value>) {
        let mut lost = under_way;
        while events.recv().await.is_some() {
            lost += 1;
        }
        self.metrics.dropped.inc_by(lost as u64);
        warn!(receiver = %self.receiver, lost, "webhooks were not delivered before the door stopped");
    }

    /// The same bytes under the same id each time, until they are taken or the time for it is over.
    async fn deliver(&self, events: &[Value]) {
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let count = events.len() as u64;
        let body = self.envelope.body(events, u64::try_from(ms).unwrap_or(u64::MAX));
        let id = format!("msg_{}", Uuid::now_v7().simple());
        let deadline = Instant::now() + self.envelope.deadline();
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = timeout(ATTEMPT_TIMEOUT, self.send(&id, &body)).await;
            let why = match outcome {
                Ok(Ok(status)) if status.is_success() => {
                    self.metrics.delivered.inc_by(count);
                    return;
                }
                Ok(Ok(status)) => format!("status {}", status.as_u16()),
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {}", humantime::format_duration(ATTEMPT_TIMEOUT)),
            };
            self.metrics.failed.inc();
            if Instant::now() + pause > deadline {
                self.metrics.dropped.inc_by(count);
                warn!(receiver = %self.receiver, id, why, count, "a webhook was never delivered");
                return;
            }
            info!(receiver = %self.receiver, id, why, "a webhook will be tried again");
            self.pause(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn pause(&self, pause: Duration) {
        let mut drain = self.drain.clone();
        if !drain.is_running() {
            return sleep(pause.min(LAST_PAUSE)).await;
        }
        tokio::select! {
            () = sleep(pause) => {}
            _ = drain.draining() => {}
        }
    }

    async fn send(&self, id: &str, body: &Bytes) -> Result<StatusCode, String> {
        let mut headers = self.envelope.headers(id, body)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let id = HeaderValue::from_str(id).map_err(|error| error.to_string())?;
        headers.insert(HeaderName::from_static("webhook-id"), id);
        self.next.deliver(&self.receiver, headers, body.clone()).await
    }
}
