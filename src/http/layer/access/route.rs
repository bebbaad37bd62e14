//! What kind of thing a request is for, as the numbers have it: told by the request alone, as its framework names its paths.

use http::header::UPGRADE;
use http::{HeaderMap, HeaderName, Method};
use memchr::memmem;

use crate::http::Request;

/// A kind of request. Few, so that clients cannot make labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RouteClass {
    /// What a build made, and all else with the ending of a file.
    Asset,
    /// A picture that the app makes smaller.
    Image,
    /// What a page of the app fetches to become another one: RSC, `/_next/data`.
    Data,
    /// A Server Action.
    Action,
    /// Below `/api/`.
    Api,
    /// An upgrade, or an answer of the hub's.
    Socket,
    /// All else.
    #[default]
    Page,
}

/// With the call of a Server Action.
const NEXT_ACTION: HeaderName = HeaderName::from_static("next-action");
/// With a request of the client of Next.js for what is to be on a page.
const RSC: HeaderName = HeaderName::from_static("rsc");
/// Where Vite's frameworks keep what a build made, besides `/_next/static`.
const BUILT: [&str; 3] = ["/_nuxt/", "/_app/immutable/", "/_astro/"];

impl RouteClass {
    /// In the order of their declaration.
    pub const ALL: [RouteClass; 7] = [
        RouteClass::Asset,
        RouteClass::Image,
        RouteClass::Data,
        RouteClass::Action,
        RouteClass::Api,
        RouteClass::Socket,
        RouteClass::Page,
    ];

    pub fn label(self) -> &'static str {
        match self {
            RouteClass::Asset => "asset",
            RouteClass::Image => "image",
            RouteClass::Data => "data",
            RouteClass::Action => "action",
            RouteClass::Api => "api",
            RouteClass::Socket => "socket",
            RouteClass::Page => "page",
        }
    }

    pub fn of(request: &Request) -> RouteClass {
        let headers = request.headers();
        if headers.contains_key(UPGRADE) || request.method() == Method::CONNECT {
            return RouteClass::Socket;
        }
        by_path(request.uri().path(), request.method(), headers)
    }
}

fn by_path(path: &str, method: &Method, headers: &HeaderMap) -> RouteClass {
    // Behind any base path.
    if let Some(at) = memmem::find(path.as_bytes(), b"/_next/") {
        let rest = &path[at + "/_next/".len()..];
        return match rest.split('/').next().unwrap_or_default() {
            "image" => RouteClass::Image,
            "data" => RouteClass::Data,
            _ => RouteClass::Asset,
        };
    }
    if *method == Method::POST && headers.contains_key(NEXT_ACTION) {
        return RouteClass::Action;
    }
    if headers.contains_key(RSC) {
        return RouteClass::Data;
    }
    if path.starts_with("/api/") || path == "/api" {
        return RouteClass::Api;
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    let is_file = last.rsplit_once('.').is_some_and(|(name, ending)| {
        let is_ending = (2..=11).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
        !name.is_empty() && is_ending && !ending.eq_ignore_ascii_case("html")
    });
    if is_file || BUILT.iter().any(|folder| path.starts_with(folder)) { RouteClass::Asset } else { RouteClass::Page }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_of_one_kind() {
        for (path, header, expected) in [
            ("/", "", RouteClass::Page),
            ("/blog/v1.2", "", RouteClass::Page),
            ("/about.html", "", RouteClass::Page),
            ("/_next/static/chunks/a.js", "", RouteClass::Asset),
            ("/docs/_next/static/x", "", RouteClass::Asset),
            ("/favicon.ico", "", RouteClass::Asset),
            ("/_nuxt/entry", "", RouteClass::Asset),
            ("/_next/image", "", RouteClass::Image),
            ("/_next/data/B/x.json", "", RouteClass::Data),
            ("/blog", "rsc", RouteClass::Data),
            ("/blog", "next-action", RouteClass::Page),
            ("/api/x", "", RouteClass::Api),
            ("/apiary", "", RouteClass::Page),
        ] {
            let mut headers = HeaderMap::new();
            if !header.is_empty() {
                headers.insert(header, "1".parse().unwrap());
            }
            assert_eq!(by_path(path, &Method::GET, &headers), expected, "{path} {header}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("next-action", "1".parse().unwrap());
        assert_eq!(by_path("/blog", &Method::POST, &headers), RouteClass::Action);
    }

    #[test]
    fn the_order_is_that_of_the_declaration() {
        assert!(RouteClass::ALL.iter().enumerate().all(|(at, class)| *class as usize == at));
    }
}
