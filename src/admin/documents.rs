//! What only who runs the door may ask of documents: which there are, to take one out, put one in, take one away, and a copy
//! of all.
use std::convert::Infallible;
use std::mem;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::Inner;
use super::answer::{JSON, whole};
use crate::documents::{Store, StoreError};
use crate::http::query::parameter;
use crate::http::{Body, Request, Response};
use crate::realtime::hub::Hub;
use crate::realtime::hub::documents::{ArchiveError, ArchiveForm};
use crate::realtime::vocabulary::{Channel, DisconnectReason, Text};

/// `GET` with `prefix` and `after`: what channels hold, a page of them.
pub const LIST: &str = "/documents";
/// `GET`, `PUT` and `DELETE` with `name`: a channel's documents as a file.
pub const ROOM: &str = "/documents/room";
/// `GET`: every row of one moment. Four bytes for the length of a key, four for that of its value, and both; behind the last
/// one a key of [`END`] bytes, and none.
pub const BACKUP: &str = "/documents/backup";

/// A length that no key has.
pub const END: u32 = u32::MAX;

/// Channels of one page.
const PAGE: usize = 1_000;
/// The largest file that is taken, in bytes.
const MAX_FILE: usize = 1 << 30;
/// Bytes of a backup that are sent at once, and how many of those wait at most: what is read waits for who reads.
const CHUNK: usize = 256 << 10;
const WAITING_CHUNKS: usize = 4;

pub(super) fn concerns(path: &str) -> bool {
    [LIST, ROOM, BACKUP].contains(&path)
}

pub(super) async fn answer(admin: &Inner, request: Request) -> Response {
    let Some(realtime) = admin.realtime.get() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "the door is still starting");
    };
    let hub = realtime.hub();
    let (head, body) = request.into_parts();
    let said = |key: &str| parameter(head.uri.query(), key);
    match (&head.method, head.uri.path()) {
        (&Method::GET, LIST) => list(hub, said("prefix").unwrap_or_default(), said("after")).await,
        (&Method::GET, BACKUP) => match hub.documents() {
            Some(documents) if documents.store().is_shared() => {
                refused(StatusCode::CONFLICT, &StoreError::NotHere.to_string())
            }
            Some(documents) => backup(documents.store().clone()),
            None => refused(StatusCode::CONFLICT, "this door keeps no documents"),
        },
        (method, ROOM) => {
            let channel = match Channel::new(&said("name").unwrap_or_default()) {
                Ok(channel) => channel,
                Err(error) => return refused(StatusCode::BAD_REQUEST, &format!("the name of the room: {error}")),
            };
            let done = match *method {
                Method::GET => {
                    let is_plain = said("form").as_deref() == Some("json");
                    let form = if is_plain { ArchiveForm::PlainTree } else { ArchiveForm::Whole };
                    hub.export_documents(channel, form).await
                }
                Method::PUT => {
                    let Ok(file) = Limited::new(body, MAX_FILE).collect().await else {
                        return refused(StatusCode::PAYLOAD_TOO_LARGE, "a file has at most 1 GiB, and comes whole");
                    };
                    let replaces = said("replace").is_some();
                    let rows = hub.import_documents(&channel, file.to_bytes().to_vec(), replaces).await;
                    rows.map(|rows| told(channel.as_str(), "imported", rows))
                }
                Method::DELETE => delete(hub, channel).await,
                _ => return refused(StatusCode::METHOD_NOT_ALLOWED, "GET, PUT and DELETE are known"),
            };
            match done {
                Ok(text) => whole(StatusCode::OK, JSON, text),
                Err(error) => refused(status(&error), &error.to_string()),
            }
        }
        _ => refused(StatusCode::METHOD_NOT_ALLOWED, "only GET is known here"),
    }
}

async fn list(hub: &Hub, prefix: String, after: Option<String>) -> Response {
    match hub.list_documents(prefix, after, PAGE).await {
        Ok(sizes) => {
            let row = |size: &crate::documents::RoomSize| json!([size.room, size.rows, size.bytes]);
            let rooms: Vec<_> = sizes.iter().map(row).collect();
            whole(StatusCode::OK, JSON, json!({ "rooms": rooms, "more": sizes.len() == PAGE }).to_string())
        }
        Err(error) => refused(status(&error), &error.to_string()),
    }
}

async fn delete(hub: &Hub, channel: Channel) -> Result<String, ArchiveError> {
    hub.remove_documents(&channel, &deleted()).await?;
    info!(channel = channel.as_str(), "documents deleted by the operator");
    Ok(told(channel.as_str(), "deleted", 0))
}

/// What editors of a room are told that is taken away.
fn deleted() -> DisconnectReason {
    DisconnectReason::Kicked { code: Some(4001), reason: Text::from_static("the room was deleted") }
}

fn told(room: &str, what: &str, rows: usize) -> String {
    json!({ "room": room, "done": what, "rows": rows }).to_string()
}

fn status(error: &ArchiveError) -> StatusCode {
    match error {
        ArchiveError::Absent(_) => StatusCode::NOT_FOUND,
        ArchiveError::Taken(_) => StatusCode::CONFLICT,
        ArchiveError::Malformed(_) => StatusCode::BAD_REQUEST,
        ArchiveError::Open(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    whole(status, JSON, json!({ "error": why }).to_string())
}

/// Where it cannot be read to its end, the end is missing.
fn backup(store: Store) -> Response {
    let (sender, chunks) = mpsc::channel::<Bytes>(WAITING_CHUNKS);
    spawn_blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        let copied = store.copy(|key, value| {
            for part in [key, value] {
                chunk.extend(u32::try_from(part.len()).unwrap_or(END).to_be_bytes());
            }
            chunk.extend([key, value].concat());
            chunk.len() < CHUNK || sender.blocking_send(mem::take(&mut chunk).into()).is_ok()
        });
        match copied {
            Ok(true) => {
                chunk.extend([END, 0].map(u32::to_be_bytes).concat());
                let _ = sender.blocking_send(chunk.into());
            }
            Ok(false) => warn!("a backup of documents was broken off by who wanted it"),
            Err(error) => warn!(%error, "a backup of documents cannot be made"),
        }
    });
    let frames = stream::unfold(chunks, async |mut chunks| {
        let chunk = chunks.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(chunk)), chunks))
    });
    Response::new(Body::boxed(StreamBody::new(Box::pin(frames))))
}
