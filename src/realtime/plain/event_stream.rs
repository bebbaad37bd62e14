//! A channel as Server-Sent Events.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

use http::request::Parts;

use super::{DIALECT, PlainDoor, RequestConfig};
use crate::http::{Facts, Failure, Response};
use crate::realtime::entrance::AuthorizeAt;
use crate::realtime::link::event_stream;
use crate::realtime::vocabulary::Moment;

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
        let (link, body) = event_stream::open();
        let machine = config.plain.event_stream(channel, since, Moment::now());
        let session = self.sessions.begin(admitted, Box::new(machine)).await;
        tokio::spawn(session.run(Box::new(link), event_stream::CLOSE_TIMEOUT));
        Ok(body.into_response("text/event-stream"))
    }
}
