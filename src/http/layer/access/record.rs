//! What is known of one request while it is under way, and the line that is written when it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, Version};
use http_body::{Frame, SizeHint};
use tracing::{Level, event_enabled, info};

use super::ending::Ending;
use super::metrics::Metrics;
use super::route::RouteClass;
use super::secret::without_keys;
use super::span::RequestTrace;
use crate::http::Body;
use crate::http::body::{BodyError, Carried};
use crate::http::facts::{RequestId, first_address};
use crate::listen::Passage;

/// The name that filters know these lines by, as in `RUST_LOG=info,access=off`.
const TARGET: &str = "access";

/// Who asks for what, as far as it is known.
#[derive(Default)]
pub struct Asked {
    /// The addresses that a request came by, the client's first.
    pub client: Option<HeaderValue>,
    pub request_id: Option<RequestId>,
    pub route: RouteClass,
}

/// One request. Dropped before its end, it is logged as abandoned, so that none goes unseen.
pub struct Record {
    method: Method,
    /// Absent when nobody wants the line.
    path: Option<Box<str>>,
    protocol: Version,
    started: Instant,
    first_byte: Option<Duration>,
    status: Option<StatusCode>,
    pub asked: Asked,
    pub trace: Option<RequestTrace>,
    pub upstream: Option<Duration>,
    /// Which build of the app gave the answer, where it was not the newest.
    pub earlier_build: Option<Arc<str>>,
    pub uploaded: Option<Arc<AtomicU64>>,
    sent: u64,
    ended: bool,
    metrics: Arc<Metrics>,
}

impl Record {
    pub fn new(method: Method, uri: &Uri, protocol: Version, started: Instant, metrics: &Arc<Metrics>) -> Record {
        metrics.in_flight.inc();
        Record {
            method,
            path: event_enabled!(target: TARGET, Level::INFO).then(|| without_keys(uri.path()).into()),
            protocol,
            started,
            first_byte: None,
            status: None,
            asked: Asked::default(),
            trace: None,
            upstream: None,
            earlier_build: None,
            uploaded: None,
            sent: 0,
            ended: false,
            metrics: Arc::clone(metrics),
        }
    }

    /// The head of the answer is there.
    pub fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.first_byte = Some(self.started.elapsed());
    }

    pub fn end(mut self, ending: Ending) {
        self.close(ending);
    }

    fn close(&mut self, ending: Ending) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let total = self.started.elapsed();
        let received = self.uploaded.as_ref().map_or(0, |uploaded| uploaded.load(Ordering::Relaxed));
        self.metrics.in_flight.dec();
        self.metrics.ended((&self.method, self.asked.route), self.status, total, received, self.sent);
        let trace = self.trace.take();
        let trace_id = trace.as_ref().map(|trace| trace.id);
        if let Some(trace) = trace {
            trace.end(self.status, ending);
        }
        let Some(path) = self.path.as_deref() else { return };
        info!(
            target: TARGET,
            method = self.method.as_str(),
            path,
            status = self.status.map(|status| status.as_u16()),
            bytes_in = received,
            bytes_out = self.sent,
            first_byte_ms = self.first_byte.map(milliseconds),
            total_ms = milliseconds(total),
            upstream_ms = self.upstream.map(milliseconds),
            earlier_build = self.earlier_build.as_deref(),
            request_id = self.asked.request_id.as_ref().map(RequestId::as_str),
            trace_id = trace_id.map(tracing::field::display),
            client = self.asked.client.as_ref().map(first_address),
            protocol = protocol(self.protocol),
            ending = ending.label(),
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.close(Ending::Abandoned);
    }
}

/// With microseconds, as a number that programs can add up.
fn milliseconds(duration: Duration) -> f64 {
    // Of 128 bits, as a duration has them, the same takes a function of its own.
    (u64::try_from(duration.as_micros()).unwrap_or(u64::MAX) as f64) / 1000.0
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// The body of an answer that is logged when it ends.
pub struct Logged {
    body: Body,
    record: Option<Record>,
}

impl Logged {
    pub fn new(body: Body, record: Record) -> Logged {
        Logged { body, record: Some(record) }
    }
}

impl Carried for Logged {
    fn carry(self: Pin<&mut Self>) -> Option<Arc<Passage>> {
        self.get_mut().body.carry()
    }
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        let Some(record) = &mut this.record else { return polled };
        let ending = match &polled {
            Poll::Pending => return polled,
            Poll::Ready(Some(Ok(frame))) => {
                record.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
                // hyper does not ask again after the last frame of a body that says where it ends.
                this.body.is_end_stream().then_some(Ending::Whole)
            }
            Poll::Ready(Some(Err(_))) => Some(Ending::Broken),
            Poll::Ready(None) => Some(Ending::Whole),
        };
        if let Some(ending) = ending
            && let Some(record) = this.record.take()
        {
            record.end(ending);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request whose bytes are counted.
pub struct Uploaded {
    pub body: Body,
    pub uploaded: Arc<AtomicU64>,
}

impl Carried for Uploaded {
    fn carry(self: Pin<&mut Self>) -> Option<Arc<Passage>> {
        self.get_mut().body.carry()
    }
}

impl http_body::Body for Uploaded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.uploaded.fetch_add(frame.data_ref().map_or(0, Bytes::len) as u64, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
