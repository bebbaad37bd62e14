//! What a request's target says: which channel, and from where in it.

use http::StatusCode;
use percent_encoding::percent_decode_str;

use crate::http::Failure;
use crate::http::query::parameter;
use crate::realtime::vocabulary::{Channel, Epoch, Position, Since};

/// The channel that `rest` names, which is what a target has below the hub's own path; `None` for that path itself.
///
/// # Errors
/// 400 for a name that no channel can have, 404 for what is no channel's path.
pub fn channel(rest: &str) -> Result<Option<Channel>, Failure> {
    let name = rest.strip_prefix('/').unwrap_or_default();
    if name.is_empty() {
        return Ok(None);
    }
    if name.contains('/') {
        return Err(Failure::client(StatusCode::NOT_FOUND, "There is no such channel: a name has no slash."));
    }
    let bad = |why: String| Failure::client(StatusCode::BAD_REQUEST, why);
    let name = percent_decode_str(name).decode_utf8().map_err(|_| bad("A channel's name is UTF-8.".into()))?;
    Channel::new(&name).map(Some).map_err(|error| bad(format!("No such channel: {error}.")))
}

/// What `?since=` asks for: a position, `start` for all that is kept, or nothing for what comes from now on.
///
/// # Errors
/// 400 for anything else.
pub fn since(query: Option<&str>) -> Result<Option<Since>, Failure> {
    match parameter(query, "since").as_deref() {
        None => Ok(None),
        Some("" | "now") => Ok(Some(Since::Now)),
        Some("start" | "0") => Ok(Some(Since::Start)),
        Some(text) => match text.parse() {
            Ok(position) => Ok(Some(Since::After(position))),
            Err(error) => {
                Err(Failure::client(StatusCode::BAD_REQUEST, format!("since is a position, start or now: {error}.")))
            }
        },
    }
}

/// What `Last-Event-ID` asks for. Another server's id is a position that cannot be had: the client is told so.
pub fn last_event_id(id: &str) -> Since {
    Since::After(id.parse().unwrap_or(Position { epoch: Epoch(0), offset: 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(rest: &str) -> Result<Option<String>, u16> {
        match channel(rest) {
            Ok(channel) => Ok(channel.map(|channel| channel.as_str().to_owned())),
            Err(failure) => Err(failure.status.as_u16()),
        }
    }

    #[test]
    fn a_path_names_a_channel() {
        assert_eq!(status(""), Ok(None));
        assert_eq!(status("/"), Ok(None));
        assert_eq!(status("/room-1"), Ok(Some("room-1".into())));
        assert_eq!(status("/a%20b%2Fc%C3%A4"), Ok(Some("a b/cä".into())));
        assert_eq!(status("/a/b"), Err(404));
        assert_eq!(status("/a/"), Err(404));
        assert_eq!(status("/%00"), Err(400));
        assert_eq!(status("/%1fowner%1f7"), Err(400), "a reserved name");
        assert_eq!(status("/%ff"), Err(400));
        assert_eq!(status(&format!("/{}", "x".repeat(513))), Err(400));
    }

    #[test]
    fn a_query_says_since_when() {
        let of = |query| since(query).map_err(|failure| failure.status.as_u16());
        assert_eq!(of(None), Ok(None));
        assert_eq!(of(Some("x=1")), Ok(None));
        assert_eq!(of(Some("since")), Ok(Some(Since::Now)));
        assert_eq!(of(Some("since=")), Ok(Some(Since::Now)));
        assert_eq!(of(Some("a=b&since=start")), Ok(Some(Since::Start)));
        assert_eq!(of(Some("since=a-7")), Ok(Some(Since::After(Position { epoch: Epoch(10), offset: 7 }))));
        assert_eq!(of(Some("since=yesterday")), Err(400));
        assert_eq!(last_event_id("junk"), Since::After(Position { epoch: Epoch(0), offset: 0 }));
    }
}
