//! Which of the protocol's doors a request means. At the root of the site only what nobody else can mean is taken.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, AUTHORIZATION};
use http::{HeaderMap, HeaderName, Method};

use super::{AblyApps, STREAM_PATHS};
use crate::http::Request;
use crate::http::query::parameter;
use crate::realtime::link::websocket;

/// Every client library sends it with every request of the REST API.
const VERSION: HeaderName = HeaderName::from_static("x-ably-version");

/// Where the REST API begins.
const ROOTS: [&str; 9] = ["time", "stats", "keys", "messages", "presence", "channels", "push", "event-stream", "sse"];

/// A door of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AblyRoute {
    Socket,
    /// A client without WebSockets: what follows `/comet/`.
    Comet {
        rest: String,
    },
    /// `path` is the one behind the host that the client was given.
    Rest {
        path: String,
    },
}

impl AblyRoute {
    /// The door that is meant, where `hub` is the hub's own path.
    pub fn find(hub: &str, apps: &AblyApps, request: &Request) -> Option<AblyRoute> {
        let whole = request.uri().path();
        let (path, has_port) = inside(hub, whole).unwrap_or((whole, false));
        let query = request.uri().query();
        if websocket::is_upgrade(request) {
            let is_known = |keys: &[&str]| keys.iter().any(|key| parameter(query, key).is_some());
            let is_ours = is_known(&["v"]) && is_known(&["key", "access_token", "accessToken"]);
            return (path == "/" && is_ours).then_some(AblyRoute::Socket);
        }
        if let Some(rest) = path.strip_prefix("/comet/").filter(|rest| is_comet(rest, query)) {
            return Some(AblyRoute::Comet { rest: rest.to_owned() });
        }
        let is_rest = has_port || is_by_library(request) || is_stream(request, path) || {
            let root = path.trim_start_matches('/').split('/').next().unwrap_or_default();
            ROOTS.contains(&root) && is_by_key(apps, request.headers(), query)
        };
        is_rest.then(|| AblyRoute::Rest { path: path.to_owned() })
    }
}

/// What clients ask for below `/comet/`: the app may have pages there.
fn is_comet(rest: &str, query: Option<&str>) -> bool {
    match rest.split_once('/') {
        None => rest == "connect" && parameter(query, "v").is_some(),
        Some((key, what)) => !key.is_empty() && matches!(what, "recv" | "send" | "close" | "disconnect"),
    }
}

/// What an `EventSource` asks for: it can send no headers, and names channels and who it is in its query. With a token
/// in a header it says the version too, as it must.
fn is_stream(request: &Request, path: &str) -> bool {
    let query = request.uri().query();
    let is_known = |keys: &[&str]| keys.iter().any(|key| parameter(query, key).is_some());
    request.method() == Method::GET
        && path.strip_prefix('/').is_some_and(|name| STREAM_PATHS.contains(&name))
        && is_known(&["channels", "channel"])
        && (is_known(&["key", "access_token", "accessToken"])
            || is_known(&["v"]) && request.headers().contains_key(AUTHORIZATION))
}

/// One of a client library, or a browser that asks whether a page may send it.
fn is_by_library(request: &Request) -> bool {
    let headers = request.headers();
    if request.method() != Method::OPTIONS {
        return headers.contains_key(VERSION);
    }
    let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|names| names.to_str().ok());
    asked.is_some_and(|names| names.split(',').any(|name| name.trim().eq_ignore_ascii_case(VERSION.as_str())))
}

/// One by hand, with a key of ours.
fn is_by_key(apps: &AblyApps, headers: &HeaderMap, query: Option<&str>) -> bool {
    let basic = || {
        let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let key = STANDARD.decode(value.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        String::from_utf8(key).ok()
    };
    let key = basic().or_else(|| parameter(query, "key"));
    key.is_some_and(|key| key.split_once(':').is_some_and(|(name, _)| apps.has_key(name)))
}

/// What of a path is below the hub's: clients of this protocol paste a port behind what they are given as a host.
/// True with it where there is one.
fn inside<'a>(hub: &str, path: &'a str) -> Option<(&'a str, bool)> {
    let rest = path.strip_prefix(hub)?;
    let Some(port) = rest.strip_prefix(':') else { return rest.starts_with('/').then_some((rest, false)) };
    let end = port.find('/')?;
    let is_port = (1..=5).contains(&end) && port[..end].bytes().all(|byte| byte.is_ascii_digit());
    is_port.then(|| (&port[end..], true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::ably::Config;
    use crate::realtime::door::ProtocolConfig;
    use crate::settings;

    #[test]
    fn a_port_may_follow_the_hubs_path() {
        for (path, rest) in [
            ("/api/ws/", ("/", false)),
            ("/api/ws:443/", ("/", true)),
            ("/api/ws:80/channels/a", ("/channels/a", true)),
        ] {
            assert_eq!(inside("/api/ws", path), Some(rest), "{path}");
        }
        for path in ["/api/ws", "/api/wsx/", "/api/ws:/", "/api/ws:x/", "/api/ws:123456/", "/api/ws:443", "/"] {
            assert_eq!(inside("/api/ws", path), None, "{path}");
        }
    }

    fn apps() -> AblyApps {
        let read = |root: &settings::Section| Config::read(root, "/api/ws");
        AblyApps::new(&settings::read("test", "[[ably]]\nkey = \"a.b:c\"", read).unwrap(), None)
    }

    fn find(method: &str, uri: &str, headers: &[(&str, &str)]) -> Option<AblyRoute> {
        let request = http::Request::builder().method(method).uri(uri);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        AblyRoute::find("/api/ws", &apps(), &request.body(crate::http::Body::Empty).unwrap())
    }

    #[test]
    fn pages_of_the_site_are_left_alone() {
        let rest = |path: &str| Some(AblyRoute::Rest { path: path.into() });
        let version = ("x-ably-version", "6");
        assert_eq!(find("GET", "/messages", &[]), None);
        assert_eq!(find("GET", "/messages", &[version]), rest("/messages"));
        assert_eq!(find("GET", "/whatever", &[version]), rest("/whatever"), "it is told that there is none");
        assert_eq!(find("GET", "/api/ws/time", &[]), None, "a channel of the plain dialect");
        assert_eq!(find("GET", "/api/ws/time", &[version]), rest("/time"));
        assert_eq!(find("GET", "/api/ws:443/time", &[]), rest("/time"));
        let asks = |names| ("access-control-request-headers", names);
        assert_eq!(find("OPTIONS", "/time", &[asks("content-type,X-Ably-Version")]), rest("/time"));
        assert_eq!(find("OPTIONS", "/time", &[asks("content-type")]), None);
        let comet = Some(AblyRoute::Comet { rest: "KEY/recv".into() });
        assert_eq!((find("GET", "/comet/KEY/recv", &[]), find("GET", "/comets", &[])), (comet, None));
        let connect = Some(AblyRoute::Comet { rest: "connect".into() });
        assert_eq!(find("GET", "/comet/connect?v=6&key=x", &[]), connect);
        for page in ["/comet/connect", "/comet/halley", "/comet/halley/1986", "/comet//recv", "/comet/"] {
            assert_eq!(find("GET", page, &[]), None, "a page of the app: {page}");
        }
    }

    #[test]
    fn a_request_by_hand_shows_a_key() {
        let rest = |path: &str| Some(AblyRoute::Rest { path: path.into() });
        let basic = |key: &str| format!("Basic {}", STANDARD.encode(key));
        let by = |uri, key| find("POST", uri, &[("authorization", &basic(key))]);
        assert_eq!(by("/channels/x/messages", "a.b:wrong"), rest("/channels/x/messages"), "it is told so");
        assert_eq!(by("/channels/x/messages", "user:password"), None);
        assert_eq!(by("/admin", "a.b:c"), None);
        assert_eq!(find("GET", "/api/ws/stats?key=a.b:c", &[]), rest("/stats"));
        assert_eq!(find("GET", "/stats?key=x", &[]), None);
    }

    #[test]
    fn a_stream_names_channels_and_who_it_is() {
        let rest = |path: &str| Some(AblyRoute::Rest { path: path.into() });
        for query in ["channels=a&key=x", "channel=a&accessToken=x", "channels=a&access_token=x&v=1.2"] {
            assert_eq!(find("GET", &format!("/sse?{query}"), &[]), rest("/sse"), "{query}");
            assert_eq!(find("GET", &format!("/api/ws/event-stream?{query}"), &[]), rest("/event-stream"), "{query}");
            assert_eq!(find("POST", &format!("/sse?{query}"), &[]), None, "the app's");
        }
        let bearer = ("authorization", "Bearer x");
        assert_eq!(find("GET", "/sse?channels=a&v=1.2", &[bearer]), rest("/sse"));
        assert_eq!(find("GET", "/sse?channels=a", &[bearer]), None, "the app's");
        for page in ["/sse", "/sse?channels=a", "/sse?key=x", "/event-stream?v=1.2&key=x", "/sse/x?channels=a&key=x"] {
            assert_eq!(find("GET", page, &[]), None, "a page of the app: {page}");
        }
    }
}
