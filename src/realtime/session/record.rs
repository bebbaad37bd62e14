//! What is told of a socket: numbers while it lives, one line when it ends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tracing::info;

use crate::realtime::entrance::Arrival;
use crate::realtime::entrance::admission::ConnectionPermit;
use crate::realtime::hub::{Backlog, Written};
use crate::realtime::link::Traffic;
use crate::telemetry::trace::TraceId;
use crate::telemetry::{Registry, labelled};

/// The metrics of all sessions.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    open: Family<DialectLabel, Gauge>,
    /// The same handles; one for each dialect that was ever spoken.
    dialects: Arc<Mutex<BTreeMap<&'static str, Gauge>>>,
    opened: Family<DialectLabel, Counter>,
    ended: Family<EndLabels, Counter>,
    messages_in: Counter,
    messages_out: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DialectLabel {
    dialect: &'static str,
}

/// Codes come from clients too: those that mean nothing here are one, so that nobody makes labels without end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    by: &'static str,
    reason: &'static str,
    code: u16,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let registry = registry.sub_registry_with_prefix("realtime");
        let directions = ["in", "out"];
        let help = "Messages received from clients, and written to them";
        let [messages_in, messages_out] = labelled(registry, "messages", help, "direction", directions);
        let help = "Bytes received from clients, and written to them";
        let [bytes_in, bytes_out] = labelled(registry, "bytes", help, "direction", directions);
        let metrics = Metrics { messages_in, messages_out, bytes_in, bytes_out, ..Metrics::default() };
        registry.register("sockets", "Clients connected now", metrics.open.clone());
        registry.register("sockets_opened", "Clients that were let in", metrics.opened.clone());
        registry.register("sockets_ended", "Clients whose connection ended, by whom and why", metrics.ended.clone());
        metrics
    }

    /// The number of connected clients, by dialect; of dialects that were ever spoken.
    pub fn sockets(&self) -> BTreeMap<&'static str, i64> {
        self.dialects.lock().iter().map(|(dialect, open)| (*dialect, open.get())).collect()
    }

    /// Counts what was written in a session's place.
    pub fn written(&self, written: Written) {
        self.messages_out.inc_by(written.messages);
        self.bytes_out.inc_by(written.bytes);
    }

    fn note(&self, label: &DialectLabel) {
        let mut dialects = self.dialects.lock();
        if !dialects.contains_key(label.dialect) {
            dialects.insert(label.dialect, self.open.get_or_create(label).clone());
        }
    }
}

/// The end of a session, for its metric and its log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// Cut short: a panic, or the end of the process.
    Cut,
    Client {
        code: Option<u16>,
    },
    Us {
        word: &'static str,
        code: u16,
        /// The backlog of a client that read too slowly, if that is the reason.
        backlog: Option<Backlog>,
    },
    /// By the link's own rules, in its own word.
    Link {
        word: &'static str,
        detail: String,
    },
    Lost {
        detail: String,
    },
}

impl SessionEnd {
    pub fn label(&self) -> &'static str {
        match self {
            SessionEnd::Cut => "cut",
            SessionEnd::Client { .. } => "closed",
            SessionEnd::Us { word, .. } | SessionEnd::Link { word, .. } => word,
            SessionEnd::Lost { .. } => "lost",
        }
    }

    fn by(&self) -> &'static str {
        match self {
            SessionEnd::Cut | SessionEnd::Us { .. } => "door",
            SessionEnd::Client { .. } => "client",
            SessionEnd::Link { .. } | SessionEnd::Lost { .. } => "network",
        }
    }

    fn code(&self) -> u16 {
        match self {
            // RFC 6455 section 7.1.5: 1005 none was given, 1006 there was no close.
            SessionEnd::Cut | SessionEnd::Link { .. } | SessionEnd::Lost { .. } => 1006,
            SessionEnd::Client { code } => code.unwrap_or(1005),
            SessionEnd::Us { code, .. } => *code,
        }
    }
}

/// Socket metrics and the access-log line of one session, while it is open.
struct RecordData {
    dialect: &'static str,
    client: IpAddr,
    path: Box<str>,
    request_id: Box<str>,
    trace: Option<TraceId>,
    metrics: Arc<Metrics>,
    opened: Instant,
}

/// One socket's life. Written down when it is dropped, however it ended.
pub struct SessionRecord {
    who: Box<RecordData>,
    /// AckReply back when the socket has ended.
    _permit: ConnectionPermit,
    traffic: Traffic,
    /// None while it is open: dropped so, it was cut.
    end: Option<Box<SessionEnd>>,
}

impl SessionRecord {
    pub fn new(arrival: Arrival, permit: ConnectionPermit, metrics: Arc<Metrics>) -> SessionRecord {
        let label = DialectLabel { dialect: arrival.dialect };
        metrics.open.get_or_create(&label).inc();
        metrics.note(&label);
        metrics.opened.get_or_create(&label).inc();
        let Arrival { dialect, client, path, request_id, trace } = arrival;
        let request_id = request_id.as_str().into();
        let kept = RecordData { dialect, client, path, request_id, trace, metrics, opened: Instant::now() };
        SessionRecord { who: Box::new(kept), _permit: permit, traffic: Traffic::default(), end: None }
    }

    /// Counts what has travelled since it was last told.
    pub fn count(&mut self, traffic: Traffic) {
        let before = std::mem::replace(&mut self.traffic, traffic);
        let add = |counter: &Counter, before: u64, now: u64| {
            if now > before {
                counter.inc_by(now - before);
            }
        };
        add(&self.who.metrics.messages_in, before.messages_in, traffic.messages_in);
        add(&self.who.metrics.messages_out, before.messages_out, traffic.messages_out);
        add(&self.who.metrics.bytes_in, before.bytes_in, traffic.bytes_in);
        add(&self.who.metrics.bytes_out, before.bytes_out, traffic.bytes_out);
    }

    /// Traffic so far was counted by others: starts from here.
    pub fn counted(&mut self, traffic: Traffic) {
        self.traffic = traffic;
    }

    pub fn ended(&mut self, end: SessionEnd) {
        self.end = Some(Box::new(end));
    }

    pub fn end(&self) -> &SessionEnd {
        self.end.as_deref().unwrap_or(&SessionEnd::Cut)
    }
}

impl Drop for SessionRecord {
    fn drop(&mut self) {
        let SessionRecord { who, traffic, .. } = &*self;
        let end = self.end();
        let metrics = &who.metrics;
        metrics.open.get_or_create(&DialectLabel { dialect: who.dialect }).dec();
        let is_strange = matches!(end, SessionEnd::Client { code: Some(..1000 | 1016..) });
        let code = if is_strange { 0 } else { end.code() };
        metrics.ended.get_or_create(&EndLabels { by: end.by(), reason: end.label(), code }).inc();
        let backlog = if let SessionEnd::Us { backlog, .. } = end { backlog.as_ref() } else { None };
        let channel = backlog.and_then(|backlog| backlog.channel.as_ref()).map(tracing::field::display);
        let detail = if let SessionEnd::Link { detail, .. } | SessionEnd::Lost { detail } = end { detail } else { "" };
        info!(
            target: "access",
            request_id = &*who.request_id,
            trace_id = who.trace.map(tracing::field::display),
            client = %who.client,
            path = &*who.path,
            dialect = who.dialect,
            by = end.by(),
            reason = end.label(),
            code = end.code(),
            detail,
            channel,
            waiting_messages = backlog.map(|backlog| backlog.messages),
            waiting_bytes = backlog.map(|backlog| backlog.bytes),
            seconds = who.opened.elapsed().as_secs_f64(),
            messages_in = traffic.messages_in,
            messages_out = traffic.messages_out,
            bytes_in = traffic.bytes_in,
            bytes_out = traffic.bytes_out,
            "socket closed"
        );
    }
}
