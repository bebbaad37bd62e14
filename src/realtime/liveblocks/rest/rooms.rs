//! Rooms: made, found, described otherwise, and taken away.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answer::{RestAnswer, RestError};
use super::{Call, room_name};
use crate::realtime::liveblocks::LiveblocksDoor;
use crate::realtime::liveblocks::machine::{NO_ACCESS, RENAMED};
use crate::realtime::liveblocks::room::{Invalid, RoomFilter, RoomQuery, RoomRecord, text};
use crate::realtime::liveblocks::rooms::RoomCursor;
use crate::realtime::vocabulary::{Channel, DisconnectReason, Text};

/// Rooms of a page where nobody says how many.
const PAGE: usize = 20;
const LONGEST_PAGE: usize = 100;

impl LiveblocksDoor {
    pub(super) async fn get_room(&self, room: &str) -> Result<RestAnswer, RestError> {
        let record = self.existing(room).await?;
        Ok(self.described(room, record))
    }

    fn described(&self, room: &str, record: RoomRecord) -> RestAnswer {
        RestAnswer::json(&self.access.complete(record).describe(room))
    }

    pub(super) async fn list_rooms(&self, call: &Call<'_>) -> Result<RestAnswer, RestError> {
        let most = match call.said("limit").map(|limit| limit.parse::<usize>()) {
            None => PAGE,
            Some(Ok(most)) if (1..=LONGEST_PAGE).contains(&most) => most,
            Some(_) => return Err(Invalid::new("limit", format!("a number from 1 to {LONGEST_PAGE} is needed")).into()),
        };
        let after = match call.said("startingAfter").map(|cursor| RoomCursor::read(&cursor)) {
            None => None,
            Some(Some(cursor)) => Some(cursor),
            Some(None) => {
                return Err(Invalid::new("startingAfter", "this is no nextCursor of an earlier answer").into());
            }
        };
        let groups = call.said("groupIds").unwrap_or_default();
        let filter = RoomFilter {
            query: RoomQuery::parse(&call.said("query").unwrap_or_default())?,
            user: call.said("userId"),
            groups: groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect(),
            organization: call.said("organizationId"),
        };
        let page = self.rooms.with(move |rooms| rooms.page(&filter, after.as_ref(), most)).await?;
        let describe = |(room, record): (String, RoomRecord)| self.access.complete(record).describe(&room);
        let data: Vec<Value> = page.rooms.into_iter().map(describe).collect();
        Ok(RestAnswer::json(&json!({ "nextCursor": page.next, "data": data })))
    }

    pub(super) async fn create_room(&self, call: &Call<'_>, body: Map<String, Value>) -> Result<RestAnswer, RestError> {
        let room = text(&body, "id")?.ok_or_else(|| Invalid::new("id", "a string is needed"))?.to_owned();
        room_name(&room)?;
        let made = RoomRecord::create(&body, call.now.unix_ms)?;
        let is_idempotent = call.parameter("idempotent").is_some_and(|value| value != "false");
        let change = move |known: Option<RoomRecord>| match known {
            None => (Some(made.clone()), Ok(made.clone())),
            Some(known) if is_idempotent => (None, Ok(known)),
            Some(_) => (None, Err(())),
        };
        let name = room.clone();
        let made = self.rooms.with(move |rooms| rooms.change(&name, change)).await?;
        Ok(self.described(&room, made.map_err(|()| RestError::room_exists(&room))?))
    }

    pub(super) async fn update_room(&self, room: &str, body: Map<String, Value>) -> Result<RestAnswer, RestError> {
        let change = move |known: Option<RoomRecord>| {
            let Some(mut record) = known else { return (None, Ok(None)) };
            match record.update(&body) {
                Ok(()) => (Some(record.clone()), Ok(Some(record))),
                Err(invalid) => (None, Err(invalid)),
            }
        };
        let name = room.to_owned();
        let updated = self.rooms.with(move |rooms| rooms.change(&name, change)).await??;
        Ok(self.described(room, updated.ok_or_else(|| RestError::no_room(room))?))
    }

    /// Updates a room that is there, or makes it.
    pub(super) async fn upsert_room(
        &self,
        call: &Call<'_>,
        room: &str,
        body: Map<String, Value>,
    ) -> Result<RestAnswer, RestError> {
        let part = |field: &str| match body.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(part)) => Ok(Some(part.clone())),
            Some(_) => Err(Invalid::new(field, "an object is needed")),
        };
        let update = part("update")?.ok_or_else(|| Invalid::new("update", "an object is needed"))?;
        // What it is made of is what it is updated with, where nothing else is said.
        let create = part("create")?;
        let now = call.now.unix_ms;
        let change = move |known: Option<RoomRecord>| {
            let next = match known {
                Some(mut record) => record.update(&update).map(|()| record),
                None => match &create {
                    Some(create) => RoomRecord::create(create, now),
                    None => {
                        let mut record = RoomRecord::new(now);
                        record.update(&update).map(|()| record)
                    }
                },
            };
            match next {
                Ok(record) => (Some(record.clone()), Ok(record)),
                Err(invalid) => (None, Err(invalid)),
            }
        };
        let name = room.to_owned();
        let record = self.rooms.with(move |rooms| rooms.change(&name, change)).await??;
        Ok(self.described(room, record))
    }

    /// Takes a room away, and all that is in it. Who is there gives up.
    pub(super) async fn delete_room(&self, channel: &Channel) -> Result<RestAnswer, RestError> {
        self.visitors.leave(channel);
        let reason = Text::from_static("the room was deleted");
        self.hub.delete_documents(channel, &DisconnectReason::Kicked { code: Some(NO_ACCESS), reason }).await?;
        Ok(RestAnswer::gone())
    }

    /// Has a room go by another name. Who is there is told the name.
    pub(super) async fn rename_room(
        self: &Arc<Self>,
        channel: &Channel,
        body: &Map<String, Value>,
    ) -> Result<RestAnswer, RestError> {
        let new = text(body, "newRoomId")?.ok_or_else(|| Invalid::new("newRoomId", "a string is needed"))?;
        let new_channel = room_name(new)?;
        let record = self.existing(channel.as_str()).await?;
        if new_channel == *channel {
            return Ok(self.described(new, record));
        }
        self.visitors.leave(channel);
        // 123 bytes are all that the reason of a close frame may have: a longer name is asked for again.
        let reason = Text::from(if new.len() <= 123 { new } else { "" });
        let why = DisconnectReason::Kicked { code: Some(RENAMED), reason };
        self.hub.move_documents(channel, &new_channel, &why).await?;
        let record = self.existing(new).await?;
        self.rooms.known(new, &record);
        Ok(self.described(new, record))
    }
}
