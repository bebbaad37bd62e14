//! What is there for the moment: who is in a room, what is said to all, and who is shown there without a connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::answer::{RestAnswer, RestError};
use super::{users, value};
use crate::json;
use crate::realtime::liveblocks::LiveblocksDoor;
use crate::realtime::liveblocks::machine::{Editor, known};
use crate::realtime::liveblocks::room::Invalid;
use crate::realtime::liveblocks::scopes::{BaseAccess, Scopes};
use crate::realtime::vocabulary::{Audience, Channel, Draft, Moment, Payload, Publish, Text};
use crate::shares::Holder;

/// How long somebody is shown, in seconds.
const TTL: u64 = 60;
const SHORTEST_TTL: u64 = 2;
const LONGEST_TTL: u64 = 3_599;
/// The longest that a visitor shows, in bytes of JSON.
const LONGEST_PRESENCE: usize = 64 * 1024;

impl LiveblocksDoor {
    pub(super) async fn active_users(&self, room: &str, channel: &Channel) -> Result<RestAnswer, RestError> {
        self.existing(room).await?;
        self.hub.mirror(channel, Holder::Trusted).await?;
        let members = self.hub.members(channel);
        let told = members.iter().filter_map(|member| {
            let (actor, user) = known(member)?;
            let mut user: Map<String, Value> = json::from_str(user).ok()?;
            user.remove("scopes");
            user.entry("id").or_insert(Value::Null);
            user.insert("type".to_owned(), "user".into());
            user.insert("connectionId".to_owned(), actor.parse::<u64>().ok()?.into());
            Some(Value::Object(user))
        });
        Ok(RestAnswer::json(&json!({ "data": told.collect::<Vec<_>>() })))
    }

    /// Says something to all who are in a room, as nobody of them.
    pub(super) async fn broadcast(
        &self,
        channel: &Channel,
        body: &Bytes,
        now: Moment,
    ) -> Result<RestAnswer, RestError> {
        let event = value(body)?;
        let draft = Draft::new(Payload::Json(event.to_string().into()));
        let audience = Audience::Channel(channel.clone());
        self.hub.publish_shared(Publish { ticket: 0, audience, draft, echo: true }, now).await?;
        Ok(RestAnswer::done())
    }

    /// Shows a user in a room for a while.
    pub(super) async fn show_visitor(
        self: &Arc<Self>,
        channel: &Channel,
        body: &Map<String, Value>,
    ) -> Result<RestAnswer, RestError> {
        let user: Arc<str> = users::user(body)?.into();
        let info = users::info(body)?.map(Text::from);
        let data = match body.get("data") {
            Some(data @ Value::Object(_)) => data.to_string(),
            _ => return Err(Invalid::new("data", "an object is needed").into()),
        };
        if data.len() > LONGEST_PRESENCE {
            return Err(Invalid::new("data", format!("it is longer than {LONGEST_PRESENCE} bytes of JSON")).into());
        }
        let ttl = match body.get("ttl") {
            None | Some(Value::Null) => TTL,
            Some(ttl) => ttl.as_u64().filter(|ttl| (SHORTEST_TTL..=LONGEST_TTL).contains(ttl)).ok_or_else(|| {
                Invalid::new("ttl", format!("a number of seconds from {SHORTEST_TTL} to {LONGEST_TTL} is needed"))
            })?,
        };
        let actor = match self.visitors.actor_of(channel, &user, info.as_ref()) {
            Some(actor) => actor,
            None => self.new_actor(channel).await?,
        };
        self.hub.mirror(channel, Holder::Trusted).await?;
        let scopes = Scopes::of_base(BaseAccess::Write);
        let editor = Editor { actor, user: Some(user), info, scopes };
        self.visitors.show(&self.hub, channel, (editor, data.into()), Duration::from_secs(ttl))?;
        Ok(RestAnswer::done())
    }

    /// A number in a room that nobody has had.
    async fn new_actor(&self, channel: &Channel) -> Result<u64, RestError> {
        let documents = self.hub.documents().ok_or_else(|| RestError::unavailable("There are no documents here"))?;
        let lease = documents.open(channel).await?;
        Ok(lease.room().enter(None).await?)
    }
}
