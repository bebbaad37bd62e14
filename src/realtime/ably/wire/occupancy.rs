//! How many are in a channel, as clients are told.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::data::Data;
use super::message::AblyMessage;
use crate::realtime::vocabulary::Occupancy;

/// The name of messages that say it.
const NAME: &str = "[meta]occupancy";

/// All counts of a channel.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OccupancyMetrics {
    connections: usize,
    publishers: usize,
    subscribers: usize,
    presence_connections: usize,
    presence_members: usize,
    presence_subscribers: usize,
    object_publishers: usize,
    object_subscribers: usize,
}

/// The counts that a client wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OccupancyWish {
    All,
    /// The one of this name.
    One(&'static str),
}

/// Those that may be wanted alone.
const ALONE: [&str; 6] =
    ["connections", "publishers", "subscribers", "presenceConnections", "presenceMembers", "presenceSubscribers"];

impl From<Occupancy> for OccupancyMetrics {
    fn from(occupancy: Occupancy) -> OccupancyMetrics {
        OccupancyMetrics {
            connections: occupancy.connections,
            publishers: occupancy.publishers,
            subscribers: occupancy.subscribers,
            presence_connections: occupancy.presence_connections,
            presence_members: occupancy.presence_members,
            presence_subscribers: occupancy.presence_subscribers,
            ..OccupancyMetrics::default()
        }
    }
}

impl OccupancyWish {
    /// What the parameter `occupancy` says; `None` for what is unknown.
    pub fn parse(text: &str) -> Option<OccupancyWish> {
        if text == "metrics" {
            return Some(OccupancyWish::All);
        }
        let alone = text.strip_prefix("metrics.")?;
        ALONE.into_iter().find(|known| *known == alone).map(OccupancyWish::One)
    }

    /// What is told of `occupancy`.
    pub fn metrics(self, occupancy: Occupancy) -> Value {
        let mut metrics = json!(OccupancyMetrics::from(occupancy));
        if let (OccupancyWish::One(name), Some(all)) = (self, metrics.as_object_mut()) {
            let alone = all.remove(name).unwrap_or_default();
            metrics = Value::Object(Map::from_iter([(name.to_owned(), alone)]));
        }
        metrics
    }
}

/// The message that tells of these `metrics`.
pub fn message(metrics: &Value, unix_ms: u64) -> AblyMessage {
    AblyMessage {
        id: Some(format!("{NAME}:{unix_ms}")),
        name: Some(NAME.to_owned()),
        data: Some(Data::Text(json!({ "metrics": metrics }).to_string())),
        encoding: Some("json".to_owned()),
        timestamp: Some(unix_ms),
        ..AblyMessage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_count_may_be_wanted_alone() {
        let occupancy = Occupancy { connections: 3, presence_members: 2, ..Occupancy::default() };
        for name in ALONE {
            let wish = OccupancyWish::parse(&format!("metrics.{name}"));
            let metrics = wish.expect(name).metrics(occupancy);
            assert!(metrics.as_object().is_some_and(|one| one.len() == 1 && one[name].is_u64()), "{metrics}");
        }
        assert_eq!(
            OccupancyWish::parse("metrics.presenceMembers").unwrap().metrics(occupancy),
            json!({ "presenceMembers": 2 })
        );
        assert_eq!(OccupancyWish::parse("metrics").unwrap().metrics(occupancy)["connections"], json!(3));
        for unknown in ["", "metrics.", "metrics.none", "all", "metrics.objectPublishers"] {
            assert_eq!(OccupancyWish::parse(unknown), None, "{unknown}");
        }
    }
}
