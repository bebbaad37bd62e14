//! What is in the channels.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::ApiError;
use super::signature::Parameters;
use crate::realtime::hub::{ChannelQuery, Hub, ListedChannel};
use crate::realtime::pusher::PusherDoor;
use crate::realtime::pusher::machine::PusherApp;
use crate::realtime::pusher::name;
use crate::realtime::vocabulary::{Channel, Moment, Payload, Since, users};
use crate::shares::Holder;

/// Channels that doors tell each other of at a time.
const LISTED_AT_ONCE: usize = 5_000;

/// What is asked of a channel: `info=user_count,subscription_count,cache`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Info {
    users: bool,
    subscriptions: bool,
    cache: bool,
}

impl Info {
    /// # Errors
    /// 400 for what no channel knows.
    pub fn read(text: Option<&str>) -> Result<Info, ApiError> {
        let mut info = Info::default();
        for word in text.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "user_count" => info.users = true,
                "subscription_count" => info.subscriptions = true,
                "cache" => info.cache = true,
                word => {
                    return Err(ApiError::bad(format!(
                        "info is user_count, subscription_count or cache, not {word:?}"
                    )));
                }
            }
        }
        Ok(info)
    }

    pub fn is_asked(self) -> bool {
        self != Info::default()
    }

    /// What there is to say of a channel.
    pub fn of(self, hub: &Hub, app: &PusherApp, name: &str, channel: &Channel, now: Moment) -> Map<String, Value> {
        let users = if self.users { users(&hub.members(channel)).len() } else { 0 };
        self.told(hub, app, (name, channel), (users, hub.subscribers(channel)), now)
    }

    fn told(
        self,
        hub: &Hub,
        app: &PusherApp,
        (name, channel): (&str, &Channel),
        (users, subscribers): (usize, usize),
        now: Moment,
    ) -> Map<String, Value> {
        let mut told = Map::new();
        if self.users && name.starts_with("presence-") {
            told.insert("user_count".into(), users.into());
        }
        if self.subscriptions {
            told.insert("subscription_count".into(), subscribers.into());
        }
        if self.cache && name::ChannelKind::of(name).is_cache {
            told.insert("cache".into(), cached(hub, app, channel, now));
        }
        told
    }
}

/// The event that a cache channel remembers, and for how many seconds more.
fn cached(hub: &Hub, app: &PusherApp, channel: &Channel, now: Moment) -> Value {
    let past = hub.history(channel, Since::Last(1), 1, now);
    let Some(message) = past.and_then(|past| past.messages.into_iter().next()) else { return Value::Null };
    let data = match &message.draft.data {
        Payload::Text(text) | Payload::Json(text) => text.to_string(),
        Payload::Binary(_) => return Value::Null,
    };
    let age = now.unix_ms.saturating_sub(message.unix_ms) / 1000;
    json!({ "data": data, "ttl": app.settings().cache_age.as_secs().saturating_sub(age) })
}

impl PusherDoor {
    pub(super) async fn list_channels(&self, app: &Arc<PusherApp>, query: &Parameters) -> Result<String, ApiError> {
        let info = Info::read(query.get("info").map(String::as_str))?;
        let prefix = query.get("filter_by_prefix").map_or("", String::as_str);
        if info.users && !prefix.starts_with("presence-") {
            return Err(ApiError::bad("user_count is known of presence channels only: filter_by_prefix=presence-"));
        }
        let now = Moment::now();
        let mut query = ChannelQuery {
            prefix: format!("{}{prefix}", app.prefix()),
            after: None,
            // What is here already need not come in parts.
            most: if self.hub.is_shared() { LISTED_AT_ONCE } else { usize::MAX },
            with_users: info.users,
        };
        let mut told = Map::new();
        loop {
            let (channels, next) = self.hub.list_channels(&query).await;
            for ListedChannel { overview, users } in
                channels.into_iter().filter(|listed| listed.overview.subscribers > 0)
            {
                let Some(name) = app.name(&overview.name) else { continue };
                if info.cache && name::ChannelKind::of(name).is_cache {
                    self.hub.mirror(&overview.name, Holder::Trusted).await?;
                }
                let counts = (users, overview.subscribers);
                let of_it = info.told(&self.hub, app, (name, &overview.name), counts, now);
                told.insert(name.to_owned(), Value::Object(of_it));
            }
            let Some(next) = next else { break };
            query.after = Some(next.as_str().to_owned());
        }
        Ok(json!({ "channels": told }).to_string())
    }

    pub(super) async fn look_at_channel(
        &self,
        app: &Arc<PusherApp>,
        name: &str,
        query: &Parameters,
    ) -> Result<String, ApiError> {
        let channel = app.channel(name).ok_or_else(|| ApiError::no_channel(name))?;
        let info = Info::read(query.get("info").map(String::as_str))?;
        if info.users && !name.starts_with("presence-") {
            return Err(ApiError::bad("user_count is known of presence channels only"));
        }
        self.hub.mirror(&channel, Holder::Trusted).await?;
        let mut told = Map::from_iter([("occupied".to_owned(), (self.hub.subscribers(&channel) > 0).into())]);
        told.extend(info.of(&self.hub, app, name, &channel, Moment::now()));
        Ok(Value::Object(told).to_string())
    }

    pub(super) async fn list_members(&self, app: &Arc<PusherApp>, name: &str) -> Result<String, ApiError> {
        let channel = app.channel(name).ok_or_else(|| ApiError::no_channel(name))?;
        if !name.starts_with("presence-") {
            return Err(ApiError::bad("Users are known of presence channels only"));
        }
        self.hub.mirror(&channel, Holder::Trusted).await?;
        let members = users(&self.hub.members(&channel));
        let users: Vec<Value> = members.iter().map(|member| json!({ "id": &**member.name() })).collect();
        Ok(json!({ "users": users }).to_string())
    }
}
