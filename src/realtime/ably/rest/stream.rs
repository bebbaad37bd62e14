//! Channels as a stream of events: `/sse`, and `/event-stream`, which is one of lines for who does not ask for
//! Server-Sent Events.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

use std::sync::{Arc, OnceLock};

use http::header::ACCEPT;
use http::{HeaderName, Method};

use super::Call;
use crate::http::Response;
use crate::http::query::parameter;
use crate::realtime::ably::machine::{StreamChannel, StreamMachine, StreamOpening, positions};
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::stream::StreamStyle;
use crate::realtime::ably::{AblyDoor, STREAM_PATHS};
use crate::realtime::link::event_stream;

/// Channels of one stream, at most: each event says where it is in all of them.
const MAX_CHANNELS: usize = 50;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

impl Call<'_> {
    /// The form of the stream that is asked for; `None` where none is.
    pub(super) fn stream(&self, path: &str) -> Option<StreamStyle> {
        let name = path.strip_prefix('/').filter(|name| STREAM_PATHS.contains(name))?;
        if self.head.method != Method::GET {
            return None;
        }
        let accepts = self.head.headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
        let is_sse = name == "sse" || accepts.into_iter().any(|accept| accept.contains("text/event-stream"));
        let is_enveloped = parameter(self.query(), "enveloped").as_deref() != Some("false");
        Some(StreamStyle { is_sse, is_enveloped })
    }

    /// The channels that are named, as they are written.
    fn stream_channels(&self) -> Result<Vec<String>, AblyError> {
        let bad = |what: String| AblyError::new(40000, 400, what);
        let names = parameter(self.query(), "channels").or_else(|| parameter(self.query(), "channel"));
        let names = names.filter(|names| !names.is_empty());
        let names = names.ok_or_else(|| bad("A stream needs channels=NAME, or several with commas between".into()))?;
        let separator = parameter(self.query(), "separator").filter(|separator| !separator.is_empty());
        let names: Vec<String> =
            names.split(separator.as_deref().unwrap_or(",")).map(str::to_owned).take(MAX_CHANNELS + 1).collect();
        if names.len() > MAX_CHANNELS {
            return Err(bad(format!("A stream has at most {MAX_CHANNELS} channels")));
        }
        Ok(names)
    }

    /// What the client heard last. A stream that comes back repeats the query it began with: the header is newer.
    fn last_event(&self) -> Option<String> {
        let header = self.head.headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default().to_owned());
        header.filter(|id| !id.is_empty()).or_else(|| parameter(self.query(), "lastEvent")).filter(|id| !id.is_empty())
    }
}

impl AblyDoor {
    /// Has whoever asks listen, until it goes.
    ///
    /// # Errors
    /// Why it may not: as HTTP has it, so that it does not come again and again.
    pub(super) async fn listen(&self, call: &Call<'_>, style: StreamStyle) -> Result<Response, AblyError> {
        let caller = self.caller(call)?;
        let names = call.stream_channels()?;
        let last = call.last_event();
        let ids = last.as_deref().map_or_else(|| vec![None; names.len()], |id| positions(id, names.len()));
        let rewind = parameter(call.query(), "rewind").filter(|rewind| !rewind.is_empty());
        let mut channels: Vec<StreamChannel> = Vec::with_capacity(names.len());
        for (name, id) in names.iter().zip(ids) {
            let channel = StreamChannel::read(&caller.auth, name, rewind.clone(), id)?;
            if channels.iter().any(|known| known.channel() == channel.channel()) {
                return Err(AblyError::new(40000, 400, format!("The channel {name:?} is named twice")));
            }
            channels.push(channel);
        }
        let hears_heartbeats = parameter(call.query(), "heartbeats").as_deref() == Some("true");
        let admitted = self.admit_caller(call, &caller).await?;
        let refused = Arc::new(OnceLock::new());
        let opening = StreamOpening {
            apps: Arc::clone(&self.apps),
            auth: caller.auth,
            style,
            hears_heartbeats,
            channels,
            refused: Arc::clone(&refused),
        };
        let session = self.sessions.begin(admitted, Box::new(StreamMachine::new(opening, call.now))).await;
        let (link, body) = if style.is_sse { event_stream::open() } else { event_stream::open_raw() };
        tokio::spawn(session.run(Box::new(link), event_stream::CLOSE_TIMEOUT));
        if let Some(error) = refused.get().cloned() {
            return Err(error);
        }
        Ok(body.into_response(if style.is_sse { "text/event-stream" } else { "application/json" }))
    }
}
