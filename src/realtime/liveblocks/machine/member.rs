//! Who is in a room, as the hub's members have it.

use std::sync::Arc;

use bytes::Bytes;

use super::Editor;
use crate::realtime::vocabulary::{Extras, JsonWriter, Member, Payload, Text};

/// Under which a member, or who said a message, has its number in the room.
pub const ACTOR: &str = "liveblocks.actor";
/// Under which a member has what others are told of it.
const USER: &str = "liveblocks.user";
/// Under which a member without a connection has what it shows: nobody but the server can show it to newcomers.
pub const SHOWN: &str = "liveblocks.shown";

/// An editor as a member of its channel. One without a connection has what it `shows` there too.
pub fn member(editor: &Editor, key: impl Into<Arc<str>>, shows: Option<Text>) -> Member {
    let Editor { actor, user, info, .. } = editor;
    let own = [(ACTOR.into(), Bytes::from(actor.to_string())), (USER.into(), Bytes::from(told(editor)))];
    let shows = shows.map(|shows| (SHOWN.into(), shows.into_bytes()));
    Member {
        user: user.clone(),
        info: info.clone().map(Payload::Json),
        extras: Extras::new(own.into_iter().chain(shows)),
        ..Member::new(key)
    }
}

/// A member's number in the room, and what is told of it as JSON; `None` where it is no editor of this protocol.
pub fn known(member: &Member) -> Option<(&str, &str)> {
    let text = |key| std::str::from_utf8(member.extras.of(key)?).ok();
    Some((text(ACTOR)?, text(USER)?))
}

/// What others are told of who a client is: `{"id"?,"info"?,"scopes"}`.
fn told(editor: &Editor) -> String {
    let mut json = JsonWriter::object(64);
    if let Some(user) = &editor.user {
        json.text("id", user);
    }
    if let Some(info) = &editor.info {
        json.json("info", info);
    }
    put_scopes(&mut json, editor);
    json.end()
}

/// Its scopes, in an object that is begun.
pub fn put_scopes(json: &mut JsonWriter, editor: &Editor) {
    json.list("scopes", editor.scopes.names(), |json, name| json.text_item(name));
}
