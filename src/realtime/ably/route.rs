//! Which of the protocol's doors a request means. At the root of the site only what nobody else can mean is taken.

use crate::http::Request;
use crate::http::query::parameter;
use crate::realtime::link::websocket;

/// A door of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AblyRoute {
    Socket,
}

impl AblyRoute {
    /// The door that is meant, where `hub` is the hub's own path.
    pub fn find(hub: &str, request: &Request) -> Option<AblyRoute> {
        let path = inside(hub, request.uri().path()).unwrap_or(request.uri().path());
        let query = request.uri().query();
        let is_known = |keys: &[&str]| keys.iter().any(|key| parameter(query, key).is_some());
        let is_ours = is_known(&["v"]) && is_known(&["key", "access_token", "accessToken"]);
        (path == "/" && websocket::is_upgrade(request) && is_ours).then_some(AblyRoute::Socket)
    }
}

/// What of a path is below the hub's: clients of this protocol paste a port behind what they are given as a host.
fn inside<'a>(hub: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(hub)?;
    let Some(port) = rest.strip_prefix(':') else { return rest.starts_with('/').then_some(rest) };
    let end = port.find('/')?;
    let is_port = (1..=5).contains(&end) && port[..end].bytes().all(|byte| byte.is_ascii_digit());
    is_port.then(|| &port[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_follow_the_hubs_path() {
        for (path, rest) in [("/api/ws/", "/"), ("/api/ws:443/", "/"), ("/api/ws:80/channels/a", "/channels/a")] {
            assert_eq!(inside("/api/ws", path), Some(rest), "{path}");
        }
        for path in ["/api/ws", "/api/wsx/", "/api/ws:/", "/api/ws:x/", "/api/ws:123456/", "/api/ws:443", "/"] {
            assert_eq!(inside("/api/ws", path), None, "{path}");
        }
    }
}
