//! Bodies, read whole: JSON, no longer than allowed, in time, and all together in a bounded room.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::problem::ApiProblem;
use crate::http::Body;

/// What all bodies that are being read may take together, in KiB; further ones wait.
const BODY_ROOM: u32 = 64 * 1024;

/// How long a request waits for room, and then for its body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Room for bodies. When it is full, requests wait for [`READ_TIMEOUT`], then get 503.
pub struct Room(Semaphore);

impl Default for Room {
    fn default() -> Self {
        Room(Semaphore::new(BODY_ROOM as usize))
    }
}

impl Room {
    /// Reads a body of at most `most` bytes.
    ///
    /// # Errors
    /// 415 for what is not JSON, 413, 408, 400 when it breaks off, 503 when there is no room.
    pub async fn read(&self, headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, ApiProblem> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        // Also what keeps a page's form from asking: no form sends this.
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(ApiProblem::not_json());
        }
        let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let length = said.unwrap_or(most);
        if length > most {
            return Err(ApiProblem::too_big(most));
        }
        let needed = u32::try_from(length / 1024 + 1).unwrap_or(BODY_ROOM).min(BODY_ROOM);
        let full = || ApiProblem::unavailable("too many requests at once");
        let Ok(Ok(_permit)) = timeout(READ_TIMEOUT, self.0.acquire_many(needed)).await else { return Err(full()) };
        let Ok(read) = timeout(READ_TIMEOUT, Limited::new(body, most).collect()).await else {
            return Err(ApiProblem::timeout());
        };
        match read {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ApiProblem::too_big(most)),
            Err(_) => Err(ApiProblem::bad("the body broke off")),
        }
    }
}
