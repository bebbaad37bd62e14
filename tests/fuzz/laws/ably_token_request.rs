//! Any token request: refused with a code, or a token that allows no more than the key, is as whoever was signed for, and
//! lives as long as was signed. A line is a request in JSON; behind an `s` it is signed first, as the stock client does.
//! Then a nonce is good once, and nothing that was signed can be another.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorway::realtime::ably::apps::{AblyApps, ClientId, Credentials};
use doorway::realtime::ably::capability::{Capability, Operation};
use doorway::realtime::ably::key::AblyKey;
use doorway::realtime::ably::token::{DEFAULT_TTL_MS, MAX_TTL_MS, TokenDetails, TokenRequest};
use doorway::realtime::ably::wire::error::AblyError;
use doorway::realtime::door::ProtocolConfig;
use doorway::realtime::vocabulary::Moment;
use doorway::settings;
use serde_json::{Map, Value};

const KEY: &str = "app.key:a-secret-of-enough-bytes";
const ALLOWED: &str = r#"{"a":["publish","subscribe"],"room:*":["history","subscribe"]}"#;

fn apps() -> AblyApps {
    let source = format!("[[ably]]\nkey = \"{KEY}\"\ncapability = '{ALLOWED}'\n");
    let config = settings::read("app", &source, |root| doorway::realtime::ably::Config::read(root, "/api/ws"));
    AblyApps::new(&config.expect("a right section"), None)
}

static SIGNER: LazyLock<AblyKey> = LazyLock::new(|| AblyKey::parse(KEY).expect("a key"));

/// What the client signs: what is absent is an empty line.
fn sign(request: &mut Map<String, Value>) {
    let line = |name: &str| match request.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let names = ["keyName", "ttl", "capability", "clientId", "timestamp", "nonce"];
    let text: String = names.iter().map(|name| line(name) + "\n").collect();
    request.insert("mac".into(), STANDARD.encode(SIGNER.mac(&text)).into());
}

fn ask(apps: &AblyApps, request: &Map<String, Value>, now: Moment) -> Option<Result<TokenDetails, AblyError>> {
    let request: TokenRequest = serde_json::from_value(Value::Object(request.clone())).ok()?;
    Some(apps.request_token("app.key", request, None, now))
}

fn is_refused(outcome: Option<Result<TokenDetails, AblyError>>) -> bool {
    match outcome {
        None => true,
        Some(Err(error)) => {
            assert!((40_000..40_200).contains(&error.code) && (400..=401).contains(&error.status), "{error:?}");
            true
        }
        Some(Ok(_)) => false,
    }
}

fn integer(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::String(text)) => text.parse().unwrap_or_default(),
        value => value.and_then(Value::as_i64).unwrap_or_default(),
    }
}

/// What was granted is what was signed.
fn check(apps: &AblyApps, request: &Map<String, Value>, details: &TokenDetails, now: Moment) {
    assert!(request.contains_key("mac"), "nothing was signed");
    let text = |name: &str| request.get(name).and_then(Value::as_str);
    let ttl = u64::try_from(integer(request.get("ttl"))).expect("a lifetime that is one");
    let ttl = if ttl == 0 { DEFAULT_TTL_MS } else { ttl };
    assert!(ttl <= MAX_TTL_MS);
    assert_eq!((details.issued, details.expires), (now.unix_ms, now.unix_ms + ttl));
    assert_eq!(details.client_id.as_deref(), text("clientId"));
    let auth = apps.authenticate(Credentials::Token(&details.token), now).expect("what is minted is good");
    match text("clientId") {
        None => assert_eq!(auth.client_id, ClientId::Nobody),
        Some("*") => assert_eq!(auth.client_id, ClientId::Any),
        Some(id) => assert_eq!(auth.client_id, ClientId::Named(id.into())),
    }
    assert!(!auth.is_key && auth.expires == Some(details.expires));
    assert_eq!(auth.capability.canonical(), details.capability);
    let (key, granted) = (Capability::parse(ALLOWED).expect("a capability"), &auth.capability);
    assert_eq!(granted.intersect(&key), **granted, "no more than the key's");
    for name in ["a", "b", "room:1", "room:1:2", "room", "[meta]x"] {
        for operation in [Operation::Publish, Operation::Subscribe, Operation::History, Operation::PushAdmin] {
            assert!(!granted.allows(operation, name) || key.allows(operation, name), "{name}");
        }
    }
}

pub fn holds(input: &[u8]) {
    let (apps, now) = (apps(), Moment::now());
    for line in input.split(|byte| *byte == b'\n').take(50) {
        let is_signed = line.first() == Some(&b's');
        let Ok(mut request) = serde_json::from_slice::<Map<String, Value>>(&line[usize::from(is_signed)..]) else {
            continue;
        };
        // Its time is about now, where it says so.
        if request.get("timestamp") == Some(&Value::Bool(true)) {
            request.insert("timestamp".into(), now.unix_ms.into());
        }
        if !is_signed {
            assert!(is_refused(ask(&apps, &request, now)), "nobody has signed {request:?}");
            continue;
        }
        sign(&mut request);
        let Some(Ok(details)) = ask(&apps, &request, now) else {
            assert!(is_refused(ask(&apps, &request, now)), "refused once and granted then");
            continue;
        };
        check(&apps, &request, &details, now);
        assert!(is_refused(ask(&apps, &request, now)), "a nonce is good once");
        let fresh = "another nonce, of the same request";
        for (name, other) in [
            ("nonce", Value::from(fresh)),
            ("clientId", "mallory, who signed nothing".into()),
            ("capability", r#"{"a":["*"], "room:*":["*"]}"#.into()),
            ("ttl", 77_777_777.into()),
            ("timestamp", (now.unix_ms + 1).into()),
        ] {
            let mut changed = request.clone();
            changed.insert("nonce".into(), request["nonce"].clone());
            if changed.get(name).is_some_and(|value| {
                *value == other || integer(Some(value)) == integer(Some(&other)) && other.is_number()
            }) {
                continue;
            }
            changed.insert(name.into(), other);
            let outcome = ask(&apps, &changed, now);
            let code = outcome.and_then(Result::err).map(|error| error.code);
            assert!(matches!(code, None | Some(40000 | 40101)), "{name} was changed: {code:?}");
            assert!(is_refused(ask(&apps, &changed, now)), "{name} was changed");
        }
    }
}
