//! Who is in a room, as the hub's members have it.

use std::sync::Arc;

use bytes::Bytes;

use super::encode::{ACTOR, USER};
use super::{Editor, write};
use crate::realtime::vocabulary::{Extras, Member, Payload, Text};

/// Under which a member without a connection has what it shows: nobody but the server can show it to newcomers.
const SHOWN: &str = "liveblocks.shown";

/// An editor as a member of its channel. One without a connection has what it `shows` there too.
pub fn member(editor: &Editor, key: impl Into<Arc<str>>, shows: Option<Text>) -> Member {
    let Editor { actor, user, info, .. } = editor;
    let own = [
        (ACTOR.into(), Bytes::from(actor.to_string())),
        (USER.into(), Bytes::from(write::user(editor))),
    ];
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

/// What the server shows of a member, to one newcomer or to all.
pub fn shown(member: &Member, to: Option<u64>) -> Option<String> {
    let shown = std::str::from_utf8(member.extras.of(SHOWN)?).ok()?;
    let actor = known(member)?.0.parse().ok()?;
    // All of it, whoever hears it.
    let target = to.map_or(-1, |actor| i64::try_from(actor).unwrap_or(i64::MAX));
    Some(write::presence(actor, Some(target), shown))
}
