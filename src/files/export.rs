//! The pages of a build with `output: "export"`: which file an address means, and which address is the page's own.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use http::uri::PathAndQuery;
use http::{Uri, header};

use super::path;
use crate::http::{Body, Response};

/// The page for all that is not there, which is answered with 404.
pub const NOT_FOUND: &str = "404";

/// A folder of URLs that no file has but those that begin so may be asked for (RFC 8615).
const WELL_KNOWN: &str = ".well-known/";

/// Where the pages lie, and how their addresses end.
#[derive(Debug, Clone)]
pub struct Export {
    pub folder: PathBuf,
    /// `trailingSlash`: `/about/`, whose page is `about/index.html`, and not `/about`.
    pub trailing_slash: bool,
}

/// The name of the page or file at `below`, the path of a URL behind the base path; that of the root is empty.
pub fn name(below: &str) -> Option<Cow<'_, str>> {
    let below = below.strip_prefix('/').or_else(|| below.is_empty().then_some(""))?;
    let below = below.strip_suffix('/').unwrap_or(below);
    if below.is_empty() {
        return Some(Cow::Borrowed(""));
    }
    match below.strip_prefix(WELL_KNOWN) {
        Some(rest) => path::name(rest).map(|rest| Cow::Owned(format!("{WELL_KNOWN}{rest}"))),
        None => path::name(below),
    }
}

impl Export {
    /// The files that `name` may mean, the likeliest first.
    pub fn candidates(&self, name: &str) -> impl Iterator<Item = (&Path, String)> {
        let names = match name {
            "" => vec!["index.html".to_owned()],
            name => vec![name.to_owned(), format!("{name}.html"), format!("{name}/index.html")],
        };
        names.into_iter().map(|name| (self.folder.as_path(), name))
    }

    /// Where a client is sent that asked for the page `name` with a slash too many or too few.
    pub fn own_address(&self, uri: &Uri, name: &str, is_page: bool) -> Option<Response> {
        let path = uri.path();
        let is_right = name.is_empty() || !is_page || path.ends_with('/') == self.trailing_slash;
        // Two slashes would lead to another site.
        if is_right || path.starts_with("//") {
            return None;
        }
        let bare = path.strip_suffix('/').unwrap_or(path);
        let end = if self.trailing_slash { "/" } else { "" };
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let to: PathAndQuery = format!("{bare}{end}{query}").parse().ok()?;
        let response = http::Response::builder().status(http::StatusCode::PERMANENT_REDIRECT);
        response.header(header::LOCATION, to.as_str()).body(Body::Empty).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_mean_names() {
        for (below, expected) in [
            ("/", Some("")),
            ("", Some("")),
            ("/about", Some("about")),
            ("/about/", Some("about")),
            ("/blog/a%20b/", Some("blog/a b")),
            ("/.well-known/security.txt", Some(".well-known/security.txt")),
            ("/.env", None),
            ("/.well-known/../.env", None),
            ("/../x", None),
            ("//evil.test", None),
            ("/about//", None),
            ("about", None),
        ] {
            assert_eq!(name(below).as_deref(), expected, "{below}");
        }
    }

    #[test]
    fn only_pages_have_an_address_of_their_own() {
        for (trailing_slash, uri, is_page, expected) in [
            (false, "/about/?a=1", true, Some("/about?a=1")),
            (false, "/about", true, None),
            (true, "/about?a=1", true, Some("/about/?a=1")),
            (true, "/about/", true, None),
            (true, "/icon.png", false, None),
            (true, "//evil.test", true, None),
        ] {
            let export = Export { folder: PathBuf::new(), trailing_slash };
            let found = export.own_address(&uri.parse().unwrap_or_else(|_| Uri::from_static("/")), "about", is_page);
            let location = found.map(|answer| answer.headers()[header::LOCATION].to_str().unwrap().to_owned());
            let expected = if uri.starts_with("//") {
                location.clone().filter(|to| !to.starts_with("//"))
            } else {
                expected.map(str::to_owned)
            };
            assert_eq!(location, expected, "{uri}");
        }
    }
}
