//! Tokens: asked for, and revoked.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Call;
use super::answer::Answer;
use super::batch::{Failed, Outcome, Outcomes};
use super::caller::Caller;
use crate::realtime::ably::AblyDoor;
use crate::realtime::ably::revoking::RevokedElsewhere;
use crate::realtime::ably::token::{Revocation, TokenRequest};
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::hub::DOORS_PATIENCE;

/// Targets of one request, at most.
const MAX_TARGETS: usize = 100;

/// How long clients have to come by another token, where they are given time, in milliseconds.
const REAUTH_MARGIN_MS: u64 = 30_000;

/// What is to be revoked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RevocationRequest {
    targets: Vec<String>,
    #[serde(default)]
    issued_before: Option<Value>,
    #[serde(default)]
    allow_reauth_margin: Option<bool>,
}

/// What was revoked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Revoked {
    target: String,
    issued_before: u64,
    applies_at: u64,
}

impl AblyDoor {
    pub(super) fn request_token(&self, call: &Call<'_>, key_name: &str, body: &[u8]) -> Result<Answer, AblyError> {
        let request = call.sends().read::<TokenRequest>(body);
        let request = request.map_err(|why| AblyError::new(40000, 400, format!("Invalid token request: {why}")))?;
        // One that is signed needs nobody to ask for it.
        let caller = if request.mac.is_none() { Some(self.caller(call)?) } else { None };
        let asker = caller.as_ref().map(|caller| &caller.auth);
        let details = self.apps.request_token(key_name, request, asker, call.now)?;
        Ok(call.answer(201, &details))
    }

    pub(super) async fn revoke_tokens(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        key_name: &str,
        body: &[u8],
    ) -> Result<Answer, AblyError> {
        if !caller.auth.is_key || *caller.auth.key_name != *key_name {
            return Err(AblyError::new(40162, 401, "Tokens are revoked by the key that has made them (Basic)"));
        }
        let request = call.sends().read::<RevocationRequest>(body);
        let request = request.map_err(|why| AblyError::new(40000, 400, format!("Invalid body: {why}")))?;
        if !(1..=MAX_TARGETS).contains(&request.targets.len()) {
            return Err(AblyError::new(40000, 400, format!("1 to {MAX_TARGETS} targets are revoked at once")));
        }
        let now = call.now.unix_ms;
        let issued_before = issued_before(request.issued_before.as_ref(), now)?;
        let has_margin = request.allow_reauth_margin == Some(true);
        let applies_at = if has_margin { now + REAUTH_MARGIN_MS } else { now };
        let revocation = Revocation { issued_before, applies_at };
        let mut targets = Vec::new();
        let revoke = |target: String| match self.apps.revoke(key_name, &target, revocation, call.now) {
            Ok(()) => {
                targets.push(target.clone());
                Outcome::Done(Revoked { target, issued_before, applies_at })
            }
            Err(error) => Outcome::Failed(Failed { channel: None, target: Some(target), error }),
        };
        let clients: Vec<String> =
            request.targets.iter().filter_map(|target| Some(target.strip_prefix("clientId:")?.to_owned())).collect();
        let outcomes: Outcomes<Revoked> = request.targets.into_iter().map(revoke).collect();
        let revoked = RevokedElsewhere {
            app: Arc::clone(caller.auth.app.id()),
            key_name: Arc::clone(&caller.auth.key_name),
            targets,
            issued_before,
            applies_at,
            clients: if !has_margin && issued_before == now { clients } else { Vec::new() },
        };
        revoked.put_out(&self.hub, &self.connections);
        if self.hub.ask_doors(&revoked, DOORS_PATIENCE).await.is_away {
            let what = "Revoked on one door alone: the doors' Redis is away. Try again later";
            return Err(AblyError::new(50003, 503, what));
        }
        Ok(outcomes.answer(call, 201))
    }
}

/// Of tokens that are revoked: now, or before.
fn issued_before(given: Option<&Value>, now: u64) -> Result<u64, AblyError> {
    let number = match given {
        None | Some(Value::Null) => return Ok(now),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64(),
    };
    let bad = || AblyError::new(40000, 400, "Invalid issuedBefore: a time in milliseconds that has passed");
    number.filter(|at| *at <= now).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_was_issued_can_be_revoked() {
        let read = |value: Value| issued_before(Some(&value), 1000).map_err(|error| error.code);
        assert_eq!((issued_before(None, 1000), read(Value::Null)), (Ok(1000), Ok(1000)));
        assert_eq!((read(json!(7)), read(json!("7")), read(json!(1000))), (Ok(7), Ok(7), Ok(1000)));
        for bad in [json!(1001), json!(-1), json!("x"), json!([])] {
            assert_eq!(read(bad.clone()), Err(40000), "{bad}");
        }
    }
}
