//! Promise: where the app is asked, or a token is required, a channel that no section names is the app's, whatever a
//! client speaks; and what the app agrees to is held against the policies beside.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::harness::client::{ask, get};
use crate::harness::socket::{Socket, connect, connect_to, refused};
use crate::harness::{App, Door, door, response};

const PUSHER: &str = "[[realtime.pusher]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"app-secret\"\n";
const NAMESPACES: &str = "[[realtime.socketio]]\nnamespaces = [\"/\", \"/admin\"]\n";
const SECRET: &str = "a secret of at least thirty-two bytes";
const SOCKET_IO: &str = "/socket.io/?EIO=4&transport=websocket";

/// What the app was asked about, in order.
type Asked = Arc<Mutex<Vec<Value>>>;

/// An app that answers each question with what `judge` says, as it is.
async fn app(judge: impl Fn(&Value) -> String + Clone + Send + Sync + 'static) -> (App, Asked) {
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let app = App::start(move |request| {
        let (judge, log) = (judge.clone(), Arc::clone(&log));
        async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            let question: Value = serde_json::from_slice(&body).unwrap_or_default();
            log.lock().unwrap().push(question.clone());
            response(200, judge(&question))
        }
    })
    .await;
    (app, asked)
}

fn start(app: &App, events: &str, more: &str) -> Door {
    let callbacks = format!("[callbacks]\nevents = {events}\n");
    door()
        .config(format!("{}{callbacks}[realtime.plain]\necho = false\n{NAMESPACES}{PUSHER}{more}", app.config()))
        .start()
}

fn section(name: &str, lines: &str) -> String {
    format!("[[realtime.channel]]\nmatch = \"{name}\"\n{lines}\n")
}

/// The statuses of each way to read a channel without Socket.IO or Pusher: a socket, an event stream, its history.
async fn statuses(door: &Door, path: &str) -> [u16; 3] {
    let socket = match connect_to(door.http(), path, &[]).await {
        Ok(_) => 101,
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{path}: {error}"),
    };
    let read = async |accept| get(door.http(), path, &[("accept", accept)]).await.status;
    [socket, read("text/event-stream").await, read("application/json").await]
}

/// A client of Pusher's protocol; what comes of its wish for a public channel.
async fn pusher(door: &Door, channel: &str) -> Value {
    let mut socket = connect(door, "/app/app-key?protocol=7").await;
    assert_eq!(socket.hear_json().await["event"], "pusher:connection_established");
    socket.say(&json!({"event": "pusher:subscribe", "data": {"channel": channel}}).to_string()).await;
    socket.hear_json().await
}

/// A Socket.IO client, and what it is told of its wish to be in `scope`.
async fn socket_io(door: &Door, query: &str, scope: &str) -> (Socket, String) {
    let mut socket = connect(door, &format!("{SOCKET_IO}{query}")).await;
    assert!(socket.hear().await.starts_with("0{"));
    socket.say(&if scope == "/" { "40".to_owned() } else { format!("40{scope},") }).await;
    let told = socket.hear().await;
    (socket, told)
}

async fn api(door: &Door, path: &str, body: Value) {
    let headers = [("host", "localhost"), ("content-type", "application/json")];
    let answer = ask(door.admin(), "POST", &format!("/_doorway/api/v1{path}"), &headers, body.to_string()).await;
    assert_eq!(answer.status, 200, "{path}");
}

fn token(mut claims: Value) -> String {
    claims["exp"] = 4_000_000_000_u64.into();
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("a token")
}

#[tokio::test]
async fn a_room_that_the_app_opens_is_for_those_whom_the_app_lets_in() {
    let (app, _) = app(|question| match question["data"]["client"]["protocol"].as_str() {
        Some("socketio") => json!({"commands": [{"do": "join", "room": "user-a"}]}).to_string(),
        _ => "{}".to_owned(),
    })
    .await;
    let door = start(&app, r#"["connect"]"#, "");
    let (mut a, welcome) = socket_io(&door, "", "/").await;
    assert!(welcome.starts_with("40{"), "{welcome}");
    assert_eq!(statuses(&door, "/api/ws/user-a").await, [403; 3]);
    assert_eq!(statuses(&door, "/api/ws").await, [403; 3], "nor is the channel of the bare path open");
    let page = format!("http://{}", door.http());
    let mut told = connect_to(door.http(), "/api/ws/user-a", &[("origin", &page)]).await.expect("opened to be closed");
    assert_eq!(told.closed().await, (3003, "not allowed: this channel is the app's".to_owned()));
    let error = pusher(&door, "user-a").await;
    assert_eq!((&error["event"], &error["channel"]), (&json!("pusher:subscription_error"), &json!("user-a")));
    assert_eq!((&error["data"]["status"], &error["data"]["type"]), (&json!(403), &json!("AuthError")), "{error}");
    let (mut eve, _) = socket_io(&door, "", "/").await;
    eve.say(r#"421["join-room","user-b"]"#).await;
    assert_eq!(eve.hear().await, r#"431[{"error":"not allowed: this channel is the app's"}]"#);
    eve.say(r#"42["message","to all"]"#).await;
    // The API is the app.
    api(&door, "/publish", json!({"channel": "user-a", "name": "news", "json": {"n": 1}})).await;
    assert_eq!(a.hear().await, r#"42["news",{"n":1}]"#, "and nothing of what eve said");
    let is_it =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("may not hear a channel that no"));
    let line = door.wait_for_log(is_it);
    assert!(line["message"].as_str().is_some_and(|text| text.contains("Name it in [[realtime.channel]]")), "{line}");
    assert_eq!(door.log().iter().filter(|line| is_it(line)).count(), 1, "once a minute");
    door.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("may not speak in a channel")));
}

#[tokio::test]
async fn what_the_app_says_lets_in_and_the_past_is_there() {
    let (app, _) = app(|_| json!({"channels": ["lobby"]}).to_string()).await;
    let kept = section("kept", "subscribe = \"app\"\npublish = \"app\"\nhistory = 10");
    let door = start(&app, r#"["connect"]"#, &kept);
    let mut in_lobby = connect(&door, "/api/ws/lobby").await;
    assert_eq!(statuses(&door, "/api/ws/lobby").await, [101, 200, 200]);
    assert_eq!(statuses(&door, "/api/ws/hall").await, [403; 3]);
    api(&door, "/publish", json!({"channel": "lobby", "text": "one"})).await;
    assert_eq!(in_lobby.hear_json().await["data"], "one");
    in_lobby.say("may I?").await;
    let error = in_lobby.hear_json().await;
    assert_eq!((&error["error"], &error["type"]), (&json!("forbidden"), &json!("error")), "to hear is not to speak");

    let (app, _) = self::app(|_| json!({"channels": ["kept"]}).to_string()).await;
    let door = start(&app, r#"["connect"]"#, &kept);
    api(&door, "/publish", json!({"channel": "kept", "text": "before"})).await;
    assert_eq!(refused(&door, "/api/ws/kept?since=start", &[]).await, 403, "only the app: it does not help to ask");
    let door = start(&app, r#"["connect"]"#, &section("kept", "history = 10"));
    api(&door, "/publish", json!({"channel": "kept", "text": "before"})).await;
    let mut late = connect(&door, "/api/ws/kept?since=start").await;
    assert_eq!(late.hear_json().await["type"], "subscribed");
    assert_eq!(late.hear_json().await["data"], "before");
}

#[tokio::test]
async fn a_subscription_that_the_app_allows_is_one_in_every_dialect() {
    let (app, asked) = app(|question| match question["data"]["channel"].as_str() {
        Some("lobby") => "{}".to_owned(),
        _ => json!({"allow": false, "reason": "no"}).to_string(),
    })
    .await;
    let more = section("closed", "subscribe = \"app\"") + &section("members", "subscribe = \"identified\"");
    let door = start(&app, r#"["subscribe"]"#, &more);
    assert_eq!(statuses(&door, "/api/ws/lobby").await, [101, 200, 200]);
    assert_eq!(pusher(&door, "lobby").await["event"], "pusher_internal:subscription_succeeded");
    assert_eq!(pusher(&door, "hall").await["data"]["error"], "no");
    let (mut client, _) = socket_io(&door, "", "/").await;
    client.say(r#"421["join-room","lobby"]"#).await;
    assert_eq!(client.hear().await, "431[]");
    client.say(r#"422["join-room","hall"]"#).await;
    assert_eq!(client.hear().await, r#"432[{"error":"no"}]"#);
    asked.lock().unwrap().clear();
    assert_eq!(statuses(&door, "/api/ws/closed").await, [403; 3]);
    assert_eq!(pusher(&door, "closed").await["data"]["status"], 403);
    assert!(asked.lock().unwrap().is_empty(), "nobody is asked about what no answer allows");
}

#[tokio::test]
async fn allowed_subscription_still_needs_its_sections_identity() {
    let (app, _) = app(|_| "{}".to_owned()).await;
    let door = start(&app, r#"["subscribe"]"#, &section("members", "subscribe = \"identified\""));
    let history = get(door.http(), "/api/ws/members", &[("accept", "application/json")]).await;
    assert_eq!(history.status, 403);
    let mut nobody = connect(&door, "/api/ws/members").await;
    assert_eq!(nobody.closed().await, (1008, "not allowed".to_owned()));
    assert_eq!(pusher(&door, "members").await["data"]["status"], 403);
    let (mut client, _) = socket_io(&door, "", "/").await;
    client.say(r#"421["join-room","members"]"#).await;
    assert_eq!(client.hear().await, r#"431[{"error":"not allowed"}]"#);

    let (app, _) = self::app(|_| json!({"user": "ada"}).to_string()).await;
    let door = start(&app, r#"["subscribe"]"#, &section("members", "subscribe = \"identified\""));
    assert_eq!(statuses(&door, "/api/ws/members").await, [101, 200, 200], "the answer itself may name the client");
}

#[tokio::test]
async fn a_consent_to_a_message_is_no_promotion() {
    let (app, asked) = app(|question| match question["type"].as_str() {
        Some("connect") if question["data"]["client"]["query"] == "ada" => json!({"user": "ada"}).to_string(),
        Some("connect") => json!({"channels": ["unnamed"]}).to_string(),
        _ => "{}".to_owned(),
    })
    .await;
    let more = section("news", "publish = \"app\"") + &section("members", "publish = \"identified\"");
    let door = start(&app, r#"["connect", "message"]"#, &more);
    let messages = || asked.lock().unwrap().iter().filter(|question| question["type"] == "message").count();
    let mut news = connect(&door, "/api/ws/news?ada").await;
    news.say("I am the app").await;
    assert_eq!(news.hear_json().await["error"], "forbidden");
    assert_eq!(messages(), 0, "nobody is asked about what no answer allows");
    let mut nobody = connect(&door, "/api/ws/members").await;
    nobody.say("let me").await;
    assert_eq!(nobody.hear_json().await["error"], "forbidden");
    let mut ada = connect(&door, "/api/ws/members?ada").await;
    ada.say("me").await;
    assert_eq!(ada.hear_json().await["data"], "me");
    assert_eq!(nobody.hear_json().await["data"], "me", "and nothing of what was refused");
    let mut unnamed = connect(&door, "/api/ws/unnamed").await;
    unnamed.say("asked").await;
    assert_eq!(unnamed.hear_json().await["data"], "asked", "where no section says anything, the app does");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_no_yes() {
    for answer in [
        "null",
        "0",
        "\"yes\"",
        "true",
        "[]",
        "[true]",
        r#"{"allow":null}"#,
        r#"{"allow":"true"}"#,
        r#"{"allow":1}"#,
        r#"{"allow":false,"allow":true}"#,
        r#"{"user":""}"#,
        r#"{"user":null}"#,
        r#"{"user":{"id":""}}"#,
        r#"{"user":[]}"#,
        r#"{"channels":[""]}"#,
        r#"{"channels":null}"#,
        r#"{"commands":[["send"]]}"#,
        r#"{"commands":[{"do":"identify","user":""}]}"#,
        r#"{"commands":[{"do":"join","channel":""}]}"#,
        r#"{"allow":true"#,
    ] {
        let (app, _) =
            app(move |question| if question["type"] == "subscribe" { "{}" } else { answer }.to_owned()).await;
        let door = start(&app, r#"["connect"]"#, &section("*", ""));
        assert_eq!(statuses(&door, "/api/ws").await, [503; 3], "{answer}");
        let (_, told) = socket_io(&door, "", "/").await;
        assert!(told.starts_with("44{"), "{answer}: {told}");
        assert_eq!(refused(&door, "/app/app-key?protocol=7", &[]).await, 503, "{answer}");
        door.wait_for_log(|line| {
            let said = ["callback failed", "the app's answer cannot be carried out"];
            said.iter().any(|said| line["message"] == *said) && (line["error"].is_string() || line["what"].is_string())
        });
    }
    for answer in ["[]", r#"{"allow":null}"#, r#"{"replace":null}"#, r#"{"user":""}"#] {
        let (app, _) = app(move |_| answer.to_owned()).await;
        let door = start(&app, r#"["message"]"#, &section("*", ""));
        let (mut ada, mut bob) = (connect(&door, "/api/ws").await, connect(&door, "/api/ws").await);
        ada.say("hi").await;
        assert_eq!(ada.hear_json().await["error"], "unavailable", "{answer}");
        bob.is_quiet().await;
    }
}

#[tokio::test]
async fn a_namespace_is_for_those_whom_socket_io_lets_in() {
    let (app, _) = app(|question| match question["data"]["scope"].as_str() {
        Some("/admin") => json!({"allow": false, "reason": "not for you"}).to_string(),
        _ => "{}".to_owned(),
    })
    .await;
    let door = start(&app, r#"["connect", "message"]"#, &section("*", ""));
    let (mut root, _) = socket_io(&door, "", "/").await;
    let (_, told) = socket_io(&door, "", "/admin").await;
    assert!(told.starts_with("44/admin,"), "{told}");
    for path in ["/api/ws/%2Fadmin", "/api/ws/%2f", "/api/ws/%2Fadmin%23room", "/api/ws/%2F%23%2Fx"] {
        assert_eq!(statuses(&door, path).await, [403; 3], "{path}");
    }
    api(&door, "/emit", json!({"name": "hi", "args": [1]})).await;
    assert_eq!(root.hear().await, r#"42["hi",1]"#);

    // Nor where nobody is asked, unless a section means it and says who.
    let members = section("/team", "subscribe = \"identified\"") + &section("/open", "");
    let alone = door_alone(&members);
    for path in ["/api/ws/%2F", "/api/ws/%2Fopen", "/api/ws/%2Fteam"] {
        assert_eq!(statuses(&alone, path).await, [403; 3], "{path}");
    }
    let named = format!("?token={}", token(json!({"sub": "ada"})));
    assert_eq!(statuses(&alone, &format!("/api/ws/%2Fteam{named}")).await, [101, 200, 200]);
    let (mut one, _) = socket_io(&alone, "", "/").await;
    one.say(r#"42["message","x"]"#).await;
    assert!(
        one.hear().await.starts_with(r#"42["message",{"id":"#),
        "the tutorial's relay is open where nobody is asked"
    );
    let mut plain = connect(&alone, "/api/ws").await;
    plain.say("x").await;
    assert_eq!(plain.hear_json().await["data"], "x");
}

fn door_alone(more: &str) -> Door {
    let tokens = format!("[realtime.tokens]\nsecret = \"{SECRET}\"\n");
    door()
        .config(format!("[app]\nurl = \"off\"\n{tokens}[realtime.plain]\necho = false\n{NAMESPACES}{PUSHER}{more}"))
        .start()
}

#[tokio::test]
async fn a_rule_for_all_channels_leaves_clients_their_own_namespace() {
    let door = door_alone(&section("*", "subscribe = \"app\"\npublish = \"app\""));
    for scope in ["/", "/admin"] {
        let (mut socket, told) = socket_io(&door, "", scope).await;
        let open = if scope == "/" { "40{".to_owned() } else { format!("40{scope},{{") };
        let data = told.strip_prefix(open.trim_end_matches('{')).unwrap_or_else(|| panic!("{told}"));
        let open: Value = serde_json::from_str(data).expect("JSON");
        let event = json!({"namespace": scope, "name": "e", "args": ["all"]});
        api(&door, "/emit", event).await;
        assert!(socket.hear().await.ends_with(r#"["e","all"]"#));
        api(&door, "/emit", json!({"namespace": scope, "name": "e", "args": ["own"], "to": [open["sid"]]})).await;
        assert!(socket.hear().await.ends_with(r#"["e","own"]"#));
    }
}

#[tokio::test]
async fn a_required_token_opens_what_it_lists_and_nothing_else() {
    let tokens = format!("[realtime.tokens]\nrequired = true\nsecret = \"{SECRET}\"\n");
    let door = door()
        .config(format!("[app]\nurl = \"off\"\n{tokens}[realtime.plain]\necho = false\n{NAMESPACES}{PUSHER}"))
        .start();
    let with = |claims: Value| format!("token={}", token(claims));
    let nothing = with(json!({"sub": "ada"}));
    assert_eq!(statuses(&door, &format!("/api/ws/room-1?{nothing}")).await, [403; 3]);
    let (mut client, told) = socket_io(&door, &format!("&{nothing}"), "/").await;
    assert!(told.starts_with("40{"), "{told}");
    client.say(r#"421["join-room","room-1"]"#).await;
    assert!(client.hear().await.starts_with(r#"431[{"error""#));

    let rooms = with(json!({"sub": "ada", "subscribe": ["room-*"], "publish": ["room-1"]}));
    assert_eq!(statuses(&door, &format!("/api/ws/room-1?{rooms}")).await, [101, 200, 200]);
    assert_eq!(statuses(&door, &format!("/api/ws/lobby?{rooms}")).await, [403; 3]);
    let mut room = connect(&door, &format!("/api/ws/room-1?{rooms}")).await;
    room.say("hi").await;
    assert_eq!(room.hear_json().await["data"], "hi");
    let hears = with(json!({"subscribe": ["room-1"]}));
    let mut silent = connect(&door, &format!("/api/ws/room-1?{hears}")).await;
    silent.say("hi").await;
    assert_eq!(silent.hear_json().await["error"], "forbidden");

    for list in [json!([]), json!(["room-*"])] {
        let narrow = with(json!({"subscribe": list}));
        let (_, told) = socket_io(&door, &format!("&{narrow}"), "/").await;
        assert!(told.starts_with("44{"), "{list}: {told}");
    }
    for (list, scope) in [(json!(["/"]), "/"), (json!(["/admin", "x"]), "/admin"), (json!(["*"]), "/")] {
        let wide = with(json!({"subscribe": list}));
        let (_, told) = socket_io(&door, &format!("&{wide}"), scope).await;
        assert!(told.starts_with("40"), "{list}: {told}");
        let path = format!("/api/ws/{}?{wide}", scope.replace('/', "%2F"));
        assert_eq!(statuses(&door, &path).await, [403; 3], "by its dialect alone");
    }
    for bad in [json!({"sub": ""}), json!({"subscribe": null}), json!({"publish": null})] {
        assert_eq!(statuses(&door, &format!("/api/ws/room-1?{}", with(bad.clone()))).await, [401; 3], "{bad}");
    }
}

#[tokio::test]
async fn doorway_signs_for_channels_that_a_token_lists() {
    use crate::pusher::app::{data, subscribe};
    let tokens = format!("[realtime.tokens]\nrequired = true\nsecret = \"{SECRET}\"\n");
    let door = door().config(format!("[app]\nurl = \"off\"\n{tokens}{PUSHER}auth = \"doorway\"\n")).start();
    let of = |user: &str| token(json!({"sub": user, "subscribe": ["private-ada-*"]}));
    let mut socket = connect(&door, &format!("/app/app-key?protocol=7&token={}", of("ada"))).await;
    let established = socket.hear_json().await;
    let id = data(&established)["socket_id"].as_str().expect("an id").to_owned();
    let sign = async |channel: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let form = format!("socket_id={id}&channel_name={channel}");
        let answer = ask(door.http(), "POST", "/pusher/auth", &headers, form).await;
        (answer.status, String::from_utf8(answer.bytes().await.to_vec()).expect("UTF-8"))
    };
    assert_eq!(sign("private-eve-1", &of("ada")).await.0, 403, "her list does not have it");
    assert_eq!(sign("private-ada-1", &of("eve")).await.0, 403, "another user's token");
    assert_eq!(sign("private-ada-1", "none").await.0, 403);
    let (status, signed) = sign("private-ada-1", &of("ada")).await;
    assert_eq!(status, 200, "{signed}");
    let signed: Value = serde_json::from_str(&signed).expect("JSON");
    socket.say(&subscribe("private-ada-1", signed["auth"].as_str().expect("a signature"))).await;
    assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
}

#[tokio::test]
async fn client_events_of_pusher_keep_to_what_only_the_app_may_say() {
    use crate::pusher::app::{enter, sign, subscribe};
    let (app, _) = app(|_| "{}".to_owned()).await;
    let door = start(&app, r#"["connect"]"#, &section("private-news", "publish = \"app\""));
    let (mut socket, id) = enter(&door).await;
    for (channel, is_open) in [("private-news", false), ("private-chat", true)] {
        let auth = format!("app-key:{}", sign("app-secret", &format!("{id}:{channel}")));
        socket.say(&subscribe(channel, &auth)).await;
        assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded", "a signature lets in");
        let (mut other, other_id) = enter(&door).await;
        let auth = format!("app-key:{}", sign("app-secret", &format!("{other_id}:{channel}")));
        other.say(&subscribe(channel, &auth)).await;
        assert_eq!(other.hear_json().await["event"], "pusher_internal:subscription_succeeded");
        socket.say(&json!({"event": "client-x", "channel": channel, "data": {"n": 1}}).to_string()).await;
        if is_open {
            assert_eq!(other.hear_json().await["event"], "client-x");
        } else {
            assert_eq!(socket.hear_json().await["event"], "pusher:error");
            other.is_quiet().await;
        }
    }
}

#[tokio::test]
async fn a_reload_that_has_the_app_asked_closes_channels_that_exist() {
    let (app, _) = app(|_| "{}".to_owned()).await;
    let before = format!("{}[realtime.plain]\necho = false\n{NAMESPACES}{PUSHER}", app.config());
    let door = door().config(before.clone()).start();
    let (mut early, mut hearer) = (connect(&door, "/api/ws/room").await, connect(&door, "/api/ws/room").await);
    early.say("open").await;
    assert_eq!(early.hear_json().await["data"], "open");
    assert_eq!(hearer.hear_json().await["data"], "open");
    door.rewrite(&format!("{before}[callbacks]\nevents = [\"connect\"]\n"));
    let seen = door.log().len();
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"] == "reloaded");
    early.say("still?").await;
    assert_eq!(early.hear_json().await["error"], "forbidden");
    assert_eq!(statuses(&door, "/api/ws/room").await, [403; 3]);
    assert_eq!(pusher(&door, "room").await["data"]["status"], 403);
    api(&door, "/publish", json!({"channel": "room", "text": "the app"})).await;
    assert_eq!(hearer.hear_json().await["data"], "the app", "who is in stays in, and heard nothing between");
}
