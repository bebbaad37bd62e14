//! What clients are told, as JSON.

use std::fmt::Write;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Editor;
use super::member::{SHOWN, known, put_scopes};
use crate::realtime::document::tree::{NodeRow, Op};
use crate::realtime::document::ydoc::{Coding, YDocument, YLimits};
use crate::realtime::vocabulary::json_writer::quote;
use crate::realtime::vocabulary::{
    Draft, Frame, JsonWriter, Member, Payload, SignalBody, SignalKind, Signalled, SnapshotHashes, YName, YUpdate,
};

/// The mark on what clients show of themselves.
pub const SIGNALS: SignalKind = SignalKind("liveblocks");

/// About how long a piece of a room's storage is.
const CHUNK: usize = 64 * 1024;

/// ROOM_STATE: the first word.
pub fn room_state(editor: &Editor, members: &[Arc<Member>]) -> String {
    let mut json = JsonWriter::object(256);
    json.raw("type", 104);
    json.raw("actor", editor.actor);
    json.plain_text("nonce", uuid::Uuid::now_v7().simple());
    put_scopes(&mut json, editor);
    json.nested("users", |json| {
        for member in members {
            let Some((actor, user)) = known(member) else { continue };
            if actor != editor.actor.to_string() {
                json.key(actor);
                json.item(user);
            }
        }
    });
    json.json("meta", "{}");
    json.end()
}

/// USER_JOINED, of a member with a number.
pub fn joined(member: &Member) -> Option<String> {
    let (actor, user) = known(member)?;
    Some(format!(r#"{{"type":101,"actor":{actor},{}"#, user.strip_prefix('{')?))
}

/// USER_LEFT, of a member with a number.
pub fn left(member: &Member) -> Option<String> {
    let (actor, _) = known(member)?;
    Some(format!(r#"{{"type":102,"actor":{actor}}}"#))
}

/// What a client shows of itself.
pub fn presence(actor: u64, target: Option<i64>, data: &str) -> String {
    let mut json = JsonWriter::object(data.len() + 48);
    json.raw("type", 100);
    json.raw("actor", actor);
    if let Some(target) = target {
        json.raw("targetActor", target);
    }
    json.json("data", data);
    json.end()
}

/// The same as it travels: whole, and checked where it came.
pub fn signal(signal: &Signalled) -> Option<String> {
    match &signal.body {
        SignalBody::Words { data, .. } if signal.kind == SIGNALS => String::from_utf8(data.to_vec()).ok(),
        _ => None,
    }
}

/// What the server shows of a member, to one newcomer or to all.
pub fn shown(member: &Member, to: Option<u64>) -> Option<String> {
    let shown = std::str::from_utf8(member.extras.of(SHOWN)?).ok()?;
    let actor = known(member)?.0.parse().ok()?;
    // All of it, whoever hears it.
    let target = to.map_or(-1, |actor| i64::try_from(actor).unwrap_or(i64::MAX));
    Some(presence(actor, Some(target), shown))
}

/// An event: of an editor, or of anybody else.
pub fn event(actor: Option<&str>, draft: &Draft) -> String {
    let mut json = JsonWriter::object(draft.data.len() + 48);
    json.raw("type", 103);
    json.raw("actor", actor.unwrap_or("-1"));
    match &draft.name {
        None => payload(&mut json, "event", &draft.data),
        // Its clients tell events apart by their `type`.
        Some(name) => json.nested("event", |json| {
            json.text("type", name);
            payload(json, "data", &draft.data);
        }),
    }
    json.end()
}

fn payload(json: &mut JsonWriter, key: &str, data: &Payload) {
    match data {
        Payload::Json(data) => json.json(key, data),
        Payload::Text(text) => json.text(key, text),
        Payload::Binary(bytes) => json.plain_text(key, STANDARD.encode(bytes)),
    }
}

/// UPDATE_STORAGE. An answer says the ids that its author gave.
pub fn ops(ops: &[Op], is_answer: bool) -> String {
    let mut text = String::from(r#"[{"type":201,"ops":["#);
    for (place, op) in ops.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        op.write(is_answer, &mut text);
    }
    text.push_str("]}]");
    text
}

/// REJECT_STORAGE_OP.
pub fn rejected(ids: &[Arc<str>], reason: &str) -> String {
    let mut json = JsonWriter::object(64);
    json.raw("type", 299);
    json.list("opIds", ids, |json, id| json.text_item(id));
    json.text("reason", reason);
    json.end()
}

/// A whole storage: STORAGE_CHUNK as often as it takes, and STORAGE_STREAM_END.
pub fn storage(nodes: &[NodeRow]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut text = String::new();
    for node in nodes {
        text.push_str(if text.is_empty() { r#"{"type":210,"nodes":["# } else { "," });
        node.write_compact(&mut text);
        if text.len() >= CHUNK {
            text.push_str("]}");
            frames.push(Frame::text(std::mem::take(&mut text)));
        }
    }
    if !text.is_empty() {
        text.push_str("]}");
        frames.push(Frame::text(text));
    }
    frames.push(Frame::text(r#"{"type":211}"#.to_owned()));
    frames
}

/// What is shown to who may not see a storage.
pub fn empty_storage() -> [Frame; 2] {
    [r#"{"type":210,"nodes":[["root",{}]]}"#, r#"{"type":211}"#].map(|text| Frame::text(text.to_owned()))
}

/// UPDATE_YDOC. With a `vector` it is the answer to who fetches.
pub fn yjs(update: &YUpdate, coding: Coding, vector: Option<&str>) -> String {
    let mut text = String::with_capacity(update.update.len() * 4 / 3 + 256);
    text.push_str(r#"{"type":300,"update":""#);
    STANDARD.encode_string(&update.update, &mut text);
    let _ = write!(text, r#"","isSync":{},"stateVector":"#, vector.is_some());
    match vector {
        Some(vector) => quote(&mut text, vector),
        None => text.push_str("null"),
    }
    if let Some(name) = &update.name {
        text.push_str(r#","guid":"#);
        quote(&mut text, name);
    }
    if update.coding == Coding::V2 {
        text.push_str(r#","v2":true"#);
    }
    text.push_str(r#","remoteSnapshotHash":""#);
    if let Some(hash) = update.hashes.of(coding) {
        STANDARD.encode_string(hash, &mut text);
    }
    text.push_str(r#""}"#);
    text
}

/// What is shown of a document of Yjs to who may not see it.
pub fn empty_yjs(name: YName, coding: Coding) -> String {
    let mut nothing = YDocument::new(YLimits { bytes: 0, pending: 0 });
    let update = nothing.diff(&[], coding).unwrap_or_default().into();
    let (vector, hash) = (STANDARD.encode(nothing.state_vector()), Some(nothing.snapshot_hash(coding)));
    let hashes = SnapshotHashes { v1: hash, v2: hash };
    yjs(&YUpdate { name, update, coding, hashes }, coding, Some(&vector))
}

/// What a client hears that asks for feeds.
pub fn no_feeds(request: &str) -> String {
    let mut json = JsonWriter::object(96);
    json.raw("type", 508);
    json.text("requestId", request);
    json.text("code", "INTERNAL");
    json.text("reason", "Feeds are not offered by this server");
    json.end()
}
