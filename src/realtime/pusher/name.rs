//! Names of channels, and what they say about them.

use crate::realtime::vocabulary::ConnectionId;

/// The longest name of a channel and of an event, in characters.
pub const MAX_NAME_LEN: usize = 200;
/// The longest id of a user, in bytes.
pub const LONGEST_USER: usize = 128;
const USER_PREFIX: &str = "#server-to-user-";

/// Beginnings of names that not everybody may hear, for the hub's policies.
pub const GUARDED_PREFIXES: [&str; 3] = ["private-", "presence-", USER_PREFIX];
/// Beginnings of the names of cache channels.
pub const CACHE_PREFIXES: [&str; 4] = ["cache-", "private-cache-", "presence-cache-", "private-encrypted-cache-"];

/// Who may hear a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelAccess {
    Public,
    /// Whom the app has signed a subscription for.
    Private,
    /// Likewise, and its payloads are sealed: they pass as they are.
    Encrypted,
    /// Whom the app has signed a membership for.
    Presence,
    /// The user of this id.
    SignedInUser,
}

/// What a channel's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelKind {
    pub access: ChannelAccess,
    /// Its last event is told to whoever subscribes.
    pub is_cache: bool,
}

impl ChannelKind {
    pub fn of(name: &str) -> ChannelKind {
        let (access, rest) = if let Some(rest) = name.strip_prefix("private-encrypted-") {
            (ChannelAccess::Encrypted, rest)
        } else if let Some(rest) = name.strip_prefix("private-") {
            (ChannelAccess::Private, rest)
        } else if let Some(rest) = name.strip_prefix("presence-") {
            (ChannelAccess::Presence, rest)
        } else if name.starts_with(USER_PREFIX) {
            (ChannelAccess::SignedInUser, "")
        } else {
            (ChannelAccess::Public, name)
        };
        ChannelKind { access, is_cache: rest.starts_with("cache-") }
    }
}

/// Whether a channel may be called so.
pub fn is_valid(name: &str) -> bool {
    let is_allowed = |byte: u8| is_plain(byte) || b"=@,.;".contains(&byte);
    match user(name) {
        Some(user) => is_user(user),
        None => (1..=MAX_NAME_LEN).contains(&name.len()) && name.bytes().all(is_allowed),
    }
}

/// What is wrong with a name that is not [valid](is_valid), in a sentence.
pub fn fault(name: &str) -> &'static str {
    match (user(name), (1..=MAX_NAME_LEN).contains(&name.len())) {
        (Some(_), _) => "a user's id has 1 to 128 bytes, and no control characters",
        (None, false) => "it has 1 to 200 characters",
        (None, true) => "it is of letters, digits and -_=@,.; alone",
    }
}

/// A letter, a digit, `-` or `_`.
pub fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Whether a user may be called so.
pub fn is_user(id: &str) -> bool {
    (1..=LONGEST_USER).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// The user whose own channel it is.
pub fn user(channel: &str) -> Option<&str> {
    channel.strip_prefix(USER_PREFIX)
}

/// The channel of one user.
pub fn channel_of(user: &str) -> String {
    format!("{USER_PREFIX}{user}")
}

/// Event names that only Doorway says.
pub fn is_reserved(event: &str) -> bool {
    event.starts_with("pusher:") || event.starts_with("pusher_internal:")
}

/// A connection's id as Pusher writes it: two numbers and a dot.
pub fn socket_id(id: ConnectionId) -> String {
    format!("{}.{}", id.0 >> 32, id.0 & u64::from(u32::MAX))
}

/// The connection that a socket id means; `None` where it is none of ours.
pub fn connection(socket_id: &str) -> Option<ConnectionId> {
    let (high, low) = socket_id.split_once('.')?;
    let number = |text: &str| {
        let is_number = (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u32>().ok())?
    };
    Some(ConnectionId(u64::from(number(high)?) << 32 | u64::from(number(low)?)))
}

/// Whether it could be a socket id, of ours or of another server.
pub fn is_socket_id(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(high, low)| is_number(high) && is_number(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_who_may_hear() {
        for (name, access, is_cache) in [
            ("chat", ChannelAccess::Public, false),
            ("cache-chat", ChannelAccess::Public, true),
            ("private-chat", ChannelAccess::Private, false),
            ("private-cache-chat", ChannelAccess::Private, true),
            ("private-encrypted-chat", ChannelAccess::Encrypted, false),
            ("private-encrypted-cache-chat", ChannelAccess::Encrypted, true),
            ("presence-chat", ChannelAccess::Presence, false),
            ("presence-cache-chat", ChannelAccess::Presence, true),
            ("#server-to-user-7", ChannelAccess::SignedInUser, false),
            ("privately", ChannelAccess::Public, false),
        ] {
            assert_eq!(ChannelKind::of(name), ChannelKind { access, is_cache }, "{name}");
            assert_eq!(CACHE_PREFIXES.iter().any(|cached| name.starts_with(cached)), is_cache, "{name}");
            let is_guarded = GUARDED_PREFIXES.iter().any(|guarded| name.starts_with(guarded));
            assert_eq!(is_guarded, access != ChannelAccess::Public, "{name}");
        }
    }

    #[test]
    fn names_are_checked() {
        for name in ["a", "A-z_0=@,.;", &"x".repeat(200), "#server-to-user-a b/ä"] {
            assert!(is_valid(name), "{name}");
        }
        for name in ["", "a b", "a/b", "ä", "#x", "a#b", &"x".repeat(201), "#server-to-user-", "#server-to-user-\n"] {
            assert!(!is_valid(name), "{name}");
        }
    }

    #[test]
    fn socket_ids_read_back() {
        for id in [0, 7, 1 << 32, u64::MAX, 0x1234_5678_9abc_def0].map(ConnectionId) {
            let text = socket_id(id);
            assert!(is_socket_id(&text));
            assert_eq!(connection(&text), Some(id), "{text}");
        }
        for text in ["", ".", "1", "1.", ".1", "1.2.3", "a.1", "+1.2", "4294967296.1", "99999999999.1"] {
            assert_eq!(connection(text), None, "{text}");
        }
    }
}
