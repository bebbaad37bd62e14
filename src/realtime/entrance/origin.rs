//! Cross-site hijacking: a browser sends cookies with any site's WebSocket, so the door asks whose page it is.

use http::header::ORIGIN;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, StatusCode, Uri};

use crate::http::{Facts, Failure};
use crate::settings::{Pattern, Section};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which pages may connect.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Origins {
    /// Besides the site's own; `*` stands for any characters. Default none.
    pub origins: Vec<Pattern>,
    /// Whether a client must say its origin. Only browsers do. Default false.
    pub require_origin: bool,
}

/// From where a request that is let in comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// The site itself, or no browser.
    Here,
    /// A page of this other, allowed origin.
    Elsewhere(String),
}

impl Origins {
    pub fn read(section: &Section) -> Origins {
        let origins: Vec<Pattern> = section.value("origins", Vec::new());
        for origin in &origins {
            if !matches!(origin.as_str(), "*" | "null") && !origin.as_str().contains("://") {
                let what = format!("{:?} is no origin", origin.as_str());
                section.problem("origins", what, Some("an origin has a scheme, as in \"https://example.com\""));
            }
        }
        Origins { origins, require_origin: section.value("require_origin", false) }
    }

    /// Lets a request in by its origin.
    ///
    /// # Errors
    /// 403 when it comes from a page of another site, or does not say.
    pub fn check(&self, headers: &HeaderMap, facts: &Facts) -> Result<From, Failure> {
        let forbidden = |reason: &'static str| Failure::client(StatusCode::FORBIDDEN, reason);
        let mut said = headers.get_all(ORIGIN).iter();
        let origin = match (said.next(), said.next()) {
            // Browsers send none with a GET of the same origin (polling, EventSource), but say this, which no page can set.
            (None, _) if headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin") => {
                return Ok(From::Here);
            }
            // A picture or a script of another site: no Origin, and whatever it is for, no page of ours.
            (None, _) if is_foreign(headers) && !self.origins.iter().any(|allowed| allowed.as_str() == "*") => {
                return Err(forbidden("Pages of other sites may not ask here without an Origin."));
            }
            (None, _) if self.require_origin => return Err(forbidden("An Origin is required here.")),
            (None, _) => return Ok(From::Here),
            (Some(origin), None) => origin.to_str().unwrap_or_default(),
            (Some(_), Some(_)) => return Err(forbidden("Origin is given twice.")),
        };
        if is_own(origin, &facts.scheme, &facts.authority) {
            return Ok(From::Here);
        }
        if self.origins.iter().any(|allowed| allowed.fits(origin)) {
            return Ok(From::Elsewhere(origin.to_owned()));
        }
        Err(forbidden("Pages of this origin may not connect here.").detail(format!("origin {origin:?}")))
    }
}

/// Whether a browser says that a page of another site, or of a neighbour below the same name, asks (Fetch Metadata).
fn is_foreign(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site")
}

fn is_own(origin: &str, scheme: &Scheme, authority: &Authority) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let (Some(said_scheme), Some(said)) = (origin.scheme(), origin.authority()) else { return false };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(if *scheme == Scheme::HTTPS { 443 } else { 80 });
    said_scheme == scheme && said.host().eq_ignore_ascii_case(authority.host()) && port(said) == port(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::facts::RequestId;
    use http::HeaderValue;

    fn facts(scheme: Scheme, authority: &'static str) -> Facts {
        Facts {
            client: [127, 0, 0, 1].into(),
            scheme,
            authority: Authority::from_static(authority),
            forwarded_for: HeaderValue::from_static("127.0.0.1"),
            request_id: RequestId::new(),
            trace: None,
            received: std::time::Instant::now(),
        }
    }

    fn check(origins: &Origins, facts: &Facts, said: &[&'static str]) -> Result<From, u16> {
        let headers = said.iter().map(|origin| (ORIGIN, HeaderValue::from_static(origin))).collect();
        origins.check(&headers, facts).map_err(|failure| failure.status.as_u16())
    }

    #[test]
    fn only_the_sites_own_pages_may_connect() {
        let own = Origins::default();
        let site = facts(Scheme::HTTPS, "site.test");
        for origin in ["https://site.test", "https://SITE.test", "https://site.test:443"] {
            assert_eq!(check(&own, &site, &[origin]), Ok(From::Here), "{origin}");
        }
        for origin in [
            "http://site.test",
            "https://site.test:444",
            "https://evil.test",
            "https://site.test.evil.test",
            "https://evil.test/https://site.test",
            "null",
            "",
            "site.test",
        ] {
            assert_eq!(check(&own, &site, &[origin]), Err(403), "{origin}");
        }
        assert_eq!(check(&own, &site, &["https://site.test", "https://site.test"]), Err(403));
        let local = facts(Scheme::HTTP, "127.0.0.1:8080");
        assert_eq!(check(&own, &local, &["http://127.0.0.1:8080"]), Ok(From::Here));
        assert_eq!(check(&own, &local, &["http://127.0.0.1"]), Err(403));
    }

    #[test]
    fn others_may_where_the_config_says_so() {
        let origins = Origins { origins: vec![Pattern::new("https://*.friend.test")], require_origin: true };
        let site = facts(Scheme::HTTPS, "site.test");
        let friend = "https://a.friend.test";
        assert_eq!(check(&origins, &site, &[friend]), Ok(From::Elsewhere(friend.to_owned())));
        assert_eq!(check(&origins, &site, &["https://friend.test"]), Err(403));
        assert_eq!(check(&origins, &site, &[]), Err(403));
        assert_eq!(check(&Origins::default(), &site, &[]), Ok(From::Here));
    }
}
