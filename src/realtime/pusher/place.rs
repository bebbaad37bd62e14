//! Which of the dialect's doors a path means. Outside the hub's path only what nobody else can mean is taken: the app
//! has its own `/app/…`, and the site its own pages.

/// A door of the dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `/app/KEY`: a socket.
    Socket { key: String },
}

/// What is asked for: of the head of a request, what bears on where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub path: &'a str,
    pub is_upgrade: bool,
}

impl Place {
    /// The door that is meant, where `hub` is the hub's own path.
    pub fn find(hub: &str, wish: Wish) -> Option<Place> {
        let inside = wish.path.strip_prefix(hub).filter(|rest| rest.starts_with('/'));
        let path = inside.unwrap_or(wish.path);
        let mut segments = path.strip_prefix('/')?.split('/');
        match (segments.next()?, segments.next(), segments.next()) {
            ("app", Some(key), None) if !key.is_empty() && (wish.is_upgrade || inside.is_some()) => {
                Some(Place::Socket { key: key.to_owned() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_paths_are_taken() {
        let find = |path, is_upgrade| Place::find("/api/ws", Wish { path, is_upgrade });
        let socket = |key: &str| Some(Place::Socket { key: key.to_owned() });
        assert_eq!(find("/app/k", true), socket("k"));
        assert_eq!(find("/api/ws/app/k", true), socket("k"));
        assert_eq!(find("/api/ws/app/k", false), socket("k"), "so that it is told how to ask");
        assert_eq!(find("/app/k", false), None, "a page of the site");
        for path in ["/app", "/app/", "/app/k/x", "/api/ws", "/api/ws/app", "/api/ws/app/", "/api/wsx/app/k", "/"] {
            assert_eq!(find(path, true), None, "{path}");
        }
    }
}
