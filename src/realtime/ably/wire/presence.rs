//! Who comes, goes and shows what, as it travels and as the hub has it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Format;
use super::carried::{self, Carried};
use super::data::{self, Data};
use super::error::AblyError;
use crate::realtime::vocabulary::{Member, Presence};

/// There, as a list says.
pub const PRESENT: u8 = 1;
pub const ENTER: u8 = 2;
pub const LEAVE: u8 = 3;
pub const UPDATE: u8 = 4;

/// One member, and what it does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AblyPresence {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub action: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extras: Option<Value>,
}

impl AblyPresence {
    /// The member that it is about, as `client` of `connection`; `id` is its name on the wire where it has none.
    ///
    /// # Errors
    /// 40013 for its data, 40000 for its extras.
    pub fn member(self, client: &str, connection: &str, id: impl FnOnce() -> String) -> Result<Member, AblyError> {
        let extras = carried::extras(self.extras, "A member's")?;
        let is_empty = self.data.is_none();
        let (payload, encoding) = data::payload(self.data, self.encoding)?;
        let is_known = |id: &String| id.strip_prefix(connection).is_some_and(|rest| rest.starts_with(':'));
        let carried = Carried {
            id: Some(self.id.filter(is_known).unwrap_or_else(id)),
            connection: Some(connection.to_owned()),
            encoding,
            extras,
            is_empty,
            action: Some(self.action),
            ..Carried::default()
        };
        Ok(Member {
            user: Some(client.into()),
            info: (!is_empty).then_some(payload),
            extras: carried.extras(),
            ..Member::new(key(connection, client))
        })
    }

    /// A member in a list of those who are there.
    pub fn present(member: &Member, format: Format) -> AblyPresence {
        shown(member, PRESENT, Carried::of(&member.extras), member.unix_ms, format)
    }

    /// What became of a member.
    pub fn changed(change: Presence, member: &Member, unix_ms: u64, format: Format) -> AblyPresence {
        let mut carried = Carried::of(&member.extras);
        let told = carried.as_ref().and_then(|carried| carried.action);
        let action = match (change, told) {
            (Presence::Left, _) => LEAVE,
            (_, Some(action @ (ENTER | UPDATE))) => action,
            (Presence::Joined, _) => ENTER,
            (Presence::Updated, _) => UPDATE,
        };
        // A leave that it did not say itself has no id of its own, and counts by its time.
        if change == Presence::Left
            && told != Some(LEAVE)
            && let Some(carried) = &mut carried
        {
            carried.id = None;
        }
        shown(member, action, carried, unix_ms, format)
    }
}

/// The key of a member: one client of one connection.
pub fn key(connection: &str, client: &str) -> Arc<str> {
    format!("{connection}:{client}").into()
}

fn shown(member: &Member, action: u8, carried: Option<Carried>, unix_ms: u64, format: Format) -> AblyPresence {
    // Of another dialect: its connection is what makes it one member.
    let connection = if carried.is_some() { None } else { Some(member.key.to_string()) };
    let carried = carried.unwrap_or_default();
    let shown = member.info.as_ref().map(|info| data::shown(info, carried.encoding.as_deref(), format));
    let (data, encoding) = shown.map_or((None, None), |(data, encoding)| (Some(data), encoding));
    AblyPresence {
        id: carried.id,
        action,
        client_id: Some(member.name().to_string()),
        connection_id: carried.connection.or(connection),
        data,
        encoding,
        timestamp: Some(unix_ms),
        extras: carried.extras.map(Value::Object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::Payload;

    #[test]
    fn a_leave_by_the_door_has_no_id() {
        let enter = AblyPresence { action: ENTER, data: Some(Data::Text("x".into())), ..AblyPresence::default() };
        let member = enter.member("ann", "conn", || "conn:3:0".into()).unwrap();
        assert_eq!((&*member.key, member.user.as_deref()), ("conn:ann", Some("ann")));
        let changed = |change, member: &Member| AblyPresence::changed(change, member, 5, Format::Json);
        let entered = changed(Presence::Joined, &member);
        assert_eq!((entered.id.as_deref(), entered.action, entered.timestamp), (Some("conn:3:0"), ENTER, Some(5)));
        assert_eq!(changed(Presence::Updated, &member).action, ENTER, "told as it was sent");
        let lost = changed(Presence::Left, &member);
        assert_eq!((lost.id, lost.action, lost.data), (None, LEAVE, Some(Data::Text("x".into()))));
        let leave = AblyPresence { action: LEAVE, ..AblyPresence::default() };
        let parting = leave.member("ann", "conn", || "conn:4:0".into()).unwrap();
        assert_eq!(changed(Presence::Left, &parting).id.as_deref(), Some("conn:4:0"));
    }

    #[test]
    fn ids_of_another_connection_are_not_believed() {
        let again = |id: &str| {
            let item = AblyPresence { action: ENTER, id: Some(id.into()), ..AblyPresence::default() };
            let member = item.member("ann", "conn", || "conn:9:0".into()).unwrap();
            AblyPresence::present(&member, Format::Json).id.unwrap()
        };
        assert_eq!((&*again("conn:3:0"), &*again("other:3:0")), ("conn:3:0", "conn:9:0"));
    }

    #[test]
    fn members_of_other_dialects_have_a_time() {
        let member = Member { info: Some(Payload::Json("{}".into())), unix_ms: 7, ..Member::new("bob") };
        let shown = AblyPresence::present(&member, Format::Json);
        assert_eq!((shown.id, shown.timestamp, shown.encoding.as_deref()), (None, Some(7), Some("json")));
        assert_eq!((shown.client_id.as_deref(), shown.connection_id.as_deref()), (Some("bob"), Some("bob")));
    }
}
