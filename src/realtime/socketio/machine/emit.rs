//! What the app's `emit` comes to in the hub: to a namespace, to rooms, to single clients, but for some.

use std::sync::Arc;

use super::config::Config;
use super::packet::{Args, BadPacket, RESERVED};
use super::{draft, inline, rooms, sid};
use crate::realtime::vocabulary::{Audience, BadName, ConnectionId, Draft, Extras, Payload};

/// Who is to hear an event.
#[derive(Debug, Clone, Copy)]
pub struct Emit<'a> {
    /// The namespace; the empty one is `/`.
    pub scope: &'a str,
    /// Rooms, and ids of single clients; none: everyone in the namespace.
    pub to: &'a [String],
    /// Rooms and ids of those who are not to hear it.
    pub except: &'a [String],
    /// Nor this one.
    pub but: Option<ConnectionId>,
}

impl Emit<'_> {
    fn scope(&self) -> &str {
        if self.scope.is_empty() { rooms::ROOT } else { self.scope }
    }

    /// Who hears it, and what they hear.
    ///
    /// # Errors
    /// [`BadName`]: no room can be called that.
    pub fn address(&self, draft: Draft) -> Result<(Audience, Draft), BadName> {
        let scope = self.scope();
        let everyone = [rooms::everyone(scope)?];
        let mut channels = Vec::new();
        let mut connections = Vec::new();
        let mut ids = String::new();
        for name in self.to {
            if let Some(connection) = sid::connection(name) {
                connections.push(connection);
                ids.push_str(name);
            } else {
                channels.push(rooms::room(scope, name)?);
            }
        }
        if self.to.is_empty() {
            channels.extend(everyone);
        }
        let mut except = Vec::new();
        let mut but: Vec<_> = self.but.into_iter().collect();
        for name in self.except {
            match sid::connection(name) {
                Some(connection) => but.push(connection),
                None => except.push(rooms::room(scope, name)?),
            }
        }
        let draft = if connections.is_empty() { draft } else { draft::addressed(draft, scope, &ids) };
        let plain = connections.is_empty() && except.is_empty() && but.is_empty() && channels.len() == 1;
        let audience = match channels.pop() {
            Some(channel) if plain => Audience::Channel(channel),
            last => {
                channels.extend(last);
                Audience::Several { channels, connections, except, but }
            }
        };
        Ok((audience, draft))
    }

    /// The draft of an event for one connection's client in the namespace.
    pub fn whisper(&self, draft: Draft) -> Draft {
        draft::addressed(draft, self.scope(), "")
    }
}

/// An event with a JSON array of arguments, in which `{"$base64":"…"}` are bytes.
///
/// # Errors
/// One sentence: what is wrong with it.
pub fn event(name: &str, args: &str) -> Result<Draft, String> {
    if RESERVED.contains(&name) {
        return Err(format!("{name:?} is a reserved event name"));
    }
    let (args, attachments) = read(args)?;
    let mut draft = draft::draft(Arc::from(name), &Args::read(args, attachments, &limits()).map_err(words)?, 0);
    draft.name = Some(name.into());
    Ok(draft)
}

/// What an acknowledgement carries: an array is its arguments, anything else the only one.
///
/// # Errors
/// As [`event`].
pub fn answer(json: &str) -> Result<(Payload, Extras), String> {
    let (text, attachments) = read(json)?;
    let extras = draft::attachments(&attachments);
    Ok((Payload::Json(text), extras))
}

fn read(json: &str) -> Result<(crate::realtime::vocabulary::Text, Vec<bytes::Bytes>), String> {
    inline::outline(json.trim())
}

/// The app is held to what clients can read, not to what they may send.
fn limits() -> Config {
    Config { max_attachments: usize::MAX, max_nesting: 120, ..Config::default() }
}

fn words(bad: BadPacket) -> String {
    format!("args: {bad}")
}

/// The connection of a client by its id.
pub fn connection(id: &str) -> Option<ConnectionId> {
    sid::connection(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::Channel;

    fn audience(to: &[String], except: &[String]) -> (Audience, Draft) {
        let emit = Emit { scope: "/admin", to, except, but: None };
        emit.address(event("e", "[1]").unwrap()).unwrap()
    }

    fn channel(name: &str) -> Channel {
        Channel::new(name).unwrap()
    }

    #[test]
    fn rooms_are_channels_and_ids_are_connections() {
        let id = sid::sid(ConnectionId(7)).to_string();
        assert_eq!(audience(&[], &[]).0, Audience::Channel(channel("/admin")));
        assert_eq!(audience(&["a".into()], &[]).0, Audience::Channel(channel("/admin#a")));
        let (several, draft) = audience(&["a".into(), id.clone()], &["b".into(), id.clone()]);
        let expected = Audience::Several {
            channels: vec![channel("/admin#a")],
            connections: vec![ConnectionId(7)],
            except: vec![channel("/admin#b")],
            but: vec![ConnectionId(7)],
        };
        assert_eq!(several, expected);
        assert_eq!(draft.extras.of(draft::TO).map(|to| &to[..]), Some(id.as_bytes()));
    }

    #[test]
    fn events_of_the_app_are_checked() {
        assert_eq!(event("e", "[\"hi\"]").unwrap().data, Payload::Text("hi".into()));
        assert_eq!(event("e", r#"[{"$base64":"eHl6"}]"#).unwrap().data, Payload::Binary("xyz".into()));
        assert!(event("connect", "[]").is_err());
        assert!(event("e", "{}").is_err());
    }
}
