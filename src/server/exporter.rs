//! Sends spans to the collector: in batches, apart from all that serves anybody.
#![expect(clippy::disallowed_methods, reason = "it holds a late guard, so that the last spans are sent too")]

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::warn;

use crate::callbacks::Elsewhere;
use crate::drain::Signal;
use crate::telemetry::trace::{Collector, SpanMetrics, TraceConfig, Waiting, otlp};
use crate::telemetry::{LogThrottle, Registry};

/// Spans of one request to the collector at most, and how long the first waits for more.
const MAX_BATCH: usize = 512;
const BATCH_DELAY: Duration = Duration::from_secs(1);

/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A batch is sent so often at most, where the collector is away or asks for it; and the pause before the second time, which
/// doubles. Meanwhile others wait.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// What the last spans get of a door that is being stopped.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// Starts sending where `[telemetry] otlp` says, and gives what takes the spans; `None` where they are not kept.
pub fn start(config: &TraceConfig, drain: Signal, registry: &mut Registry) -> Option<Collector> {
    let metrics = SpanMetrics::new(registry);
    let to = Elsewhere::read(&config.endpoint()?)?;
    let (collector, waiting) = Collector::new(metrics.clone());
    let exporter = Exporter { to, service: config.service.clone(), metrics, throttle: LogThrottle::new() };
    tokio::spawn(exporter.run(waiting, drain));
    Some(collector)
}

struct Exporter {
    to: Elsewhere,
    service: String,
    metrics: std::sync::Arc<SpanMetrics>,
    throttle: LogThrottle,
}

impl Exporter {
    async fn run(self, mut waiting: Waiting, mut drain: Signal) {
        let _late_guard = drain.late_guard();
        let mut batch = Vec::new();
        loop {
            let received = tokio::select! {
                received = waiting.recv_many(&mut batch, MAX_BATCH) => received,
                () = drain.quiet(), if !waiting.is_closed() => {
                    waiting.close();
                    continue;
                }
            };
            if received == 0 {
                return;
            }
            let deadline = Instant::now() + BATCH_DELAY;
            while batch.len() < MAX_BATCH && !waiting.is_closed() {
                let room = MAX_BATCH - batch.len();
                tokio::select! {
                    more = timeout_at(deadline, waiting.recv_many(&mut batch, room)) => if more.is_err() { break },
                    () = drain.quiet() => waiting.close(),
                }
            }
            let body = Bytes::from(otlp::request(&self.service, &batch));
            let count = batch.len() as u64;
            batch.clear();
            let sending = self.send(body);
            let sent = if waiting.is_closed() {
                timeout(LAST_MOMENT, sending).await.unwrap_or_else(|_| Err("the door stops".into()))
            } else {
                tokio::select! {
                    sent = sending => sent,
                    () = last_moment(&mut drain) => Err("the door stops".into()),
                }
            };
            match sent {
                Ok(()) => drop(self.metrics.sent.inc_by(count)),
                Err(why) => {
                    self.metrics.lost.inc_by(count);
                    if self.throttle.may() {
                        warn!(collector = %self.to, why, "spans are lost: the collector does not take them");
                    }
                }
            }
        }
    }

    async fn send(&self, body: Bytes) -> Result<(), String> {
        let mut attempt = 1;
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(otlp::MEDIA_TYPE));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            let told = timeout(TIMEOUT, self.to.post(headers, body.clone())).await;
            let why = match told.unwrap_or_else(|_| Err("it takes too long".into())) {
                Ok(status) if status.is_success() => return Ok(()),
                // What it asks to be sent again (OTLP 1, "OTLP/HTTP Response").
                Ok(
                    status @ (StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT),
                ) => status.to_string(),
                Ok(status) => return Err(status.to_string()),
                Err(why) => why,
            };
            if attempt == ATTEMPTS {
                return Err(why);
            }
            sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    }
}

/// When the door is being stopped and all else has ended, and a moment more.
async fn last_moment(drain: &mut Signal) {
    drain.quiet().await;
    sleep(LAST_MOMENT).await;
}
