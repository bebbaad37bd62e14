//! Requests about documents that another door has.

use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::http::{Body, Failure, Request, Response};
use crate::realtime::hub::documents::RoomLease;
use crate::realtime::liveblocks::{LiveblocksDoor, route};
use crate::realtime::peer::{self, DocumentOwner, is_from_peer};
use crate::realtime::vocabulary::Channel;

/// What a request needs of the door that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// That it is the one with the documents of a room, or that nobody has them.
    Look,
    /// That it has them.
    Hold,
}

/// A request that this door answers, and what it holds meanwhile.
pub type Kept = (Parts, Body, Option<RoomLease>);

impl LiveblocksDoor {
    /// Forwards a request about documents that another door has, or gives it back.
    ///
    /// # Errors
    /// 503 where that door lives, and does not answer.
    pub(super) async fn pass_rest(&self, head: Parts, body: Body) -> Result<Result<Response, Kept>, Failure> {
        let (Some(peers), Some(documents)) = (&self.peers, self.hub.documents()) else {
            return Ok(Err((head, body, None)));
        };
        let Some((channel, need)) = need(&head).filter(|_| !is_from_peer(&head)) else {
            return Ok(Err((head, body, None)));
        };
        // Who may not ask is told so here.
        let may_hold = route::bearer(&head.headers).is_some_and(|bearer| self.access.is_secret(bearer));
        let owner = match need {
            Need::Look => peers.documents_of(documents, &channel).await?,
            Need::Hold if may_hold => peers.hold_documents(documents, &channel).await?,
            Need::Hold => DocumentOwner::Here,
        };
        match owner {
            DocumentOwner::There(way) => Ok(Ok(peer::forward(way, Request::from_parts(head, body)).await?)),
            DocumentOwner::Held(lease) => Ok(Err((head, body, Some(lease)))),
            DocumentOwner::Here => Ok(Err((head, body, None))),
        }
    }
}

/// Whose documents a request needs, and how. Records of rooms are the same at all doors.
fn need(head: &Parts) -> Option<(Channel, Need)> {
    let decoded = |segment: &str| percent_decode_str(segment).decode_utf8().map(String::from);
    let segments: Vec<String> = head.uri.path().split('/').skip(2).map(decoded).collect::<Result<_, _>>().ok()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (room, need) = match (&head.method, &segments[..]) {
        (_, ["c", "rooms", room, ..]) | (_, ["rooms", room, "active-users" | "active_users"]) => (room, Need::Look),
        (&Method::GET | &Method::POST, ["rooms", _])
        | (_, ["rooms", _, "upsert" | "broadcast-event" | "broadcast_event"]) => return None,
        (_, ["rooms", room, ..]) => (room, Need::Hold),
        _ => return None,
    };
    Some((Channel::new(room).ok()?, need))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_documents_is_for_the_door_that_has_them() {
        let need = |method: &str, path: &str| {
            let (head, ()) = http::Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
            need(&head).map(|(channel, need)| (channel.as_str().to_owned(), need))
        };
        let of = |need| Some(("a/b".to_owned(), need));
        for (method, path) in [("GET", "storage"), ("POST", "presence"), ("POST", "update-room-id"), ("PUT", "ydoc")] {
            assert_eq!(need(method, &format!("/v2/rooms/a%2Fb/{path}")), of(Need::Hold), "{path}");
        }
        assert_eq!(need("DELETE", "/v2/rooms/a%2Fb"), of(Need::Hold));
        for path in ["/v2/c/rooms/a%2Fb/storage", "/v2/rooms/a%2Fb/active-users"] {
            assert_eq!(need("GET", path), of(Need::Look), "{path}");
        }
        for (method, path) in [
            ("GET", "/v2/rooms"),
            ("POST", "/v2/rooms"),
            ("GET", "/v2/rooms/a"),
            ("POST", "/v2/rooms/a"),
            ("POST", "/v2/rooms/a/upsert"),
            ("POST", "/v2/authorize-user"),
            ("GET", "/v2/rooms/%ff/storage"),
        ] {
            assert_eq!(need(method, path), None, "{method} {path}");
        }
    }
}
