//! A room's storage: read, made, patched, taken away, and changed by operations as clients send them.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::answer::{RestAnswer, RestError};
use super::{Call, room_name, value};
use crate::json;
use crate::realtime::document::tree::{PatchOp, Tree};
use crate::realtime::entrance::Admitted;
use crate::realtime::hub::Authority;
use crate::realtime::hub::documents::{DocumentRoom, TreePatchError, names_of_nodes};
use crate::realtime::liveblocks::LiveblocksDoor;
use crate::realtime::liveblocks::access::RoomCredentials;
use crate::realtime::liveblocks::machine::{ClientMessage, read_messages};
use crate::realtime::liveblocks::room::Invalid;
use crate::realtime::vocabulary::{Channel, Command, DocumentChange, Moment, Subscribe};

/// Under which typed JSON says what a node is.
const TAG: &str = "liveblocksType";

/// The most operations of a patch.
const MOST_PATCHES: usize = 10_000;

impl LiveblocksDoor {
    pub(super) fn read_storage(call: &Call, documents: &DocumentRoom) -> Result<RestAnswer, RestError> {
        match call.said("format").as_deref() {
            None | Some("plain-lson") => Ok(RestAnswer::text(documents.with_tree(|tree| tree.to_typed_json(TAG)))),
            Some("json") => Ok(RestAnswer::text(documents.with_tree(Tree::to_json))),
            Some(_) => Err(Invalid::new("format", "plain-lson and json are known").into()),
        }
    }

    /// Fills an empty storage.
    pub(super) async fn make_storage(&self, documents: &DocumentRoom, body: &Bytes) -> Result<RestAnswer, RestError> {
        let value = value(body)?;
        let mut ids = names_of_nodes(documents).await?;
        let limits = self.hub.documents().map(|documents| documents.limits());
        let made = self.hub.edit_tree_by(documents, |tree| {
            if !tree.is_empty() {
                return Err(RestError::storage_exists());
            }
            let ops = Tree::ops_of_typed_json(TAG, &value, &mut ids);
            let ops = ops.map_err(|error| RestError::invalid(format!("This is no storage: {error}")))?;
            if limits.is_some_and(|limits| Tree::new(limits.tree()).apply(ops.clone()).heals) {
                return Err(RestError::too_big("This is more than a room's storage may have"));
            }
            Ok(ops)
        })?;
        made?;
        Ok(RestAnswer::text(documents.with_tree(|tree| tree.to_typed_json(TAG))))
    }

    pub(super) async fn patch_storage(&self, documents: &DocumentRoom, body: &Bytes) -> Result<RestAnswer, RestError> {
        let patch: Vec<PatchOp> =
            json::from_slice(body).map_err(|error| RestError::invalid(format!("This is no JSON Patch: {error}")))?;
        if patch.len() > MOST_PATCHES {
            return Err(RestError::invalid(format!("A patch has at most {MOST_PATCHES} operations")));
        }
        self.hub.patch_tree(documents, &patch).await.map_err(|error| match error {
            TreePatchError::Patch(error) => RestError::invalid(format!("The patch fails: {error}")),
            TreePatchError::Refused(refusal) => refusal.into(),
        })?;
        Ok(RestAnswer::done())
    }

    pub(super) fn delete_storage(&self, documents: &DocumentRoom) -> Result<RestAnswer, RestError> {
        self.hub.clear_tree(documents)?;
        Ok(RestAnswer::gone())
    }

    /// All nodes, and a number under which whoever asks may make others.
    pub(super) async fn request_mutation(documents: &DocumentRoom) -> Result<RestAnswer, RestError> {
        let mut lines = json!({ "actor": documents.enter(None).await? }).to_string();
        lines.push('\n');
        documents.with_tree(|tree| {
            for node in tree.nodes() {
                node.write_long(&mut lines);
                lines.push('\n');
            }
        });
        Ok(RestAnswer::lines(lines))
    }

    /// Takes what a client says on its socket, but for what only somebody who is there can say.
    pub(super) async fn send_messages(
        &self,
        documents: &DocumentRoom,
        body: &Bytes,
        now: Moment,
    ) -> Result<RestAnswer, RestError> {
        let body = value(body)?;
        let messages = body.get("messages").filter(|messages| messages.is_array());
        let messages = messages.ok_or_else(|| Invalid::new("messages", "a list is needed"))?.to_string();
        let messages = read_messages(&messages).map_err(|error| RestError::invalid(error.to_string()))?;
        let is_for_apps = |message: &ClientMessage| {
            use ClientMessage::{Event, UpdateStorage, UpdateYjs};
            matches!(message, UpdateStorage { .. } | UpdateYjs { .. } | Event { .. })
        };
        if let Some(place) = messages.iter().position(|message| !is_for_apps(message)) {
            return Err(RestError::invalid(format!("message {place}: only somebody in the room can say this")));
        }
        for message in messages {
            let change = match message {
                ClientMessage::UpdateStorage { ops } => DocumentChange::Tree(ops),
                ClientMessage::UpdateYjs { update, guid, coding } => DocumentChange::Yjs { name: guid, update, coding },
                ClientMessage::Event { event } => {
                    self.broadcast(documents.channel(), &event.into_bytes(), now).await?;
                    continue;
                }
                _ => continue,
            };
            self.hub.edit_document(documents, None, (change, false))?;
        }
        Ok(RestAnswer::done())
    }

    /// All nodes, for a client that may see them.
    pub(super) async fn client_storage(
        self: &Arc<Self>,
        call: &Call<'_>,
        bearer: &str,
        room: &str,
    ) -> Result<RestAnswer, RestError> {
        let channel = room_name(room)?;
        let credentials =
            if bearer.starts_with("pk_") { RoomCredentials::PublicKey(bearer) } else { RoomCredentials::Token(bearer) };
        let name = room.to_owned();
        let record = self.rooms.with(move |rooms| rooms.get(&name)).await?;
        let visitor = self.access.admit(credentials, &channel, record, call.now);
        let visitor = visitor.map_err(|denied| RestError::forbidden(denied.to_string()))?;
        if !visitor.scopes.may_read_storage() {
            return Err(RestError::forbidden("The storage of this room is not for this client"));
        }
        let admitted = self.admit(call.config, call.head, call.facts, &visitor).await;
        let mut admitted = admitted.map_err(|failure| match failure.status.as_u16() {
            401 | 403 => RestError::forbidden(failure.reason.to_string()),
            _ => RestError::unavailable(failure.reason.to_string()),
        })?;
        let answer = self.storage_for(&mut admitted, room, &channel).await;
        admitted.leave();
        answer
    }

    async fn storage_for(
        &self,
        admitted: &mut Admitted,
        room: &str,
        channel: &Channel,
    ) -> Result<RestAnswer, RestError> {
        let mut authority = Authority::Client;
        let wish = Command::Subscribe(Subscribe::to(channel.clone()));
        let asking = admitted
            .authorizer
            .as_ref()
            .and_then(|(authorizer, connection)| authorizer.authorize(connection, admitted.client.identity(), &wish));
        if let Some(asking) = asking {
            asking.await.outcome?;
            authority = Authority::Consent;
        }
        admitted.client.may_read(channel, authority)?;
        let lease = self.open_room(room, channel).await?;
        let mut nodes = String::from("[");
        lease.room().with_tree(|tree| {
            for node in tree.nodes() {
                if nodes.len() > 1 {
                    nodes.push(',');
                }
                node.write_long(&mut nodes);
            }
        });
        nodes.push(']');
        lease.room().settled().await?;
        Ok(RestAnswer::text(nodes))
    }
}
