//! What a channel has kept, as JSON.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::{DIALECT, PlainDoor, RequestConfig};
use crate::http::query::parameter;
use crate::http::{Body, Facts, Failure, Response};
use crate::realtime::dialect::Encoded;
use crate::realtime::entrance::AuthorizeAt;
use crate::realtime::hub::Past;
use crate::realtime::vocabulary::{Event, Frame, Moment, Refusal, Since, Subscribe};
use crate::shares::Holder;

/// How many messages are given where the query does not say, and at most.
const DEFAULT_MESSAGES: usize = 100;
const MAX_MESSAGES: usize = 1000;

impl PlainDoor {
    /// `Accept: application/json`: what the channel has kept.
    ///
    /// # Errors
    /// 400, 403, 404, 429, 503; 410 when what came after `since`, or before `before`, is no longer kept.
    pub(super) async fn look_back(
        &self,
        config: &RequestConfig,
        request: Parts,
        facts: Facts,
    ) -> Result<Response, Failure> {
        let (channel, since) = config.wanted(&request)?;
        let bad = |_| Failure::client(StatusCode::BAD_REQUEST, "limit is a number of messages.");
        let limit = parameter(request.uri.query(), "limit").map(|text| text.parse().map_err(bad)).transpose()?;
        let limit: usize = limit.unwrap_or(DEFAULT_MESSAGES).min(MAX_MESSAGES);
        let when = AuthorizeAt::Upgrade(&channel);
        let mut admitted = self.entrance.admit(&config.entrance, &request, &facts, DIALECT, when).await?;
        if admitted.client.rights().is_some_and(|rights| !rights.may_read(&channel)) {
            admitted.leave();
            let reason = "The token does not allow this channel's history.";
            return Err(Failure::client(StatusCode::FORBIDDEN, reason));
        }
        let may = self.entrance.may_subscribe(&mut admitted, Subscribe::to(channel.clone())).await;
        admitted.leave();
        may?;
        let since = match since {
            None | Some(Since::Now) => Since::Last(limit),
            Some(since) => since,
        };
        let bad = |_| Failure::client(StatusCode::BAD_REQUEST, "before is a position, as a message's id.");
        let before = parameter(request.uri.query(), "before").map(|text| text.parse().map_err(bad)).transpose()?;
        let unavailable = |refusal: Refusal| Failure::client(StatusCode::SERVICE_UNAVAILABLE, refusal.to_string());
        self.hub.mirror(&channel, Holder::Trusted).await.map_err(unavailable)?;
        self.hub.catch_up(&channel, before.or(since.position())).await.map_err(unavailable)?;
        let now = Moment::now();
        let past = match (before, since) {
            (Some(_), Since::After(_)) => {
                let reason = "History is read since one position or before one, not both.";
                return Err(Failure::client(StatusCode::BAD_REQUEST, reason));
            }
            (Some(before), _) => self.hub.history_before(&channel, before, limit, now),
            (None, since) => self.hub.history(&channel, since, limit, now),
        };
        let is_position = before.is_some() || matches!(since, Since::After(_));
        let json = past_json(config, past, is_position)?;
        let mut response = Response::new(Body::from(json));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    }
}

fn past_json(config: &RequestConfig, past: Option<Past>, is_position: bool) -> Result<String, Failure> {
    let Some(past) = past else {
        if is_position {
            let gone = "What came after this position, or before it, is no longer kept.";
            return Err(Failure::client(StatusCode::GONE, gone));
        }
        return Ok("{\"id\":null,\"messages\":[]}\n".to_owned());
    };
    let mut json = format!("{{\"id\":\"{}\",\"messages\":[", past.top);
    for (index, message) in past.messages.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        let form = config.plain.positioned().encode(&Event::Message(message.clone()));
        if let Encoded::Shared(encoded) = form
            && let [Frame::Text(text)] = encoded.frames()
        {
            json.push_str(text);
        }
    }
    json.push_str(if past.more { "],\"more\":true}\n" } else { "]}\n" });
    Ok(json)
}
