//! What of a request's query matters to the protocol.

use crate::http::query::parameter;

/// The parameters of a request to an endpoint of Engine.IO.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub transport: String,
    /// Empty without one.
    pub sid: String,
    pub is_version_4: bool,
}

impl Query {
    pub fn read(query: Option<&str>) -> Query {
        let value = |key| parameter(query, key).unwrap_or_default();
        Query { transport: value("transport"), sid: value("sid"), is_version_4: value("EIO") == "4" }
    }
}
