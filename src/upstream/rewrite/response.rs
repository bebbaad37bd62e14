//! The head of the app's response on its way to the client. Both exits pass here, an ordinary response and the 101 of a
//! tunnel: a header that every proxied response must have, or must not have, belongs into this file.

use http::HeaderMap;
use http::request::Parts;

use super::internal::is_private;
use super::location;
use crate::http::{Body, Facts, Response};
use crate::upstream::address::Address;
use crate::upstream::entry::Entry;
use crate::upstream::protocol::Head;

/// The client's response to `request`, from the `head` that `app` sent and with `body`.
pub fn response(mut head: Head, body: Body, app: &Address, request: &Parts) -> Response {
    if let Some(facts) = request.extensions.get::<Facts>() {
        location::rewrite(&mut head.headers, app, facts);
    }
    let entry = Entry::of(&head.headers);
    strip_private(&mut head.headers);
    let mut response = Response::new(body);
    if let Some(entry) = entry {
        response.extensions_mut().insert(entry);
    }
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// Takes away what Next.js says to itself; of an interim answer too.
pub fn strip_private(headers: &mut HeaderMap) {
    if headers.keys().any(is_private) {
        let private: Vec<_> = headers.keys().filter(|name| is_private(name)).cloned().collect();
        for name in private {
            headers.remove(name);
        }
    }
}
