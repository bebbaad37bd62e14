//! The keys that tokens are signed with, and the check itself (RFC 7515, RFC 7517).

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

use serde_json::value::RawValue;

use super::config::Config;
use super::{Claims, Grant, TokenError};
use crate::json;
use std::time::Duration;

/// The longest token that is looked at, in bytes.
const MAX_TOKEN_LEN: usize = 8 * 1024;

/// The shortest secret for HS256, in bytes (RFC 7518 section 3.2).
const SHORTEST_SECRET: usize = 32;

/// Keys that are ready to check with.
pub struct Keys {
    keys: Vec<VerificationKey>,
    validation: Validation,
    leeway: Duration,
}

struct VerificationKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// A key of the config that cannot be used: which, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadKey {
    /// The key of `[realtime.tokens]`.
    pub setting: &'static str,
    pub why: String,
}

impl Keys {
    /// None: no token is ever good.
    pub fn none() -> Keys {
        Keys { keys: Vec::new(), validation: Validation::new(Algorithm::HS256), leeway: Duration::ZERO }
    }

    /// Makes the keys of `config` ready.
    ///
    /// # Errors
    /// [`BadKey`]: a secret that is too short, a PEM or JWKS that is none, or of a kind not supported.
    pub fn new(config: &Config) -> Result<Keys, BadKey> {
        let mut keys = Vec::new();
        if let Some(secret) = &config.secret {
            let secret = secret.as_bytes();
            if secret.len() < SHORTEST_SECRET {
                let why = format!("a secret for HS256 has at least {SHORTEST_SECRET} bytes, this one {}", secret.len());
                return Err(BadKey { setting: "secret", why });
            }
            keys.push(VerificationKey { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) });
        }
        if let Some(pem) = &config.public_key {
            keys.push(public_key(pem.as_bytes())?);
        }
        if let Some(jwks) = &config.jwks {
            let bad = |why: String| BadKey { setting: "jwks", why };
            let set: JwkSet = serde_json::from_str(jwks).map_err(|error| bad(format!("not a JWKS: {error}")))?;
            for (place, jwk) in set.keys.iter().enumerate() {
                let key = from_jwk(jwk)
                    .ok_or_else(|| bad(format!("key {place} of the JWKS is not for HS256, RS256, ES256 or EdDSA")))?;
                keys.push(key);
            }
            if set.keys.is_empty() {
                return Err(bad("the JWKS has no keys".into()));
            }
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are checked here: the crate knows no negative ones, and rounds.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        if let Some(audience) = &config.audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".into());
        } else {
            validation.validate_aud = false;
        }
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".into());
        }
        Ok(Keys { keys, validation, leeway: config.leeway })
    }

    /// True when there is nothing to check with: tokens are not in use.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Checks signature, time, audience and issuer.
    ///
    /// # Errors
    /// [`TokenError`]; the algorithm is the key's, never the token's own choice.
    pub fn check(&self, token: &str) -> Result<Grant, TokenError> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(TokenError::Invalid);
        }
        let header = decode_header(token).map_err(|_| TokenError::Invalid)?;
        let mut why = TokenError::Invalid;
        for key in self.keys.iter().filter(|key| key.algorithm == header.alg) {
            if matches!((&key.id, &header.kid), (Some(ours), Some(theirs)) if ours != theirs) {
                continue;
            }
            let validation = Validation { algorithms: vec![key.algorithm], ..self.validation.clone() };
            match decode::<Box<RawValue>>(token, &key.key, &validation) {
                Ok(token) => {
                    let claims: Claims = json::from_str(token.claims.get()).map_err(|_| TokenError::Invalid)?;
                    claims.check_time(self.leeway)?;
                    return Ok(claims.into());
                }
                Err(error) => match error.kind() {
                    ErrorKind::InvalidAudience | ErrorKind::InvalidIssuer => return Err(TokenError::NotForUs),
                    ErrorKind::MissingRequiredClaim(claim) if claim == "aud" || claim == "iss" => {
                        why = TokenError::NotForUs;
                    }
                    _ => {}
                },
            }
        }
        Err(why)
    }
}

fn public_key(pem: &[u8]) -> Result<VerificationKey, BadKey> {
    let found = [
        (Algorithm::RS256, DecodingKey::from_rsa_pem(pem)),
        (Algorithm::ES256, DecodingKey::from_ec_pem(pem)),
        (Algorithm::EdDSA, DecodingKey::from_ed_pem(pem)),
    ];
    found
        .into_iter()
        .find_map(|(algorithm, key)| Some(VerificationKey { id: None, algorithm, key: key.ok()? }))
        .ok_or_else(|| BadKey { setting: "public_key", why: "not a PEM public key for RS256, ES256 or EdDSA".into() })
}

fn from_jwk(jwk: &Jwk) -> Option<VerificationKey> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
        _ => return None,
    };
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(VerificationKey { id: jwk.common.key_id.clone(), algorithm, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use crate::realtime::vocabulary::Channel;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    fn config() -> Config {
        Config { secret: Some(SECRET.into()), ..Config::default() }
    }

    fn signed(claims: &Value) -> String {
        encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    }

    fn check(config: &Config, token: &str) -> Result<Grant, TokenError> {
        Keys::new(config).unwrap().check(token)
    }

    #[test]
    fn a_good_token_grants_what_it_says() {
        let claims =
            json!({"sub": "ada", "exp": now() + 60, "info": {"name": "Ada"}, "subscribe": ["room-*"], "publish": []});
        let grant = check(&config(), &signed(&claims)).unwrap();
        assert_eq!(grant.identity.as_ref().map(|identity| &*identity.user), Some("ada"));
        let channel = |name: &str| Channel::new(name).unwrap();
        let rights = grant.rights(Duration::ZERO, Instant::now());
        assert!(rights.may_hear(&channel("room-1")) && !rights.may_hear(&channel("lobby")));
        assert!(!rights.may_say(&channel("room-1")));
        assert!(rights.may_read(&channel("room-1")) && rights.may_enter(&channel("room-1")), "as it may hear");
        assert!(grant.remaining().as_secs() > 50);
        let apart = json!({"exp": now() + 60, "subscribe": ["a"], "presence": ["b"], "history": []});
        let rights = check(&config(), &signed(&apart)).unwrap().rights(Duration::ZERO, Instant::now());
        assert!(rights.may_enter(&channel("b")) && !rights.may_enter(&channel("a")) && !rights.may_read(&channel("a")));
        let open = check(&config(), &signed(&json!({"exp": now() + 60}))).unwrap();
        assert!(open.identity.is_none());
        let rights = open.rights(Duration::ZERO, Instant::now());
        assert!(rights.may_hear(&channel("anything")) && rights.may_say(&channel("anything")));
        let endless = check(&config(), &signed(&json!({"exp": u64::MAX})));
        for claims in
            ["{\"exp\":1.9999e9}", "{\"exp\":1999900000.5,\"nbf\":1.5,\"iat\":1e3}", "{\"exp\":1e300,\"nbf\":-1}"]
        {
            let claims: serde_json::Value = serde_json::from_str(claims).unwrap();
            assert!(check(&config(), &signed(&claims)).is_ok(), "{claims}");
        }
        assert!(endless.is_ok_and(|grant| grant.rights(Duration::MAX, Instant::now()).until > Some(Instant::now())));
    }

    #[test]
    fn bad_tokens_are_refused_each_for_its_reason() {
        let good = signed(&json!({"exp": now() + 60}));
        let (head, _) = good.rsplit_once('.').unwrap();
        let other =
            encode(&Header::default(), &json!({"exp": now() + 60}), &EncodingKey::from_secret(&[7; 32])).unwrap();
        let none = "eyJhbGciOiJub25lIn0.eyJleHAiOjk5OTk5OTk5OTl9.";
        for (token, expected) in [
            (signed(&json!({"exp": now() - 60})), TokenError::Expired),
            (signed(&json!({"exp": now() + 60, "nbf": now() + 50})), TokenError::NotYet),
            (signed(&json!({"exp": now() + 60, "nbf": 1e30})), TokenError::NotYet),
            (signed(&json!({"exp": 1.5e9})), TokenError::Expired),
            (signed(&json!({"exp": -1})), TokenError::Expired),
            (signed(&json!({"exp": now() + 60, "nbf": "soon"})), TokenError::Invalid),
            (signed(&json!({"exp": (now() + 60).to_string()})), TokenError::Invalid),
            (signed(&json!({"sub": "ada"})), TokenError::Invalid),
            (format!("{head}."), TokenError::Invalid),
            (other, TokenError::Invalid),
            (none.to_owned(), TokenError::Invalid),
            (String::new(), TokenError::Invalid),
            ("a.b.c".to_owned(), TokenError::Invalid),
            ("x".repeat(MAX_TOKEN_LEN + 1), TokenError::Invalid),
            (signed(&json!({"exp": now() + 60, "info": "x".repeat(MAX_TOKEN_LEN)})), TokenError::Invalid),
        ] {
            assert_eq!(check(&config(), &token), Err(expected), "{token}");
        }
    }

    #[test]
    fn audience_and_issuer_are_required_where_they_are_set() {
        let config = Config { audience: Some("chat".into()), issuer: Some("app".into()), ..config() };
        assert!(check(&config, &signed(&json!({"exp": now() + 60, "aud": "chat", "iss": "app"}))).is_ok());
        for claims in [
            json!({"exp": now() + 60, "aud": "other", "iss": "app"}),
            json!({"exp": now() + 60, "iss": "app"}),
            json!({"exp": now() + 60, "aud": "chat", "iss": "other"}),
            json!({"exp": now() + 60, "aud": "chat"}),
            json!({"exp": now() + 60}),
        ] {
            assert_eq!(check(&config, &signed(&claims)), Err(TokenError::NotForUs), "{claims}");
        }
    }

    #[test]
    fn a_public_key_is_no_secret() {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let der: PublicKeyX509Der = pair.public_key().as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
        let config = Config { public_key: Some(pem.clone()), ..Config::default() };

        let claims = json!({"exp": now() + 60});
        let header = Header::new(Algorithm::ES256);
        let token = encode(&header, &claims, &EncodingKey::from_ec_der(pkcs8.as_ref())).unwrap();
        assert!(check(&config, &token).is_ok());
        // The classic confusion: HS256 keyed with the public key's own text.
        let forged = encode(&Header::default(), &claims, &EncodingKey::from_secret(pem.as_bytes())).unwrap();
        assert_eq!(check(&config, &forged), Err(TokenError::Invalid));
    }

    #[test]
    fn a_jwks_chooses_by_key_id() {
        let key = |id: &str, byte: u8| {
            json!({"kty": "oct", "kid": id, "alg": "HS256",
            "k": base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([byte; 32])})
        };
        let jwks = json!({"keys": [key("old", 1), key("new", 2)]}).to_string();
        let config = Config { jwks: Some(jwks), ..Config::default() };
        let token = |id: &str, byte: u8| {
            let header = Header { kid: Some(id.into()), ..Header::default() };
            encode(&header, &json!({"exp": now() + 60}), &EncodingKey::from_secret(&[byte; 32])).unwrap()
        };
        assert!(check(&config, &token("old", 1)).is_ok());
        assert!(check(&config, &token("new", 2)).is_ok());
        assert_eq!(check(&config, &token("new", 1)), Err(TokenError::Invalid));
        // A name that nobody gave is no reason to look elsewhere.
        assert_eq!(check(&config, &token("made up", 1)), Err(TokenError::Invalid));
    }

    #[test]
    fn a_jwks_has_keys_of_other_kinds_too() {
        use aws_lc_rs::signature::Ed25519KeyPair;
        let random = aws_lc_rs::rand::SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let edwards = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": x});
        let config = Config { jwks: Some(json!({"keys": [&edwards]}).to_string()), ..Config::default() };
        let header = Header { kid: Some("ed".into()), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_der(pkcs8.as_ref());
        let token = encode(&header, &json!({"exp": now() + 60}), &key).unwrap();
        assert!(check(&config, &token).is_ok());
        assert_eq!(check(&config, &token[..token.len() - 8]), Err(TokenError::Invalid));

        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|half| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(half));
        let curve = json!({"kty": "EC", "crv": "P-256", "kid": "ec", "x": x, "y": y});
        let config = Config { jwks: Some(json!({"keys": [edwards, curve]}).to_string()), ..Config::default() };
        let header = Header { kid: Some("ec".into()), ..Header::new(Algorithm::ES256) };
        let token = encode(&header, &json!({"exp": now() + 60}), &EncodingKey::from_ec_der(pkcs8.as_ref())).unwrap();
        assert!(check(&config, &token).is_ok());
    }

    #[test]
    fn bad_keys_are_named() {
        let secret = Config { secret: Some("short".into()), ..Config::default() };
        assert_eq!(Keys::new(&secret).err().unwrap().setting, "secret");
        let pem = Config { public_key: Some("nonsense".into()), ..Config::default() };
        assert_eq!(Keys::new(&pem).err().unwrap().setting, "public_key");
        for jwks in [
            "",
            "{}",
            "{\"keys\": []}",
            "{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-384\", \"x\": \"\", \"y\": \"\"}]}",
        ] {
            let config = Config { jwks: Some(jwks.into()), ..Config::default() };
            assert_eq!(Keys::new(&config).err().unwrap().setting, "jwks", "{jwks}");
        }
    }
}
