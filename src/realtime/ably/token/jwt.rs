//! JWTs (RFC 7519) signed by a key's secret: `kid` is the key's name.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use super::MAX_TTL_MS;
use super::{CLOCK_WINDOW_MS, TokenDetails};
use crate::json;
use crate::realtime::ably::key::AblyKey;
use crate::realtime::ably::wire::error::AblyError;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_LEN: usize = 24 * 1024;

/// What a token says of itself before anybody has checked it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The name of the key that is said to have signed it.
    pub key_name: Option<String>,
    /// Another token, for whose sake it was made: that one counts.
    pub inner: Option<String>,
}

#[derive(Deserialize)]
struct Unchecked {
    #[serde(default)]
    kid: Option<String>,
    #[serde(rename = "x-ably-token", default)]
    token: Option<String>,
}

impl Envelope {
    /// Opens a token; `None` for what is no JWT.
    pub fn open(token: &str) -> Option<Envelope> {
        let mut parts = token.split('.');
        let (header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
        // A sealed JWT (RFC 7516) has five parts, and only its header can be read.
        let rest = parts.count();
        if token.len() > MAX_TOKEN_LEN || rest != 0 && rest != 2 {
            return None;
        }
        let read = |part: &str| json::from_slice::<Unchecked>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let header = read(header)?;
        let in_claims = || if rest == 0 { read(claims)?.token } else { None };
        let inner = header.token.or_else(in_claims);
        Some(Envelope { key_name: header.kid, inner })
    }
}

/// The claims of a token whose signature and times are right.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// Milliseconds since the Unix epoch.
    pub issued: u64,
    /// Milliseconds since the Unix epoch.
    pub expires: u64,
    /// JSON; `None`: that of its key.
    pub capability: Option<String>,
    pub client_id: Option<String>,
    pub revocation_key: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    iat: Number,
    exp: Number,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<Value>,
    #[serde(rename = "x-ably-capability", default, skip_serializing_if = "Option::is_none")]
    capability: Option<Value>,
    #[serde(rename = "x-ably-clientId", default, skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(rename = "x-ably-revocation-key", default, skip_serializing_if = "Option::is_none")]
    revocation_key: Option<String>,
}

impl Claims {
    /// Checks a token by the key that it names.
    ///
    /// # Errors
    /// 40144 for one that the key has not signed or that says nothing of use, 40142 when it has expired.
    pub fn check(token: &str, key: &AblyKey, now_ms: u64) -> Result<Claims, AblyError> {
        let bad = |why: &str| AblyError::new(40144, 401, format!("Invalid JWT: {why}"));
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are checked here: to the millisecond.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let secret = DecodingKey::from_secret(key.secret());
        let decoded = jsonwebtoken::decode::<Box<RawValue>>(token, &secret, &validation)
            .map_err(|_| bad("the key that it names has not signed it by HS256"))?;
        let written: Written = json::from_str(decoded.claims.get())
            .map_err(|error| bad(&format!("iat and exp are needed, and others must be of their kind ({error})")))?;
        let (issued, expires) = (ms(&written.iat), ms(&written.exp));
        let latest = now_ms.saturating_add(CLOCK_WINDOW_MS);
        if issued > latest || written.nbf.as_ref().is_some_and(|begin| ms(begin) > latest) {
            return Err(bad("it is of the future"));
        }
        // What was revoked is remembered for as long as any token may live.
        let expires = expires.min(issued.saturating_add(MAX_TTL_MS));
        if expires <= now_ms {
            return Err(AblyError::new(40142, 401, "Token expired"));
        }
        let capability = match written.capability {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(text),
            Some(value) => Some(value.to_string()),
        };
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (client_id, revocation_key) = (said(written.client_id), said(written.revocation_key));
        Ok(Claims { issued, expires, capability, client_id, revocation_key })
    }
}

/// A token of `key` that says this.
pub fn mint(key: &AblyKey, issued: u64, ttl_ms: u64, capability: String, client_id: Option<String>) -> TokenDetails {
    let expires = issued.saturating_add(ttl_ms);
    let mut id = [0; 9];
    SystemRandom::new().fill(&mut id).expect("the system gives random bytes");
    let written = Written {
        iat: seconds(issued),
        exp: seconds(expires),
        nbf: None,
        // Two that are asked for in the same breath are two.
        jti: Some(URL_SAFE_NO_PAD.encode(id).into()),
        capability: Some(capability.clone().into()),
        client_id: client_id.clone(),
        revocation_key: None,
    };
    let header = Header { kid: Some(key.name().to_string()), ..Header::new(Algorithm::HS256) };
    let token = jsonwebtoken::encode(&header, &written, &EncodingKey::from_secret(key.secret()));
    // Text and numbers, which any secret signs.
    let token = token.expect("a token of text is signed");
    TokenDetails { token, key_name: key.name().clone(), issued, expires, capability, client_id }
}

/// As JWTs have it, with a fraction where there is one.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of any year to come are exact")]
fn seconds(ms: u64) -> Number {
    let whole = Number::from(ms / 1000);
    if ms.is_multiple_of(1000) { whole } else { Number::from_f64(ms as f64 / 1000.0).unwrap_or(whole) }
}

/// Milliseconds: before the epoch is as good as the epoch, and beyond all clocks as the last of them.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float becomes the nearest integer")]
fn ms(seconds: &Number) -> u64 {
    (seconds.as_f64().unwrap_or(f64::MAX) * 1000.0).round().clamp(0.0, 9e15) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_800_000_000_123;

    fn key() -> AblyKey {
        AblyKey::parse("app.key:short").unwrap()
    }

    fn signed(claims: &Value) -> String {
        let header = Header { kid: Some("app.key".into()), ..Header::default() };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(b"short")).unwrap()
    }

    #[test]
    fn what_is_minted_is_taken_until_its_millisecond() {
        let made = mint(&key(), NOW, 1, "{}".into(), Some("ann".into()));
        assert_eq!((made.issued, made.expires), (NOW, NOW + 1));
        let envelope = Envelope::open(&made.token).unwrap();
        assert_eq!((envelope.key_name.as_deref(), envelope.inner), (Some("app.key"), None));
        let claims = Claims::check(&made.token, &key(), NOW).unwrap();
        assert_eq!((claims.issued, claims.expires, claims.client_id.as_deref()), (NOW, NOW + 1, Some("ann")));
        assert_eq!(Claims::check(&made.token, &key(), NOW + 1).unwrap_err().code, 40142);
        assert_ne!(mint(&key(), NOW, 1, "{}".into(), None).token, mint(&key(), NOW, 1, "{}".into(), None).token);
    }

    #[test]
    fn those_of_other_makers_are_read() {
        let seconds = NOW / 1000;
        let claims = |claims: Value| Claims::check(&signed(&claims), &key(), NOW);
        let plain = claims(json!({ "iat": seconds, "exp": seconds + 60 })).unwrap();
        assert_eq!((plain.issued, plain.expires), (seconds * 1000, (seconds + 60) * 1000));
        assert_eq!((plain.capability, plain.client_id, plain.revocation_key), (None, None, None));
        let full = claims(json!({
            "iat": seconds, "exp": seconds + 60, "aud": "x", "sub": "y", "x-ably-clientId": "*",
            "x-ably-capability": { "a": ["*"] }, "x-ably-revocation-key": "group",
        }));
        let full = full.unwrap();
        assert_eq!((full.client_id.as_deref(), full.revocation_key.as_deref()), (Some("*"), Some("group")));
        assert_eq!(full.capability.as_deref(), Some(r#"{"a":["*"]}"#));
        let long = claims(json!({ "iat": seconds, "exp": 1e300 })).unwrap();
        assert_eq!(long.expires, seconds * 1000 + MAX_TTL_MS, "no token lives longer than it can be revoked");
    }

    #[test]
    fn bad_ones_are_refused_each_for_its_reason() {
        let seconds = NOW / 1000;
        let good = json!({ "iat": seconds, "exp": seconds + 60 });
        let token = signed(&good);
        let (head, _) = token.rsplit_once('.').unwrap();
        let none =
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(good.to_string()));
        let hs512 = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &good, &EncodingKey::from_secret(b"short"));
        let other = jsonwebtoken::encode(&Header::default(), &good, &EncodingKey::from_secret(b"other"));
        for (token, code) in [
            (format!("{head}."), 40144),
            (none, 40144),
            (hs512.unwrap(), 40144),
            (other.unwrap(), 40144),
            (signed(&json!({ "iat": seconds })), 40144),
            (signed(&json!({ "exp": seconds + 60 })), 40144),
            (signed(&json!({ "iat": seconds, "exp": "soon" })), 40144),
            (signed(&json!({ "iat": seconds + 600, "exp": seconds + 700 })), 40144),
            (signed(&json!({ "iat": seconds, "exp": seconds + 60, "nbf": seconds + 600 })), 40144),
            (signed(&json!({ "iat": seconds, "exp": seconds + 60, "x-ably-clientId": 7 })), 40144),
            (signed(&json!({ "iat": seconds - 60, "exp": seconds })), 40142),
            (signed(&json!({ "iat": -1, "exp": -1 })), 40142),
        ] {
            let error = Claims::check(&token, &key(), NOW).unwrap_err();
            assert_eq!((error.code, error.status), (code, 401), "{token} {error:?}");
        }
    }

    #[test]
    fn a_token_may_hold_another() {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let inner = |token: String| Envelope::open(&token).and_then(|envelope| envelope.inner);
        let held = Some("inner".to_owned());
        assert_eq!(inner(format!("{}.{}.x", part("{}"), part(r#"{"x-ably-token":"inner"}"#))), held);
        assert_eq!(inner(format!("{}.a.b.c.d", part(r#"{"alg":"dir","x-ably-token":"inner"}"#))), held);
        assert_eq!(inner(format!("{}.{}.x", part("{}"), part("{}"))), None);
        for none in ["", "a", "a.b", "a.b.c", "e30.e30", "e30.e30.a.b", &"e30.e30.".repeat(MAX_TOKEN_LEN)] {
            assert_eq!(Envelope::open(none), None, "{none:.20}");
        }
    }
}
