//! Which build a request says that its page is of.

use http::{HeaderMap, HeaderName, Uri};

/// By which the client of Next.js says of which build its page is: with each of its own requests, not with `fetch`.
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-deployment-id");
/// Says `navigate` where it is a page that is asked for (Fetch Metadata).
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// The same in the addresses of what a page names: chunks, pictures.
const DEPLOYMENT_IN_QUERY: &str = "dpl";

/// The build that a request says its page is of. A page itself is always of the newest one, whatever its address says.
pub fn named<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let header = headers.get(DEPLOYMENT).and_then(|named| named.to_str().ok());
    if let Some(named) = header.filter(|named| !named.is_empty()) {
        return Some(named);
    }
    let named = in_query(uri.query()?)?;
    let is_page = headers.get(FETCH_MODE).is_some_and(|mode| mode == "navigate");
    (!is_page).then_some(named)
}

/// The build that an address names.
pub fn in_query(query: &str) -> Option<&str> {
    let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    parameters.find(|(name, _)| *name == DEPLOYMENT_IN_QUERY).map(|(_, named)| named).filter(|named| !named.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_build_by_header_or_address() {
        let named = |uri: &str, header: Option<&str>, mode: Option<&str>| {
            let mut request = http::Request::get(uri);
            for (name, value) in [("x-deployment-id", header), ("sec-fetch-mode", mode)] {
                request = value.into_iter().fold(request, |request, value| request.header(name, value));
            }
            let request = request.body(()).unwrap();
            named(request.uri(), request.headers()).map(str::to_owned)
        };
        for (uri, header, mode, expected) in [
            ("/", None, None, None),
            ("/?_rsc=1", Some("a"), None, Some("a")),
            ("/_next/image?url=x&dpl=a", None, Some("no-cors"), Some("a")),
            ("/?dpl=a", Some("b"), None, Some("b")),
            ("/?dpl=a", None, Some("navigate"), None),
            ("/?dpl=", None, None, None),
            ("/?xdpl=a&dpl", None, None, None),
            ("/", Some(""), None, None),
            ("/?dpl=a", Some(""), None, Some("a")),
        ] {
            assert_eq!(named(uri, header, mode).as_deref(), expected, "{uri} {header:?}");
        }
    }
}
