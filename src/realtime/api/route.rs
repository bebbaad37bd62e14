//! Which operation a request means.

use std::str::FromStr;

use http::Method;
use percent_encoding::percent_decode_str;

use super::problem::ApiProblem;
use crate::realtime::vocabulary::{Channel, ConnectionId};

/// An operation, with what its path names.
#[derive(Debug, Clone, PartialEq)]
pub enum ApiRoute {
    Publish,
    Batch,
    Emit,
    Disconnect,
    Purge,
    PatchTree,
    UpdateYjs,
    Channels,
    Channel(Channel),
    Members(Channel),
    History(Channel),
    Tree(Channel),
    Yjs(Channel),
    Connections,
    Connection(ConnectionId),
    User(String),
    Description,
}

impl ApiRoute {
    /// Reads a method and what is left of a path below that of the API.
    ///
    /// # Errors
    /// 404 for no operation, 405 for another method, 400 for names that cannot be.
    pub fn find(method: &Method, path: &str) -> Result<ApiRoute, ApiProblem> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let (route, is_post) = match segments[..] {
            ["publish"] => (ApiRoute::Publish, true),
            ["batch"] => (ApiRoute::Batch, true),
            ["emit"] => (ApiRoute::Emit, true),
            ["disconnect"] => (ApiRoute::Disconnect, true),
            ["purge"] => (ApiRoute::Purge, true),
            ["tree"] => (ApiRoute::PatchTree, true),
            ["yjs"] => (ApiRoute::UpdateYjs, true),
            ["channels"] => (ApiRoute::Channels, false),
            ["channels", name] => (ApiRoute::Channel(channel(name)?), false),
            ["channels", name, "members"] => (ApiRoute::Members(channel(name)?), false),
            ["channels", name, "history"] => (ApiRoute::History(channel(name)?), false),
            ["channels", name, "tree"] => (ApiRoute::Tree(channel(name)?), false),
            ["channels", name, "yjs"] => (ApiRoute::Yjs(channel(name)?), false),
            ["connections"] => (ApiRoute::Connections, false),
            ["connections", id] => (ApiRoute::Connection(connection(id)?), false),
            ["users", user] if !user.is_empty() => (ApiRoute::User(decoded(user)?), false),
            ["openapi.json"] => (ApiRoute::Description, false),
            _ => return Err(ApiProblem::not_found("there is no such operation; openapi.json lists them")),
        };
        match (is_post, method) {
            (true, &Method::POST) | (false, &Method::GET | &Method::HEAD) => Ok(route),
            (true, _) => Err(ApiProblem::method("POST")),
            (false, _) => Err(ApiProblem::method("GET, HEAD")),
        }
    }

    /// Its name in metrics and in the description.
    pub fn name(&self) -> &'static str {
        match self {
            ApiRoute::Publish => "publish",
            ApiRoute::Batch => "batch",
            ApiRoute::Emit => "emit",
            ApiRoute::Disconnect => "disconnect",
            ApiRoute::Purge => "purge",
            ApiRoute::PatchTree => "patchTree",
            ApiRoute::UpdateYjs => "updateYjs",
            ApiRoute::Channels => "channels",
            ApiRoute::Channel(_) => "channel",
            ApiRoute::Members(_) => "members",
            ApiRoute::History(_) => "history",
            ApiRoute::Tree(_) => "tree",
            ApiRoute::Yjs(_) => "yjs",
            ApiRoute::Connections => "connections",
            ApiRoute::Connection(_) => "connection",
            ApiRoute::User(_) => "user",
            ApiRoute::Description => "description",
        }
    }
}

fn decoded(segment: &str) -> Result<String, ApiProblem> {
    let text = percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| ApiProblem::bad("the name in the path is not UTF-8 once it is percent-decoded"))?;
    Ok(text.into_owned())
}

fn channel(segment: &str) -> Result<Channel, ApiProblem> {
    Channel::new(&decoded(segment)?).map_err(|error| ApiProblem::bad(error.to_string()))
}

fn connection(segment: &str) -> Result<ConnectionId, ApiProblem> {
    ConnectionId::from_str(segment).map_err(|_| ApiProblem::bad("a connection's id has 16 hexadecimal digits"))
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
                let found = ApiRoute::find(&method, &path).unwrap();
                assert_eq!(found.name(), operation["operationId"], "{path}");
                let other = if method == Method::GET { Method::POST } else { Method::GET };
                assert_eq!(ApiRoute::find(&other, &path).unwrap_err().status, 405, "{path}");
                names.push(found.name());
            }
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 17, "one for each variant: {names:?}");
    }

    #[test]
    fn what_is_no_operation_is_not_found() {
        for path in ["", "/", "/publish/", "/channels/a/b", "/users/", "/channels//members/x"] {
            assert_eq!(ApiRoute::find(&Method::POST, path).unwrap_err().status, 404, "{path}");
        }
        for path in ["/channels/", "/channels/%00", "/channels/%ff", "/connections/zz"] {
            assert_eq!(ApiRoute::find(&Method::GET, path).unwrap_err().status, 400, "{path}");
        }
        let slash = Channel::new("a/b").unwrap();
        assert_eq!(ApiRoute::find(&Method::HEAD, "/channels/a%2Fb").unwrap(), ApiRoute::Channel(slash));
    }
}
