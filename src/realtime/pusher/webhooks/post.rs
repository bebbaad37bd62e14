//! One receiver: events wait in order, go out in signed batches, and are tried again until they are taken.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;
use uuid::Uuid;

use super::Numbers;
use crate::app::App as NextApp;
use crate::drain::Signal;
use crate::realtime::dialect::pusher::App;

/// Events that may wait for one receiver; one more is dropped, counted and logged.
const WAITING: usize = 10_000;
/// Events in one request.
const BATCH: usize = 100;
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(50);
/// For one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between the first attempt and the second; twice as long each time after, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The queue of one receiver.
pub struct Post {
    queue: mpsc::Sender<Value>,
    numbers: Numbers,
    url: String,
}

impl Post {
    /// Begins to deliver to `url` what is [`put`](Post::put); ends when it is dropped and all is delivered.
    pub fn start(app: Arc<App>, url: String, way: (Arc<NextApp>, Signal), numbers: Numbers) -> Arc<Post> {
        let (queue, events) = mpsc::channel(WAITING);
        let courier = Courier { app, url: url.clone(), next: way.0, drain: way.1, numbers: numbers.clone() };
        tokio::spawn(courier.run(events));
        Arc::new(Post { queue, numbers, url })
    }

    pub fn put(&self, event: Value) {
        if self.queue.try_send(event).is_err() {
            self.numbers.dropped.inc();
            warn!(url = self.url, "a webhook's event is dropped: too many wait");
        }
    }
}

struct Courier {
    app: Arc<App>,
    url: String,
    next: Arc<NextApp>,
    drain: Signal,
    numbers: Numbers,
}

impl Courier {
    async fn run(mut self, mut events: mpsc::Receiver<Value>) {
        let mut batch = Vec::new();
        let mut end = self.drain.clone();
        while events.recv_many(&mut batch, BATCH).await > 0 {
            // The drain waits for what is known (until its deadline).
            let _guard = self.drain.guard();
            if batch.len() < BATCH {
                sleep(GATHER).await;
                while batch.len() < BATCH
                    && let Ok(event) = events.try_recv()
                {
                    batch.push(event);
                }
            }
            let events = std::mem::take(&mut batch);
            tokio::select! {
                () = self.deliver(events) => {}
                () = end.ended() => return,
            }
        }
    }

    /// The same bytes under the same id each time, until they are taken or the time for it is over.
    async fn deliver(&mut self, events: Vec<Value>) {
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let count = events.len() as u64;
        let body =
            Bytes::from(json!({ "time_ms": u64::try_from(ms).unwrap_or(u64::MAX), "events": events }).to_string());
        let id = format!("msg_{}", Uuid::now_v7().simple());
        let deadline = Instant::now() + self.app.settings().webhook_patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = timeout(TIMEOUT, self.send(&id, &body)).await;
            let why = match outcome {
                Ok(Ok(status)) if status.is_success() => {
                    self.numbers.delivered.inc_by(count);
                    return;
                }
                Ok(Ok(status)) => format!("status {}", status.as_u16()),
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {}", humantime::format_duration(TIMEOUT)),
            };
            self.numbers.failed.inc();
            if Instant::now() + pause > deadline {
                self.numbers.dropped.inc_by(count);
                warn!(url = self.url, id, why, count, "a webhook was never delivered");
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn send(&self, id: &str, body: &Bytes) -> Result<StatusCode, String> {
        let settings = self.app.settings();
        let key = settings.keys.first().ok_or("the app has no key")?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in
            [("x-pusher-key", key.id()), ("x-pusher-signature", &key.sign(&[&**body])), ("webhook-id", id)]
        {
            let value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static(name), value);
        }
        if self.url.starts_with('/') {
            return self.next.deliver(&self.url, headers, body.clone()).await;
        }
        elsewhere(&self.url, headers, body.clone()).await
    }
}

/// To a receiver that is not the app: a connection of its own each time, since webhooks are few.
async fn elsewhere(url: &str, headers: HeaderMap, body: Bytes) -> Result<StatusCode, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let uri: Uri = url.parse().map_err(|error| words(&error))?;
    let authority = uri.authority().ok_or("no host")?;
    let address = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.map_err(|error| words(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| words(&error))?;
    let connection = tokio::spawn(connection);
    let mut request = http::Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() =
        uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(|error| words(&error))?;
    *request.headers_mut() = headers;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|error| words(&error))?;
    request.headers_mut().insert(HOST, host);
    let answer = sender.send_request(request).await.map_err(|error| words(&error));
    let status = answer.map(|answer| answer.status());
    connection.abort();
    status
}
