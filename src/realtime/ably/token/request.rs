//! Token requests: what a key's holder signs for somebody who has no key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use super::{CLOCK_WINDOW_MS, DEFAULT_TTL_MS, MAX_TTL_MS, Nonces, TokenDetails, mint};
use crate::realtime::ably::capability::{Capability, MAX_CAPABILITY_LEN};
use crate::realtime::ably::config::KeySettings;
use crate::realtime::ably::wire::error::AblyError;

/// Characters of a nonce.
const NONCE_LEN: std::ops::RangeInclusive<usize> = 16..=256;

/// Bytes of a client's id.
pub const MAX_CLIENT_ID_LEN: usize = 256;

/// A request as it is sent. Numbers may come as text: some have been through a query.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenRequest {
    pub key_name: Option<String>,
    pub timestamp: Option<Value>,
    pub nonce: Option<String>,
    pub mac: Option<String>,
    pub ttl: Option<Value>,
    pub capability: Option<Value>,
    pub client_id: Option<String>,
}

impl TokenRequest {
    /// The token for it. `is_owner`: whoever asks has shown this very key, and needs no signature.
    ///
    /// # Errors
    /// 40101 for a signature that is wrong or missing, 40104 for another time, 40105 for a nonce that was used, 40003 for a
    /// lifetime that is none, 40160 where it may do nothing, 40000 and 40012 for what else is wrong.
    pub fn grant(
        self,
        key: &KeySettings,
        is_owner: bool,
        nonces: &Mutex<Nonces>,
        now_ms: u64,
    ) -> Result<TokenDetails, AblyError> {
        let bad = |code, what: &str| AblyError::new(code, 400, what);
        let denied = |code, what: &str| AblyError::new(code, 401, what);
        let name = key.key.name();
        if self.key_name.as_deref().is_some_and(|given| given != &**name) {
            return Err(bad(40000, "keyName is another key's than the path's"));
        }
        let ttl =
            integer(self.ttl.as_ref()).map_err(|()| bad(40003, "Invalid ttl: it is no number of milliseconds"))?;
        let timestamp = integer(self.timestamp.as_ref());
        let timestamp = timestamp.map_err(|()| bad(40000, "timestamp is no number of milliseconds"))?;
        let capability = match self.capability {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(text),
            Some(value) => Some(value.to_string()),
        };
        if let Some(mac) = &self.mac {
            // What is absent is an empty line, and so is a lifetime of nothing.
            let number = |number: Option<i64>| number.filter(|number| *number != 0).map(|number| number.to_string());
            let lines = [
                Some(name.to_string()),
                number(ttl),
                capability.clone(),
                self.client_id.clone(),
                timestamp.map(|timestamp| timestamp.to_string()),
                self.nonce.clone(),
            ];
            let text: String = lines.into_iter().map(|line| line.unwrap_or_default() + "\n").collect();
            let is_right = STANDARD.decode(mac).is_ok_and(|mac| key.key.has_signed(&text, &mac));
            if !is_right {
                return Err(denied(40101, "Invalid mac: the key has not signed this request"));
            }
        } else if !is_owner {
            return Err(denied(40101, "A token request needs the key's mac, or the key itself (Basic)"));
        }
        if !key.enabled {
            return Err(denied(40131, "The key is disabled"));
        }
        let ttl_ms = match ttl {
            None | Some(0) => DEFAULT_TTL_MS,
            Some(ttl) => u64::try_from(ttl)
                .ok()
                .filter(|ttl| *ttl <= MAX_TTL_MS)
                .ok_or_else(|| bad(40003, "Invalid ttl: a token lives for 1 ms to 24 hours"))?,
        };
        if let Some(id) = &self.client_id
            && (id.is_empty() || id.len() > MAX_CLIENT_ID_LEN || id.chars().any(char::is_control))
        {
            return Err(bad(40012, "Invalid clientId: 1 to 256 bytes, none of them a control character"));
        }
        let wanted = capability.map_or(Ok(None), |text| Capability::parse(&text).map(Some))?;
        let granted = wanted.map(|wanted| wanted.intersect(&key.capability));
        let granted = granted.as_ref().unwrap_or(&key.capability);
        if granted.is_empty() {
            return Err(denied(40160, "The key allows nothing of this capability"));
        }
        // Where patterns cross there are more of them than on either side.
        let granted = granted.canonical();
        if granted.len() > MAX_CAPABILITY_LEN {
            return Err(bad(40000, "Invalid capability: what the key allows of it is longer than a capability may be"));
        }
        let is_near = |timestamp: i64| u64::try_from(timestamp).is_ok_and(|at| at.abs_diff(now_ms) <= CLOCK_WINDOW_MS);
        match timestamp {
            Some(timestamp) if !is_near(timestamp) => return Err(denied(40104, "Timestamp not current")),
            None if self.mac.is_some() => return Err(bad(40000, "A signed token request needs a timestamp")),
            _ => {}
        }
        if self.mac.is_some() {
            let nonce = self.nonce.filter(|nonce| NONCE_LEN.contains(&nonce.len()));
            let nonce =
                nonce.ok_or_else(|| bad(40000, "A signed token request needs a nonce of 16 characters or more"))?;
            if !nonces.lock().take(name, &nonce, now_ms) {
                return Err(denied(40105, "Nonce value replayed"));
            }
        }
        Ok(mint(&key.key, now_ms, ttl_ms, granted, self.client_id))
    }
}

/// A whole number, or text of one; nothing of none.
fn integer(value: Option<&Value>) -> Result<Option<i64>, ()> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| ()),
        Some(Value::Number(number)) => number.as_i64().map(Some).ok_or(()),
        Some(_) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::ably::key::AblyKey;
    use serde_json::json;
    use std::sync::Arc;

    const NOW: u64 = 1_800_000_000_000;

    fn key(capability: &str) -> KeySettings {
        let capability = Arc::new(Capability::parse(capability).unwrap());
        KeySettings { key: AblyKey::parse("app.key:secret").unwrap(), capability, enabled: true }
    }

    /// As the client signs it.
    fn signed(mut request: Value) -> TokenRequest {
        let defaults = json!({ "keyName": "app.key", "timestamp": NOW, "nonce": "0123456789abcdef" });
        for (name, value) in defaults.as_object().unwrap() {
            request.as_object_mut().unwrap().entry(name).or_insert(value.clone());
        }
        let line = |name: &str| match &request[name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let names = ["keyName", "ttl", "capability", "clientId", "timestamp", "nonce"];
        let text: String = names.iter().map(|name| line(name) + "\n").collect();
        let mac = STANDARD.encode(AblyKey::parse("app.key:secret").unwrap().mac(&text));
        request.as_object_mut().unwrap().entry("mac").or_insert(mac.into());
        serde_json::from_value(request).unwrap()
    }

    fn grant(request: TokenRequest) -> Result<TokenDetails, (u32, u16)> {
        let key = key(r#"{"a":["subscribe","publish"]}"#);
        let granted = request.grant(&key, false, &Mutex::default(), NOW);
        granted.map_err(|error| (error.code, error.status))
    }

    #[test]
    fn a_signed_request_is_granted() {
        let plain = grant(signed(json!({}))).unwrap();
        assert_eq!((plain.issued, plain.expires), (NOW, NOW + DEFAULT_TTL_MS));
        assert_eq!((&*plain.capability, plain.client_id), (r#"{"a":["publish","subscribe"]}"#, None));
        let full = json!({ "ttl": "5000", "timestamp": NOW.to_string(), "clientId": "ann", "capability": r#"{"*":["subscribe"]}"# });
        let full = grant(signed(full)).unwrap();
        assert_eq!((full.expires, full.client_id.as_deref()), (NOW + 5000, Some("ann")));
        assert_eq!(full.capability, r#"{"a":["subscribe"]}"#);
        assert_eq!(grant(signed(json!({ "ttl": 1 }))).unwrap().expires, NOW + 1);
    }

    #[test]
    fn whatever_is_wrong_is_refused_for_it() {
        for (request, expected) in [
            (json!({ "mac": "12345" }), (40101, 401)),
            (json!({ "mac": "AAAA" }), (40101, 401)),
            (json!({ "keyName": "app.other" }), (40000, 400)),
            (json!({ "ttl": -1 }), (40003, 400)),
            (json!({ "ttl": "notanumber" }), (40003, 400)),
            (json!({ "ttl": MAX_TTL_MS + 1 }), (40003, 400)),
            (json!({ "timestamp": NOW - CLOCK_WINDOW_MS - 1 }), (40104, 401)),
            (json!({ "timestamp": NOW + CLOCK_WINDOW_MS + 1 }), (40104, 401)),
            (json!({ "timestamp": null }), (40000, 400)),
            (json!({ "timestamp": "now" }), (40000, 400)),
            (json!({ "nonce": "short" }), (40000, 400)),
            (json!({ "nonce": null }), (40000, 400)),
            (json!({ "clientId": "" }), (40012, 400)),
            (json!({ "clientId": "a\u{1}" }), (40012, 400)),
            (json!({ "capability": "{" }), (40000, 400)),
            (json!({ "capability": r#"{"a":["publish_"]}"# }), (40000, 400)),
            (json!({ "capability": r#"{"b":["publish"]}"# }), (40160, 401)),
            (json!({ "capability": r#"{"a":["history"]}"# }), (40160, 401)),
        ] {
            assert_eq!(grant(signed(request.clone())), Err(expected), "{request}");
        }
        let mut changed = signed(json!({ "clientId": "ann" }));
        changed.client_id = Some("bob".into());
        assert_eq!(grant(changed), Err((40101, 401)));
    }

    #[test]
    fn what_is_granted_is_no_longer_than_can_be_read() {
        let many = |ends: bool| -> String {
            let pattern = |number| if ends { format!("*:{number}") } else { format!("{number}:*") };
            let lists: serde_json::Map<String, Value> =
                (0..100).map(|number| (pattern(number), json!(["publish"]))).collect();
            Value::Object(lists).to_string()
        };
        let request = signed(json!({ "capability": many(true) }));
        let error = request.grant(&key(&many(false)), false, &Mutex::default(), NOW).unwrap_err();
        assert_eq!((error.code, error.status), (40000, 400), "{}", error.message);
    }

    #[test]
    fn a_nonce_is_good_once() {
        let (key, nonces) = (key(r#"{"*":["*"]}"#), Mutex::default());
        assert!(signed(json!({})).grant(&key, false, &nonces, NOW).is_ok());
        assert_eq!(signed(json!({})).grant(&key, false, &nonces, NOW).unwrap_err().code, 40105);
        let other = json!({ "nonce": "another nonce of it" });
        assert!(signed(other).grant(&key, false, &nonces, NOW).is_ok());
    }

    #[test]
    fn who_has_the_key_signs_nothing() {
        let (key, nonces) = (key(r#"{"*":["*"]}"#), Mutex::default());
        let request = || TokenRequest { capability: Some(json!({ "a": ["publish"] })), ..TokenRequest::default() };
        let granted = request().grant(&key, true, &nonces, NOW).unwrap();
        assert_eq!(granted.capability, r#"{"a":["publish"]}"#);
        assert_eq!(request().grant(&key, false, &nonces, NOW).unwrap_err().code, 40101);
        let wrong = TokenRequest { mac: Some("AAAA".into()), ..request() };
        assert_eq!(wrong.grant(&key, true, &nonces, NOW).unwrap_err().code, 40101);
        let disabled = KeySettings { enabled: false, ..key };
        assert_eq!(request().grant(&disabled, true, &nonces, NOW).unwrap_err().code, 40131);
    }
}
