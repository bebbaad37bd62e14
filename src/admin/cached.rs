//! What the operator may ask of the cache: what is kept, as JSON or as a page, to declare it old, and why an address is
//! kept or not.

use std::fmt::Write;
use std::sync::Arc;

use http::header::{ACCEPT, ALLOW, HOST, LOCATION, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::Inner;
use super::answer::{HTML, JSON, told, whole};
use crate::cache::Cache;
use crate::http::escape;
use crate::http::query::parameter;
use crate::http::{Failure, Response};

const LIST: &str = "/cache";
const PURGE: &str = "/cache/purge";
const WHY: &str = "/cache/why";

pub(super) fn concerns(path: &str) -> bool {
    [LIST, PURGE, WHY].contains(&path)
}

/// Answers one request for a path that [`concerns`] the cache.
pub(super) async fn answer(admin: &Inner, asked: &Parts) -> Response {
    let (headers, path) = (&asked.headers, asked.uri.path());
    let (is_allowed, allow) = match path {
        PURGE => (asked.method == Method::POST, "POST"),
        _ => (matches!(asked.method, Method::GET | Method::HEAD), "GET, HEAD"),
    };
    if !is_allowed {
        let failure = Failure::client(StatusCode::METHOD_NOT_ALLOWED, format!("{path} allows {allow}."));
        return told(failure.header(ALLOW, HeaderValue::from_static(allow)), headers);
    }
    // Nothing is kept before the rooms are built.
    let Some(cache) = admin.cache.get() else { return whole(StatusCode::OK, JSON, "{}") };
    let query = asked.uri.query();
    let answered = match path {
        PURGE => purge(cache, query, headers).await,
        WHY => why(cache, query).await.map(|why| whole(StatusCode::OK, JSON, why.to_string())),
        _ if wants_page(headers) => page(cache, query).await,
        _ => Ok(whole(StatusCode::OK, JSON, cache.listing().to_string())),
    };
    answered.unwrap_or_else(|failure| told(failure, headers))
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

/// `?path=`, `?tag=` or `?all=1`.
async fn purge(cache: &Arc<Cache>, query: Option<&str>, headers: &HeaderMap) -> Result<Response, Failure> {
    // Any page in a browser on this machine can post here; the one of this listener names itself as such.
    let host = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_ours = |origin: &HeaderValue| origin.as_bytes().strip_prefix(b"http://") == Some(host);
    if headers.get(ORIGIN).is_some_and(|origin| !is_ours(origin)) {
        return Err(Failure::client(StatusCode::FORBIDDEN, "Web pages may not tell the cache what is old."));
    }
    let (path, tag) = (parameter(query, "path"), parameter(query, "tag"));
    match (&path, &tag, parameter(query, "all")) {
        (Some(path), None, None) if path.starts_with('/') => cache.purge_path(path),
        (None, Some(tag), None) if !tag.is_empty() => cache.purge_tag(tag),
        (None, None, Some(_)) => cache.purge_everything(),
        _ => {
            let reason =
                "Say what is old, one of: ?path=/a, ?tag=posts, ?all=1. A path begins with a slash and has no query.";
            return Err(Failure::client(StatusCode::BAD_REQUEST, reason));
        }
    }
    cache.settled().await;
    if !wants_page(headers) {
        return Ok(whole(StatusCode::OK, JSON, json!({ "purged": path.or(tag).unwrap_or("all".into()) }).to_string()));
    }
    let mut response = whole(StatusCode::SEE_OTHER, JSON, "{}");
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(LIST));
    Ok(response)
}

async fn why(cache: &Arc<Cache>, query: Option<&str>) -> Result<Value, Failure> {
    let missing =
        || Failure::client(StatusCode::BAD_REQUEST, "Say which address: ?url=/blog or ?url=https://host/blog.");
    let url = parameter(query, "url").ok_or_else(missing)?;
    cache.explain(&url).await.map_err(|sentence| Failure::client(StatusCode::BAD_REQUEST, sentence))
}

/// All of it for people.
async fn page(cache: &Arc<Cache>, query: Option<&str>) -> Result<Response, Failure> {
    let mut page = String::from(concat!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Doorway: cache</title>\n",
        "<style>body{font-family:sans-serif}td,th{text-align:left;padding:0 1em 0 0}form{display:inline}</style>\n",
        "<h1>What is kept of the app</h1>\n",
    ));
    let listing = cache.listing();
    let kept = (&listing["answers"], &listing["bytes"]);
    let pages = escape(listing["pages"].as_str().unwrap_or_default());
    let _ =
        writeln!(page, "<p>{} answers, {} bytes, of the paths {}.", kept.0, kept.1, escape(&texts(&listing["paths"])));
    let _ = writeln!(page, "<p>Pages: {pages}.");
    page.push_str("<form action=\"/cache\"><input name=\"url\" placeholder=\"/blog\"> <button>Why?</button></form>\n");
    page.push_str("<form action=\"/cache/purge?all=1\" method=\"post\"><button>Declare all old</button></form>\n");
    if query.is_some_and(|query| query.contains("url=")) {
        let told = why(cache, query).await?;
        let (url, why) = (told["url"].as_str().unwrap_or_default(), told["why"].as_str().unwrap_or_default());
        let would = if told["would_be_kept"] == true { "would be kept" } else { "would not be kept" };
        let _ = writeln!(page, "<p><b>{}</b> {would}: {}.", escape(url), escape(why));
    }
    page.push_str("<table><tr><th>hits<th>age<th>left<th>bytes<th>state<th>address<th>tags<th>\n");
    for entry in listing["entries"].as_array().into_iter().flatten() {
        let text = |key: &str| escape(entry[key].as_str().unwrap_or_default());
        let path = entry["target"].as_str().unwrap_or_default().split('?').next().unwrap_or_default();
        let path = percent_encoding::utf8_percent_encode(path, percent_encoding::NON_ALPHANUMERIC);
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{} s<td>{} s<td>{}<td>{}<td>{}{}<td>{}<td><form action=\"/cache/purge?path={path}\" \
             method=\"post\"><button>old</button></form>",
            entry["hits"],
            entry["age"],
            entry["left"],
            entry["bytes"],
            text("state"),
            text("host"),
            text("target"),
            escape(&texts(&entry["tags"])),
        );
    }
    page.push_str("</table>\n");
    Ok(whole(StatusCode::OK, HTML, page))
}

fn texts(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}
