//! Which of the dialect's doors a path means. Outside the hub's path only what nobody else can mean is taken: the app
//! has its own `/app/…`, and the site its own pages.

use super::Apps;

/// A door of the dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PusherRoute {
    /// `/app/KEY`: a socket.
    Socket { key: String },
    /// A socket somewhere below `/app/KEY`, where there is nothing.
    Nowhere { key: String },
    /// `/app/KEY/N/SESSION/…`: a client that comes by ordinary requests.
    Fallback { key: String, session: String, what: Fallback },
    /// `/apps/ID/…`: the app's server. `path` begins with `/apps`.
    Rest { id: String, path: String },
    /// `/pusher/auth` and `/pusher/user-auth`, where Doorway answers them.
    Auth { is_user: bool },
}

/// What a request of the fallbacks is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    Stream,
    Poll,
    Send,
}

/// What is asked for: of the head of a request, what bears on where it goes.
#[derive(Debug, Clone, Copy)]
pub struct RequestInfo<'a> {
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub is_upgrade: bool,
}

impl PusherRoute {
    /// The door that is meant, where `hub` is the hub's own path.
    pub fn find(hub: &str, apps: &Apps, info: RequestInfo) -> Option<PusherRoute> {
        let inside = info.path.strip_prefix(hub).filter(|rest| rest.starts_with('/'));
        let path = inside.unwrap_or(info.path);
        let segments: Vec<&str> = path.strip_prefix('/')?.splitn(7, '/').collect();
        let is_ours = |key: &str| inside.is_some() || apps.by_key(key).is_some();
        match segments[..] {
            ["app", key] if !key.is_empty() && (info.is_upgrade || inside.is_some()) => {
                Some(PusherRoute::Socket { key: key.to_owned() })
            }
            ["app", key, _, ..] if info.is_upgrade && !key.is_empty() && is_ours(key) => {
                Some(PusherRoute::Nowhere { key: key.to_owned() })
            }
            ["app", key, number, session, what] | ["pusher", "app", key, number, session, what]
                if is_ours(key) && !number.is_empty() && !session.is_empty() =>
            {
                let what = match what {
                    "xhr_streaming" => Fallback::Stream,
                    "xhr" => Fallback::Poll,
                    "xhr_send" => Fallback::Send,
                    _ => return None,
                };
                Some(PusherRoute::Fallback { key: key.to_owned(), session: format!("{number}/{session}"), what })
            }
            ["apps", id, what, ..] if !what.is_empty() => {
                let is_signed = info.query.is_some_and(|query| query.contains("auth_signature="));
                let is_meant = inside.is_some() || apps.by_id(id).is_some() || is_signed;
                is_meant.then(|| PusherRoute::Rest { id: id.to_owned(), path: path.to_owned() })
            }
            ["pusher", "auth"] if apps.answers_auth() => Some(PusherRoute::Auth { is_user: false }),
            ["pusher", "user-auth"] if apps.answers_auth() => Some(PusherRoute::Auth { is_user: true }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::door::ProtocolConfig;
    use crate::realtime::pusher::Config;
    use crate::settings;

    fn apps(more: &str) -> Apps {
        let source = format!("[[pusher]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n{more}");
        Apps::new(
            &settings::read("test", &source, |root| Config::read(root, "/api/ws"))
                .unwrap_or_else(|problems| panic!("{problems}")),
        )
    }

    #[test]
    fn only_its_own_paths_are_taken() {
        let apps = apps("");
        let find =
            |path, is_upgrade| PusherRoute::find("/api/ws", &apps, RequestInfo { path, query: None, is_upgrade });
        let socket = |key: &str| Some(PusherRoute::Socket { key: key.to_owned() });
        assert_eq!(find("/app/k", true), socket("k"));
        assert_eq!(find("/app/unknown", true), socket("unknown"), "it is told so in the protocol");
        assert_eq!(find("/api/ws/app/k", true), socket("k"));
        assert_eq!(find("/api/ws/app/k", false), socket("k"), "so that it is told how to ask");
        assert_eq!(find("/app/k", false), None, "a page of the site");
        let nowhere = |key: &str| Some(PusherRoute::Nowhere { key: key.to_owned() });
        for (path, key) in
            [("/app/k/x", "k"), ("/app/k/", "k"), ("/app/k/7/abc/xhr", "k"), ("/api/ws/app/other/x", "other")]
        {
            assert_eq!(find(path, true), nowhere(key), "{path}");
        }
        for path in ["/app", "/app/", "/app/other/x", "/api/ws", "/api/ws/app", "/api/ws/app/", "/api/wsx/app/k", "/"] {
            assert_eq!(find(path, true), None, "{path}");
        }
    }

    #[test]
    fn fallbacks_and_the_servers_requests_have_their_own() {
        let open = apps("auth = \"doorway\"");
        let apps = apps("");
        let find = |path, query| PusherRoute::find("/api/ws", &apps, RequestInfo { path, query, is_upgrade: false });
        let fallback = |what| Some(PusherRoute::Fallback { key: "k".into(), session: "7/abc".into(), what });
        assert_eq!(find("/pusher/app/k/7/abc/xhr_streaming", None), fallback(Fallback::Stream));
        assert_eq!(find("/app/k/7/abc/xhr", None), fallback(Fallback::Poll));
        assert_eq!(find("/api/ws/app/k/7/abc/xhr_send", None), fallback(Fallback::Send));
        for path in ["/pusher/app/other/7/abc/xhr", "/app/k/7/abc/else", "/app/k/7/abc", "/app/k//abc/xhr"] {
            assert_eq!(find(path, None), None, "{path}");
        }
        let rest = |id: &str, path: &str| Some(PusherRoute::Rest { id: id.into(), path: path.into() });
        assert_eq!(find("/apps/1/events", None), rest("1", "/apps/1/events"));
        assert_eq!(find("/api/ws/apps/9/channels/a/users", None), rest("9", "/apps/9/channels/a/users"));
        assert_eq!(find("/apps/9/events", None), None, "a page of the site");
        assert_eq!(find("/apps/9/events", Some("auth_signature=0")), rest("9", "/apps/9/events"));
        assert_eq!(find("/apps/1", None), None);
        assert_eq!(find("/pusher/auth", None), None, "the app's own route");
        let info = RequestInfo { path: "/pusher/user-auth", query: None, is_upgrade: false };
        assert_eq!(PusherRoute::find("/api/ws", &open, info), Some(PusherRoute::Auth { is_user: true }));
    }
}
