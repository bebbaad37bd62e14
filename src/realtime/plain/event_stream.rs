//! A channel as Server-Sent Events.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::{DIALECT, PlainDoor, RequestConfig};
use crate::http::{Body, Facts, Failure, Response};
use crate::realtime::entrance::AuthorizeAt;
use crate::realtime::link::event_stream;
use crate::realtime::vocabulary::Moment;

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long the last events may take to reach a client that is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// When a client comes back whose stream is lost, in milliseconds: Chromium would wait for 3 s, each of them as long as
/// every other.
const RETRY: std::ops::Range<u64> = 1000..2000;

impl PlainDoor {
    /// `Accept: text/event-stream`: the channel as events, from `Last-Event-ID` on where the client has one.
    ///
    /// # Errors
    /// 400, 403, 404, 429, 503.
    pub(super) async fn listen(
        &self,
        config: &RequestConfig,
        request: Parts,
        facts: Facts,
    ) -> Result<Response, Failure> {
        let (channel, since) = config.wanted(&request)?;
        let when = AuthorizeAt::Upgrade(&channel);
        let admitted = self.entrance.admit(&config.entrance, &request, &facts, DIALECT, when).await?;
        let (link, body) = event_stream::open(Duration::from_millis(fastrand::u64(RETRY)));
        let machine = config.plain.event_stream(channel, since, Moment::now());
        let session = self.sessions.begin(admitted, Box::new(machine)).await;
        tokio::spawn(session.run(Box::new(link), CLOSE_TIMEOUT));
        let mut response = Response::new(Body::boxed(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
        Ok(response)
    }
}
