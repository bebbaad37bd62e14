//! With what a client came, for a door that it may have to be brought to.

use http::request::Parts;
use http::{HeaderMap, Uri};

use crate::http::Facts;

/// What another door is told of a client: it is let in there as if it had come there.
#[derive(Debug, Clone)]
pub struct RequestHead {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub facts: Facts,
}

impl RequestHead {
    pub fn of(request: &Parts, facts: &Facts) -> RequestHead {
        RequestHead { uri: request.uri.clone(), headers: request.headers.clone(), facts: facts.clone() }
    }
}
