//! Events of the app's server: one for up to a hundred channels, a batch of up to ten, or one for a user.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::ApiError;
use super::channels::Info;
use crate::json;
use crate::realtime::pusher::PusherDoor;
use crate::realtime::pusher::machine::PusherApp;
use crate::realtime::pusher::name;
use crate::realtime::vocabulary::{Channel, ConnectionId, Draft, Moment, Payload};
use crate::shares::Holder;

#[derive(Deserialize)]
struct EventBody<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    channels: Option<Vec<String>>,
    #[serde(default)]
    socket_id: Option<String>,
    #[serde(default)]
    info: Option<String>,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Vec<EventBody<'a>>,
}

#[derive(Deserialize)]
struct UserEvent<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// A channel's name, and what was asked of it.
type Named = (String, Map<String, Value>);

/// An event that can be published.
struct Ready {
    channels: Vec<(String, Channel)>,
    draft: Draft,
    but: Option<ConnectionId>,
    info: Info,
}

/// Reads a body. Where it has what only JavaScript has values for, it is read from `tamed`.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], tamed: &'a mut Option<String>) -> Result<T, ApiError> {
    let read = serde_json::from_slice(body).or_else(|error| {
        *tamed = std::str::from_utf8(body).ok().and_then(json::tame);
        tamed.as_deref().map_or(Err(error), |text| serde_json::from_str(text))
    });
    read.map_err(|error| ApiError::bad(format!("The body is not what is expected: {error}")))
}

impl PusherDoor {
    pub(super) async fn publish_event(&self, app: &Arc<PusherApp>, body: &[u8]) -> Result<String, ApiError> {
        let mut tamed = None;
        let ready = Ready::new(app, parse(body, &mut tamed)?)?;
        let told = self.publish_ready(app, &ready).await?;
        if !ready.info.is_asked() {
            return Ok("{}".to_owned());
        }
        let channels: Map<String, Value> = told.into_iter().map(|(name, info)| (name, Value::Object(info))).collect();
        Ok(serde_json::json!({ "channels": channels }).to_string())
    }

    pub(super) async fn publish_batch(&self, app: &Arc<PusherApp>, body: &[u8]) -> Result<String, ApiError> {
        let mut tamed = None;
        let Batch { batch } = parse(body, &mut tamed)?;
        let most = app.settings().max_batch;
        if batch.len() > most {
            return Err(ApiError::bad(format!("A batch has at most {most} events, this one {}", batch.len())));
        }
        // All of them are looked at before the first is said.
        let ready: Vec<Ready> = batch.into_iter().map(|wire| Ready::new(app, wire)).collect::<Result<_, _>>()?;
        let mut told = Vec::with_capacity(ready.len());
        for event in &ready {
            told.push(self.publish_ready(app, event).await?.pop().map(|(_, info)| info).unwrap_or_default());
        }
        let is_asked = ready.iter().any(|event| event.info.is_asked());
        Ok(if is_asked { serde_json::json!({ "batch": told }).to_string() } else { "{}".to_owned() })
    }

    pub(super) async fn publish_to_user(
        &self,
        app: &Arc<PusherApp>,
        user: &str,
        body: &[u8],
    ) -> Result<String, ApiError> {
        let mut tamed = None;
        let UserEvent { name, data } = parse(body, &mut tamed)?;
        let channels = Some(vec![name::channel_of(user)]);
        let wire = EventBody { name, data, channel: None, channels, socket_id: None, info: None };
        self.publish_ready(app, &Ready::new(app, wire)?).await?;
        Ok("{}".to_owned())
    }

    /// Says it in each of its channels, and what was asked of them.
    async fn publish_ready(&self, app: &PusherApp, event: &Ready) -> Result<Vec<Named>, ApiError> {
        let mut told = Vec::new();
        for (name, channel) in &event.channels {
            // A client may be in all of them.
            self.hub.yield_to_writers().await;
            let now = Moment::now();
            self.hub.publish_to_shared(channel, event.draft.clone(), event.but, now).await?;
            if event.info.is_asked() {
                self.hub.mirror(channel, Holder::Trusted).await?;
            }
            told.push((name.clone(), event.info.of(&self.hub, app, name, channel, now)));
        }
        Ok(told)
    }
}

impl Ready {
    fn new(app: &PusherApp, wire: EventBody) -> Result<Ready, ApiError> {
        let settings = app.settings();
        let EventBody { name: event, data, channel, channels, socket_id, info } = wire;
        if event.is_empty() || event.chars().count() > name::MAX_NAME_LEN {
            return Err(ApiError::bad(format!("The event's name has 1 to {} characters", name::MAX_NAME_LEN)));
        }
        if name::is_reserved(&event) {
            return Err(ApiError::bad("Names that begin with pusher: or pusher_internal: are the server's own"));
        }
        let names: Vec<String> = channels.unwrap_or_default().into_iter().chain(channel).collect();
        let most = settings.max_event_channels;
        if names.is_empty() || names.len() > most {
            return Err(ApiError::bad(format!("An event is for 1 to {most} channels, this one for {}", names.len())));
        }
        if names.len() > 1 && names.iter().any(|name| name.starts_with("private-encrypted-")) {
            return Err(ApiError::bad("An event for an encrypted channel is for no other"));
        }
        let channels = names.into_iter().map(|name| match app.channel(&name) {
            Some(channel) => Ok((name, channel)),
            None => Err(ApiError::no_channel(&name)),
        });
        let data = payload(data);
        let most = settings.max_event.bytes();
        if data.len() > most {
            let words = format!("The data content of this event exceeds the allowed maximum ({most} bytes)");
            return Err(ApiError::too_big(words));
        }
        let but = match socket_id.as_deref() {
            None | Some("") => None,
            Some(id) if name::is_socket_id(id) => name::connection(id),
            Some(id) => return Err(ApiError::bad(format!("Invalid socket id: {id:?}"))),
        };
        let mut draft = Draft::new(data);
        draft.name = Some(event.as_ref().into());
        Ok(Ready { channels: channels.collect::<Result<_, _>>()?, draft, but, info: Info::read(info.as_deref())? })
    }
}

/// What is published of `data`: text that is JSON is JSON to those who read more than strings.
fn payload(data: &RawValue) -> Payload {
    let text = serde_json::from_str::<Cow<str>>(data.get()).or_else(|_| json::from_str(data.get()).map(Cow::Owned));
    match text {
        Ok(text) if serde_json::from_str::<IgnoredAny>(&text).is_ok() => Payload::Json(text.as_ref().into()),
        Ok(text) => Payload::Text(text.as_ref().into()),
        Err(_) => Payload::Json(data.get().into()),
    }
}
