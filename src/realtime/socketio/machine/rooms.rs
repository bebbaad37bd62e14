//! Where namespaces and rooms lie among the hub's channels.
//!
//! A room of the namespace `/` is the channel of its name, so that clients of every dialect meet there. All of a
//! namespace are in the channel of the namespace's name (`/`, `/admin`), its rooms in `/admin#room`. Rooms of `/` whose
//! names would be mistaken for these are `/#room`.

use std::borrow::Cow;

use crate::realtime::vocabulary::{BadName, Channel};

/// The namespace of clients that name none.
pub const ROOT: &str = "/";

/// The channel that everyone in `scope` hears.
///
/// # Errors
/// [`BadName`] where no channel can be called that.
pub fn everyone(scope: &str) -> Result<Channel, BadName> {
    Channel::new(scope)
}

/// The channel of a room of `scope`.
///
/// # Errors
/// [`BadName`] where no channel can be called that.
pub fn room(scope: &str, room: &str) -> Result<Channel, BadName> {
    let name = if scope == ROOT && !room.is_empty() && !room.starts_with('/') {
        Cow::Borrowed(room)
    } else {
        Cow::Owned(format!("{scope}#{room}"))
    };
    Channel::new(&name)
}

/// Which namespace, and which room of it (or all), a channel is.
pub fn place(channel: &Channel) -> (&str, Option<&str>) {
    let name = channel.as_str();
    if !name.starts_with('/') {
        return (ROOT, Some(name));
    }
    name.split_once('#').map_or((name, None), |(scope, room)| (scope, Some(room)))
}

/// Whether a namespace may be called so: a path, without what packets and channels need for themselves.
pub fn is_scope(name: &str) -> bool {
    name.starts_with('/') && name.len() <= 256 && !name.contains(['#', ',']) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_and_channels_are_the_same_things() {
        for (scope, name, channel) in [
            ("/", "lobby", "lobby"),
            ("/", "", "/#"),
            ("/", "/x", "/#/x"),
            ("/", "/admin#x", "/#/admin#x"),
            ("/admin", "lobby", "/admin#lobby"),
            ("/admin", "a#b", "/admin#a#b"),
        ] {
            let made = room(scope, name).unwrap();
            assert_eq!(made.as_str(), channel);
            assert_eq!(place(&made), (scope, Some(name)), "{channel}");
        }
        assert_eq!(place(&everyone("/").unwrap()), ("/", None));
        assert_eq!(place(&everyone("/admin").unwrap()), ("/admin", None));
        assert!(room("/", "a\nb").is_err() && room("/", &"x".repeat(600)).is_err());
    }

    #[test]
    fn namespaces_are_paths() {
        assert!(is_scope("/") && is_scope("/admin") && is_scope("/a/b"));
        assert!(!is_scope("admin") && !is_scope("/a#b") && !is_scope("/a,b") && !is_scope("/\n"));
    }
}
