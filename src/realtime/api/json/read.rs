//! From JSON to operations.

use std::cell::RefCell;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Object;
use crate::realtime::api::operation::{Disconnect, Publication, Purge, To, Whom};
use crate::realtime::api::problem::{ApiProblem, Wrong};
use crate::realtime::vocabulary::{
    Amendment, BadPosition, Change, Channel, ConnectionId, Draft, Payload, Position, Text,
};

/// Channels that one publication may name.
const MOST_CHANNELS: usize = 100;

/// Connections that one publication may leave out.
const MOST_EXCEPTIONS: usize = 100;

/// Bytes of a message's name, and of its id.
const LONGEST_NAME: usize = 512;

/// What of a close reason travels, in bytes (RFC 6455 section 5.5).
const LONGEST_REASON: usize = 123;

/// Paths, and tags, that one request may declare to be old.
const MOST_PURGED: usize = 1000;

type Wrongs = RefCell<Vec<Wrong>>;

/// Reads with `read`, and gives either what it made or everything that it found wrong.
pub(super) fn whole<T>(read: impl FnOnce(&Wrongs) -> Option<T>) -> Result<T, ApiProblem> {
    let wrongs = Wrongs::default();
    let value = read(&wrongs);
    let wrongs = wrongs.into_inner();
    match value {
        Some(value) if wrongs.is_empty() => Ok(value),
        _ => Err(ApiProblem::malformed(wrongs)),
    }
}

/// Reads a publication.
///
/// # Errors
/// 400 with all that is wrong.
pub fn publication(body: &[u8]) -> Result<Publication, ApiProblem> {
    publication_at(body, "#".to_owned())
}

fn publication_at(text: &[u8], pointer: String) -> Result<Publication, ApiProblem> {
    whole(|wrongs| {
        let object = Object::read(text, pointer, wrongs)?;
        let to = audience(&object);
        let amends = amendment(&object, to.as_ref());
        let has_data = ["text", "json", "base64"].iter().any(|key| object.any(key).is_some());
        let keeps_data = matches!(amends, Some((_, Change::Update | Change::Delete))) && !has_data;
        let data = if keeps_data { Some(Payload::Text("".into())) } else { content(&object) };
        let name = short(&object, "name");
        let id = short(&object, "id");
        let volatile = object.value("volatile", "true or false").unwrap_or_default();
        let mut draft = Draft::new(data?);
        draft.amends = amends.map(|(target, change)| Box::new(Amendment { target, change, only_of: None, keeps_data }));
        draft.name = name.map(Into::into);
        draft.id = id.map(Into::into);
        draft.volatile = volatile;
        Some(Publication { to: to?, draft })
    })
}

/// Reads a batch: each message by itself, so that one that is wrong leaves the others alone.
///
/// # Errors
/// 400 when it is no batch at all.
pub fn batch(body: &[u8], most: usize) -> Result<Vec<Result<Publication, ApiProblem>>, ApiProblem> {
    let messages = whole(|wrongs| {
        let object = Object::read(body, "#".to_owned(), wrongs)?;
        let messages = object.list("messages");
        if messages.is_none() && object.raw("messages").is_none() {
            object.wrong_here("needs messages, a list");
        }
        if messages.as_ref().is_some_and(|messages| messages.len() > most) {
            object.wrong("messages", format!("has more than {most} entries (api.max_batch)"));
        }
        messages
    })?;
    let read = |(place, raw): (usize, &serde_json::value::RawValue)| {
        publication_at(raw.get().as_bytes(), format!("#/messages/{place}"))
    };
    Ok(messages.into_iter().enumerate().map(read).collect())
}

/// Reads whom to disconnect.
///
/// # Errors
/// 400 with all that is wrong.
pub fn disconnect(body: &[u8]) -> Result<Disconnect, ApiProblem> {
    whole(|wrongs| {
        let object = Object::read(body, "#".to_owned(), wrongs)?;
        let connection = object.raw("connection").map(|_| named::<ConnectionId>(&object, "connection"));
        let user = object.raw("user").map(|_| short(&object, "user"));
        let code: Option<u16> = object.value("code", CODE);
        if code.is_some_and(|code| !matches!(code, 1000 | 1008 | 3000..=4999)) {
            object.wrong("code", format!("must be {CODE}"));
        }
        let reason = object.text("reason").unwrap_or_default();
        if reason.len() > LONGEST_REASON {
            object.wrong("reason", format!("is longer than {LONGEST_REASON} bytes"));
        }
        let whom = match (connection, user) {
            (Some(connection), None) => Whom::Connection(connection?),
            (None, Some(user)) => Whom::User(user?.into()),
            _ => {
                object.wrong_here("needs one of: connection, user");
                return None;
            }
        };
        Some(Disconnect { whom, code, reason: Text::from(reason) })
    })
}

/// Reads what is to be forgotten.
///
/// # Errors
/// 400 with all that is wrong.
pub fn purge(body: &[u8]) -> Result<Purge, ApiProblem> {
    whole(|wrongs| {
        let object = Object::read(body, "#".to_owned(), wrongs)?;
        let names = |key: &'static str| {
            let names = object.texts(key).unwrap_or_default();
            if names.len() > MOST_PURGED {
                object.wrong(key, format!("has more than {MOST_PURGED} entries"));
            }
            names
        };
        let (paths, tags) = (names("paths"), names("tags"));
        if let Some(at) = paths.iter().position(|path| !path.starts_with('/') || path.contains(['?', '#'])) {
            object.wrong_at("paths", at, "must be a path without query, as in \"/blog/hello\"");
        }
        if let Some(at) = tags.iter().position(|tag| tag.trim() != tag || tag.is_empty() || tag.contains(',')) {
            object.wrong_at("tags", at, "must be one tag, as an answer has it in Cache-Tag");
        }
        let all: bool = object.value("all", "true or false").unwrap_or_default();
        if paths.is_empty() && tags.is_empty() && !all {
            object.wrong_here("needs at least one of: paths, tags, all");
        }
        Some(Purge { paths, tags, all })
    })
}

const CODE: &str = "1000, 1008 or a number from 3000 to 4999";

fn audience(object: &Object) -> Option<To> {
    let channel = object.raw("channel").map(|_| channel(object, "channel"));
    let channels = object.raw("channels").map(|_| channels(object));
    let user = object.raw("user").map(|_| short(object, "user"));
    let connection = object.raw("connection").map(|_| named::<ConnectionId>(object, "connection"));
    let everyone = object.raw("everyone").map(|_| object.value("everyone", "true").filter(|is: &bool| *is));
    let has_exceptions = object.raw("except").is_some();
    let except = if has_exceptions { exceptions(object) } else { Some(Vec::new()) };
    let several = |channels, except| To::Channels { channels, except };
    let to = match (channel, channels, user, connection, everyone) {
        (Some(channel), None, None, None, None) => return Some(several(vec![channel?], except?)),
        (None, Some(channels), None, None, None) => return Some(several(channels?, except?)),
        (None, None, Some(user), None, None) => To::User(user?.into()),
        (None, None, None, Some(connection), None) => To::Connection(connection?),
        (None, None, None, None, Some(everyone)) => {
            everyone.or_else(|| {
                object.wrong("everyone", "can only be true");
                None
            })?;
            To::Everyone
        }
        _ => {
            object.wrong_here("needs one of: channel, channels, user, connection, everyone");
            return None;
        }
    };
    if has_exceptions {
        object.wrong("except", "goes with channel or channels only");
    }
    Some(to)
}

/// The message that it changes, and how.
fn amendment(object: &Object, to: Option<&To>) -> Option<(Position, Change)> {
    let changes = [("update", Change::Update), ("delete", Change::Delete), ("append", Change::Append)];
    let mut named = changes.into_iter().filter(|(key, _)| object.raw(key).is_some());
    let (key, change) = named.next()?;
    if named.next().is_some() {
        object.wrong_here("needs at most one of: update, delete, append");
    }
    if to.is_some_and(|to| !is_one_channel(to)) {
        object.wrong(key, "goes with one channel only");
    }
    let position = object.text(key)?.parse().map_err(|error: BadPosition| object.wrong(key, error.to_string()));
    Some((position.ok()?, change))
}

fn is_one_channel(to: &To) -> bool {
    matches!(to, To::Channels { channels, except } if channels.len() == 1 && except.is_empty())
}

pub fn channel(object: &Object, key: &'static str) -> Option<Channel> {
    let name = object.text(key)?;
    Channel::new(&name).map_err(|error| object.wrong(key, error.to_string())).ok()
}

fn channels(object: &Object) -> Option<Vec<Channel>> {
    let names = object.texts("channels")?;
    if names.is_empty() || names.len() > MOST_CHANNELS {
        object.wrong("channels", format!("must have 1 to {MOST_CHANNELS} names"));
    }
    let name = |(place, name): (usize, &String)| {
        Channel::new(name).map_err(|error| object.wrong_at("channels", place, error.to_string())).ok()
    };
    names.iter().enumerate().map(name).collect()
}

fn exceptions(object: &Object) -> Option<Vec<ConnectionId>> {
    let names = object.texts("except")?;
    if names.len() > MOST_EXCEPTIONS {
        object.wrong("except", format!("must have at most {MOST_EXCEPTIONS} connections"));
    }
    let id = |(place, name): (usize, &String)| {
        name.parse().map_err(|_| object.wrong_at("except", place, "must be a connection's id")).ok()
    };
    names.iter().enumerate().map(id).collect()
}

fn named<T: FromStr>(object: &Object, key: &'static str) -> Option<T> {
    object.text(key)?.parse().map_err(|_| object.wrong(key, "must be a connection's id")).ok()
}

fn short(object: &Object, key: &'static str) -> Option<String> {
    let text = object.text(key)?;
    if text.is_empty() || text.len() > LONGEST_NAME {
        object.wrong(key, format!("must have 1 to {LONGEST_NAME} bytes"));
        return None;
    }
    Some(text)
}

fn content(object: &Object) -> Option<Payload> {
    // Null is a value where JSON is published.
    match (object.raw("text"), object.any("json"), object.raw("base64")) {
        (Some(_), None, None) => object.text("text").map(|text| Payload::Text(text.into())),
        (None, Some(json), None) => Some(Payload::Json(json.get().into())),
        (None, None, Some(_)) => {
            let text = object.text("base64")?;
            let bytes = STANDARD.decode(&text).map_err(|error| object.wrong("base64", error.to_string()));
            bytes.ok().map(|bytes| Payload::Binary(bytes.into()))
        }
        _ => {
            object.wrong_here("needs one of: text, json, base64");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrongs<T: std::fmt::Debug>(read: Result<T, ApiProblem>) -> Vec<(String, String)> {
        let errors = read.expect_err("something is wrong").errors;
        errors.into_iter().map(|wrong| (wrong.pointer, wrong.detail)).collect()
    }

    #[test]
    fn a_publication_has_one_audience_and_one_content() {
        let one =
            publication(br#"{"channel": "lobby", "json": {"n": 12345678901234567890.10}, "name": "n", "id": "1"}"#);
        let one = one.unwrap();
        assert_eq!(one.draft.data, Payload::Json(r#"{"n": 12345678901234567890.10}"#.into()), "as it was written");
        let lobby = Channel::new("lobby").unwrap();
        assert_eq!(one.to, To::Channels { channels: vec![lobby], except: Vec::new() });
        let null = publication(br#"{"everyone": true, "json": null, "text": null}"#).unwrap();
        assert_eq!((null.to, null.draft.data), (To::Everyone, Payload::Json("null".into())));
        let bytes = publication(br#"{"user": "ada", "base64": "AAE="}"#).unwrap();
        assert_eq!(bytes.draft.data, Payload::Binary(vec![0, 1].into()));
        let but = publication(br#"{"channels": ["a", "b"], "text": "", "except": "00ff"}"#).unwrap();
        assert!(matches!(but.to, To::Channels { except, .. } if except == [ConnectionId(255)]));
    }

    #[test]
    fn everything_wrong_is_named_with_its_place() {
        let found = wrongs(publication(br#"{"chanel": "a", "text": 5, "name": "", "volatile": "no"}"#));
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["#", "#/text", "#/name", "#/volatile", "#/chanel"], "{found:?}");
        assert!(found[4].1.contains("did you mean \"channel\"?"), "{found:?}");
        for (text, place, words) in [
            ("", "#", "EOF"),
            ("[]", "#", "an object"),
            ("{", "#", "EOF"),
            (r#"{"channel": "a", "text": "x"} {"#, "#", "trailing"),
            (r#"{"channel": "", "text": "x"}"#, "#/channel", "empty"),
            (r#"{"channel": "a", "channel": "b", "text": "x"}"#, "#/channel", "twice"),
            (r#"{"channels": [], "text": "x"}"#, "#/channels", "1 to 100"),
            (r#"{"channels": ["a", 5], "text": "x"}"#, "#/channels/1", "a string"),
            (r#"{"channels": ["a", "\u0000"], "text": "x"}"#, "#/channels/1", "control"),
            (r#"{"connection": "zz", "text": "x"}"#, "#/connection", "id"),
            (r#"{"everyone": false, "text": "x"}"#, "#/everyone", "true"),
            (r#"{"user": "a", "except": ["00ff"], "text": "x"}"#, "#/except", "channel"),
            (r#"{"channel": "a", "except": ["?"], "text": "x"}"#, "#/except/0", "id"),
            (r#"{"channel": "a", "base64": "?"}"#, "#/base64", "Invalid"),
            (r#"{"channel": "a", "text": "x", "json": 1}"#, "#", "one of: text"),
            (r#"{"channel": "a", "user": "b", "text": "x"}"#, "#", "one of: channel"),
            (r#"{"channel": "a", "text": "x", "a/b~": 1}"#, "#/a~1b~0", "not known"),
        ] {
            let found = wrongs(publication(text.as_bytes()));
            assert!(found.iter().any(|(at, what)| at == place && what.contains(words)), "{text}: {found:?}");
        }
    }

    #[test]
    fn one_wrong_message_leaves_the_others_of_its_batch_alone() {
        let read = batch(br#"{"messages": [{"channel": "a", "text": "x"}, {"channel": "b"}, 7]}"#, 3).unwrap();
        assert!(read[0].is_ok());
        assert_eq!(read[1].as_ref().unwrap_err().errors[0].pointer, "#/messages/1");
        assert_eq!(read[2].as_ref().unwrap_err().errors[0].pointer, "#/messages/2");
        assert_eq!(wrongs(batch(br#"{"messages": [1, 2]}"#, 1))[0].0, "#/messages");
        assert_eq!(wrongs(batch(b"{}", 1))[0].0, "#");
        assert_eq!(wrongs(batch(br#"{"messages": "x"}"#, 1))[0].0, "#/messages");
    }

    #[test]
    fn a_disconnection_names_one() {
        let read = disconnect(br#"{"user": "ada", "code": 4001, "reason": "bye"}"#).unwrap();
        assert_eq!(read, Disconnect { whom: Whom::User("ada".into()), code: Some(4001), reason: "bye".into() });
        for (text, place) in [
            ("{}", "#"),
            (r#"{"user": "a", "connection": "1"}"#, "#"),
            (r#"{"user": ""}"#, "#/user"),
            (r#"{"user": "a", "code": 1006}"#, "#/code"),
            (r#"{"user": "a", "code": 99999}"#, "#/code"),
        ] {
            let found = wrongs(disconnect(text.as_bytes()));
            assert!(found.iter().any(|(at, _)| at == place), "{text}: {found:?}");
        }
        let long = format!(r#"{{"user": "a", "reason": "{}"}}"#, "x".repeat(124));
        assert_eq!(wrongs(disconnect(long.as_bytes()))[0].0, "#/reason");
    }
}
