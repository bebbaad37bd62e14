//! The one-way doors: a channel as Server-Sent Events, and what it has kept as JSON.

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

use super::dialect::Form;
use super::entrance::{Greeting, Guest};
use super::link::event_stream;
use super::session::{Record, Session, Who};
use super::vocabulary::{Channel, Event, Frame, Moment, Since, Subscribe};
use super::{Realtime, Settings, place};
use crate::http::{Body, Facts, Failure, Response};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How many messages are given where the query does not say, and at most.
const MOST_BY_DEFAULT: usize = 100;
const MOST: usize = 1000;

/// How long the last events may take to reach a client that is closed.
const PATIENCE: Duration = Duration::from_secs(5);

impl Realtime {
    /// `Accept: text/event-stream`: the channel as events, from `Last-Event-ID` on where the client has one.
    ///
    /// # Errors
    /// 400, 403, 404, 429, 503.
    pub(super) async fn listen(&self, request: Parts, facts: Facts) -> Result<Response, Failure> {
        let settings = self.settings.get();
        let (channel, since) = wanted(&settings, &request)?;
        let Guest { client, permit, gate, first } =
            self.let_in(&settings, &request, &facts, "plain", Greeting::AtTheDoor(&channel)).await?;
        let who = Who {
            dialect: "plain",
            client: facts.client,
            path: request.uri.path().into(),
            request_id: facts.request_id,
            numbers: self.numbers.clone(),
        };
        let (link, body) = event_stream::open();
        let machine = Box::new(settings.plain.event_stream(channel, since, Moment::now()));
        let record = Record::new(who, permit);
        let session = Session::begin(machine, client, gate, first, record, self.drain.guard()).await;
        tokio::spawn(session.run(Box::new(link), PATIENCE));
        let mut response = Response::new(Body::boxed(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
        Ok(response)
    }

    /// `Accept: application/json`: what the channel has kept.
    ///
    /// # Errors
    /// 400, 403, 404, 429, 503; 410 when what came after `since` is no longer kept.
    pub(super) async fn look_back(&self, request: Parts, facts: Facts) -> Result<Response, Failure> {
        let settings = self.settings.get();
        let (channel, since) = wanted(&settings, &request)?;
        let bad = |_| Failure::client(StatusCode::BAD_REQUEST, "limit is a number of messages.");
        let most = place::parameter(request.uri.query(), "limit").map(|text| text.parse().map_err(bad)).transpose()?;
        let most: usize = most.unwrap_or(MOST_BY_DEFAULT).min(MOST);
        let mut guest = self.let_in(&settings, &request, &facts, "plain", Greeting::AtTheDoor(&channel)).await?;
        let may = self.may_subscribe(&mut guest, Subscribe::to(channel.clone())).await;
        guest.leave();
        may?;
        let since = match since {
            None | Some(Since::Now) => Since::Last(most),
            Some(since) => since,
        };
        let json = self.past(&settings, &channel, since, most)?;
        let mut response = Response::new(Body::from(json));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    }

    fn past(&self, settings: &Settings, channel: &Channel, since: Since, most: usize) -> Result<String, Failure> {
        let past = self.hub.history(channel, since, most, Moment::now());
        let is_position = matches!(since, Since::After(_));
        let Some(past) = past else {
            if is_position {
                let gone = "What came after this position is no longer kept.";
                return Err(Failure::client(StatusCode::GONE, gone));
            }
            return Ok("{\"id\":null,\"messages\":[]}\n".to_owned());
        };
        let mut json = format!("{{\"id\":\"{}\",\"messages\":[", past.top);
        for (place, message) in past.messages.iter().enumerate() {
            if place > 0 {
                json.push(',');
            }
            let form = settings.plain.positioned().encode(&Event::Message(message.clone()));
            if let Form::Shared(parcel) = form
                && let [Frame::Text(text)] = parcel.frames()
            {
                json.push_str(text);
            }
        }
        json.push_str("]}\n");
        Ok(json)
    }
}

/// Which channel, and from where: the query's `since`, or else what an event stream was at.
fn wanted(settings: &Settings, request: &Parts) -> Result<(Channel, Option<Since>), Failure> {
    let uri = &request.uri;
    let channel = place::channel(&settings.config.path, uri.path())?;
    let channel = channel.unwrap_or_else(|| settings.plain.channel().clone());
    let id = request.headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default());
    // A stream that comes back repeats the query it began with: where it was last is newer.
    let since = match id {
        Some(id) if !id.is_empty() => Some(place::last_event_id(id)),
        _ => place::since(uri.query())?,
    };
    Ok((channel, since))
}
