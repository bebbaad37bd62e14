//! `src/telemetry/metrics.md`, from `/metrics` of a door in which something of everything has happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{hold, sources};
use crate::harness::client::get;
use crate::harness::redis::Redis;
use crate::harness::socket::{connect_to, refused};
use crate::harness::{App, Door, PATIENCE, app, door, wire};

pub const PAGE: &str = "src/telemetry/metrics.md";

const HEAD: &str = "\
# Metrics

`GET /metrics` on the admin listener (`[admin] listen`, 127.0.0.1:9080) says these, as Prometheus reads them: in OpenMetrics
1.0 where `Accept` names it, else in the classic text format 0.0.4, where information (`doorway_build_info`) is a gauge.
Counters only grow while the process lives. Where a label has a few fixed values, each is there from the start, at 0; else
once it has been counted. This page is made from a running door by `tests/it/lists`.

| metric | type | labels | what it says |
|---|---|---|---|
";

/// Everything that can be counted is enabled.
const CONFIG: &str = r#"
[listen]
https = "127.0.0.1:0"
[tls]
self_signed = true
domains = "example.com"
[tls.acme]
directory = "https://127.0.0.1:9/dir"
[https]
redirect = false
[realtime.tokens]
secret = "a secret of at least thirty-two bytes"
[[realtime.pusher]]
id = "1"
key = "app-key"
secret = "app-secret"
[[realtime.channel]]
match = "default"
[callbacks]
events = ["connect"]
"#;

#[derive(Default)]
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// What a text of OpenMetrics declares, by the name that its samples have.
fn declared(text: &str) -> BTreeMap<String, Metric> {
    let mut found: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            found.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            // The registry ends each help with a full stop.
            found.entry(name.to_owned()).or_default().help = help.trim_end_matches('.').to_owned();
        } else if let Some((name, rest)) = line.split_once('{') {
            let metric = found.iter_mut().rev().find(|(known, _)| {
                name.strip_prefix(known.as_str()).is_some_and(|end| end.is_empty() || ENDS.contains(&end))
            });
            let (_, metric) = metric.unwrap_or_else(|| panic!("{name} is not declared"));
            let labels = rest.split('}').next().unwrap().split("\",");
            metric.labels.extend(labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned())));
        }
    }
    found.into_iter().map(|(name, metric)| (sample(name, &metric.kind), metric)).collect()
}

const ENDS: &[&str] = &["_total", "_bucket", "_sum", "_count", "_info"];

fn sample(name: String, kind: &str) -> String {
    match kind {
        "counter" => name + "_total",
        "info" => name + "_info",
        _ => name,
    }
}

/// Lets something happen that each family of metrics counts.
async fn happen(door: &Door) {
    get(door.http(), "/", &[]).await;
    // A request that no room sees, a caller without a token, and one without a signature.
    wire::exchange(door.http(), "GET / HTTP/1.1\r\n\r\n").await;
    get(door.http(), "/_doorway/api/v1/channels", &[]).await;
    get(door.http(), "/apps/1/channels", &[]).await;
    wire::exchange(door.https(), "no handshake at all\r\n\r\n").await;
    assert_eq!(refused(door, "/api/ws?token=none", &[]).await, 401);
    let mut socket = connect_to(door.http(), "/api/ws", &[]).await.expect("let in");
    socket.say("hello").await;
    socket.close(1000).await;
    door.wait_for_metric("realtime_sockets{dialect=\"plain\"}", 0.0).await;
}

#[tokio::test]
async fn metrics_are_those_of_a_running_door() {
    let state = tempfile::tempdir().unwrap();
    let behind = App::start(|_| async { app::response(200, r#"{"allow":true}"#) }).await;
    let redis = Redis::start(&[]);
    let config = format!("{}{CONFIG}{}", behind.config(), redis.config() + "peer = \"127.0.0.1:0\"\n");
    let door = door().config(config).env("XDG_STATE_HOME", state.path().to_str().unwrap()).start();
    happen(&door).await;
    let declared = all(&door).await;
    let mut text = HEAD.to_owned();
    for (name, Metric { kind, help, labels }) in &declared {
        let labels: Vec<_> = labels.iter().filter(|label| *label != "le").map(|label| format!("`{label}`")).collect();
        writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    hold(PAGE, &text);
}

/// What the door says, once it says everything that the source registers: some is counted after the client has its answer.
async fn all(door: &Door) -> BTreeMap<String, Metric> {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (said, _) =
            get(door.admin(), "/metrics", &[("host", "localhost"), ("accept", "application/openmetrics-text")])
                .await
                .end()
                .await;
        let declared = declared(std::str::from_utf8(&said).unwrap());
        let is_there = |name: &str| {
            declared.keys().any(|known| {
                let known = known.trim_end_matches("_total").trim_end_matches("_info");
                known == name || known.ends_with(&format!("_{name}"))
            })
        };
        let missing: Vec<_> = sources.iter().flat_map(|text| registered(text)).filter(|name| !is_there(name)).collect();
        if missing.is_empty() {
            return declared;
        }
        assert!(Instant::now() < deadline, "registered, and never counted: let it happen in `happen`: {missing:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The names in `….register("NAME", …)`.
fn registered(text: &str) -> impl Iterator<Item = &str> {
    let calls = ["registry.register(", ").register(", "labelled(registry, "].into_iter();
    let calls = calls.flat_map(|call| text.split(call).skip(1));
    calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
}
