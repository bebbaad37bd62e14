//! What is done once, however often it is asked for by its `Idempotency-Key`, and at whatever door.

use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::request::Parts;

use super::idempotency::{Begun, MemoryLimits};
use super::problem::ApiProblem;
use super::route::ApiRoute;
use super::shared_request::SharedRequest;
use super::{Api, Completed, Config};
use crate::realtime::hub::Claimed;

impl Api {
    /// What changes something, once by this `key`.
    pub(super) async fn do_once(
        &self,
        route: ApiRoute,
        (head, body): (&Parts, &Bytes),
        key: &str,
        config: &Config,
    ) -> Result<Completed, ApiProblem> {
        let limits = MemoryLimits {
            keys: config.idempotency_keys,
            age: config.idempotency_age,
            bytes: config.idempotency_memory.bytes(),
        };
        let mut request = Vec::with_capacity(body.len() + 16);
        request.extend_from_slice(route.name().as_bytes());
        request.push(b'\n');
        request.extend_from_slice(body);
        let fingerprint = digest(&SHA256, &request).as_ref().try_into().unwrap_or_default();
        let place = match self.memory.begin(key, fingerprint, limits, Instant::now()) {
            Begun::Again(kept) => return Ok(Completed::again(kept)),
            Begun::UnderWay => return Err(ApiProblem::under_way()),
            Begun::Reused => return Err(ApiProblem::key_reused()),
            Begun::Full => {
                return Err(ApiProblem::unavailable("too many requests with an Idempotency-Key are under way"));
            }
            Begun::First(place) => place,
        };
        let request = SharedRequest::new(fingerprint);
        let claim = match self.hub.claim(format!("key:{key}"), &request).await? {
            None => None,
            Some(Claimed::Ours(claim)) => Some(claim),
            Some(Claimed::Theirs(there)) => {
                let kept = there.answer_to(fingerprint)?;
                place.answered(kept.clone());
                return Ok(Completed::again(kept));
            }
        };
        // A request that was refused has done nothing: sent again, it is judged again.
        let done = match self.act(route, (head, body), Some(&request.name(key)), config).await {
            Ok(done) if !done.was_refused => done,
            refused => {
                if let Some(claim) = claim {
                    claim.release().await;
                }
                return refused;
            }
        };
        place.answered(done.kept.clone());
        if let Some(claim) = claim {
            claim.settle(&request.answered(&done.kept), config.idempotency_age).await;
        }
        Ok(done)
    }
}
