//! Tokens for clients: JWTs (RFC 7519) that the app's secret key signs, which say who somebody is and, in access tokens,
//! what it may do where.

use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::room::{ORGANIZATION, RoomRecord};
use super::scopes::{Permissions, Scopes};
use crate::json;

/// The longest token that is looked at, in bytes: it travels in a query.
pub const MAX_TOKEN_LEN: usize = 24 * 1024;

/// The project that tokens and webhooks speak of: a door has one.
pub const PROJECT: &str = "default";

/// How far in the future a token may have been made, in seconds: clocks differ.
const CLOCK_WINDOW_S: u64 = 300;

/// Why a token counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomTokenError {
    /// It was good; a new one is to be asked for.
    #[error("the token has expired")]
    Expired,
    /// None of the secret keys has signed it by HS256.
    #[error("the token is not signed by a secret key of this server")]
    Forged,
    /// It is signed, and says nothing of use.
    #[error("the token is signed, but {0}")]
    Malformed(String),
}

/// What of a room its holder may do.
#[derive(Debug, Clone, PartialEq)]
pub enum RoomGrant {
    /// It says so itself (an access token).
    Permissions(Permissions),
    /// The records of rooms say so, to the user or to groups (an ID token).
    Groups(Vec<String>),
}

/// What a token says.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomClaims {
    pub user: Arc<str>,
    /// What others are told of the user, as JSON.
    pub info: Option<String>,
    pub grant: RoomGrant,
    /// Whose rooms it is for; `None` for those of no organization.
    pub organization: Option<String>,
    /// Seconds since the Unix epoch.
    pub issued: u64,
    /// Seconds since the Unix epoch.
    pub expires: u64,
}

/// The claims by their names in the protocol.
#[derive(Serialize, Deserialize)]
struct Written {
    k: String,
    #[serde(default = "project")]
    pid: String,
    uid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ui: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    perms: Option<Permissions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gids: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oid: Option<String>,
    #[serde(default)]
    jti: String,
    iat: u64,
    exp: u64,
}

fn project() -> String {
    PROJECT.to_owned()
}

impl RoomClaims {
    /// What its holder may do in `room`, whose record may give rights to users, groups and everybody. `None`: nothing, and
    /// nothing in the rooms of other organizations.
    pub fn scopes_in(&self, room: &str, record: Option<&RoomRecord>) -> Option<Scopes> {
        let own = self.organization.as_deref().unwrap_or(ORGANIZATION);
        if record.is_some_and(|record| record.organization_id != own) {
            return None;
        }
        match &self.grant {
            RoomGrant::Permissions(permissions) => permissions.in_room(room),
            RoomGrant::Groups(groups) => record?.accesses.of_user(&self.user, groups),
        }
    }
}

/// A token that says this, signed by `secret`. No two are equal.
pub fn sign(secret: &str, claims: &RoomClaims) -> String {
    let mut id = [0; 12];
    SystemRandom::new().fill(&mut id).expect("the system gives random bytes");
    let (k, perms, gids) = match &claims.grant {
        RoomGrant::Permissions(permissions) => ("acc", Some(permissions.clone()), None),
        RoomGrant::Groups(groups) => ("id", None, Some(groups.clone())),
    };
    let written = Written {
        k: k.to_owned(),
        pid: project(),
        uid: claims.user.to_string(),
        ui: claims.info.clone().and_then(|info| RawValue::from_string(info).ok()),
        perms,
        gids,
        oid: claims.organization.clone(),
        jti: URL_SAFE_NO_PAD.encode(id),
        iat: claims.issued,
        exp: claims.expires,
    };
    let token = jsonwebtoken::encode(&Header::default(), &written, &EncodingKey::from_secret(secret.as_bytes()));
    // Text and numbers, which any secret signs.
    token.expect("a token of text is signed")
}

/// What a token says that one of these secrets has signed, at `now` in seconds since the Unix epoch.
///
/// # Errors
/// [`RoomTokenError`].
pub fn verify(secrets: &[String], token: &str, now: u64) -> Result<RoomClaims, RoomTokenError> {
    if token.len() > MAX_TOKEN_LEN {
        return Err(RoomTokenError::Forged);
    }
    let mut validation = Validation::new(Algorithm::HS256);
    // Times are checked here, by the caller's clock.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let by = |secret: &String| {
        let key = DecodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::decode::<Box<RawValue>>(token, &key, &validation).ok()
    };
    let decoded = secrets.iter().find_map(by).ok_or(RoomTokenError::Forged)?;
    let malformed = |what: &str| RoomTokenError::Malformed(what.to_owned());
    let written: Written = json::from_str(decoded.claims.get())
        .map_err(|error| malformed(&format!("its claims are not ours ({error})")))?;
    if written.exp <= now {
        return Err(RoomTokenError::Expired);
    }
    if written.iat > now.saturating_add(CLOCK_WINDOW_S) {
        return Err(malformed("it is of the future"));
    }
    if written.uid.is_empty() {
        return Err(malformed("it says nothing of a user"));
    }
    let grant = match (written.k.as_str(), written.perms) {
        ("acc", Some(permissions)) => RoomGrant::Permissions(permissions),
        ("acc", None) => return Err(malformed("it is an access token without permissions")),
        ("id", _) => RoomGrant::Groups(written.gids.unwrap_or_default()),
        _ => return Err(malformed("it is neither an access token nor an ID token")),
    };
    let info = written.ui.map(|info| String::from(Box::<str>::from(info)));
    let (issued, expires) = (written.iat, written.exp);
    Ok(RoomClaims { user: written.uid.into(), info, grant, organization: written.oid, issued, expires })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: u64 = 1_800_000_000;
    const SECRET: &str = "sk_one_0123456789abcd";

    fn claims() -> RoomClaims {
        let permissions = serde_json::from_value(json!({ "a*": ["*:read"], "ab": ["storage:write"] })).unwrap();
        let info = Some(r#"{"name":"Ann","n":1.50}"#.to_owned());
        let grant = RoomGrant::Permissions(permissions);
        RoomClaims { user: "ann".into(), info, grant, organization: None, issued: NOW, expires: NOW + 60 }
    }

    fn signed(claims: &Value) -> String {
        jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    }

    fn secrets() -> Vec<String> {
        vec!["sk_two_0123456789abcd".to_owned(), SECRET.to_owned()]
    }

    #[test]
    fn what_is_signed_is_read_again_until_it_expires() {
        let token = sign(SECRET, &claims());
        assert_eq!(verify(&secrets(), &token, NOW), Ok(claims()));
        assert_eq!(verify(&secrets(), &token, NOW + 59), Ok(claims()));
        assert_eq!(verify(&secrets(), &token, NOW + 60), Err(RoomTokenError::Expired));
        assert_ne!(token, sign(SECRET, &claims()), "clients stop at a token that they have seen before");
        let id = RoomClaims { grant: RoomGrant::Groups(vec!["g".into()]), info: None, ..claims() };
        assert_eq!(verify(&secrets(), &sign(SECRET, &id), NOW), Ok(id));
    }

    #[test]
    fn it_says_what_clients_look_for() {
        let token = sign(SECRET, &claims());
        let part = token.split('.').nth(1).unwrap();
        let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(
            (&payload["k"], &payload["uid"], &payload["pid"]),
            (&json!("acc"), &json!("ann"), &json!("default"))
        );
        assert_eq!(payload["perms"], json!({ "a*": ["*:read"], "ab": ["storage:write"] }));
        assert_eq!(
            (&payload["ui"]["name"], &payload["iat"], &payload["exp"]),
            (&json!("Ann"), &json!(NOW), &json!(NOW + 60))
        );
    }

    #[test]
    fn only_what_a_secret_has_signed_counts() {
        let token = sign(SECRET, &claims());
        let (head, signature) = token.rsplit_once('.').unwrap();
        let (_, payload) = head.split_once('.').unwrap();
        let none = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#));
        let good = json!({ "k": "id", "uid": "ann", "iat": NOW, "exp": NOW + 60 });
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let hs512 = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &good, &key).unwrap();
        assert!(verify(&secrets(), &signed(&good), NOW).is_ok());
        for token in [
            String::new(),
            "a.b.c".to_owned(),
            format!("{head}."),
            format!("{head}.{}", &signature[1..]),
            none,
            hs512,
            sign("sk_three_0123456789abcd", &claims()),
            token.repeat(200),
        ] {
            assert_eq!(verify(&secrets(), &token, NOW), Err(RoomTokenError::Forged), "{token:.60}");
        }
        assert_eq!(verify(&[], &token, NOW), Err(RoomTokenError::Forged));
    }

    #[test]
    fn what_is_signed_has_to_say_something() {
        let good = json!({ "k": "acc", "uid": "ann", "perms": {}, "iat": NOW, "exp": NOW + 60 });
        let with = |key: &str, value: Value| {
            let mut claims = good.clone();
            claims[key] = value;
            signed(&claims)
        };
        assert!(verify(&secrets(), &signed(&good), NOW).is_ok());
        for token in [
            with("k", json!("secret")),
            with("k", json!(7)),
            with("uid", json!("")),
            with("uid", Value::Null),
            with("perms", Value::Null),
            with("perms", json!({ "a": ["room:eat"] })),
            with("perms", json!(["a"])),
            with("iat", json!(NOW + 301)),
            with("exp", json!("soon")),
            with("exp", json!(-1)),
            with("exp", Value::Null),
        ] {
            assert!(matches!(verify(&secrets(), &token, NOW), Err(RoomTokenError::Malformed(_))), "{token}");
        }
        assert_eq!(verify(&secrets(), &with("exp", json!(NOW)), NOW), Err(RoomTokenError::Expired));
    }

    #[test]
    fn an_access_token_speaks_for_itself_and_an_id_token_not() {
        let mut record = RoomRecord::new(0);
        record.accesses = serde_json::from_value(json!({ "groupsAccesses": { "g": ["*:write"] } })).unwrap();
        let names = |claims: &RoomClaims, room: &str, record: Option<&RoomRecord>| {
            claims.scopes_in(room, record).map(|scopes| scopes.names().join(" "))
        };
        assert_eq!(names(&claims(), "ab", Some(&record)).as_deref(), Some("room:read storage:write"));
        assert_eq!(names(&claims(), "b", Some(&record)), None);
        let id = RoomClaims { grant: RoomGrant::Groups(vec!["g".into()]), ..claims() };
        assert_eq!(names(&id, "ab", Some(&record)).as_deref(), Some("room:write"));
        assert_eq!(names(&id, "ab", None), None);
        // Rooms of another organization are not its.
        let of = |organization: &str, claims| RoomClaims { organization: Some(organization.to_owned()), ..claims };
        assert_eq!(names(&of("acme", id), "ab", Some(&record)), None);
        record.organization_id = "acme".to_owned();
        assert_eq!(names(&claims(), "ab", Some(&record)), None);
        assert_eq!(names(&of("acme", claims()), "ab", Some(&record)).as_deref(), Some("room:read storage:write"));
    }
}
