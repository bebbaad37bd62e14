//! A request with an `Idempotency-Key`, as several doors know it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::idempotency::{Fingerprint, StoredResponse};
use super::problem::ApiProblem;

/// One request. Fields are added at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SharedRequest {
    fingerprint: Fingerprint,
    /// Another for each time that it came.
    number: u64,
    /// `None` while it is under way.
    answer: Option<(u16, Bytes)>,
}

impl SharedRequest {
    /// One that is under way.
    pub fn new(fingerprint: Fingerprint) -> SharedRequest {
        SharedRequest { fingerprint, number: fastrand::u64(..), answer: None }
    }

    /// What the same request is known by each time that it comes, and no other under its key.
    pub fn name(&self, key: &str) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, &[&self.fingerprint[..], key.as_bytes()].concat()))
    }

    /// One that was answered.
    pub fn answered(&self, answer: &StoredResponse) -> SharedRequest {
        SharedRequest { answer: Some((answer.status.as_u16(), answer.body.clone())), ..*self }
    }

    /// What another is answered that came under the same key.
    ///
    /// # Errors
    /// It is under way, or it is another request.
    pub fn answer_to(self, fingerprint: Fingerprint) -> Result<StoredResponse, ApiProblem> {
        if self.fingerprint != fingerprint {
            return Err(ApiProblem::key_reused());
        }
        let (status, body) = self.answer.ok_or_else(ApiProblem::under_way)?;
        Ok(StoredResponse { status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK), body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_door_answers_as_the_first_did() {
        let request = SharedRequest::new([1; 32]);
        assert_ne!(request, SharedRequest::new([1; 32]), "each time is another");
        assert_eq!(request.name("key"), SharedRequest::new([1; 32]).name("key"));
        assert_ne!(request.name("key"), request.name("other"));
        assert_ne!(request.name("key"), SharedRequest::new([2; 32]).name("key"));
        let status = |answer: Result<StoredResponse, ApiProblem>| answer.map_err(|problem| problem.status.as_u16());
        let answer = StoredResponse { status: StatusCode::GATEWAY_TIMEOUT, body: Bytes::from_static(b"x") };
        let answered = request.answered(&answer);
        assert_eq!(status(request.answer_to([1; 32])), Err(409));
        assert_eq!(status(answered.clone().answer_to([2; 32])), Err(422));
        assert_eq!(status(answered.answer_to([1; 32])), Ok(answer));
    }
}
