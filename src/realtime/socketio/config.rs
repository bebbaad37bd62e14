//! The sections `[[realtime.socketio]]`: the endpoints of the stock client.

use super::engineio::transport;
use super::machine;
use crate::http::path::misspelt;
use crate::realtime::door::ProtocolConfig;
use crate::realtime::entrance::origin::Origins;
use crate::settings::Section;

/// Where the stock client looks when nobody tells it otherwise.
const PATH: &str = "/socket.io";

/// All endpoints, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Default one, at `/socket.io` and below the hub's own path.
    pub endpoints: Vec<EndpointConfig>,
}

impl ProtocolConfig for Config {
    /// One endpoint.
    fn at(hub: &str) -> Config {
        Config { endpoints: vec![EndpointConfig::at(hub)] }
    }

    fn read(realtime: &Section, hub: &str) -> Config {
        // An empty list means none, as nothing means the default.
        let sections = realtime.sections("socketio");
        match realtime.has("socketio") {
            true => Config { endpoints: sections.iter().map(|section| EndpointConfig::read(section, hub)).collect() },
            false => Config::at(hub),
        }
    }
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointConfig {
    /// Where it is; without the last slash, with which it is found too. Default `/socket.io` and the same below the
    /// hub's own path.
    pub paths: Vec<String>,
    /// Pages that may connect besides the site's own, where they are others than those of the hub. Default none.
    pub origins: Option<Origins>,
    /// A cookie with the session's id, for load balancers in front that want one. Default none.
    pub cookie: Option<String>,
    pub transport: transport::Config,
    pub dialect: machine::Config,
}

impl EndpointConfig {
    /// The endpoint of a config that names none, where the hub is at `hub`.
    pub fn at(hub: &str) -> EndpointConfig {
        EndpointConfig {
            paths: vec![PATH.to_owned(), format!("{hub}{PATH}")],
            origins: None,
            cookie: None,
            transport: transport::Config::default(),
            dialect: machine::Config::default(),
        }
    }

    pub fn read(section: &Section, hub: &str) -> EndpointConfig {
        let default = EndpointConfig::at(hub);
        let mut paths: Vec<String> = section.value("path", default.paths);
        for path in &mut paths {
            path.truncate(path.trim_end_matches('/').len());
            if !path.starts_with('/') || path.contains(['?', '#', '%']) || path.contains("//") {
                let what = format!("{path:?} is no path below the root");
                section.problem("path", what, Some("as in \"/socket.io/\""));
            } else if let Some(better) = misspelt(path) {
                let what = format!("requests are compared with {path:?} in another spelling");
                section.problem("path", what, Some(&format!("write {better:?}")));
            }
        }
        if paths.is_empty() {
            section.problem("path", "an endpoint needs a path", Some("as in \"/socket.io/\""));
        }
        let cookie: Option<String> = section.optional("cookie");
        if cookie.as_deref().is_some_and(|name| !is_cookie_name(name)) {
            section.problem("cookie", "no cookie can be called so", Some("as in \"io\""));
        }
        let own = Origins::read(section);
        let has_own = section.has("origins") || section.has("require_origin");
        let (transport, dialect) = (transport::Config::read(section), machine::Config::read(section));
        EndpointConfig { paths, origins: has_own.then_some(own), cookie, transport, dialect }
    }

    /// Whether a request for `path` is for this endpoint.
    pub fn serves(&self, path: &str) -> bool {
        self.paths
            .iter()
            .any(|known| path.strip_prefix(known.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

/// RFC 6265 section 4.1.1: a token.
fn is_cookie_name(name: &str) -> bool {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.len() <= 64 && name.chars().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_with_and_without_its_last_slash() {
        let config = EndpointConfig::at("/api/ws");
        for path in ["/socket.io", "/socket.io/", "/api/ws/socket.io/", "/socket.io/x"] {
            assert!(config.serves(path), "{path}");
        }
        for path in ["/", "/socket.iox", "/socket", "/api/ws", "/api/ws/room", "/x/socket.io/"] {
            assert!(!config.serves(path), "{path}");
        }
    }
}
