//! Promise: clients of another origin come in with a signed token; it says who they are, which channels they may hear
//! and speak in, and for how long.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{get as look, post};
use crate::harness::client::get;
use crate::harness::socket::{Socket, connect, connect_to, refused};
use crate::harness::{App, Door, door, eventually, response};

const SECRET: &str = "a secret of at least thirty-two bytes";
const PAGE: (&str, &str) = ("origin", "https://app.test");

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn signed(secret: &str, claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
}

/// A token that is good for `seconds`, with further claims.
fn token(seconds: u64, mut claims: Value) -> String {
    claims["exp"] = (now() + seconds).into();
    signed(SECRET, &claims)
}

fn config(more: &str) -> String {
    let tokens = format!("[realtime.tokens]\nsecret = \"{SECRET}\"\nleeway = \"0s\"\n{more}\n");
    format!(
        "[realtime]\norigins = [\"https://app.test\"]\n{tokens}[realtime.plain]\necho = false\n[[realtime.channel]]\nmatch = \"room-*\"\nhistory = 10\n"
    )
}

fn start(more: &str) -> Door {
    door().config(config(more)).start()
}

async fn enter(door: &Door, path: &str, token: &str) -> Socket {
    let path = format!("{path}{}token={token}", if path.contains('?') { '&' } else { '?' });
    connect(door, &path).await
}

#[tokio::test]
async fn a_token_is_shown_in_the_query_a_header_or_a_subprotocol() {
    let door = start("required = true\n[[realtime.channel]]\nmatch = \"default\"");
    let good = token(600, json!({"sub": "ada"}));
    let bearer = format!("Bearer {good}");
    let protocol = format!("doorway, bearer.{good}");
    let address = door.http();
    let query = format!("/api/ws?token={good}");
    for (path, headers) in [
        (&*query, vec![]),
        ("/api/ws", vec![("authorization", &*bearer)]),
        ("/api/ws", vec![("sec-websocket-protocol", &*protocol)]),
    ] {
        let mut socket =
            connect_to(address, path, &headers).await.unwrap_or_else(|error| panic!("{headers:?}: {error}"));
        socket.say("hi").await;
        assert_eq!(socket.hear_json().await["data"], "hi");
        socket.close(1000).await;
    }
    let log = door.output();
    assert!(!log.contains(&good), "a token is in no log: {log}");
    for (path, headers) in [
        ("/api/ws", vec![]),
        ("/api/ws?token=", vec![]),
        ("/api/ws?token=junk", vec![]),
        (&*query, vec![("authorization", &*bearer)]),
        ("/api/ws", vec![("authorization", "Bearer x.y.z")]),
    ] {
        assert_eq!(refused(&door, path, &headers).await, 401, "{path} {headers:?}");
    }
    let other = signed("another secret of at least 32 bytes", &json!({"exp": now() + 600}));
    assert_eq!(refused(&door, &format!("/api/ws?token={other}"), &[]).await, 401);
    let answer = get(address, "/api/ws?token=junk", &[("accept", "text/event-stream")]).await;
    assert_eq!((answer.status, answer.header("www-authenticate").as_str()), (401, "Bearer error=\"invalid_token\""));
    let answer = get(address, "/api/ws", &[("accept", "application/json")]).await;
    assert_eq!((answer.status, answer.header("www-authenticate").as_str()), (401, "Bearer"));
    assert!(door.metric("tokens_checked_total{outcome=\"good\"}").await >= 3.0);
    assert!(door.metric("tokens_checked_total{outcome=\"invalid\"}").await >= 3.0);
}

#[tokio::test]
async fn a_page_is_told_why_it_is_not_let_in() {
    let door = start("");
    let old = signed(SECRET, &json!({"sub": "ada", "exp": now() - 60}));
    let mut socket =
        connect_to(door.http(), &format!("/api/ws?token={old}"), &[PAGE]).await.expect("opened to be closed");
    assert_eq!(socket.closed().await, (3000, "expired".to_owned()));
    let narrow = token(600, json!({"subscribe": ["room-1"]}));
    let mut socket = connect_to(door.http(), &format!("/api/ws/room-2?token={narrow}"), &[PAGE]).await.expect("opened");
    assert_eq!(socket.closed().await.0, 3003);
    assert_eq!(refused(&door, &format!("/api/ws?token={old}"), &[]).await, 401, "a program reads the status");
    door.wait_for_metric("hub_connections", 0.0).await;
}

/// RFC 7519 section 2: a NumericDate is any JSON number.
#[tokio::test]
async fn times_of_a_token_are_numbers_of_any_form() {
    let door = start("required = true\n[[realtime.channel]]\nmatch = \"default\"");
    let soon = (now() + 3600) as f64;
    for claims in [
        json!({"exp": soon + 0.75, "iat": soon - 7200.5, "nbf": soon - 7200.25}),
        serde_json::from_str(&format!("{{\"exp\":{soon:e},\"nbf\":-1.5}}")).expect("JSON"),
        json!({"exp": 1e300, "nbf": -1}),
    ] {
        let mut socket = enter(&door, "/api/ws", &signed(SECRET, &claims)).await;
        socket.is_quiet().await;
    }
    for claims in [json!({"exp": 1.5e9}), json!({"exp": soon, "nbf": soon - 0.5}), json!({"exp": "9e9"})] {
        let path = format!("/api/ws?token={}", signed(SECRET, &claims));
        assert_eq!(refused(&door, &path, &[]).await, 401, "{claims}");
    }
}

#[tokio::test]
async fn token_without_required_issuer_or_audience_is_refused() {
    let door = start("issuer = \"us\"\naudience = \"door\"");
    let both = json!({ "iss": "us", "aud": "door" });
    enter(&door, "/api/ws", &token(60, both.clone())).await;
    for key in ["iss", "aud"] {
        for wrong in [Value::Null, json!("others"), json!(["others"]), json!("")] {
            let mut claims = both.clone();
            claims[key] = wrong.clone();
            if wrong.is_null() {
                claims.as_object_mut().unwrap().remove(key);
            }
            let path = format!("/api/ws?token={}", token(60, claims));
            assert_eq!(refused(&door, &path, &[]).await, 401, "{key} {wrong}");
        }
    }
}

#[tokio::test]
async fn a_token_is_not_needed_where_it_is_not_required() {
    let door = start("");
    let mut anybody = connect(&door, "/api/ws/lobby").await;
    anybody.say("hi").await;
    assert_eq!(anybody.hear_json().await["data"], "hi");
    assert_eq!(refused(&door, "/api/ws?token=junk", &[]).await, 401, "a bad one is worse than none");
}

#[tokio::test]
async fn channels_are_those_of_the_grant_and_no_others() {
    let door = start("");
    let narrow = token(600, json!({"sub": "ada", "subscribe": ["room-*"], "publish": ["room-1"]}));
    let mut one = enter(&door, "/api/ws/room-1", &narrow).await;
    let mut two = enter(&door, "/api/ws/room-2", &narrow).await;
    one.say("hi").await;
    assert_eq!(one.hear_json().await["data"], "hi");
    two.say("hi").await;
    let error = two.hear_json().await;
    assert_eq!((&error["type"], &error["error"]), (&json!("error"), &json!("forbidden")), "{error}");
    for accept in ["application/json", "text/event-stream"] {
        let path = format!("/api/ws/lobby?token={narrow}");
        assert_eq!(get(door.http(), &path, &[("accept", accept)]).await.status, 403, "{accept}");
        let path = format!("/api/ws/room-1?token={narrow}");
        assert_eq!(get(door.http(), &path, &[("accept", accept)]).await.status, 200, "{accept}");
    }
    assert_eq!(refused(&door, &format!("/api/ws/lobby?token={narrow}"), &[]).await, 403);
    door.wait_for_metric("hub_connections", 2.0).await;
    let answer = post(&door, "/publish", json!({"user": "ada", "text": "psst"})).await;
    assert_eq!(answer.json, json!({"connections": 2}), "the subject is the user");
    assert_eq!(two.hear_json().await["data"], "psst");
    assert_eq!(look(&door, "/users/ada").await.json["connections"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn the_past_is_for_whom_the_token_lets_read_it() {
    let door = start("");
    let read = async |claims: Value| {
        let path = format!("/api/ws/room-1?token={}", token(60, claims));
        get(door.http(), &path, &[("accept", "application/json")]).await.status
    };
    assert_eq!(read(json!({"subscribe": ["room-*"], "history": []})).await, 403);
    assert_eq!(read(json!({"subscribe": ["room-*"], "history": ["room-1"]})).await, 200);
}

#[tokio::test]
async fn a_policy_holds_besides_and_a_token_makes_a_client_identified() {
    let policy = "[[realtime.channel]]\nmatch = \"members\"\nsubscribe = \"identified\"\npublish = \"app\"\n";
    let door = door().config(config("") + policy).start();
    let named = token(600, json!({"sub": "ada", "publish": ["*"]}));
    let mut socket = enter(&door, "/api/ws/members", &named).await;
    socket.say("hi").await;
    assert_eq!(socket.hear_json().await["error"], "forbidden", "the policy says so");
    let nameless = token(600, json!({}));
    assert_eq!(refused(&door, &format!("/api/ws/members?token={nameless}"), &[]).await, 403);
    assert_eq!(refused(&door, "/api/ws/members", &[]).await, 403);
}

#[tokio::test]
async fn expired_token_closes_its_socket_unless_renewed() {
    let door = start("");
    let short = || token(3, json!({"sub": "ada"}));
    let mut renewed = enter(&door, "/api/ws/room-1", &short()).await;
    let stranger = token(600, json!({"sub": "eve"}));
    renewed.say(&json!({"type": "token", "token": stranger}).to_string()).await;
    assert_eq!(renewed.hear_json().await["message"], "the token is another user's");
    renewed.say(&json!({"type": "token", "token": "junk"}).to_string()).await;
    assert_eq!(renewed.hear_json().await["message"], "the token is not one of ours");
    renewed.say(&json!({"token": token(600, json!({"sub": "ada"})), "type": "token"}).to_string()).await;
    assert_eq!(renewed.hear_json().await, json!({"type": "authorized"}));

    let mut left = enter(&door, "/api/ws/room-1", &short()).await;
    let path = format!("/api/ws/room-1?token={}", short());
    let stream = get(door.http(), &path, &[("accept", "text/event-stream")]).await;
    assert_eq!(left.closed().await, (3000, "expired".to_owned()));
    let text = stream.bytes().await;
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains(r#"{"type":"closing","reason":"expired"}"#), "{text}");
    renewed.say("still here").await;
    assert_eq!(renewed.hear_json().await["data"], "still here");
    door.wait_for_metric("tokens_renewed_total", 1.0).await;
    door.wait_for_log(|line| line["message"] == "socket closed" && line["reason"] == "expired");
}

#[tokio::test]
async fn what_looks_like_a_token_is_a_message_to_who_came_without_one() {
    let door = start("");
    let mut socket = connect(&door, "/api/ws/lobby").await;
    let text = json!({"type": "token", "token": "x"}).to_string();
    socket.say(&text).await;
    assert_eq!(socket.hear_json().await["data"], text);
}

#[tokio::test]
async fn app_decides_about_whom_the_token_names() {
    let app = App::start(|request| async move {
        let (head, body) = request.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.expect("a body").to_bytes();
        let question: Value = serde_json::from_slice(&body).unwrap_or_default();
        match (head.method.as_str(), question["data"]["client"]["user"].as_str()) {
            ("POST", Some("banned")) => {
                response(200, json!({"allow": false, "code": 4403, "reason": "banned"}).to_string())
            }
            ("POST", Some("ada")) => response(200, json!({"user": "ada lovelace"}).to_string()),
            ("POST", None) => response(200, json!({"allow": false, "code": 404}).to_string()),
            _ => response(404, ""),
        }
    })
    .await;
    let door = door().config(format!("{}[callbacks]\nevents = [\"connect\"]\n{}", app.config(), config(""))).start();
    let _ada = enter(&door, "/api/ws/room-1", &token(600, json!({"sub": "ada"}))).await;
    assert_eq!(look(&door, "/users/ada%20lovelace").await.json["connections"].as_array().map(Vec::len), Some(1));
    // A close code of the app's reaches its client, whatever program it is.
    let mut banned = enter(&door, "/api/ws/room-1", &token(600, json!({"sub": "banned"}))).await;
    assert_eq!(banned.closed().await, (4403, "banned".to_owned()));
    assert_eq!(refused(&door, "/api/ws/room-1", &[]).await, 404, "a status is a status");
    assert_eq!(refused(&door, "/api/ws/room-1?token=junk", &[]).await, 401, "the app is not asked about a bad one");
    let path = format!("/api/ws/room-1?token={}", token(600, json!({"sub": "banned"})));
    assert_eq!(
        get(door.http(), &path, &[("accept", "application/json")]).await.status,
        403,
        "there is no socket to close"
    );
}

#[tokio::test]
async fn keys_follow_their_file_and_the_config() {
    let jwks = |secret: &str| {
        let key = json!({"kty": "oct", "alg": "HS256", "kid": secret, "k": URL_SAFE_NO_PAD.encode(secret)});
        json!({ "keys": [key] }).to_string()
    };
    let with = |secret: &str| signed(secret, &json!({"exp": now() + 600}));
    let (first, second) = ("the first of our secrets, long enough", "the second of our secrets, long enough");
    let making = door();
    let file = making.folder().join("jwks.json");
    std::fs::write(&file, format!("\u{feff}{}", jwks(first))).unwrap();
    let door = making.config("[realtime.tokens]\njwks = \"jwks.json\"\n").start();
    let mut before = enter(&door, "/api/ws", &with(first)).await;
    std::fs::write(&file, "{").unwrap();
    door.wait_for_log(|line| {
        line["message"].as_str().is_some_and(|message| message.contains("are refused, those before stay"))
    });
    enter(&door, "/api/ws", &with(first)).await;
    std::fs::write(&file, jwks(second)).unwrap();
    let is_good = || async { connect_to(door.http(), &format!("/api/ws?token={}", with(second)), &[]).await.is_ok() };
    eventually("the new key counts", is_good).await;
    assert_eq!(refused(&door, &format!("/api/ws?token={}", with(first)), &[]).await, 401);
    before.is_quiet().await;
    assert!(door.metric("tokens_key_loads_total{outcome=\"taken\"}").await >= 1.0);

    let seen = door.log().len();
    door.rewrite(&format!("[realtime.tokens]\nsecret = \"{first}\"\n"));
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"] == "reloaded");
    enter(&door, "/api/ws", &with(first)).await;
    assert_eq!(refused(&door, &format!("/api/ws?token={}", with(second)), &[]).await, 401);
    assert!(!door.output().contains(first));
}

#[tokio::test]
async fn files_may_begin_with_a_byte_order_mark() {
    let secret = "as an editor of Windows writes it, long enough";
    let token = signed(secret, &json!({"exp": now() + 600}));
    let making = door();
    std::fs::write(making.folder().join("secret"), format!("\u{feff}{secret}\r\n")).unwrap();
    let door = making.config("[realtime.tokens]\nsecret_file = \"secret\"\n").start();
    enter(&door, "/api/ws", &token).await;
    let text = std::fs::read_to_string(door.folder().join("proxy.toml")).unwrap();
    std::fs::write(door.folder().join("proxy.toml"), format!("\u{feff}{text}")).unwrap();
    let seen = door.log().len();
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"] == "reloaded");
    enter(&door, "/api/ws", &token).await;
}

#[tokio::test]
async fn the_secret_may_come_from_the_environment() {
    let door = door()
        .config("[realtime.tokens]\nrequired = true\n[[realtime.channel]]\nmatch = \"default\"\n")
        .env("DOORWAY_JWT_SECRET", SECRET)
        .start();
    enter(&door, "/api/ws", &token(600, json!({}))).await;
    assert_eq!(refused(&door, "/api/ws", &[]).await, 401);
}
