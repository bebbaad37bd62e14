//! Which operation a request means.

use std::str::FromStr;

use http::Method;
use percent_encoding::percent_decode_str;

use super::problem::Problem;
use crate::realtime::vocabulary::{Channel, ConnectionId};

/// An operation, with what its path names.
#[derive(Debug, Clone, PartialEq)]
pub enum Route {
    Publish,
    Batch,
    Emit,
    Disconnect,
    Channels,
    Channel(Channel),
    Members(Channel),
    History(Channel),
    Connections,
    Connection(ConnectionId),
    User(String),
    Description,
}

impl Route {
    /// Reads a method and what is left of a path below that of the API.
    ///
    /// # Errors
    /// 404 for no operation, 405 for another method, 400 for names that cannot be.
    pub fn find(method: &Method, path: &str) -> Result<Route, Problem> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let (route, is_post) = match segments[..] {
            ["publish"] => (Route::Publish, true),
            ["batch"] => (Route::Batch, true),
            ["emit"] => (Route::Emit, true),
            ["disconnect"] => (Route::Disconnect, true),
            ["channels"] => (Route::Channels, false),
            ["channels", name] => (Route::Channel(channel(name)?), false),
            ["channels", name, "members"] => (Route::Members(channel(name)?), false),
            ["channels", name, "history"] => (Route::History(channel(name)?), false),
            ["connections"] => (Route::Connections, false),
            ["connections", id] => (Route::Connection(connection(id)?), false),
            ["users", user] if !user.is_empty() => (Route::User(decoded(user)?), false),
            ["openapi.json"] => (Route::Description, false),
            _ => return Err(Problem::not_found("there is no such operation; openapi.json lists them")),
        };
        match (is_post, method) {
            (true, &Method::POST) | (false, &Method::GET | &Method::HEAD) => Ok(route),
            (true, _) => Err(Problem::method("POST")),
            (false, _) => Err(Problem::method("GET, HEAD")),
        }
    }

    /// Its name in numbers and in the description.
    pub fn name(&self) -> &'static str {
        match self {
            Route::Publish => "publish",
            Route::Batch => "batch",
            Route::Emit => "emit",
            Route::Disconnect => "disconnect",
            Route::Channels => "channels",
            Route::Channel(_) => "channel",
            Route::Members(_) => "members",
            Route::History(_) => "history",
            Route::Connections => "connections",
            Route::Connection(_) => "connection",
            Route::User(_) => "user",
            Route::Description => "description",
        }
    }
}

fn decoded(segment: &str) -> Result<String, Problem> {
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| Problem::bad("a name in the path is UTF-8"))?;
    Ok(text.into_owned())
}

fn channel(segment: &str) -> Result<Channel, Problem> {
    Channel::new(&decoded(segment)?).map_err(|error| Problem::bad(error.to_string()))
}

fn connection(segment: &str) -> Result<ConnectionId, Problem> {
    ConnectionId::from_str(segment).map_err(|_| Problem::bad("a connection's id has 16 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_and_the_routes_are_the_same() {
        let description: serde_json::Value = serde_json::from_str(crate::realtime::api::DESCRIPTION).unwrap();
        let mut names = Vec::new();
        for (path, operations) in description["paths"].as_object().unwrap() {
            let path = path.replace("{channel}", "a%2Fb").replace("{connection}", "00ff").replace("{user}", "ada");
            for (method, operation) in operations.as_object().unwrap() {
                let method: Method = method.to_uppercase().parse().unwrap();
                let found = Route::find(&method, &path).unwrap();
                assert_eq!(found.name(), operation["operationId"], "{path}");
                let other = if method == Method::GET { Method::POST } else { Method::GET };
                assert_eq!(Route::find(&other, &path).unwrap_err().status, 405, "{path}");
                names.push(found.name());
            }
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 12, "one for each variant: {names:?}");
    }

    #[test]
    fn what_is_no_operation_is_not_found() {
        for path in ["", "/", "/publish/", "/channels/a/b", "/users/", "/channels//members/x"] {
            assert_eq!(Route::find(&Method::POST, path).unwrap_err().status, 404, "{path}");
        }
        for path in ["/channels/", "/channels/%00", "/channels/%ff", "/connections/zz"] {
            assert_eq!(Route::find(&Method::GET, path).unwrap_err().status, 400, "{path}");
        }
        let slash = Channel::new("a/b").unwrap();
        assert_eq!(Route::find(&Method::HEAD, "/channels/a%2Fb").unwrap(), Route::Channel(slash));
    }
}
