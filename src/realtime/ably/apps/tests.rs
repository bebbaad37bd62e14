//! Who is let in as whom.

use serde_json::json;

use super::*;
use crate::realtime::ably::key::AblyKey;
use crate::realtime::ably::token::mint;
use crate::realtime::door::ProtocolConfig;
use crate::realtime::vocabulary::Channel;
use crate::settings;

fn config(source: &str) -> Config {
    settings::read("test", source, |root| Config::read(root, "/api/ws")).unwrap_or_else(|problems| panic!("{problems}"))
}

const TWO: &str = r#"
    [[ably]]
    key = "one.a:secret"
    capability = '{"room:*":["subscribe","publish"]}'
    [[ably]]
    key = "one.off:secret"
    enabled = false
    [[ably]]
    key = "two.a:secret"
"#;

fn apps() -> AblyApps {
    AblyApps::new(&config(TWO), None)
}

fn key(text: &str) -> AblyKey {
    AblyKey::parse(text).unwrap()
}

fn refused(apps: &AblyApps, credentials: Credentials) -> (u32, u16) {
    let error = apps.authenticate(credentials, Moment::now()).unwrap_err();
    (error.code, error.status)
}

#[test]
fn a_key_is_the_app_within_its_capability() {
    let (apps, now) = (apps(), Moment::now());
    let client = apps.authenticate(Credentials::Key("one.a:secret"), now).unwrap();
    assert_eq!((&**client.app.id(), &*client.key_name, client.is_key), ("one", "one.a", true));
    assert_eq!((client.client_id.clone(), client.expires, client.word), (ClientId::Free, None, Word::App));
    let rights = client.rights(now);
    let channel = |name: &str| client.app.channel(name).unwrap();
    assert!(rights.may_hear(&channel("room:1")) && !rights.may_hear(&channel("lobby")) && rights.until.is_none());
}

#[test]
fn bad_keys_are_refused_each_for_its_reason() {
    let apps = apps();
    for (key, expected) in [
        ("", (40005, 400)),
        ("one.a", (40005, 400)),
        ("one:secret", (40005, 400)),
        ("one.a:wrong", (40101, 401)),
        ("one.b:secret", (40400, 401)),
        ("none.a:secret", (40101, 401)),
        ("one.off:secret", (40131, 401)),
        ("one.off:wrong", (40101, 401)),
    ] {
        assert_eq!(refused(&apps, Credentials::Key(key)), expected, "{key}");
    }
}

#[test]
fn a_token_is_as_its_claims_say() {
    let (apps, now) = (apps(), Moment::now());
    let capability = r#"{"room:1":["*"],"other":["*"]}"#;
    let token = mint(&key("one.a:secret"), now.unix_ms, 5000, capability.into(), Some("ann".into()));
    let client = apps.authenticate(Credentials::Token(&token.token), now).unwrap();
    assert_eq!(
        (client.is_key, client.client_id.clone(), client.word),
        (false, ClientId::Named("ann".into()), Word::Signed)
    );
    assert_eq!(client.capability.canonical(), r#"{"room:1":["publish","subscribe"]}"#);
    assert_eq!(client.rights(now).until, Some(now.instant + Duration::from_secs(5)));
    let minted = |key: &AblyKey, capability: &str| mint(key, now.unix_ms, 5000, capability.into(), None).token;
    let all = r#"{"*":["*"]}"#;
    for (token, expected) in [
        (minted(&key("one.a:wrong"), all), (40144, 401)),
        (minted(&key("one.b:secret"), all), (40400, 401)),
        (minted(&key("none.a:secret"), all), (40400, 404)),
        (minted(&key("one.off:secret"), all), (40131, 401)),
        (minted(&key("one.a:secret"), "{"), (40000, 400)),
        (minted(&key("one.a:secret"), r#"{"x":["*"]}"#), (40160, 401)),
        (mint(&key("one.a:secret"), now.unix_ms - 9000, 5000, all.into(), None).token, (40142, 401)),
        (String::new(), (40143, 401)),
        ("one.opaque-token".into(), (40143, 401)),
    ] {
        assert_eq!(refused(&apps, Credentials::Token(&token)), expected, "{token}");
    }
}

#[test]
fn a_token_may_wrap_another_once() {
    let (apps, now) = (apps(), Moment::now());
    let wrap = |inner: &str| {
        let claims = json!({ "x-ably-token": inner });
        let key = jsonwebtoken::EncodingKey::from_secret(b"the app's own");
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let inner = mint(&key("two.a:secret"), now.unix_ms, 5000, r#"{"*":["*"]}"#.into(), None).token;
    let client = apps.authenticate(Credentials::Token(&wrap(&inner)), now).unwrap();
    assert_eq!((&**client.app.id(), client.client_id), ("two", ClientId::Nobody));
    assert_eq!(refused(&apps, Credentials::Token(&wrap(&wrap(&inner)))), (40144, 401));
    assert_eq!(refused(&apps, Credentials::Token(&wrap(""))), (40143, 401));
}

#[test]
fn revoked_tokens_are_no_longer_good() {
    let (apps, now) = (apps(), Moment::now());
    let token = mint(&key("two.a:secret"), now.unix_ms, 5000, r#"{"a":["*"]}"#.into(), Some("ann".into())).token;
    let client = apps.authenticate(Credentials::Token(&token), now).unwrap();
    let later = now + Duration::from_millis(1);
    let at_once = Revocation { issued_before: later.unix_ms, applies_at: later.unix_ms };
    for (target, is_revoked) in [("clientId:bob", false), ("channel:b", false), ("channel:a", true)] {
        apps.revoke("two.a", target, at_once, later).unwrap();
        assert_eq!(apps.is_revoked(&client, later), is_revoked, "{target}");
    }
    let error = apps.authenticate(Credentials::Token(&token), later).unwrap_err();
    assert_eq!((error.code, error.status), (40141, 401));
    let key = apps.authenticate(Credentials::Key("two.a:secret"), later).unwrap();
    assert!(!apps.is_revoked(&key, later), "no key is");
}

#[test]
fn nobody_comes_as_another() {
    let now = Moment::now();
    let client =
        |id| Authenticated { client_id: id, ..apps().authenticate(Credentials::Key("two.a:secret"), now).unwrap() };
    let assume = |id, wanted| client(id).assume(wanted).map_err(|error| error.code);
    let ann: Arc<str> = "ann".into();
    let named = || ClientId::Named(Arc::clone(&ann));
    assert_eq!(assume(named(), None), Ok(Some(Arc::clone(&ann))));
    assert_eq!(assume(named(), Some("ann")), Ok(Some(Arc::clone(&ann))));
    assert_eq!((assume(named(), Some("bob")), assume(named(), Some("*"))), (Err(40102), Err(40102)));
    assert_eq!((assume(ClientId::Nobody, None), assume(ClientId::Nobody, Some("ann"))), (Ok(None), Err(40102)));
    for free in [ClientId::Any, ClientId::Free] {
        assert_eq!(assume(free.clone(), Some("ann")), Ok(Some(Arc::clone(&ann))));
        assert_eq!((assume(free.clone(), None), assume(free, Some("*"))), (Ok(None), Ok(None)));
    }
}

#[test]
fn each_app_has_channels_of_its_own() {
    let apps = apps();
    let [one, two] = &apps.all()[..] else { panic!() };
    let channel = two.channel("room:1").unwrap();
    assert_eq!((channel.as_str(), two.name(&channel), one.name(&channel)), ("two:room:1", Some("room:1"), None));
    let shared = Channel::new("lobby").unwrap();
    assert_eq!((one.name(&shared), two.name(&shared)), (Some("lobby"), None));
    assert_eq!(one.name(&Channel::reserved("x", "y")), None);
    let long = "x".repeat(600);
    for name in ["", ":hell", "[meta]x", "a\nb", "a\u{7f}", &long, "two:room"] {
        assert_eq!(one.channel(name).map_err(|error| (error.code, error.status)), Err((40010, 400)), "{name:.20}");
    }
    assert!(one.channel("two").is_ok() && one.channel("a b/ä:*").is_ok());
}

#[test]
fn a_reload_leaves_each_app_its_place() {
    let apps = apps();
    let before = apps.all();
    apps.reload(&config("[[ably]]\nkey = \"new.a:s\"\n[[ably]]\nkey = \"one.b:s\"\nmessage_rate = 7\n"));
    let after = apps.all();
    let prefixes: Vec<_> = after.iter().map(|app| app.prefix().to_owned()).collect();
    assert_eq!(prefixes, ["new:", ""]);
    assert!(Arc::ptr_eq(&before[0], &after[1]) && before[0].settings().message_rate == 7);
    assert!(before[0].channel("two:room").is_ok() && before[0].channel("new:room").is_err());
    assert_eq!(refused(&apps, Credentials::Key("one.a:secret")), (40400, 401));
    apps.reload(&Config::default());
    assert!(apps.is_empty());
}
