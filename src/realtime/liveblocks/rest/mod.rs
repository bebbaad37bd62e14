//! The REST API of the app's server, `/v2/…`, and the little that pages ask without a socket, `/v2/c/…`.

mod answer;
mod elsewhere;
mod live;
mod rooms;
mod storage;
mod users;
mod ydoc;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method};
use http_body_util::{BodyExt, Limited};
use percent_encoding::percent_decode_str;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde_json::{Map, Value};
use tokio::time::timeout;

use self::answer::{RestAnswer, RestError};
use super::LiveblocksDoor;
use super::room::{Invalid, RoomRecord, name};
use super::route;
use crate::http::query::parameter;
use crate::http::{Body, Facts, Failure, Request, Response};
use crate::json;
use crate::realtime::entrance::cors::{AllowedHeaders, Cors};
use crate::realtime::entrance::origin::From;
use crate::realtime::entrance::{self, facts};
use crate::realtime::hub::documents::RoomLease;
use crate::realtime::vocabulary::{Channel, Moment};
use crate::telemetry::Registry;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest body that is no document, in bytes.
const BODY_LEN: usize = 4 * 1024 * 1024;

/// What pages of allowed origins may do.
const CORS: Cors = Cors {
    methods: "GET, POST, PUT, PATCH, DELETE",
    headers: AllowedHeaders::These("authorization, content-type, x-lb-client"),
    varies_by: None,
};

/// What those pages may read besides.
const EXPOSED: HeaderValue = HeaderValue::from_static("x-lb-warn");

/// Counts requests by the status of the answer.
#[derive(Debug, Default)]
pub struct RestMetrics {
    requests: Family<Status, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

impl RestMetrics {
    pub fn new(registry: &mut Registry) -> RestMetrics {
        let metrics = RestMetrics::default();
        let help = "Requests to the REST API of Liveblocks, by the status of the answer";
        registry.sub_registry_with_prefix("liveblocks").register("requests", help, metrics.requests.clone());
        metrics
    }
}

/// One request, without its body.
struct Call<'a> {
    head: &'a Parts,
    facts: &'a Facts,
    config: &'a entrance::Config,
    now: Moment,
}

impl Call<'_> {
    fn parameter(&self, key: &str) -> Option<String> {
        parameter(self.head.uri.query(), key)
    }

    /// A parameter whose absence and emptiness are one.
    fn said(&self, key: &str) -> Option<String> {
        self.parameter(key).filter(|value| !value.is_empty())
    }
}

impl LiveblocksDoor {
    /// Answers a request whose credentials are of this protocol, or a page that asks whether it may send one.
    ///
    /// # Errors
    /// 403 for pages of other sites.
    pub(super) async fn rest(
        self: &Arc<Self>,
        config: &entrance::Config,
        request: Request,
    ) -> Result<Response, Failure> {
        let (head, body) = request.into_parts();
        let facts = facts(&head)?;
        // Nothing here goes by cookies: who says no origin is no page, and needs none.
        let from = match head.headers.contains_key(ORIGIN) {
            true => self.entrance.check_origin(&config.origins, &head.headers, &facts)?,
            false => From::Here,
        };
        if let Some(response) = CORS.preflight(&head, &from) {
            return Ok(response);
        }
        let (head, body, _held) = match self.pass_rest(head, body).await? {
            Ok(response) => {
                self.count(response.status().as_u16());
                return Ok(response);
            }
            Err(kept) => kept,
        };
        let call = Call { head: &head, facts: &facts, config, now: Moment::now() };
        let answer = self.rest_answer(&call, body).await;
        self.count(answer.as_ref().map_or_else(RestError::status, RestAnswer::status));
        let mut response = answer.map_or_else(RestError::into_response, RestAnswer::into_response);
        CORS.share(response.headers_mut(), &from);
        if matches!(from, From::Elsewhere(_)) {
            response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        Ok(response)
    }

    fn count(&self, status: u16) {
        self.metrics.requests.get_or_create(&Status { status }).inc();
    }

    async fn rest_answer(self: &Arc<Self>, call: &Call<'_>, body: Body) -> Result<RestAnswer, RestError> {
        let bearer = route::bearer(&call.head.headers).unwrap_or_default();
        let path = call.head.uri.path();
        let decoded = |segment: &str| percent_decode_str(segment).decode_utf8().map(String::from);
        let segments: Result<Vec<String>, _> = path.split('/').skip(2).map(decoded).collect();
        let segments = segments.map_err(|_| RestError::invalid("The path is not UTF-8"))?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let method = &call.head.method;
        if let ["c", rest @ ..] = &segments[..] {
            return match (method, rest) {
                (&Method::GET, ["rooms", room, "storage"]) => self.client_storage(call, bearer, room).await,
                _ => Err(RestError::not_available(&format!("{method} {path}"))),
            };
        }
        // Before the body: who may not ask has nothing read.
        if !self.access.is_secret(bearer) {
            let what = if bearer.starts_with("sk_") { "This is not the secret key" } else { "A secret key is needed" };
            return Err(RestError::forbidden(format!("{what} (sk_…) of this server")));
        }
        match (method, &segments[..]) {
            (&Method::POST, ["authorize-user"]) => self.authorize_user(call, &object(read(body, BODY_LEN).await?)?),
            (&Method::POST, ["identify-user"]) => self.identify_user(call, &object(read(body, BODY_LEN).await?)?),
            (&Method::GET, ["rooms"]) => self.list_rooms(call).await,
            (&Method::POST, ["rooms"]) => self.create_room(call, object(read(body, BODY_LEN).await?)?).await,
            (_, ["rooms", room, rest @ ..]) => self.in_room(call, room, rest, body).await,
            _ => Err(RestError::not_available(&format!("{method} {path}"))),
        }
    }

    async fn in_room(
        self: &Arc<Self>,
        call: &Call<'_>,
        room: &str,
        rest: &[&str],
        body: Body,
    ) -> Result<RestAnswer, RestError> {
        let channel = room_name(room)?;
        let method = &call.head.method;
        match (method, rest) {
            (&Method::GET, []) => self.get_room(room).await,
            (&Method::POST, []) => self.update_room(room, object(read(body, BODY_LEN).await?)?).await,
            (&Method::DELETE, []) => self.delete_room(&channel).await,
            (&Method::POST, ["upsert"]) => self.upsert_room(call, room, object(read(body, BODY_LEN).await?)?).await,
            (&Method::POST, ["update-room-id"]) => {
                self.rename_room(&channel, &object(read(body, BODY_LEN).await?)?).await
            }
            (&Method::GET, ["prewarm"]) => {
                self.open_room(room, &channel).await?;
                Ok(RestAnswer::done())
            }
            (&Method::GET, ["active-users" | "active_users"]) => self.active_users(room, &channel).await,
            (&Method::POST, ["broadcast-event" | "broadcast_event"]) => {
                self.existing(room).await?;
                self.broadcast(&channel, &read(body, BODY_LEN).await?, call.now).await
            }
            (&Method::POST, ["presence"]) => {
                self.existing(room).await?;
                self.show_visitor(&channel, &object(read(body, BODY_LEN).await?)?).await
            }
            _ => match self.in_documents(call, (room, &channel), rest, body).await {
                Some(answer) => answer,
                None => Err(RestError::not_available(&format!("{method} {}", call.head.uri.path()))),
            },
        }
    }

    /// What is asked of a room's documents; `None` where nothing of that kind is.
    async fn in_documents(
        self: &Arc<Self>,
        call: &Call<'_>,
        (room, channel): (&str, &Channel),
        rest: &[&str],
        body: Body,
    ) -> Option<Result<RestAnswer, RestError>> {
        let method = &call.head.method;
        let is_known = matches!(
            (method, rest),
            (&Method::GET, ["storage" | "ydoc" | "ydoc-binary"])
                | (&Method::POST, ["storage" | "request-storage-mutation" | "send-message"])
                | (&Method::DELETE, ["storage"])
                | (&Method::PATCH, ["storage", "json-patch"])
                | (&Method::PUT, ["ydoc"])
        );
        if !is_known {
            return None;
        }
        Some(
            async {
                let lease = self.open_room(room, channel).await?;
                let documents = lease.room();
                let most = self.longest_document();
                let answer = match (method, rest) {
                    (&Method::GET, ["storage"]) => LiveblocksDoor::read_storage(call, documents),
                    (&Method::GET, ["ydoc"]) => LiveblocksDoor::read_ydoc(call, documents),
                    (&Method::GET, ["ydoc-binary"]) => LiveblocksDoor::read_ydoc_binary(call, documents),
                    (&Method::DELETE, ["storage"]) => self.delete_storage(documents),
                    (&Method::POST, ["request-storage-mutation"]) => LiveblocksDoor::request_mutation(documents).await,
                    (&Method::POST, ["storage"]) => self.make_storage(documents, &read(body, most).await?).await,
                    (&Method::PATCH, _) => self.patch_storage(documents, &read(body, most).await?).await,
                    (&Method::PUT, _) => self.update_ydoc(call, documents, read(body, most).await?),
                    _ => self.send_messages(documents, &read(body, most).await?, call.now).await,
                }?;
                documents.settled().await?;
                Ok(answer)
            }
            .await,
        )
    }

    /// The longest body that is a document, in bytes: escapes and structure take room too.
    fn longest_document(&self) -> usize {
        let limits = self.hub.documents().map(|documents| documents.limits());
        let most = limits.map_or(0, |limits| limits.max_tree.bytes().max(limits.max_yjs.bytes()));
        BODY_LEN.saturating_add(most.saturating_mul(2))
    }

    /// The record of a room that has to be there.
    ///
    /// # Errors
    /// 404 where it is not, 503 where it cannot be read.
    async fn existing(&self, room: &str) -> Result<RoomRecord, RestError> {
        let name = room.to_owned();
        let record = self.rooms.with(move |rooms| rooms.get(&name)).await?;
        record.ok_or_else(|| RestError::no_room(room))
    }

    /// The documents of a room that has to be there.
    ///
    /// # Errors
    /// As [`LiveblocksDoor::existing`].
    async fn open_room(&self, room: &str, channel: &Channel) -> Result<RoomLease, RestError> {
        self.existing(room).await?;
        let documents = self.hub.documents().ok_or_else(|| RestError::unavailable("There are no documents here"))?;
        Ok(documents.open(channel).await?)
    }
}

/// The channel of a room.
fn room_name(room: &str) -> Result<Channel, RestError> {
    let bad = |error: &dyn std::fmt::Display| Invalid::new("roomId", error.to_string());
    name("roomId", room)?;
    Ok(Channel::new(room).map_err(|error| bad(&error))?)
}

/// Reads a body of at most `most` bytes.
async fn read(body: Body, most: usize) -> Result<Bytes, RestError> {
    match timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(RestError::too_big(format!("The request is longer than {most} bytes")))
        }
        Ok(Err(_)) => Err(RestError::invalid("The body broke off")),
        Err(_) => Err(RestError::invalid("The body took too long")),
    }
}

/// A body that is JSON.
fn value(body: &Bytes) -> Result<Value, RestError> {
    json::from_slice(body).map_err(|error| RestError::invalid(format!("The body is not JSON: {error}")))
}

/// A body that is a JSON object.
fn object(body: Bytes) -> Result<Map<String, Value>, RestError> {
    match value(&body)? {
        Value::Object(object) => Ok(object),
        _ => Err(RestError::invalid("The body is a JSON object")),
    }
}
