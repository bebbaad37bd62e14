//! Who calls, and whether he may. On the operator's own listener nobody needs a token, but a web page that is open in a
//! browser on this machine must not be able to call in its user's stead.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName};

use super::bearer::{BearerTokens, shown};
use super::problem::ApiProblem;
use crate::http::authority::is_address;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The listener that a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// One that only this machine reaches, where operators ask without a password.
    Admin,
    /// Any other: a token is needed.
    Public,
    /// That of other doors, which have let the caller in and counted what it does.
    Peer,
}

/// Lets a caller in.
///
/// # Errors
/// 401 without a good token where one is needed, or with a bad one anywhere; 403 for a web page without one.
pub fn admit(door: Listener, headers: &HeaderMap, tokens: &BearerTokens) -> Result<(), ApiProblem> {
    match (shown(headers), door) {
        (_, Listener::Peer) => Ok(()),
        (Some(token), _) if tokens.accept(token) => Ok(()),
        (Some(_), _) => Err(ApiProblem::unauthorized("this token is not (or no longer) good here")),
        (None, Listener::Public) => Err(ApiProblem::unauthorized("a token is needed: Authorization: Bearer TOKEN")),
        (None, Listener::Admin) if is_from_a_page(headers) => {
            Err(ApiProblem::forbidden("web pages may not ask here without a token"))
        }
        (None, Listener::Admin) => Ok(()),
    }
}

/// Browsers say where a request comes from, but for a page that has made its own name mean this machine ("DNS
/// rebinding"): it asks for that name.
fn is_from_a_page(headers: &HeaderMap) -> bool {
    let by_a_page = headers.contains_key(ORIGIN) || headers.get(FETCH_SITE).is_some_and(|site| site != "none");
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
    by_a_page || !is_this_machine(host) || hosts.next().is_some()
}

fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    authority.host().eq_ignore_ascii_case("localhost") || is_address(authority.host())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn status(door: Listener, headers: &[(&'static str, &'static str)]) -> u16 {
        let tokens = BearerTokens::new(&["t".repeat(32)]).unwrap();
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers = headers.iter().map(header).collect();
        admit(door, &headers, &tokens).map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn operators_need_no_token_but_pages_do() {
        let good = ("authorization", "Bearer tttttttttttttttttttttttttttttttt");
        for host in ["127.0.0.1:9080", "localhost:9080", "LOCALHOST", "[::1]:9080"] {
            assert_eq!(status(Listener::Admin, &[("host", host)]), 200, "{host}");
        }
        for host in ["evil.test:9080", "localhost.evil.test", "", "127.0.0.1.evil.test", "localhost@evil.test"] {
            assert_eq!(status(Listener::Admin, &[("host", host)]), 403, "{host}");
            assert_eq!(status(Listener::Admin, &[("host", host), good]), 200, "{host}");
        }
        let here = ("host", "localhost");
        assert_eq!(status(Listener::Admin, &[here, ("origin", "null")]), 403);
        assert_eq!(status(Listener::Admin, &[here, ("origin", "http://localhost")]), 403);
        assert_eq!(status(Listener::Admin, &[here, ("sec-fetch-site", "same-origin")]), 403);
        assert_eq!(status(Listener::Admin, &[here, ("sec-fetch-site", "none")]), 200);
        assert_eq!(
            status(Listener::Admin, &[here, ("authorization", "Bearer x")]),
            401,
            "a bad one is no better than none"
        );
    }

    #[test]
    fn outside_only_a_token_counts() {
        assert_eq!(status(Listener::Public, &[("host", "localhost")]), 401);
        assert_eq!(status(Listener::Public, &[("authorization", "Bearer wrong")]), 401);
        assert_eq!(status(Listener::Public, &[("authorization", "Bearer tttttttttttttttttttttttttttttttt")]), 200);
    }
}
