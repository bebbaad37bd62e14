//! Who is told of something: a route of the app behind the door, or whoever answers at an address.

use std::fmt;

use http::uri::PathAndQuery;

use super::remote::Remote;

/// Where a request goes that tells of something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receiver(pub(super) ReceiverPlace);

/// The place of a receiver: a route of the app, or an absolute URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ReceiverPlace {
    /// Of the app behind the door.
    Route(PathAndQuery),
    Elsewhere(Remote),
}

impl Receiver {
    /// Reads a path of the app, or an absolute URL with http or https; `None` where it is neither.
    pub fn read(text: &str) -> Option<Receiver> {
        let place = match text.strip_prefix('/') {
            // Two slashes would begin a host.
            Some(rest) if rest.starts_with('/') => None,
            Some(_) => text.parse().ok().map(ReceiverPlace::Route),
            None => Remote::read(text).map(ReceiverPlace::Elsewhere),
        };
        place.map(Receiver)
    }
}

/// Without its query, which may hold a secret.
impl fmt::Display for Receiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ReceiverPlace::Route(route) => formatter.write_str(route.path()),
            ReceiverPlace::Elsewhere(remote) => remote.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_a_path_or_an_address() {
        let shown = |text: &str| Receiver::read(text).map(|receiver| receiver.to_string());
        for (text, expected) in [
            ("/api/pusher/webhook?secret=1", "/api/pusher/webhook"),
            ("/", "/"),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000/"),
            ("https://hooks.test/x?secret=1", "https://hooks.test/x"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected));
        }
        for wrong in ["", "hook", "//host/x", "ftp://host/x", "https://", "/a b", "https://user:word@host/"] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
        assert_ne!(Receiver::read("/a?1"), Receiver::read("/a?2"), "two of them");
    }
}
