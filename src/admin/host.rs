//! The names by which operators ask. A page of another site may have made its own name mean this machine ("DNS
//! rebinding"), and then reads whatever it asks for: so nothing is answered under a name that is somebody's.

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, StatusCode};

use crate::http::authority::is_address;
use crate::http::{Failure, HostPattern};

/// Lets a request in whose `Host` is an address, `localhost`, a name of one label (a machine of a local network: nobody
/// owns such on the Internet), or one of `hosts`; or that has none, as browsers always send it.
///
/// # Errors
/// 421 (RFC 9110 section 15.5.20) for any other name.
pub fn check(headers: &HeaderMap, hosts: &[HostPattern]) -> Result<(), Failure> {
    let mut said = headers.get_all(HOST).iter();
    let host = match (said.next(), said.next()) {
        (None, _) => return Ok(()),
        (Some(host), None) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        (Some(_), Some(_)) => None,
    };
    let is_ours = host.as_ref().is_some_and(|host| {
        let name = host.host();
        is_address(name) || is_local(name) || hosts.iter().any(|pattern| pattern.covers(name))
    });
    if is_ours {
        return Ok(());
    }
    let reason = "This listener is asked by its address, by localhost, or by a name that [admin] hosts has.";
    let failure = Failure::client(StatusCode::MISDIRECTED_REQUEST, reason);
    Err(failure.detail(format!("host {:?}", host.map(|host| host.to_string()).unwrap_or_default())))
}

fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    !name.is_empty() && (!name.contains('.') || last.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_names_that_nobody_owns_are_answered() {
        let hosts = [HostPattern::Name("door.example.com".into())];
        let status = |said: &[&'static str]| {
            let headers = said.iter().map(|host| (HOST, HeaderValue::from_static(host))).collect();
            check(&headers, &hosts).map_or_else(|failure| failure.status.as_u16(), |()| 200)
        };
        for host in ["127.0.0.1:9080", "[::1]:9080", "10.0.0.7", "localhost", "a.LOCALHOST:1", "doorway:9080"] {
            assert_eq!(status(&[host]), 200, "{host}");
        }
        assert_eq!((status(&[]), status(&["door.example.com:9080"])), (200, 200));
        for host in [
            "evil.test",
            "evil.test:9080",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "",
            ".",
            ".:9080",
            "a b",
            "www.door.example.com",
        ] {
            assert_eq!(status(&[host]), 421, "{host}");
        }
        assert_eq!(status(&["localhost", "localhost"]), 421, "twice");
    }
}
